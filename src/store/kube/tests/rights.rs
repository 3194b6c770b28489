//! The chart's role against what the store asks for: nothing less, and nothing more.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::domain::testing::{drive_status, node_status, volume_spec};
use crate::domain::{
    DriveSpec, DriveState, Event, Lease, NodeSpec, ReplicaStatus, Timestamp, VolumePhase, VolumeSpec,
    VolumeStatus,
};

const ROLE: &str = "deploy/chart/templates/node/rbac.yaml";
/// Nothing here takes longer, whatever the machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// What the chart allows, as `verb group/resource`. Its lists are each in one line.
fn allowed() -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(ROLE)).unwrap();
    let (mut groups, mut resources, mut allowed) = (Vec::new(), Vec::new(), BTreeSet::new());
    for line in text.lines().map(|line| line.trim().trim_start_matches("- ")) {
        let Some((field, list)) = line.strip_suffix(']').and_then(|line| line.split_once(": [")) else {
            continue;
        };
        let words: Vec<&str> = list.split(", ").collect();
        match field {
            "apiGroups" => groups = words,
            "resources" => resources = words,
            "verbs" => {
                for (verb, group) in
                    words.iter().flat_map(|verb| groups.iter().map(move |group| (verb, group)))
                {
                    allowed.extend(resources.iter().map(|resource| format!("{verb} {group}/{resource}")));
                }
            }
            _ => {}
        }
    }
    allowed
}

/// The life of a record: made, read, changed, and where that is done, removed.
async fn live(bench: &Bench, name: impl std::fmt::Display, states: Vec<Record>, goes: bool) {
    let key = Key::new(states[0].kind(), name);
    let mut at = Revision(0);
    for state in states {
        at = bench.store.put(&key, Some(&state), at).await.unwrap_or_else(|error| panic!("{error}"));
        bench.store.get(&key).await.unwrap();
    }
    if goes {
        bench.store.put(&key, None, at).await.unwrap_or_else(|error| panic!("{error}"));
    }
}

async fn volume_and_copy(bench: &Bench) {
    let id = ReplicaId(uuid::Uuid::from_u128(1));
    let event = Event { at: Timestamp(5), reason: "Happened".to_owned(), message: "it did".to_owned() };
    let status =
        VolumeStatus { phase: VolumePhase::Deleting, events: vec![event], ..VolumeStatus::default() };
    live(bench, "v", vec![Record::VolumeSpec(volume_spec("v"))], false).await;
    live(bench, "v", vec![Record::VolumeStatus(status)], true).await;
    live(bench, id, vec![Record::ReplicaSpec(copy(id, "n1", Wanted::Present))], false).await;
    let gone = ReplicaStatus { gone: true, ..ReplicaStatus::default() };
    live(bench, id, vec![Record::ReplicaStatus(gone)], true).await;
    goes(bench, id, Record::ReplicaSpec(copy(id, "n1", Wanted::Removed))).await;
    goes(bench, "v", Record::VolumeSpec(VolumeSpec { deleting: true, ..volume_spec("v") })).await;
}

/// Changed for the last time, and removed.
async fn goes(bench: &Bench, name: impl std::fmt::Display, last: Record) {
    let key = Key::new(last.kind(), name);
    let there = bench.store.get(&key).await.unwrap().unwrap();
    let at = bench.store.put(&key, Some(&last), there.revision).await.unwrap();
    bench.store.put(&key, None, at).await.unwrap();
}

async fn everything_else(bench: &Bench) {
    let node: NodeName = "n1".parse().unwrap();
    let added = DriveSpec {
        id: "S1".parse().unwrap(),
        node: node.clone(),
        disk_guid: uuid::Uuid::from_u128(3),
        wipe: false,
        cordoned: false,
        evicting: false,
        removing: false,
        added_at: Timestamp(9),
    };
    live(bench, "S1", vec![Record::DriveStatus(drive_status(&node, DriveState::Ready))], false).await;
    live(bench, "S1", vec![Record::DriveSpec(added)], true).await;
    live(bench, "n1", vec![Record::NodeStatus(node_status(Timestamp(1)))], false).await;
    live(bench, "n1", vec![Record::NodeSpec(NodeSpec { cordoned: true, draining: false })], true).await;
    let lease = |renewals| Record::Lease(Lease { holder: node.clone(), renewals, term_millis: 1 });
    live(bench, "controller", vec![lease(1), lease(2)], true).await;
}

#[tokio::test]
async fn the_chart_s_role_allows_what_is_asked_for_and_nothing_else() {
    let bench = bench();
    let from = bench.store.list().await.unwrap().revision;
    let _watch = bench.store.watch(from).await.unwrap();
    volume_and_copy(&bench).await;
    everything_else(&bench).await;
    let allowed = allowed();
    assert!(allowed.len() > 20, "{allowed:?}");
    let all_asked = async {
        while !bench.server.rights().is_superset(&allowed) {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, all_asked).await;
    let asked = bench.server.rights();
    let unused: Vec<_> = allowed.difference(&asked).collect();
    assert!(in_time.is_ok(), "allowed and never asked for: {unused:?}");
    assert_eq!(asked.difference(&allowed).collect::<Vec<_>>(), [""; 0], "asked for and not allowed");
}
