//! What becomes of objects and of what others do with them.

use super::*;
use crate::domain::testing::{drive_status, member, node_status, volume_spec};
use crate::domain::{
    Attachment, DriveState, Epoch, Lease, MemberState, MountRequest, NodeSpec, Publication, ReplicaStatus,
    Timestamp, VolumePhase, VolumeStatus,
};

fn key(kind: Kind, name: impl std::fmt::Display) -> Key {
    Key::new(kind, name)
}

async fn put(bench: &Bench, key: &Key, record: &Record, expected: Revision) -> Revision {
    bench.store.put(key, Some(record), expected).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn get(bench: &Bench, key: &Key) -> Option<Record> {
    bench.store.get(key).await.unwrap().map(|versioned| versioned.value)
}

fn spec() -> Record {
    Record::VolumeSpec(volume_spec("v"))
}

fn synced(epoch: u64) -> VolumeStatus {
    let first = member(1, "n1", MemberState::Synced, Timestamp(0));
    VolumeStatus {
        phase: VolumePhase::Synced,
        epoch: Epoch(epoch),
        created: true,
        in_sync: [first.replica].into(),
        members: vec![first],
        ..VolumeStatus::default()
    }
}

fn status(epoch: u64) -> Record {
    Record::VolumeStatus(synced(epoch))
}

async fn volume(bench: &Bench) -> (Revision, Revision) {
    let spec_at = put(bench, &key(Kind::VolumeSpec, "v"), &spec(), Revision(0)).await;
    let status_at = put(bench, &key(Kind::VolumeStatus, "v"), &status(3), Revision(0)).await;
    (spec_at, status_at)
}

#[tokio::test]
async fn a_change_is_one_request() {
    let bench = bench();
    let (spec_at, status_at) = volume(&bench).await;
    bench.server.requests();
    let now = put(&bench, &key(Kind::VolumeStatus, "v"), &status(4), status_at).await;
    assert_eq!(bench.server.requests(), ["PATCH /apis/mdfabric.io/v1alpha1/volumes/v/status"]);
    let name = key(Kind::NodeStatus, "n1");
    let beat = put(&bench, &name, &Record::NodeStatus(node_status(Timestamp(1))), Revision(0)).await;
    bench.server.requests();
    put(&bench, &name, &Record::NodeStatus(node_status(Timestamp(2))), beat).await;
    assert_eq!(bench.server.requests().len(), 1);
    assert!(now > status_at && status_at > spec_at);
    assert_eq!(managers(&bench).await, ["mdfabric Apply"]);
}

/// Who has fields of the volume's status.
async fn managers(bench: &Bench) -> Vec<String> {
    let object = bench.store.api(Place::Volume).get("v").await.unwrap();
    let entries = object.metadata.managed_fields.unwrap_or_default();
    entries
        .iter()
        .map(|entry| [&entry.manager, &entry.operation].map(|word| word.clone().unwrap()).join(" "))
        .collect()
}

/// Nobody reads what is new beside what somebody else left there, not for a moment.
#[tokio::test]
async fn a_status_that_somebody_else_has_a_part_in_is_one_request_too() {
    let bench = bench();
    let name = key(Kind::VolumeStatus, "v");
    volume(&bench).await;
    let growth = json!({ "status": { "growth": { "to": 2_147_483_648_u64, "startedAt": 1 } } });
    let mut at = revision(&edit(&bench.store, Place::Volume, "v", true, growth).await);
    assert!(get(&bench, &name).await.is_some_and(|there| there != status(3)));
    for epoch in [4, 5] {
        bench.server.requests();
        at = put(&bench, &name, &status(epoch), at).await;
        assert_eq!(bench.server.requests(), ["PATCH /apis/mdfabric.io/v1alpha1/volumes/v/status"]);
        assert_eq!(get(&bench, &name).await, Some(status(epoch)));
    }
    assert!(managers(&bench).await.contains(&"mdfabric Update".to_owned()));
}

#[tokio::test]
async fn a_refusal_by_a_rule_is_told_with_its_words_and_is_no_outage() {
    let bench = bench();
    let (_, at) = volume(&bench).await;
    let lost = VolumeStatus { in_sync: [].into(), ..synced(3) };
    let error = bench.store.put(&key(Kind::VolumeStatus, "v"), Some(&Record::VolumeStatus(lost)), at).await;
    let error = error.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("the last copy that holds every write"), "{error}");
    assert_eq!(get(&bench, &key(Kind::VolumeStatus, "v")).await, Some(status(3)));
}

