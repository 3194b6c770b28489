use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff;
use proptest::prelude::*;

use super::*;
use crate::domain::testing::{drive_status, member, node_status, volume_spec};
use crate::domain::{
    Attachment, DriveState, MemberState, MountRequest, NodeName, PlacementEntry, PlacementRequest,
    Publication, Published, ReplicaStatus, VolumeSpec, VolumeStatus, limits,
};
use crate::store::kube::crd::tests::{refusals, schema};
use crate::store::kube::place;
use crate::store::kube::server::schema::shaped;
use crate::wire::convert::strategies;

/// An object with this half, as an API server would give it back: without what its definition does not know.
fn object(key: &Key, half: Value) -> DynamicObject {
    let (place, which) = place::of(key.kind);
    let mut object = DynamicObject::new(&names::object(&key.name), &place.resource());
    object.data = json!({});
    if let Some(name) = names::annotation(&key.name) {
        object.metadata.annotations = Some([(names::NAME.to_owned(), name.to_owned())].into());
    }
    if place == Place::Lease {
        let mut whole = serde_json::to_value(&object).unwrap();
        json_patch(&mut whole, &half);
        return serde_json::from_value(whole).unwrap();
    }
    let field = which.field();
    let half = shaped(&schema(&place.resource().kind)["properties"][field], &without_nulls(half)).unwrap();
    object.data[field] = half;
    object
}

fn json_patch(target: &mut Value, patch: &Value) {
    crate::store::kube::server::merge(target, patch);
}

/// The key that a record has to be under.
fn key_of(record: &Record) -> Key {
    Key { kind: record.kind(), name: name_in(record).unwrap_or_else(|| "n1".to_owned()) }
}

fn comes_back(record: &Record) -> Result<(), FormError> {
    let key = key_of(record);
    let object = object(&key, write(&key, record)?);
    assert_eq!(read(key.kind, &object), Some(Ok(record.clone())));
    assert_eq!(super::key(key.kind, &object), key);
    Ok(())
}

/// With everything that can be said of it.
fn attached() -> Attachment {
    let options = vec!["noatime".to_owned(), "context=a:b".to_owned()];
    let mount = MountRequest { options, group: Some(u32::MAX), ..MountRequest::at("/mnt") };
    let published = vec![Publication { path: "/a".to_owned(), read_only: true }];
    Attachment { mount: Some(mount), published, ..Attachment::to("n1".parse().unwrap()) }
}

#[test]
fn every_record_tests_begin_with_comes_back() {
    let node: NodeName = "n1".parse().unwrap();
    let status = VolumeStatus {
        members: vec![member(1, "n1", MemberState::Synced, Timestamp(5))],
        published: vec![Published { path: "/a".to_owned(), shown: true }],
        ..VolumeStatus::default()
    };
    let of_drive = Some("S1".parse().unwrap());
    let records = [
        Record::VolumeSpec(volume_spec("v")),
        Record::VolumeSpec(VolumeSpec { attachment: Some(attached()), ..volume_spec("v") }),
        Record::VolumeStatus(status),
        Record::ReplicaStatus(ReplicaStatus::default()),
        Record::ReplicaStatus(ReplicaStatus { of_drive, ..ReplicaStatus::default() }),
        Record::DriveStatus(drive_status(&node, DriveState::Ready)),
        Record::NodeStatus(node_status(Timestamp(7))),
        Record::NodeSpec(crate::domain::NodeSpec::default()),
        Record::Lease(Lease { holder: node, renewals: 3, term_millis: 10 }),
    ];
    for record in records {
        comes_back(&record).unwrap();
    }
}

/// What a definition bounds is drawn within its bounds: the API server takes no other.
fn within_bounds(record: Record) -> Record {
    let Record::VolumeSpec(spec) = record else { return record };
    let member_missing_timeout_seconds =
        spec.member_missing_timeout_seconds.max(limits::MEMBER_MISSING_TIMEOUT_LEAST);
    Record::VolumeSpec(VolumeSpec {
        replicas: 1 + spec.replicas % limits::MAX_REPLICAS,
        stripe_width: 1 + spec.stripe_width % limits::MAX_COLUMNS,
        member_missing_timeout_seconds,
        ..spec
    })
}

