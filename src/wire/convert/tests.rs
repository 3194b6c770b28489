use proptest::prelude::*;
use prost::Message as _;

use super::strategies::{kind, record};
use super::*;
use crate::domain::{
    FsType, Key, Kind, Lease, NodeSpec, Record, Revision, SectorSize, Versioned, VolumeSpec, World,
};
use crate::ports::{Change, Listing};
use crate::wire::proto;

proptest! {
    #[test]
    fn every_record_comes_back(record in record()) {
        let bytes = proto::StoredRecord::from(record.clone()).encode_to_vec();
        let wire = proto::StoredRecord::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(Record::try_from(wire), Ok(record));
    }

    #[test]
    fn every_entry_comes_back(
        record in proptest::option::of(record()), kind in kind(), name in any::<String>(), revision in any::<u64>(),
    ) {
        let revision = Revision(revision);
        let key = Key { kind: record.as_ref().map_or(kind, Record::kind), name };
        let value = record.map(|value| Versioned { revision, value });
        let change = Change { key, value, revision };
        prop_assert_eq!(Change::try_from(proto::Entry::from(change.clone())), Ok(change));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        if let Ok(wire) = proto::StoredRecord::decode(bytes.as_slice()) {
            let _ = Record::try_from(wire);
        }
        if let Ok(wire) = proto::World::decode(bytes.as_slice()) {
            let _ = take_in(&mut World::default(), wire);
        }
    }

    #[test]
    fn a_damaged_record_is_read_or_refused(record in record(), at in any::<usize>(), with in any::<u8>()) {
        let mut bytes = proto::StoredRecord::from(record).encode_to_vec();
        let at = at % bytes.len();
        bytes[at] ^= with;
        if let Ok(wire) = proto::StoredRecord::decode(bytes.as_slice()) {
            let _ = Record::try_from(wire);
        }
    }

    #[test]
    fn fields_of_a_newer_version_are_skipped(record in record(), value in any::<u64>()) {
        let mut bytes = proto::StoredRecord::from(record.clone()).encode_to_vec();
        prost::encoding::uint64::encode(1000, &value, &mut bytes);
        let wire = proto::StoredRecord::decode(bytes.as_slice()).unwrap();
        prop_assert_eq!(Record::try_from(wire), Ok(record));
    }
}

fn spec() -> proto::VolumeSpec {
    proto::VolumeSpec {
        name: "a".into(),
        uid: "00000000-0000-0000-0000-000000000007".into(),
        replicas: 2,
        fs: 1,
        sector_size: 1,
        locality: 1,
        verify: 1,
        on_store_loss: 1,
        placement: Some(proto::PlacementRequest::default()),
        ..proto::VolumeSpec::default()
    }
}

fn refusal(wire: proto::VolumeSpec) -> String {
    VolumeSpec::try_from(wire).unwrap_err().to_string()
}

#[test]
fn errors_name_the_message_and_the_field() {
    assert!(VolumeSpec::try_from(spec()).is_ok());
    assert_eq!(refusal(proto::VolumeSpec { name: String::new(), ..spec() }), "VolumeSpec.name is missing");
    assert_eq!(refusal(proto::VolumeSpec { fs: 0, ..spec() }), "VolumeSpec.fs is missing");
    assert_eq!(refusal(proto::VolumeSpec { placement: None, ..spec() }), "VolumeSpec.placement is missing");
    assert_eq!(
        refusal(proto::VolumeSpec { fs: 9, ..spec() }),
        "VolumeSpec.fs has the unknown value 9: it was written by a newer version"
    );
    let many = refusal(proto::VolumeSpec { replicas: 256, ..spec() });
    assert!(many.starts_with("VolumeSpec.replicas is invalid: 256"), "{many}");
    let uid = refusal(proto::VolumeSpec { uid: "x".into(), ..spec() });
    assert!(uid.starts_with("VolumeSpec.uid is invalid"), "{uid}");
}

#[test]
fn a_newer_format_is_refused() {
    let newer = proto::StoredRecord { format: 2, ..Record::NodeSpec(NodeSpec::default()).into() };
    let error = Record::try_from(newer).unwrap_err();
    assert_eq!(error.problem, Problem::Unknown { value: 2 });
    let none = Record::try_from(proto::StoredRecord::default()).unwrap_err();
    assert_eq!((none.field, none.problem), ("format", Problem::Missing));
}

#[test]
fn a_request_may_leave_an_enum_to_the_default() {
    assert_eq!(choice::<FsType>("CreateVolumeRequest", "fs", 0), Ok(None));
    assert_eq!(choice("CreateVolumeRequest", "sector_size", 1), Ok(Some(SectorSize::B512)));
    assert!(choice::<FsType>("CreateVolumeRequest", "fs", -1).is_err());
}

fn lease(renewals: u64) -> Record {
    Record::Lease(Lease { holder: "n1".parse().unwrap(), renewals, term_millis: 10 })
}

fn entry(name: &str, revision: u64, record: Option<Record>) -> Change {
    let revision = Revision(revision);
    let value = record.map(|value| Versioned { revision, value });
    Change { key: Key::new(Kind::Lease, name), value, revision }
}

#[test]
fn a_world_follows_its_messages() {
    let mut world = World::default();
    let listing = Listing {
        records: ["a", "b"]
            .map(|name| (Key::new(Kind::Lease, name), Versioned { revision: Revision(1), value: lease(1) }))
            .into(),
        corrupt: vec![(Key::new(Kind::Lease, "c"), "torn".into())],
        revision: Revision(3),
    };
    let full = proto::World::from(listing);
    assert_eq!(full.unreadable.len(), 1);
    take_in(&mut world, full.clone()).unwrap();

    let entries = vec![entry("a", 4, None).into(), entry("b", 5, Some(lease(2))).into()];
    let update = proto::World { revision: 5, entries, ..proto::World::default() };
    take_in(&mut world, update).unwrap();
    assert_eq!(world.lease("a"), None);
    assert_eq!(world.lease("b").unwrap().renewals, 2);
    assert_eq!(world.revision(&Key::new(Kind::Lease, "b")), Revision(5));

    let broken =
        proto::World { complete: true, entries: vec![proto::Entry::default()], ..proto::World::default() };
    assert_eq!(take_in(&mut world, broken).unwrap_err().to_string(), "Entry.key is missing");
    assert_eq!(world.lease("b").unwrap().renewals, 2);

    take_in(&mut world, full).unwrap();
    assert_eq!(world.lease("b").unwrap().renewals, 1);
}

/// One record of each kind with every field set, and the bytes version 1 stored for it.
#[derive(serde::Deserialize)]
struct Golden {
    record: Record,
    bytes: String,
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Fails where a field number, an enum value or a type on the wire was changed: stored records would be misread.
#[test]
fn stored_bytes_stay_what_they_are() {
    let golden: Vec<Golden> = serde_json::from_str(include_str!("golden.json")).unwrap();
    assert_eq!(golden.len(), 9);
    for Golden { record, bytes } in golden {
        let kind = record.kind();
        assert_eq!(proto::StoredRecord::from(record).encode_to_vec(), unhex(&bytes), "{kind:?}");
    }
}