#[tokio::test]
async fn what_another_manager_added_is_taken_away_and_what_it_changed_is_a_conflict() {
    let bench = bench();
    let (spec_at, at) = volume(&bench).await;
    let owner = json!({ "status": { "owner": "n9", "epoch": 3 } });
    let edited = edit(&bench.store, Place::Volume, "v", true, owner).await;
    let stale = bench.store.put(&key(Kind::VolumeStatus, "v"), Some(&status(4)), at).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    put(&bench, &key(Kind::VolumeStatus, "v"), &status(4), revision(&edited)).await;
    assert_eq!(get(&bench, &key(Kind::VolumeStatus, "v")).await, Some(status(4)));

    let attached = json!({ "spec": { "attachment": { "node": "n9" } } });
    let edited = edit(&bench.store, Place::Volume, "v", false, attached).await;
    let stale = bench.store.put(&key(Kind::VolumeSpec, "v"), Some(&spec()), spec_at).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    put(&bench, &key(Kind::VolumeSpec, "v"), &spec(), revision(&edited)).await;
    assert_eq!(get(&bench, &key(Kind::VolumeSpec, "v")).await, Some(spec()));
}

#[tokio::test]
async fn a_definition_that_does_not_know_a_field_is_told_of() {
    let bench = bench();
    let (_, at) = volume(&bench).await;
    bench.server.with(|objects| {
        let status = &mut objects.schema("volumes")["properties"]["status"];
        status["properties"].as_object_mut().unwrap().remove("growth");
    });
    let mut grows = synced(4);
    grows.growth = Some(crate::domain::Growth { to: Bytes::gib(2), started_at: Timestamp(1) });
    let error = bench.store.put(&key(Kind::VolumeStatus, "v"), Some(&Record::VolumeStatus(grows)), at).await;
    let error = error.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    assert!(error.to_string().contains(".growth") && error.to_string().contains("deploy/crds"), "{error}");
    assert_eq!(get(&bench, &key(Kind::VolumeStatus, "v")).await, Some(status(3)));
}

#[tokio::test]
async fn of_a_spec_that_the_definition_does_not_know_nothing_is_stored() {
    let bench = bench();
    let (at, _) = volume(&bench).await;
    bench.server.with(|objects| {
        let spec = &mut objects.schema("volumes")["properties"]["spec"];
        spec["properties"].as_object_mut().unwrap().remove("verify");
    });
    let larger = crate::domain::VolumeSpec { size: Bytes::gib(2), ..volume_spec("v") };
    let other = Record::VolumeSpec(volume_spec("w"));
    for (name, record, expected) in [("v", Record::VolumeSpec(larger), at), ("w", other, Revision(0))] {
        let error = bench.store.put(&key(Kind::VolumeSpec, name), Some(&record), expected).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("verify"), "{error}");
    }
    assert_eq!(bench.store.api(Place::Volume).get("v").await.unwrap().data["spec"]["size"], "1Gi");
    assert!(bench.store.api(Place::Volume).get_opt("w").await.unwrap().is_none());
}

