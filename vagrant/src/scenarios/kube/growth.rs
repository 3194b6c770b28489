//! A claim is changed while its pod writes: it grows, and it gets a class of attributes with more copies.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::written::{CLAIM, DATA, POD, Written};
use super::{REPLICATED, settled};
use crate::daemon::word;
use crate::kube::Cluster;
use crate::kube::objects;
use crate::scenarios::Stage;

/// What a claim of [`super::SIZE`] grows to.
const GROWN: &str = "448Mi";
/// So much more, nearly all of it for files, KiB.
const MORE: u64 = 120 << 10;
/// A class of volumes with ext4, which the chart has none of.
const EXT4: &str = "replicated-ext4";
/// A class of attributes.
const THREE_COPIES: &str = "three-copies";
/// For what is asked of a claim to be so: every copy grows, or one more is filled.
const CHANGED: Duration = Duration::from_mins(4);

/// How a pod sees the size of its volume.
struct Room {
    asked: &'static [&'static str],
    /// What it says, KiB.
    kib: fn(&str) -> Option<u64>,
}

const OF_FILES: Room = Room { asked: &["df", "-kP", DATA], kib: df_kib };
const OF_DEVICE: Room = Room { asked: &["blockdev", "--getsize64", DATA], kib: blockdev_kib };

pub(super) fn of_xfs(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let written = Written::start(&cluster, REPLICATED, 101)?;
    has_files(&cluster, "xfs")?;
    grows(&cluster, written, &OF_FILES)
}

pub(super) fn of_ext4(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let parameters = json!({"replicaCount": "2", "csi.storage.k8s.io/fstype": "ext4"});
    cluster.make(&objects::class(EXT4, &parameters))?;
    let written = Written::start(&cluster, EXT4, 103)?;
    has_files(&cluster, "ext4")?;
    grows(&cluster, written, &OF_FILES)?;
    cluster.kubectl.run(&["delete", "storageclass", EXT4]).map(drop)
}

pub(super) fn of_device(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let written = Written::start_on_device(&cluster, REPLICATED, 104)?;
    written.moves()?;
    grows(&cluster, written, &OF_DEVICE)
}

fn grows(cluster: &Cluster<'_>, written: Written<'_>, seen: &Room) -> Result<()> {
    settled(cluster, "two copies", |nodes| nodes.len() == 2)?;
    let before = room(cluster, seen)?;
    change(cluster, &json!({"resources": {"requests": {"storage": GROWN}}}))?;
    is_changed(cluster, "/status/capacity/storage", GROWN)?;
    let after = room(cluster, seen)?;
    println!("    {DATA} had {before} KiB and has {after} KiB");
    ensure!(after >= before + MORE, "{DATA} did not grow by {MORE} KiB: {before} KiB became {after} KiB");
    written.goes_on(20)?;
    settled(cluster, "two copies as before", |nodes| nodes.len() == 2)?;
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

/// What the pod has at [`DATA`] is a file system of this type.
fn has_files(cluster: &Cluster<'_>, fs: &str) -> Result<()> {
    let mounts = cluster.kubectl.run(&["exec", POD, "--", "cat", "/proc/mounts"])?;
    ensure!(mounts.contains(&format!(" {DATA} {fs} rw")), "no {fs} is mounted at {DATA}:\n{mounts}");
    Ok(())
}

/// The size of the pod's volume as it sees it, KiB.
fn room(cluster: &Cluster<'_>, seen: &Room) -> Result<u64> {
    let said = cluster.kubectl.run(&[&["exec", POD, "--"][..], seen.asked].concat())?;
    (seen.kib)(&said).with_context(|| format!("{} says\n{said}", seen.asked.join(" ")))
}

fn df_kib(said: &str) -> Option<u64> {
    said.lines().nth(1)?.split_whitespace().nth(1)?.parse().ok()
}

fn blockdev_kib(said: &str) -> Option<u64> {
    Some(said.trim().parse::<u64>().ok()? >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_says_the_size_in_its_second_column() {
        let said = "Filesystem           1024-blocks    Used Available Capacity Mounted on\n\
                    /dev/md127              261888     41000    220888  16% /data\n";
        assert_eq!(df_kib(said), Some(261_888));
        assert_eq!(df_kib("Filesystem 1024-blocks\n"), None);
    }

    #[test]
    fn blockdev_says_bytes() {
        assert_eq!(blockdev_kib("335544320\n"), Some(320 << 10));
        assert_eq!(blockdev_kib("blockdev: cannot open /data\n"), None);
    }
}
