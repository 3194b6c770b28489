//! The ways in which pods use volumes: as a group, read-only, as block devices, and two at a time.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{FILE, LOCAL, POD, POD_DEADLINE, SIZE, WORDS, clear_claim, no_more, remove, run};
use crate::kube::Cluster;
use crate::kube::objects;
use crate::scenarios::Stage;

const FILES: &str = "files";
const RAW: &str = "raw";
/// Where a pod sees the raw volume.
const DEVICE: &str = "/dev/raw";
const SECTOR: &str = "written to a device";
const USER: u32 = 1000;
const GROUP: u32 = 2000;

pub(super) fn of_pods(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    cluster.make(&objects::claim(FILES, LOCAL, SIZE))?;
    cluster.make(&objects::block(objects::claim(RAW, LOCAL, SIZE)))?;
    run(&cluster, &of_a_group())?;
    says(
        &cluster,
        &format!("stat -c '%u %g' {FILE}; stat -c %g /data"),
        &format!("{USER} {GROUP}\n{GROUP}"),
    )?;
    remove(&cluster, "pod", POD)?;

    let first = run(&cluster, &reader())?;
    is_read_only(&cluster)?;
    says(
        &cluster,
        &format!("echo {SECTOR} | dd of={DEVICE} bs=4096 conv=sync,fsync 2>&1 && echo done"),
        "done",
    )?;
    remove(&cluster, "pod", POD)?;

    let nodes = cluster.lab.nodes();
    let other = nodes.iter().find(|node| node.name() != first).context("a lab of one node")?;
    run(&cluster, &objects::on(other.name(), reader()))?;
    is_read_only(&cluster)?;
    says(&cluster, &format!("dd if={DEVICE} bs=4096 count=1 2>/dev/null | head -n 1"), SECTOR)?;
    remove(&cluster, "pod", POD)?;
    no_more(&cluster, "volumeattachments")?;
    remove(&cluster, "persistentvolumeclaim", FILES)?;
    clear_claim(&cluster, RAW)
}

/// A user who is nobody, and writes because the volume is the group's.
fn of_a_group() -> Value {
    let user = json!({"runAsUser": USER, "runAsGroup": USER, "fsGroup": GROUP});
    objects::with(objects::pod(POD, FILES, &format!("echo {WORDS} >{FILE} && sync")), "securityContext", user)
}

/// Two volumes: the files read-only, the other one as a device.
fn reader() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD},
        "spec": {
            "terminationGracePeriodSeconds": 5,
            "containers": [{
                "name": "main",
                "image": crate::spec::SHELL_IMAGE,
                "imagePullPolicy": "Never",
                "command": ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"],
                "volumeMounts": [{"name": FILES, "mountPath": "/data"}],
                "volumeDevices": [{"name": RAW, "devicePath": DEVICE}],
            }],
            "volumes": [
                {"name": FILES, "persistentVolumeClaim": {"claimName": FILES, "readOnly": true}},
                {"name": RAW, "persistentVolumeClaim": {"claimName": RAW}},
            ],
        },
    })
}

fn is_read_only(cluster: &Cluster<'_>) -> Result<()> {
    says(cluster, &format!("cat {FILE}"), WORDS)?;
    let said = cluster.kubectl.run(&["exec", POD, "--", "/bin/sh", "-c", "touch /data/more 2>&1; true"])?;
    ensure!(said.contains("Read-only file system"), "/data can be written: {said:?}");
    Ok(())
}

/// What a script in the pod says ends with these words. A container is ready before its own script has come far.
fn says(cluster: &Cluster<'_>, script: &str, words: &str) -> Result<()> {
    cluster.lab.wait_for(&format!("{script} to say {words:?}"), POD_DEADLINE, || {
        let said = cluster.kubectl.run(&["exec", POD, "--", "/bin/sh", "-c", script]).ok();
        Ok(said.filter(|said| said.trim_end().ends_with(words)).map(drop))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_of_a_group_is_one_with_that_group() {
        let pod = of_a_group();
        assert_eq!(pod["spec"]["securityContext"]["fsGroup"], GROUP);
        assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], FILES);
    }
}
