//! More than there is room for.

use anyhow::Result;
use serde_json::Value;

use crate::daemon::{kill, start_and_wait};
use crate::product::{nothing_left, remove, until, verb};
use crate::scenarios::{Stage, refused};

/// More copies than nodes that take any, and a move to a drive whose space is promised to somebody else.
pub(super) fn no_room(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let [one, three] = [lab.node("node-1")?, lab.node("node-3")?];
    verb(&one, "node cordon node-3")?;
    let words =
        ["copy 3 of 3", "node-1: hosts another copy", "node-2: hosts another copy", "node-3: cordoned"];
    refused(&one, "volume create bad --size 320MiB --replicas 3", 1, &words)?;
    verb(&one, "node uncordon node-3")?;
    nothing_left(lab)?;

    verb(&one, "volume create vol --size 320MiB --replicas 1 --on node-1")?;
    // Placed and never carved: its node's daemon is away until it is deleted again.
    kill(&three)?;
    verb(&one, "volume create large --size 3776MiB --replicas 1 --on node-3 --no-wait")?;
    until(lab, &one, "large", "its place", |record| {
        record.pointer("/status/members").and_then(Value::as_array).is_some_and(|members| !members.is_empty())
    })?;
    let words = ["volume vol", "no room for a copy on node-3", "drive node-3-a", "free of 321 MiB needed"];
    refused(&one, "volume move vol --from node-1 --to node-3", 1, &words)?;
    verb(&one, "volume rm large --no-wait")?;
    start_and_wait(lab, &three)?;
    verb(&one, "volume rm large")?;
    remove(lab, &one, "vol")
}