#[tokio::test]
async fn a_heartbeat_lands_whatever_the_definition_knows_of_it() {
    let bench = bench();
    let name = key(Kind::NodeStatus, "n1");
    let beat = |at| crate::domain::NodeStatus { dead_after_millis: 20_000, ..node_status(Timestamp(at)) };
    let older = bench.server.with(|objects| {
        let status = &mut objects.schema("storagenodes")["properties"]["status"]["properties"];
        status.as_object_mut().unwrap().remove("deadAfterMillis").unwrap()
    });
    let at = put(&bench, &name, &Record::NodeStatus(beat(1)), Revision(0)).await;
    bench.server.requests();
    let at = put(&bench, &name, &Record::NodeStatus(beat(2)), at).await;
    assert_eq!(bench.server.requests().len(), 1);
    let left = crate::domain::NodeStatus { dead_after_millis: 0, ..beat(2) };
    assert_eq!(get(&bench, &name).await, Some(Record::NodeStatus(left)));
    bench.server.with(|objects| {
        objects.schema("storagenodes")["properties"]["status"]["properties"]["deadAfterMillis"] = older;
    });
    put(&bench, &name, &Record::NodeStatus(beat(3)), at).await;
    assert_eq!(get(&bench, &name).await, Some(Record::NodeStatus(beat(3))));
}

#[tokio::test]
async fn an_old_volume_s_status_is_recorded_whatever_its_definition_thinks_of_its_spec_now() {
    let bench = bench();
    let definition = bench.server.with(|objects| {
        let schema = objects.schema("volumes");
        let whole = schema.clone();
        crd::each_object(schema, &mut |object| drop(object.remove("x-kubernetes-validations")));
        whole
    });
    let small = |timeout| {
        Record::VolumeSpec(crate::domain::VolumeSpec {
            size: Bytes::mib(100),
            member_missing_timeout_seconds: timeout,
            ..volume_spec("v")
        })
    };
    let name = key(Kind::VolumeSpec, "v");
    put(&bench, &name, &small(900), Revision(0)).await;
    let at = put(&bench, &key(Kind::VolumeStatus, "v"), &status(3), Revision(0)).await;
    bench.server.with(|objects| *objects.schema("volumes") = definition);
    let at = put(&bench, &key(Kind::VolumeStatus, "v"), &status(4), at).await;
    let error = bench.store.put(&name, Some(&small(901)), at).await.unwrap_err();
    assert!(error.to_string().contains("the smallest volume"), "{error}");
}

#[tokio::test]
async fn a_volume_made_by_hand_is_held_and_named_before_it_has_data() {
    let bench = bench();
    let made = create(
        &bench.store,
        Place::Volume,
        json!({ "metadata": { "name": "v" }, "spec": { "size": "1Gi" } }),
    )
    .await;
    assert!(!form::is_held(&made));
    put(&bench, &key(Kind::VolumeStatus, "v"), &status(1), Revision(0)).await;
    let object = bench.store.api(Place::Volume).get("v").await.unwrap();
    assert!(form::is_held(&object));
    assert_eq!(object.data["spec"]["uid"], json!(made.metadata.uid));
    assert_eq!(object.data["spec"]["createdAt"].as_u64(), Some(1_795_824_000_000));
}

