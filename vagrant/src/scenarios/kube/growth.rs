//! A claim is changed while its pod writes: it grows, and it gets a class of attributes with more copies.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::written::{CLAIM, POD, Written};
use super::{REPLICATED, settled};
use crate::daemon::word;
use crate::kube::Cluster;
use crate::kube::objects;
use crate::scenarios::Stage;

/// What a claim of [`super::SIZE`] grows to.
const GROWN: &str = "448Mi";
/// So much more, nearly all of it for files, KiB.
const MORE: u64 = 120 << 10;
/// A class of attributes.
const THREE_COPIES: &str = "three-copies";
/// For what is asked of a claim to be so: every copy grows, or one more is filled.
const CHANGED: Duration = Duration::from_mins(4);

pub(super) fn grown(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let written = Written::start(&cluster, REPLICATED, 101)?;
    settled(&cluster, "two copies", |nodes| nodes.len() == 2)?;
    let before = room(&cluster)?;
    change(&cluster, &json!({"resources": {"requests": {"storage": GROWN}}}))?;
    is_changed(&cluster, "/status/capacity/storage", GROWN)?;
    let after = room(&cluster)?;
    println!("    /data had {before} KiB and has {after} KiB");
    ensure!(after >= before + MORE, "the file system did not grow: {before} KiB became {after} KiB");
    written.goes_on(20)?;
    settled(&cluster, "two copies as before", |nodes| nodes.len() == 2)?;
    written.end()
}

pub(super) fn three_copies(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    cluster.make(&objects::attributes(THREE_COPIES, &json!({"replicaCount": "3"})))?;
    let written = Written::start(&cluster, REPLICATED, 102)?;
    settled(&cluster, "two copies", |nodes| nodes.len() == 2)?;
    change(&cluster, &json!({"volumeAttributesClassName": THREE_COPIES}))?;
    is_changed(&cluster, "/status/currentVolumeAttributesClassName", THREE_COPIES)?;
    settled(&cluster, "three copies", |nodes| nodes.len() == 3)?;
    written.goes_on(20)?;
    written.end()?;
    cluster.kubectl.run(&["delete", "volumeattributesclass", THREE_COPIES]).map(drop)
}

/// Asks something else of the writer's claim, as `kubectl edit` would.
fn change(cluster: &Cluster<'_>, spec: &Value) -> Result<()> {
    let patch = json!({"spec": spec}).to_string();
    cluster.kubectl.run(&["patch", "persistentvolumeclaim", CLAIM, "--patch", &patch]).map(drop)
}

fn is_changed(cluster: &Cluster<'_>, at: &str, wanted: &str) -> Result<()> {
    cluster.lab.wait_for(&format!("{at} of the claim to be {wanted}"), CHANGED, || {
        let claim = cluster.kubectl.find("persistentvolumeclaim", CLAIM)?;
        Ok(claim.filter(|claim| word(claim, at) == wanted).map(drop))
    })
}

/// The size of the pod's file system as it sees it, KiB.
fn room(cluster: &Cluster<'_>) -> Result<u64> {
    let said = cluster.kubectl.run(&["exec", POD, "--", "df", "-kP", "/data"])?;
    kibibytes(&said).with_context(|| format!("df says\n{said}"))
}

fn kibibytes(said: &str) -> Option<u64> {
    said.lines().nth(1)?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_says_the_size_in_its_second_column() {
        let said = "Filesystem           1024-blocks    Used Available Capacity Mounted on\n\
                    /dev/md127              261888     41000    220888  16% /data\n";
        assert_eq!(kibibytes(said), Some(261_888));
        assert_eq!(kibibytes("Filesystem 1024-blocks\n"), None);
    }
}
