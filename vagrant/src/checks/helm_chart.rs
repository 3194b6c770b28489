//! The chart as Helm itself reads it: linted, rendered for several sets of values, and judged; and values that have to be refused.
//!
//! Every object is read into the type that Kubernetes has for it, so a misspelt field is found. What stands between objects is
//! judged here. What only an API server knows (admission, immutable fields) needs one.

mod documents;
mod judges;
mod links;
mod pods;
#[cfg(test)]
mod tests;

use anyhow::{Context as _, Result, ensure};

use crate::setup::cache::Cache;
use crate::setup::helm::Helm;
use judges::Chart;

/// Values that the chart has to be good for.
struct Case {
    name: &'static str,
    /// Flags of Helm, from the chart's folder.
    values: &'static [&'static str],
    /// Service accounts that somebody else makes.
    foreign: &'static [&'static str],
}

const CASES: [Case; 4] = [
    Case { name: "default", values: &[], foreign: &[] },
    Case { name: "all", values: &["--values", "ci/all-values.yaml"], foreign: &[] },
    Case {
        name: "minimal",
        values: &["--values", "ci/minimal-values.yaml"],
        foreign: &["mdfabric-daemon", "mdfabric-sidecars"],
    },
    Case {
        name: "oldest",
        values: &["--values", "ci/all-values.yaml", "--kube-version", "1.31.0"],
        foreign: &[],
    },
];

/// Values that have to be refused: a flag, its value, and what has to be named.
const REFUSED: [(&str, &str, &str); 23] = [
    ("--set", "controler.replicas=3", "'controler'"),
    ("--set", "controller.replica=3", "'replica'"),
    ("--set", "controller.replicas=0", "/controller/replicas"),
    ("--set-string", "controller.timeout=120", "/controller/timeout"),
    ("--set", "node.dataPort=65535", "/node/dataPort"),
    ("--set", "node.dataAddress=eth0", "/node/dataAddress"),
    ("--set", "node.peerSilentMillis=299", "/node/peerSilentMillis"),
    ("--set", "node.recorderSize=8MB", "/node/recorderSize"),
    ("--set", "node.healthPort=4420", "node.healthPort"),
    ("--set", "kubeletDir=/var/lib/kubelet/", "/kubeletDir"),
    ("--set", "udevRule.directory=run", "/udevRule/directory"),
    ("--set", "udevRule.image.tag=v1", "'image'"),
    ("--set", "admissionPolicy.users=root", "/admissionPolicy/users"),
    ("--set", "image.digest=sha256:abc", "/image/digest"),
    ("--set", "sidecars.snapshotter.image.tag=v1", "'snapshotter'"),
    ("--set", "log.format=xml", "/log/format"),
    ("--set-string", "storageClasses.replicated.parameters.replicas=2", "'replicas'"),
    ("--set-string", "storageClasses.replicated.parameters.replicaCount=4", "replicaCount"),
    ("--set-string", "storageClasses.replicated.parameters.memberMissingTimeout=59", "memberMissingTimeout"),
    ("--set", "storageClasses.replicated.fsType=btrfs", "fsType"),
    ("--set-string", "volumeAttributesClasses.wide.parameters.stripeWidth=2", "'stripeWidth'"),
    ("--set", "metrics.serviceMonitor.enabled=true", "metrics.enabled"),
    ("--set", "serviceAccounts.node.create=false", "serviceAccounts.node.name"),
];

/// Everything about the chart that needs no cluster. What was rendered stays in the folder `helm` of the target directory.
pub(super) fn check(cache: &Cache) -> Result<()> {
    let helm = Helm::prepare(cache)?;
    let mut problems = documents::problems(&helm, &cache.workspace())?;
    for case in &CASES {
        let judged = judge(&helm, case).with_context(|| format!("with the values called {}", case.name))?;
        problems.extend(judged.into_iter().map(|problem| format!("{}: {problem}", case.name)));
    }
    if helm.template_packaged()? != helm.template(&[])? {
        problems.push("the packaged chart makes something else than its folder".to_owned());
    }
    problems.extend(REFUSED.into_iter().filter_map(|case| refusal(&helm, case)));
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

fn judge(helm: &Helm, case: &Case) -> Result<Vec<String>> {
    helm.lint(case.values)?;
    let rendered = helm.render(case.name, case.values)?;
    println!("      {} objects in {}", rendered.objects.len(), rendered.file.display());
    Ok(Chart::new(rendered.objects, case.foreign).problems())
}

/// What is wrong with how a setting is refused. The first line of the error is the command with the setting itself.
fn refusal(helm: &Helm, (flag, setting, named): (&str, &str, &str)) -> Option<String> {
    let said = match helm.template(&[flag, setting]) {
        Ok(_) => return Some(format!("{flag} {setting} is taken")),
        Err(error) => error.to_string(),
    };
    let is_named = said.split_once('\n').is_some_and(|(_, why)| why.contains(named));
    (!is_named).then(|| format!("{flag} {setting} is refused, but {named} is not named: {said}"))
}
