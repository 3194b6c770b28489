//! Which images there are, under the names that the chart gives them where nobody says otherwise.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::archive::{Content, Image};
use super::programs::Programs;
use crate::command::output;
use crate::setup::helm::Helm;
use crate::spec::SHELL_IMAGE;

/// What holds the namespaces of a pod; `vagrant/kube/node/containerd.toml` names it too.
pub(super) const PAUSE: &str = "localhost/pause:1";

/// What images are made of.
pub(super) struct Sources<'a> {
    pub(super) chart: &'a Helm,
    pub(super) programs: &'a Programs,
    pub(super) busybox: &'a Path,
    /// The programs under test.
    pub(super) product: &'a [PathBuf],
}

/// All of them. `PAUSE` is not among them: its program is not built yet.
pub(super) fn all(sources: &Sources<'_>) -> Result<Vec<Image>> {
    let values = sources.chart.values(&sources.chart.chart().join("values.yaml"))?;
    let mut images = vec![product(sources, &values)?, shell(sources.busybox, SHELL_IMAGE.to_owned())?];
    let Programs { sidecars, provisioner, standins, .. } = sources.programs;
    for (name, program) in [
        ("provisioner", provisioner.join("csi-provisioner")),
        ("attacher", sidecars.join("csi-attacher")),
        ("resizer", sidecars.join("csi-resizer")),
        ("registrar", standins.join("registrar")),
        ("livenessProbe", standins.join("liveness")),
    ] {
        images.push(of_program(reference(&values, &format!("/sidecars/{name}/image"))?, &program)?);
    }
    Ok(images)
}

/// An image with nothing in it but a program, under its own name: by that it is found among the processes of a node.
pub(super) fn of_program(reference: String, program: &Path) -> Result<Image> {
    let name = program.file_name().and_then(OsStr::to_str).context("a program without a name")?;
    let content = vec![(name.to_owned(), Content::Program(program.to_path_buf()))];
    Ok(Image { reference, entrypoint: format!("/{name}"), content })
}

/// As `deploy/image/Dockerfile` makes it. Its tag is the chart's version of the product.
fn product(sources: &Sources<'_>, values: &Value) -> Result<Image> {
    let chart = sources.chart.values(&sources.chart.chart().join("Chart.yaml"))?;
    let reference = format!("{}:{}", text(values, "/image/repository")?, text(&chart, "/appVersion")?);
    let content = ["mdfabric", "mdfabric-csi"].iter().map(|name| own_program(sources.product, name));
    Ok(Image {
        reference,
        entrypoint: "/usr/bin/mdfabric".to_owned(),
        content: content.collect::<Result<_>>()?,
    })
}

fn own_program(product: &[PathBuf], name: &str) -> Result<(String, Content)> {
    let is_it = |path: &&PathBuf| path.file_name().is_some_and(|file| file == name);
    let program = product.iter().find(is_it).with_context(|| format!("no {name} was built"))?;
    Ok((format!("usr/bin/{name}"), Content::Program(program.clone())))
}

/// For the pods of scenarios: every applet of busybox, and what shells take for granted.
fn shell(busybox: &Path, reference: String) -> Result<Image> {
    let applets = output(Command::new(busybox).arg("--list"))?;
    let links = applets.lines().filter(|name| *name != "busybox");
    let links = links.map(|name| (format!("bin/{name}"), Content::Link("busybox".to_owned())));
    let mut content = vec![
        ("bin/busybox".to_owned(), Content::Program(busybox.to_path_buf())),
        ("tmp".to_owned(), Content::Directory(0o1777)),
    ];
    content.extend(links);
    Ok(Image { reference, entrypoint: "/bin/sh".to_owned(), content })
}

fn reference(values: &Value, at: &str) -> Result<String> {
    let part = |name: &str| text(values, &format!("{at}/{name}"));
    Ok(format!("{}:{}", part("repository")?, part("tag")?))
}

fn text(value: &Value, at: &str) -> Result<String> {
    let text = value.pointer(at).and_then(Value::as_str);
    text.map(str::to_owned).with_context(|| format!("the chart does not say {at}"))
}