/// What `kubectl delete` does, and what whoever deletes the definition does to every object of it.
async fn delete_object(bench: &Bench, name: &str) {
    bench.store.api(Place::Volume).delete(name, &kube::api::DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn deleting_the_object_is_not_asking_for_it_and_saying_so_is() {
    let bench = bench();
    let (_, at) = volume(&bench).await;
    delete_object(&bench, "v").await;
    assert_eq!(get(&bench, &key(Kind::VolumeSpec, "v")).await, Some(spec()));
    let at = put(&bench, &key(Kind::VolumeStatus, "v"), &status(4), at).await;
    edit(&bench.store, Place::Volume, "v", false, json!({ "spec": { "deleting": true } })).await;
    let Some(Record::VolumeSpec(asked)) = get(&bench, &key(Kind::VolumeSpec, "v")).await else { panic!() };
    assert!(asked.deleting);
    let going = VolumeStatus { phase: VolumePhase::Deleting, ..synced(4) };
    let at = put(&bench, &key(Kind::VolumeStatus, "v"), &Record::VolumeStatus(going), at).await;
    bench.store.put(&key(Kind::VolumeStatus, "v"), None, at).await.unwrap();
    let there = bench.store.get(&key(Kind::VolumeSpec, "v")).await.unwrap().unwrap();
    let gone = bench.store.put(&key(Kind::VolumeSpec, "v"), None, there.revision).await.unwrap();
    assert!(gone > there.revision);
    assert_eq!(get(&bench, &key(Kind::VolumeSpec, "v")).await, None);
    assert!(bench.store.api(Place::Volume).get_opt("v").await.unwrap().is_none());
}

#[tokio::test]
async fn a_volume_whose_object_was_deleted_is_used_and_kept() {
    let bench = bench();
    let attachment = Some(Attachment::to("n1".parse().unwrap()));
    let attached = Record::VolumeSpec(crate::domain::VolumeSpec { attachment, ..volume_spec("v") });
    let at = put(&bench, &key(Kind::VolumeSpec, "v"), &spec(), Revision(0)).await;
    delete_object(&bench, "v").await;
    let at = put(&bench, &key(Kind::VolumeSpec, "v"), &attached, at).await;
    assert_eq!(get(&bench, &key(Kind::VolumeSpec, "v")).await, Some(attached));
    put(&bench, &key(Kind::VolumeSpec, "v"), &spec(), at).await;
    assert_eq!(get(&bench, &key(Kind::VolumeSpec, "v")).await, Some(spec()));
}

#[tokio::test]
async fn what_a_mount_does_not_say_any_more_is_gone() {
    let bench = bench();
    let with = |mount: Option<MountRequest>, published: Vec<Publication>| {
        let attachment = Some(Attachment { mount, published, ..Attachment::to("n1".parse().unwrap()) });
        Record::VolumeSpec(crate::domain::VolumeSpec { attachment, ..volume_spec("v") })
    };
    let options = vec!["noatime".to_owned()];
    let full = MountRequest { read_only: true, options, group: Some(7), ..MountRequest::at("/mnt") };
    let place = Publication { path: "/a".to_owned(), read_only: true };
    let name = key(Kind::VolumeSpec, "v");
    let mut at = put(&bench, &name, &spec(), Revision(0)).await;
    for record in [
        with(Some(full), vec![place]),
        with(Some(MountRequest::at("/mnt")), Vec::new()),
        with(None, Vec::new()),
        spec(),
    ] {
        at = put(&bench, &name, &record, at).await;
        assert_eq!(get(&bench, &name).await, Some(record));
    }
}

#[tokio::test]
async fn who_else_holds_an_object_keeps_no_record() {
    let bench = bench();
    let at = put(&bench, &key(Kind::VolumeSpec, "v"), &spec(), Revision(0)).await;
    let finalizers = json!({ "metadata": { "finalizers": [FINALIZER, "somebody.else/holds"] } });
    edit(&bench.store, Place::Volume, "v", false, finalizers).await;
    bench.store.list().await.unwrap();
    bench.store.put(&key(Kind::VolumeSpec, "v"), None, at).await.unwrap();
    assert_eq!(get(&bench, &key(Kind::VolumeSpec, "v")).await, None);
    let listing = bench.store.list().await.unwrap();
    assert!(listing.records.is_empty() && listing.corrupt.is_empty(), "{listing:?}");
    let again = bench.store.put(&key(Kind::VolumeSpec, "v"), Some(&spec()), Revision(0)).await.unwrap_err();
    assert!(matches!(again, StoreError::Refused { .. }), "{again}");
    assert!(again.to_string().contains("somebody.else/holds"), "{again}");
    edit(&bench.store, Place::Volume, "v", false, json!({ "metadata": { "finalizers": null } })).await;
    put(&bench, &key(Kind::VolumeSpec, "v"), &spec(), Revision(0)).await;
}

#[tokio::test]
async fn a_copy_s_record_goes_with_its_other_half() {
    let bench = bench();
    let id = ReplicaId(uuid::Uuid::from_u128(5));
    let spec = Record::ReplicaSpec(copy(id, "n1", Wanted::Removed));
    put(&bench, &key(Kind::ReplicaSpec, id), &spec, Revision(0)).await;
    let gone = Record::ReplicaStatus(ReplicaStatus { gone: true, ..ReplicaStatus::default() });
    let status_at = put(&bench, &key(Kind::ReplicaStatus, id), &gone, Revision(0)).await;
    bench.store.put(&key(Kind::ReplicaSpec, id), None, status_at).await.unwrap();
    assert_eq!(get(&bench, &key(Kind::ReplicaStatus, id)).await, None);
    let second = bench.store.put(&key(Kind::ReplicaStatus, id), None, status_at).await;
    assert!(matches!(second, Err(StoreError::Conflict { found: Revision(0), .. })), "{second:?}");
}

#[tokio::test]
async fn whoever_deletes_what_is_held_is_told_once_why_it_stays() {
    let bench = bench();
    let _watch = bench.store.watch(bench.store.list().await.unwrap().revision).await.unwrap();
    let id = ReplicaId(uuid::Uuid::from_u128(1));
    let name = key(Kind::ReplicaSpec, id);
    let at = put(&bench, &name, &Record::ReplicaSpec(copy(id, "n1", Wanted::Present)), Revision(0)).await;
    assert!(bench.store.held().is_empty());
    let replicas = bench.store.api(Place::Replica);
    replicas.delete(&id.to_string(), &kube::api::DeleteParams::default()).await.unwrap();
    while bench.store.held() != [name.clone()] {
        tokio::task::yield_now().await;
    }
    let reason = Reason::warning("DeletionWaits", "it is in use", "let it go");
    bench.store.tell(&name, &reason);
    bench.store.tell(&name, &reason);
    let told = || bench.server.with(|objects| objects.all("events"));
    while told().is_empty() {
        tokio::task::yield_now().await;
    }
    // Whatever else is done with it: it was told.
    let removed = Record::ReplicaSpec(copy(id, "n1", Wanted::Removed));
    assert!(bench.store.put(&name, Some(&removed), at).await.is_ok(), "its record is what it was");
    bench.store.tell(&name, &reason);
    let there = bench.store.get(&name).await.unwrap().unwrap();
    bench.store.put(&name, None, there.revision).await.unwrap();
    while !bench.store.held().is_empty() {
        tokio::task::yield_now().await;
    }
    let told = told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["regarding"]["name"], json!(id));
    assert_eq!((&told[0]["reason"], &told[0]["type"]), (&json!("DeletionWaits"), &json!("Warning")));
}

#[tokio::test]
async fn a_drive_that_was_only_seen_has_no_decision_and_one_that_was_added_is_held() {
    let bench = bench();
    let node = "n1".parse().unwrap();
    let seen = Record::DriveStatus(drive_status(&node, DriveState::Ready));
    put(&bench, &key(Kind::DriveStatus, "QM00001"), &seen, Revision(0)).await;
    assert_eq!(get(&bench, &key(Kind::DriveSpec, "QM00001")).await, None);
    let added = Record::DriveSpec(crate::domain::DriveSpec {
        id: "QM00001".parse().unwrap(),
        node,
        disk_guid: uuid::Uuid::from_u128(8),
        wipe: false,
        cordoned: false,
        evicting: false,
        removing: false,
        added_at: Timestamp(3),
    });
    let at = put(&bench, &key(Kind::DriveSpec, "QM00001"), &added, Revision(0)).await;
    let name = names::object("QM00001");
    assert!(form::is_held(&bench.store.api(Place::Drive).get(&name).await.unwrap()));
    bench.store.put(&key(Kind::DriveSpec, "QM00001"), None, at).await.unwrap();
    assert!(!form::is_held(&bench.store.api(Place::Drive).get(&name).await.unwrap()));
    assert_eq!(get(&bench, &key(Kind::DriveStatus, "QM00001")).await, Some(seen));
}

#[tokio::test]
async fn a_lease_that_lost_its_label_or_its_holder_is_taken_and_mended() {
    let bench = bench();
    let name = key(Kind::Lease, "controller");
    let lease =
        |renewals| Record::Lease(Lease { holder: "n1".parse().unwrap(), renewals, term_millis: 15_000 });
    put(&bench, &name, &lease(1), Revision(0)).await;
    for damage in [
        json!({ "metadata": { "labels": null } }),
        json!({ "spec": { "holderIdentity": null } }),
        json!({ "metadata": { "labels": null, "annotations": null }, "spec": null }),
    ] {
        edit(&bench.store, Place::Lease, "controller", false, damage).await;
        assert_eq!(get(&bench, &name).await, None);
        put(&bench, &name, &lease(7), Revision(0)).await;
        let listing = bench.store.list().await.unwrap();
        assert!(listing.records.iter().any(|(listed, _)| *listed == name), "it is labelled again");
    }
}

#[tokio::test]
async fn an_edit_of_the_spec_does_not_disturb_who_writes_the_status() {
    let bench = bench();
    let node = key(Kind::NodeStatus, "n1");
    let beat = |at| Record::NodeStatus(node_status(Timestamp(at)));
    let at = put(&bench, &node, &beat(1), Revision(0)).await;
    let cordon = Record::NodeSpec(NodeSpec { cordoned: true, draining: false });
    put(&bench, &key(Kind::NodeSpec, "n1"), &cordon, Revision(0)).await;
    put(&bench, &node, &beat(2), at).await;
    assert_eq!(get(&bench, &key(Kind::NodeSpec, "n1")).await, Some(cordon));
}

#[tokio::test]
async fn a_status_of_nothing_is_refused() {
    let bench = bench();
    let error =
        bench.store.put(&key(Kind::VolumeStatus, "v"), Some(&status(1)), Revision(0)).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    let attachment = Attachment::to("n1".parse().unwrap());
    let other = crate::domain::VolumeSpec { attachment: Some(attachment), ..volume_spec("w") };
    let error =
        bench.store.put(&key(Kind::VolumeSpec, "v"), Some(&Record::VolumeSpec(other)), Revision(0)).await;
    assert!(matches!(error, Err(StoreError::Corrupt { .. })), "{error:?}");
}

#[tokio::test]
async fn what_happens_to_a_volume_is_an_event_once_and_its_reasons_are_conditions() {
    let bench = bench();
    let (_, at) = volume(&bench).await;
    let event = crate::domain::Event {
        at: Timestamp(5),
        reason: "ScalingVolumeReplicas".to_owned(),
        message: "Scaling up volume replicas from 1 to 2".to_owned(),
    };
    let reasons = vec![Reason::waiting("CopyFilled", "copy 2 is filled")];
    let mut next = VolumeStatus { events: vec![event], reasons, ..synced(3) };
    let at = put(&bench, &key(Kind::VolumeStatus, "v"), &Record::VolumeStatus(next.clone()), at).await;
    next.epoch = Epoch(4);
    put(&bench, &key(Kind::VolumeStatus, "v"), &Record::VolumeStatus(next), at).await;
    let told = || bench.server.with(|objects| objects.all("events"));
    while told().len() < 2 {
        tokio::task::yield_now().await;
    }
    let reasons: Vec<_> = told().iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect();
    assert!(
        reasons.contains(&"ScalingVolumeReplicas".to_owned()) && reasons.contains(&"CopyFilled".to_owned())
    );
    assert_eq!(told().len(), 2);
    let object = bench.store.api(Place::Volume).get("v").await.unwrap();
    assert_eq!(object.data["status"]["conditions"][1]["type"], "CopyFilled");
}

/// The watch is another connection: it may show what was written before that is answered.
#[tokio::test(start_paused = true)]
async fn an_event_is_told_though_the_watch_was_faster_than_the_answer() {
    let bench = bench();
    let (_, at) = volume(&bench).await;
    let _watch = bench.store.watch(at).await.unwrap();
    bench.server.fault(|faults| faults.slow = Duration::from_secs(1));
    let event =
        crate::domain::Event { at: Timestamp(5), reason: "Moved".to_owned(), message: "it did".to_owned() };
    let next = VolumeStatus { events: vec![event], ..synced(4) };
    put(&bench, &key(Kind::VolumeStatus, "v"), &Record::VolumeStatus(next), at).await;
    let told = async {
        while bench.server.with(|objects| objects.all("events")).is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_mins(1), told).await.is_ok(), "nobody was told");
}
