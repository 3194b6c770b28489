//! Bad input is refused with the object, what was tried, why not and what to do; nothing changes.

mod damage;
mod drives;
mod records;
mod room;

use anyhow::{Result, ensure};

use super::{Needs, Scenario, Stage, refused};
use crate::daemon::{volume, word};
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{is_settled_on, list, nothing_left, remove, until, verb};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "bad_input_to_create",
        shows: "sizes, counts, names and places that cannot be are refused with the reason, and nothing is made",
        lab: Needs::Cluster,
        run: to_create,
    },
    Scenario {
        name: "bad_input_to_attach_move_and_delete",
        shows: "unknown, attached, moving and taken objects: every verb says why not and what to do",
        lab: Needs::Cluster,
        run: to_attach_move_and_delete,
    },
    Scenario {
        name: "bad_input_no_room",
        shows: "more copies than nodes take, a move to a drive without space: refused with the reason of each node, in bytes",
        lab: Needs::Cluster,
        run: room::no_room,
    },
    Scenario {
        name: "bad_input_foreign_drives",
        shows: "a drive with ext4, GPT, LVM, RAID or a mount is refused by name of what was found, and taken with --wipe",
        lab: Needs::Cluster,
        run: drives::foreign,
    },
    Scenario {
        name: "bad_input_corrupt_partition_table",
        shows: "a drive whose primary partition table is damaged is repaired from the backup",
        lab: Needs::Cluster,
        run: damage::partition_table,
    },
    Scenario {
        name: "bad_input_corrupt_superblock",
        shows: "one copy's superblock is damaged: the volume comes up from the other, the copy is Faulty with the reason",
        lab: Needs::Cluster,
        run: damage::superblock,
    },
    Scenario {
        name: "bad_input_statuses_are_lost",
        shows: "the statuses of a detached volume and then of its copies are lost: nothing is made anew over its data, explain says what to \
                put back; they are put back, and every write is there",
        lab: Needs::Cluster,
        run: records::statuses,
    },
    Scenario {
        name: "bad_input_drive_vanishes_during_create",
        shows: "a drive is pulled while a copy is made on it: the volume says so and waits; the drive is back, it is finished",
        lab: Needs::Cluster,
        run: drives::vanishes,
    },
];

fn to_create(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let one = lab.node("node-1")?;
    let cases: &[(&str, i32, &[&str])] = &[
        ("bad --size 0", 2, &["\"0\" is not a size"]),
        ("bad --size 0MiB", 1, &["volume bad", "0 B", "300 MiB"]),
        ("bad --size 100MiB", 1, &["volume bad", "100 MiB", "300 MiB"]),
        ("bad --size 20GiB", 1, &["volume bad", "no place", "node-1", "node-2", "node-3"]),
        ("bad --size much", 2, &["much"]),
        ("bad --size -1", 2, &["-1"]),
        ("bad --size 99999999999999999999TiB", 2, &["99999999999999999999TiB"]),
        ("bad --size 320MiB --replicas 0", 1, &["volume bad", "0 replicas", "1 to 3"]),
        ("bad --size 320MiB --replicas 4", 1, &["volume bad", "4 replicas", "1 to 3"]),
        ("bad --size 320MiB --replicas x", 2, &["x"]),
        ("bad --size 320MiB --on node-9", 1, &["node-9"]),
        ("bad --size 320MiB --on node-1/none", 1, &["none"]),
        ("bad --size 320MiB --replicas 1 --on node-1 --on node-2", 1, &["2 places", "1 cop"]),
        ("bad --size 320MiB --fs ntfs", 2, &["ntfs"]),
        ("Bad_Name --size 320MiB", 2, &["Bad_Name"]),
        ("bad", 2, &["--size"]),
    ];
    let judged = cases
        .iter()
        .map(|(rest, status, words)| refused(&one, &format!("volume create {rest}"), *status, words));
    let wrong: Vec<String> = judged.filter_map(Result::err).map(|err| format!("{err:#}")).collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    nothing_left(lab)
}

fn to_attach_move_and_delete(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let one = lab.node("node-1")?;
    unknown_objects(&one)?;
    verb(&one, "volume create vol --size 320MiB --replicas 2 --on node-1 --on node-2")?;
    names_are_taken(&one)?;
    wrong_moves(&one)?;
    refused(&one, "volume mount vol /mnt/vol", 1, &["vol", "not attached", "attach"])?;
    verb(&one, "volume attach vol")?;
    while_attached(&one)?;
    while_moving(lab, &one)?;
    remove(lab, &one, "vol")
}

fn unknown_objects(node: &Node) -> Result<()> {
    for line in ["attach none", "detach none", "mount none /mnt/x", "unmount none", "show none"] {
        refused(node, &format!("volume {line}"), 1, &["none", "volume ls"])?;
    }
    refused(node, "volume move none --from node-1 --to node-2", 1, &["none"])?;
    refused(node, "drive add none", 1, &["none", "node-1-a"])?;
    refused(node, "node cordon node-9", 1, &["node-9"])
}

fn names_are_taken(node: &Node) -> Result<()> {
    verb(node, "volume create vol --size 320MiB --replicas 2 --on node-1 --on node-2")?;
    refused(node, "volume create vol --size 1GiB", 1, &["volume vol already", "320 MiB"])?;
    ensure!(list(node, "volume")?.len() == 1, "a second volume was made");
    Ok(())
}

fn wrong_moves(node: &Node) -> Result<()> {
    let cases: &[(&str, &[&str])] = &[
        ("--from node-1 --to node-2", &["vol", "node-2 already"]),
        ("--from node-1 --to node-1", &["vol", "same node"]),
        ("--from node-3 --to node-1", &["vol", "no copy on node-3"]),
        ("--from node-1 --to node-9", &["node-9"]),
        ("--from node-1 --to node-3 --drive none", &["vol", "none"]),
    ];
    cases.iter().try_for_each(|(rest, words)| refused(node, &format!("volume move vol {rest}"), 1, words))?;
    verb(node, "drive cordon node-3-a")?;
    refused(node, "volume move vol --from node-1 --to node-3", 1, &["vol", "node-3", "cordoned"])?;
    verb(node, "drive uncordon node-3-a").map(drop)
}

fn while_attached(node: &Node) -> Result<()> {
    refused(node, "volume rm vol", 1, &["vol", "attached on node-1", "detach"])?;
    refused(node, "volume attach vol --node node-2", 1, &["vol", "node-1", "node-2", "detach"])?;
    refused(node, "volume attach vol --node node-9", 1, &["node-9"])?;
    refused(node, "volume mount vol relative/path", 1, &["vol", "absolute"])?;
    refused(node, "volume mount vol /", 1, &["vol", "absolute"])?;
    verb(node, "volume attach vol").map(drop)
}

fn while_moving(lab: &Lab, node: &Node) -> Result<()> {
    verb(node, "volume move vol --from node-2 --to node-3 --no-wait")?;
    refused(node, "volume move vol --from node-1 --to node-2", 1, &["vol", "under way"])?;
    until(lab, node, "vol", "copies on node-1 and node-3", |record| {
        is_settled_on(record, &["node-1", "node-3"])
    })?;
    ensure!(word(&volume(node, "vol")?, "/status/phase") == "Synced", "not Synced");
    Ok(())
}
