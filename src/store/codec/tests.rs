use proptest::prelude::*;

use super::*;
use crate::domain::NodeSpec;
use crate::wire::convert::strategies::{kind, record};

proptest! {
    #[test]
    fn every_key_comes_back(kind in kind(), name in any::<String>()) {
        let key = Key { kind, name };
        prop_assert_eq!(parse_key(&key_text(&key)), Ok(key));
    }

    #[test]
    fn every_text_is_one_key_or_none(text in "(/mdfabric/v1/lease/)?[%a-f0-9/é]{0,12}") {
        if let Ok(key) = parse_key(&text) {
            prop_assert_eq!(key_text(&key), text);
        }
    }

    #[test]
    fn every_record_comes_back(record in record()) {
        let key = Key::new(record.kind(), "x");
        prop_assert_eq!(decode(&key, &encode(&key, &record).unwrap()), Ok(record));
    }

    #[test]
    fn any_bytes_are_read_or_refused(kind in kind(), bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = decode(&Key::new(kind, "x"), &bytes);
    }
}

#[test]
fn keys_are_spelled_as_documented() {
    assert_eq!(key_text(&Key::new(Kind::VolumeSpec, "pvc-1.a")), "/mdfabric/v1/volume-spec/pvc-1.a");
    assert_eq!(key_text(&Key::new(Kind::DriveStatus, "S:1_%")), "/mdfabric/v1/drive-status/S:1_%25");
    assert_eq!(key_text(&Key::new(Kind::Lease, "a/b é")), "/mdfabric/v1/lease/a%2fb%20%c3%a9");
}

#[test]
fn strangers_and_misspelled_names_are_told_apart() {
    for stranger in
        ["", "/", "/mdfabric/v1/", "/mdfabric/v1/lease", "/mdfabric/v1/snapshot/x", "/mdfabric/v2/lease/x"]
    {
        assert!(matches!(parse_key(stranger), Err(KeyError::Stranger { .. })), "{stranger}");
    }
    for bad in ["a/b", "%", "%4", "%41", "%2F", "%+1", "%ff", "a b"] {
        let text = format!("/mdfabric/v1/lease/{bad}");
        let error = KeyError::BadName { kind: Kind::Lease, name: bad.into() };
        assert_eq!(parse_key(&text), Err(error));
    }
}

#[test]
fn a_key_of_another_kind_is_refused_both_ways() {
    let record = Record::NodeSpec(NodeSpec { cordoned: true, ..NodeSpec::default() });
    let (right, wrong) = (Key::new(Kind::NodeSpec, "n1"), Key::new(Kind::NodeStatus, "n1"));
    let error = CodecError::OtherKind { expected: Kind::NodeStatus, found: Kind::NodeSpec };
    assert_eq!(encode(&wrong, &record), Err(error.clone()));
    assert_eq!(decode(&wrong, &encode(&right, &record).unwrap()), Err(error));
}
