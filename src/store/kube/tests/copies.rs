//! What is shown of copies.

use super::*;
use crate::domain::testing::{member, volume_spec};
use crate::domain::{Member, MemberState, ReplicaState, ReplicaStatus, Timestamp, VolumeStatus};

/// Nothing here takes longer, whatever the machine.
const DEADLINE: Duration = Duration::from_mins(1);

async fn put(bench: &Bench, record: Record, name: impl std::fmt::Display, expected: Revision) -> Revision {
    let key = Key::new(record.kind(), name);
    bench.store.put(&key, Some(&record), expected).await.unwrap_or_else(|error| panic!("{error}"))
}

fn made() -> ReplicaStatus {
    ReplicaStatus { state: ReplicaState::Created, zeroed: true, ..ReplicaStatus::default() }
}

/// A copy as its provider made it.
async fn make(bench: &Bench, member: &Member) {
    let spec = copy(member.replica, member.node.as_str(), Wanted::Present);
    put(bench, Record::ReplicaSpec(spec), member.replica, Revision(0)).await;
    put(bench, Record::ReplicaStatus(made()), member.replica, Revision(0)).await;
}

fn summary(bench: &Bench, member: &Member) -> serde_json::Value {
    bench.server.with(|objects| {
        objects.get("replicas", &member.replica.to_string()).unwrap()["status"]["summary"].clone()
    })
}

async fn shows(bench: &Bench, member: &Member, expected: serde_json::Value) {
    let shown = async {
        while summary(bench, member) != expected {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, shown).await;
    assert!(in_time.is_ok(), "{} instead of {expected}", summary(bench, member));
}

fn rewritten(bench: &Bench) -> usize {
    let requests = bench.server.requests();
    requests.iter().filter(|request| request.starts_with("PATCH") && request.contains("/replicas/")).count()
}

/// A volume with a copy here and one elsewhere that hold every write, of which so much is in use.
fn volume(members: &[Member], used: Bytes) -> Record {
    Record::VolumeStatus(VolumeStatus {
        created: true,
        owner: Some("n2".parse().unwrap()),
        in_sync: members.iter().map(|member| member.replica).collect(),
        members: members.to_vec(),
        used: Some(used),
        ..VolumeStatus::default()
    })
}

#[tokio::test]
async fn what_is_shown_of_a_copy_here_follows_its_volume() {
    let bench = bench();
    let members =
        [1, 2].map(|number| member(number, &format!("n{number}"), MemberState::Synced, Timestamp(0)));
    let [here, elsewhere] = &members;
    put(&bench, Record::VolumeSpec(volume_spec("v")), "v", Revision(0)).await;
    make(&bench, here).await;
    make(&bench, elsewhere).await;
    let alone = json!({ "allocated": "0 B", "state": "Created" });
    assert_eq!([summary(&bench, here), summary(&bench, elsewhere)], [alone.clone(), alone.clone()]);
    let _watch = bench.store.watch(bench.store.list().await.unwrap().revision).await.unwrap();
    bench.server.requests();

    let at = put(&bench, volume(&members, Bytes::mib(37)), "v", Revision(0)).await;
    shows(&bench, here, json!({ "used": "37 MiB", "allocated": "0 B", "state": "Synced" })).await;
    put(&bench, volume(&members, Bytes::mib(38)), "v", at).await;
    shows(&bench, here, json!({ "used": "38 MiB", "allocated": "0 B", "state": "Synced" })).await;
    assert_eq!(rewritten(&bench), 2, "one request for each change");
    assert_eq!(summary(&bench, elsewhere), alone, "that is its own daemon's to say");
    let record = bench.store.get(&Key::new(Kind::ReplicaStatus, here.replica)).await.unwrap().unwrap();
    assert_eq!(record.value, Record::ReplicaStatus(made()), "the record is what it was");
}

#[tokio::test]
async fn what_a_provider_writes_has_what_its_volume_makes_of_it() {
    let bench = bench();
    let here = member(1, "n1", MemberState::Synced, Timestamp(0));
    put(&bench, Record::VolumeSpec(volume_spec("v")), "v", Revision(0)).await;
    put(&bench, volume(std::slice::from_ref(&here), Bytes::mib(1)), "v", Revision(0)).await;
    make(&bench, &here).await;
    assert_eq!(summary(&bench, &here)["state"], "Synced");
    let key = Key::new(Kind::ReplicaStatus, here.replica);
    let at = bench.store.get(&key).await.unwrap().unwrap().revision;
    let lost = ReplicaStatus { state: ReplicaState::Missing, ..made() };
    put(&bench, Record::ReplicaStatus(lost), here.replica, at).await;
    assert_eq!(summary(&bench, &here)["state"], "Missing");
}

#[tokio::test]
async fn a_summary_that_was_not_taken_is_written_at_the_next_change() {
    let bench = bench();
    let here = member(1, "n1", MemberState::Synced, Timestamp(0));
    let members = std::slice::from_ref(&here);
    put(&bench, Record::VolumeSpec(volume_spec("v")), "v", Revision(0)).await;
    make(&bench, &here).await;
    let at = put(&bench, volume(members, Bytes::mib(1)), "v", Revision(0)).await;
    bench.server.fault(|faults| {
        let down = server::Refused::new(503, "ServiceUnavailable", "not now");
        faults.answers.entry(http::Method::PATCH).or_default().push_back(down);
    });
    bench.store.list().await.unwrap();
    while !bench.server.requests().iter().any(|request| request.contains("/replicas/")) {
        tokio::task::yield_now().await;
    }
    let _watch = bench.store.watch(at).await.unwrap();
    put(&bench, volume(members, Bytes::mib(2)), "v", at).await;
    shows(&bench, &here, json!({ "used": "2 MiB", "allocated": "0 B", "state": "Synced" })).await;
}
