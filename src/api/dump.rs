//! The records of a dump: one `Entry` of `mdfabric.proto` per file, so that any version reads any other one's.

use std::fmt::Write;

use prost::Message;

use super::proto;
use crate::domain::World;
use crate::wire::convert::take_in;

/// Every record as a file: `<kind>/<name>`, and its bytes.
#[must_use]
pub fn pack(world: proto::World) -> Vec<(String, Vec<u8>)> {
    world.entries.into_iter().map(|entry| (path(&entry), entry.encode_to_vec())).collect()
}

/// `volume-spec/v1`
fn path(entry: &proto::Entry) -> String {
    let key = entry.key.clone().unwrap_or_default();
    let mut path = key.kind().as_str_name().trim_start_matches("KIND_").to_lowercase().replace('_', "-");
    path.push('/');
    for byte in key.name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(path, "%{byte:02x}");
        }
    }
    path
}

/// The records of a dump, and what is wrong with those that cannot be read: they hide no other.
#[must_use]
pub fn unpack(records: &[(String, Vec<u8>)]) -> (World, Vec<String>) {
    let (mut world, mut unreadable) = (World::default(), Vec::new());
    for (name, bytes) in records {
        let read = proto::Entry::decode(bytes.as_slice()).map_err(|error| error.to_string());
        let taken = read.and_then(|entry| {
            let update = proto::World { entries: vec![entry], ..proto::World::default() };
            take_in(&mut world, update).map_err(|error| error.to_string())
        });
        unreadable.extend(taken.err().map(|why| format!("record {name} cannot be read: {why}")));
    }
    (world, unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Key, Kind, NodeSpec, Record, Revision, Versioned};
    use crate::ports::Listing;

    #[test]
    fn records_come_back_and_a_damaged_one_hides_no_other() {
        let record = |name: &str| {
            let value = Record::NodeSpec(NodeSpec { cordoned: true, ..NodeSpec::default() });
            (Key::new(Kind::NodeSpec, name), Versioned { revision: Revision(7), value })
        };
        let listing = Listing { records: vec![record("a"), record("../b c")], ..Listing::default() };
        let mut files = pack(listing.into());
        assert_eq!(files[1].0, "node-spec/..%2fb%20c");
        files.push(("node-spec/c".to_owned(), vec![0xff; 9]));
        let (world, unreadable) = unpack(&files);
        assert_eq!(world.revision(&Key::new(Kind::NodeSpec, "../b c")), Revision(7));
        assert_eq!(world.records().count(), 2);
        assert!(unreadable[0].starts_with("record node-spec/c cannot be read: "), "{unreadable:?}");
    }
}