proptest! {
    #[test]
    fn every_record_comes_back_or_has_a_number_too_large(record in strategies::record()) {
        match comes_back(&within_bounds(record)) {
            Ok(()) => {}
            Err(FormError::TooLarge { value, .. }) => prop_assert!(i64::try_from(value).is_err()),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn every_size_comes_back(size in any::<u64>()) {
        prop_assert_eq!(bytes(&quantity(Bytes(size))), Some(Bytes(size)));
    }
}

#[test]
fn sizes_are_written_short() {
    assert_eq!(
        [quantity(Bytes::gib(10)), quantity(Bytes::mib(300)), quantity(Bytes(0)), quantity(Bytes(513))],
        ["10Gi", "300Mi", "0", "513"]
    );
    assert_eq!(
        [bytes("1Gi"), bytes("7"), bytes("1G"), bytes("99999999Pi"), bytes("")],
        [Some(Bytes::gib(1)), Some(Bytes(7)), None, None, None]
    );
}

fn by_hand(spec: &Value) -> DynamicObject {
    let mut object = DynamicObject::new("by-hand", &Place::Volume.resource());
    object.metadata.uid = Some(uuid::Uuid::from_u128(5).to_string());
    object.metadata.creation_timestamp = Some(Time(jiff::Timestamp::from_second(60).unwrap()));
    let spec = shaped(&schema("Volume")["properties"]["spec"], spec).unwrap();
    object.data = json!({ "spec": spec });
    object
}

#[test]
fn a_volume_made_by_hand_is_known_by_its_object() {
    let object = by_hand(&json!({ "size": "1Gi" }));
    let whole = serde_json::to_value(&object).unwrap();
    assert_eq!(refusals(&schema("Volume"), &whole, None), [""; 0]);
    let Some(Ok(Record::VolumeSpec(spec))) = read(Kind::VolumeSpec, &object) else { panic!("{object:?}") };
    let mut expected = volume_spec("by-hand");
    expected.uid = crate::domain::VolumeUid(uuid::Uuid::from_u128(5));
    expected.created_at = Timestamp(60_000);
    assert_eq!(spec, expected);
    assert_eq!(read(Kind::VolumeStatus, &object), None);
}

#[test]
fn an_attachment_says_no_more_than_its_author() {
    let mount = json!({ "path": "/mnt", "group": 7 });
    let object = by_hand(&json!({ "size": "1Gi", "attachment": { "node": "n1", "mount": mount } }));
    let Some(Ok(Record::VolumeSpec(spec))) = read(Kind::VolumeSpec, &object) else { panic!("{object:?}") };
    let mount = MountRequest { group: Some(7), ..MountRequest::at("/mnt") };
    assert_eq!(
        spec.attachment,
        Some(Attachment { mount: Some(mount), ..Attachment::to("n1".parse().unwrap()) })
    );
}

#[test]
fn lists_that_are_patched_have_no_nulls_and_what_is_not_said_has_one() {
    let place = PlacementEntry { node: "n1".parse().unwrap(), drive: None };
    let placement = PlacementRequest { generation: 1, entries: vec![place] };
    let spec = VolumeSpec { placement, attachment: Some(attached()), ..volume_spec("v") };
    let half = write(&Key::new(Kind::VolumeSpec, "v"), &Record::VolumeSpec(spec)).unwrap();
    assert_eq!(half["placement"]["entries"], json!([{ "node": "n1" }]));
    assert_eq!(half.get("forced"), Some(&Value::Null));
}

#[test]
fn deleting_the_object_says_nothing_of_the_data_and_ends_the_volume_where_nothing_holds_it() {
    let mut object = by_hand(&json!({ "size": "1Gi" }));
    let there = read(Kind::VolumeSpec, &object);
    object.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::from_second(70).unwrap()));
    object.metadata.finalizers = Some(vec!["somebody/else".to_owned(), FINALIZER.to_owned()]);
    assert_eq!(read(Kind::VolumeSpec, &object), there);
    assert!(matches!(&there, Some(Ok(Record::VolumeSpec(spec))) if !spec.deleting), "{there:?}");
    object.data["spec"]["deleting"] = json!(true);
    let asked = read(Kind::VolumeSpec, &object);
    assert!(matches!(&asked, Some(Ok(Record::VolumeSpec(spec))) if spec.deleting), "{asked:?}");
    object.metadata.finalizers = Some(vec!["somebody/else".to_owned()]);
    assert_eq!(read(Kind::VolumeSpec, &object), None);
}

#[test]
fn a_lease_without_our_label_or_a_holder_is_none_and_a_garbled_one_cannot_be_read() {
    let key = Key::new(Kind::Lease, "controller");
    let record = Record::Lease(Lease { holder: "n1".parse().unwrap(), renewals: 3, term_millis: 10 });
    let good = object(&key, write(&key, &record).unwrap());
    assert_eq!(read(Kind::Lease, &good), Some(Ok(record)));
    let mut unlabelled = good.clone();
    unlabelled.metadata.labels = None;
    let mut free = good.clone();
    free.data["spec"]["holderIdentity"] = json!("");
    assert_eq!([read(Kind::Lease, &unlabelled), read(Kind::Lease, &free)], [None, None]);
    let mut bare = good.clone();
    bare.metadata.annotations = None;
    let expected = Lease { holder: "n1".parse().unwrap(), renewals: 0, term_millis: 1000 };
    assert_eq!(read(Kind::Lease, &bare), Some(Ok(Record::Lease(expected))));
    let mut garbled = good;
    garbled.metadata.annotations = Some([(RENEWALS.to_owned(), "many".to_owned())].into());
    assert!(matches!(read(Kind::Lease, &garbled), Some(Err(_))));
}

#[test]
fn what_is_no_volume_s_name_cannot_be_read() {
    let mut object = by_hand(&json!({ "size": "1Gi" }));
    object.metadata.name = Some("v".repeat(64));
    assert!(matches!(read(Kind::VolumeSpec, &object), Some(Err(_))));
}

#[test]
fn a_record_of_something_else_is_refused() {
    let record = Record::VolumeSpec(volume_spec("v"));
    let error = write(&Key::new(Kind::VolumeSpec, "w"), &record).unwrap_err();
    assert_eq!(error, FormError::OtherName { found: "v".to_owned() });
    assert!(matches!(write(&Key::new(Kind::NodeSpec, "v"), &record), Err(FormError::Codec(_))));
}
