//! What a kernel holds that is ours and no record knows goes; what is not ours stays.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Needs, Scenario, Stage};
use crate::daemon::{kill, start_and_wait, word};
use crate::node::Node;
use crate::product::{list, nothing_left, verb};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "ledger_removes_what_leaked_and_leaves_what_is_foreign",
    shows: "a daemon that starts removes the array, legs, connection and export of ours that no record knows; others' stay as they are, by name in explain",
    lab: Needs::Cluster,
    run: leaked_and_foreign,
}];

/// Somebody else's: an array, a map, an export, and a connection to it; on loop devices `strange-a` to `-c`.
const STRANGERS: &str = r"set -e
modprobe loop
loop() { truncate -s 64M /tmp/strange-$1; losetup -f --show /tmp/strange-$1; }
N=/sys/kernel/config/nvmet
serve() { mkdir $N/subsystems/$1; echo 1 >$N/subsystems/$1/attr_allow_any_host; mkdir $N/subsystems/$1/namespaces/1
    echo -n $2 >$N/subsystems/$1/namespaces/1/device_path; echo 1 >$N/subsystems/$1/namespaces/1/enable
    ln -s $N/subsystems/$1 $N/ports/99/subsystems/$1; }
mkdir $N/ports/99; cd $N/ports/99; echo ipv4 >addr_adrfam; echo tcp >addr_trtype; echo 127.0.0.1 >addr_traddr; echo 4499 >addr_trsvcid
mdadm --create /dev/md/strange --run --force --level=1 --raid-devices=1 --metadata=1.2 $(loop a)
dmsetup --noudevsync create strange --uuid strange --table '0 65536 linear '$(loop b)' 0'
serve $STRANGE $(loop c)
nvme connect -t tcp -a 127.0.0.1 -s 4499 -n $STRANGE --hostnqn nqn.2014-08.org.example:host --hostid 6ba7b811-9dad-4e2a-8000-00c04fd430c8
mkdir -p /run/nvme/registry/nvme78; echo stas >/run/nvme/registry/nvme78/owner
";

/// Ours, of a copy that nobody knows: an export, a connection to it in this node's own name, the map of a leg over that; and the
/// mark of a controller that went.
const LEFT: &str = r#"
serve $OURS $(loop d)
nvme connect -t tcp -a 127.0.0.1 -s 4499 -n $OURS --hostnqn $HOST --hostid $ID
X=$(dirname $(grep -lx $OURS /sys/class/nvme-subsystem/*/subsysnqn)); until H=$(cat $X/nvme*n1/dev); do sleep 0.1; done
dmsetup --noudevsync create left --uuid $LEG --table "0 131072 multipath 3 queue_if_no_path queue_mode bio 0 1 1 round-robin 0 1 1 $H 1"
mkdir -p /run/nvme/registry/nvme77; echo mdfabric >/run/nvme/registry/nvme77/owner
"#;

const STRANGE_NQN: &str = "nqn.2014-08.org.example:strange";
const COPY: &str = "6ba7b810-9dad-4e2a-8000-00c04fd430c8";

/// All of the strangers: states, tables, and every byte below them.
const LOOK: &str = r"grep -A1 '^md[0-9]' /proc/mdstat; dmsetup table strange; dmsetup info strange; sha256sum /tmp/strange-[abc]
for c in $(grep -lx nqn.2014-08.org.example:strange /sys/class/nvme/*/subsysnqn); do cat $(dirname $c)/state $(dirname $c)/cntlid; done
find /sys/kernel/config/nvmet -name '*example*' -exec stat -c '%n %i' {} +; cat /run/nvme/registry/nvme78/owner";

/// Everything of ours.
const OURS: &str = r"ls -d /sys/block/md_* 2>/dev/null; dmsetup info -c --noheadings -o uuid | grep mdfabric
ls /sys/kernel/config/nvmet/subsystems | grep mdfabric; grep -h mdfabric /sys/class/nvme/*/subsysnqn; grep -lr mdfabric /run/nvme/registry; true";

const TIDY: &str = r"N=/sys/kernel/config/nvmet; S=nqn.2014-08.org.example:strange; nvme disconnect -n $S; rm -r /run/nvme/registry/nvme78
dmsetup --noudevsync remove strange; mdadm --stop /dev/md127
rm $N/ports/99/subsystems/$S; rmdir $N/ports/99 $N/subsystems/$S/namespaces/1 $N/subsystems/$S; losetup -D; rm /tmp/strange-?";

fn leaked_and_foreign(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, two) = (lab.node("node-1")?, lab.node("node-2")?);
    verb(
        &one,
        "volume create vol --size 300MiB --fs raw --locality fixed --replicas 2 --on node-2 --on node-3",
    )?;
    verb(&one, "volume attach vol")?;
    let host_id = host_id(&one)?;
    let marks = one.sh("cat /run/nvme/registry/*/owner /run/nvme/registry/*/note")?.ok()?.stdout;
    ensure!(marks.matches("mdfabric\n").count() == 2 && marks.contains("epoch 1"), "marked are {marks:?}");
    kill(&one)?;
    plant(&one, &host_id)?;
    // Its owner is gone, so nobody on node-1 hears that the volume is deleted. From then on its array holds what is asked of it.
    verb(&two, "volume detach vol")?;
    verb(&two, "volume rm vol")?;
    let (ours, strange) = (one.sh(OURS)?.ok()?.stdout, one.sh(LOOK)?.ok()?.stdout);
    for thing in
        ["/sys/block/md_", &format!("mdfabric-leg-{COPY}:3"), &format!("mdfabric:{COPY}:3"), "nvme77"]
    {
        ensure!(ours.contains(thing), "{thing} is not among what is left over:\n{ours}");
    }
    println!("    left over of ours: {} things", ours.lines().count());
    start_and_wait(lab, &one)?;
    lab.wait_for("what is left over to go", Duration::from_mins(1), || {
        Ok(one.sh(OURS)?.ok()?.text().is_empty().then_some(()))
    })?;
    let after = one.sh(LOOK)?.ok()?.stdout;
    ensure!(after == strange, "what is not ours changed:\n{strange}\nnow\n{after}");
    is_shown(&one)?;
    one.sh(TIDY)?.ok()?;
    nothing_left(lab)
}

/// Makes strangers and what is left over, as `host_id` would have.
fn plant(node: &Node, host_id: &str) -> Result<()> {
    let names = format!(
        "STRANGE={STRANGE_NQN}; OURS=nqn.2026-11.io.mdfabric:{COPY}:3; LEG=mdfabric-leg-{COPY}:3\n\
         HOST=nqn.2026-11.io.mdfabric:host:{}; ID={host_id}\n",
        node.name()
    );
    node.sh(&format!("{names}{STRANGERS}{LEFT}"))?.ok().map(drop)
}

fn host_id(node: &Node) -> Result<String> {
    let records = list(node, "node")?;
    let own = records.iter().find(|record| word(record, "/name") == node.name());
    Ok(word(own.context("the node has no record")?, "/status/hostId"))
}

fn is_shown(node: &Node) -> Result<()> {
    let said = verb(node, &format!("explain node/{}", node.name()))?;
    for what in ["array md127 (", "device-mapper device strange (strange)", &format!("export {STRANGE_NQN}")]
    {
        let line = format!("Not mdfabric's, and left alone: {what}");
        ensure!(said.contains(&line), "{line:?} is not in\n{said}");
    }
    ensure!(said.contains(&format!("({STRANGE_NQN})")), "no connection is in\n{said}");
    Ok(())
}
