//! Helm itself, and a reader that is strict about what it renders (`vagrant/helm/strict`), built once from Go's modules.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::cache::{Cache, Key, remove_tree};
use super::go;
use crate::command;

/// What is built: programs of a module of our own.
const BUILD: go::Build<'_> = go::Build {
    house: "vagrant/helm",
    packages: &["helm.sh/helm/v3/cmd/helm", "./strict"],
    tags: "",
    linker: "",
};
/// What they are made of.
const MADE_OF: [&str; 3] = [
    include_str!("../../helm/go.mod"),
    include_str!("../../helm/go.sum"),
    include_str!("../../helm/strict/main.go"),
];
/// The chart, in the workspace.
const CHART: &str = "deploy/chart";
/// What a release is called where it does not matter.
const RELEASE: &str = "mdfabric";
/// The namespace it is rendered for.
pub const NAMESPACE: &str = "mdfabric-system";
/// The Kubernetes it is rendered for, unless flags say another one: without a cluster Helm knows none.
const KUBERNETES: &str = "1.36.0";

/// Helm, for the chart of this workspace.
pub struct Helm {
    tools: PathBuf,
    chart: PathBuf,
    /// Where Helm keeps its own files, and what is rendered.
    work: PathBuf,
}

/// One object of a rendered chart.
#[derive(Debug, Clone, Deserialize)]
pub struct Object {
    /// Kubernetes itself has a type for it, and it was read into that.
    pub typed: bool,
    /// What it says.
    pub object: Value,
}

/// What the chart makes of some values.
#[derive(Debug)]
pub struct Rendered {
    /// All objects, as YAML; can be given to `kubectl apply -f`.
    pub file: PathBuf,
    /// The same, read.
    pub objects: Vec<Object>,
}

impl Helm {
    /// Builds the programs, or finds them in the cache.
    pub fn prepare(cache: &Cache) -> Result<Self> {
        let tools = cache.entry("helm", &Key::of(&MADE_OF), |draft| {
            println!("      building helm, once");
            BUILD.run(&cache.workspace(), draft)
        })?;
        let work = cache.target().join("helm");
        fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
        Ok(Self { tools, chart: cache.workspace().join(CHART), work })
    }

    /// Where the chart is.
    #[must_use]
    pub fn chart(&self) -> &Path {
        &self.chart
    }

    /// `helm VERB` in the chart's folder, with nothing of whoever runs it: neither plugins nor a cluster.
    fn command(&self, verb: &str) -> Command {
        let mut helm = Command::new(self.tools.join("helm"));
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            helm.env(home, self.work.join(home));
        }
        helm.arg(verb).env("KUBECONFIG", "/dev/null").current_dir(&self.chart);
        helm
    }

    /// Looks for mistakes of style; with `values` as of [`Self::template`]. What it finds is what it prints, not what it complains of.
    pub fn lint(&self, values: &[&str]) -> Result<()> {
        let mut helm = self.command("lint");
        helm.args(["--strict", ".", "--kube-version", KUBERNETES]).args(values);
        let out = helm.output().context("cannot start helm")?;
        ensure!(out.status.success(), "helm lint: {}", String::from_utf8_lossy(&out.stdout).trim_end());
        Ok(())
    }

    /// What the chart makes of `values`, flags of Helm, as YAML.
    pub fn template(&self, values: &[&str]) -> Result<String> {
        self.template_of(Path::new("."), values)
    }

    fn template_of(&self, chart: &Path, values: &[&str]) -> Result<String> {
        let mut helm = self.command("template");
        helm.arg(RELEASE)
            .arg(chart)
            .args(["--namespace", NAMESPACE, "--kube-version", KUBERNETES])
            .args(values);
        command::output(&mut helm)
    }

    /// The same of the chart as it is packaged for others, without the folders around it.
    pub fn template_packaged(&self) -> Result<String> {
        let packages = self.work.join("packages");
        remove_tree(&packages)?;
        command::run(self.command("package").arg(".").arg("--destination").arg(&packages))?;
        let package = fs::read_dir(&packages)?.next().context("helm package made nothing")??;
        self.template_of(&package.path(), &[])
    }

    /// The same, read, and kept in a file that is called `name`.
    pub fn render(&self, name: &str, values: &[&str]) -> Result<Rendered> {
        let text = self.template(values)?;
        let file = self.work.join(format!("{name}.yaml"));
        fs::write(&file, &text).with_context(|| file.display().to_string())?;
        let objects = serde_json::from_str(&self.strict(&[], &text)?).context("what strict prints")?;
        Ok(Rendered { file, objects })
    }

    /// A file of values.
    pub fn values(&self, file: &Path) -> Result<Value> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Ok(serde_json::from_str(&self.strict(&["plain"], &text)?)?)
    }

    fn strict(&self, arguments: &[&str], text: &str) -> Result<String> {
        let mut strict = Command::new(self.tools.join("strict"));
        strict.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = strict.spawn().context("cannot start strict")?;
        // It reads everything before it writes anything.
        child.stdin.take().context("no way in")?.write_all(text.as_bytes())?;
        let out = child.wait_with_output()?;
        ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr).trim_end());
        Ok(String::from_utf8(out.stdout)?)
    }
}
