//! The parameters of a `StorageClass` and of a `VolumeAttributesClass`.

use std::collections::HashMap;
use std::str::FromStr;

use tonic::Status;

use crate::capability::file_system;
use crate::wire::mdfabric::{FsType, Locality, OnStoreLoss, SectorSize, Verify};

/// What parameters say; what they do not say takes the daemon's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Copies.
    pub replicas: Option<u32>,
    /// Columns.
    pub stripe_width: Option<u32>,
    /// Seconds a lost copy is waited for.
    pub member_missing_timeout: Option<u32>,
    /// Sector size of the file system.
    pub sector_size: Option<SectorSize>,
    /// File system.
    pub fs: Option<FsType>,
    /// Whether the data goes where the volume is attached.
    pub locality: Option<Locality>,
    /// How a new copy is compared before an old one is dropped.
    pub verify: Option<Verify>,
    /// What happens to writes when a copy is lost while the store does not answer.
    pub on_store_loss: Option<OnStoreLoss>,
}

/// A key, what it may be set to in words, and how that is taken in (`None`: it is not allowed).
struct Key {
    name: &'static str,
    allowed: &'static str,
    mutable: bool,
    set: fn(&mut Parameters, &str) -> Option<()>,
}

/// What external-provisioner adds for whoever wants to know; only the file system of it is for us.
const OF_THE_PROVISIONER: &str = "csi.storage.k8s.io/";

/// Two names of one thing; the second is older, or somebody else's.
const SAME: [(&str, &str); 3] = [
    ("replicaCount", "numberOfCopies"),
    ("stripeWidth", "drivesPerCopy"),
    ("fsType", "csi.storage.k8s.io/fstype"),
];

const KEYS: [Key; 11] = [
    Key { name: "replicaCount", allowed: COPIES, mutable: true, set: copies },
    Key { name: "numberOfCopies", allowed: COPIES, mutable: true, set: copies },
    Key { name: "stripeWidth", allowed: COLUMNS, mutable: false, set: columns },
    Key { name: "drivesPerCopy", allowed: COLUMNS, mutable: false, set: columns },
    Key {
        name: "memberMissingTimeout",
        allowed: "whole seconds, at least 60",
        mutable: true,
        set: |all, value| put(&mut all.member_missing_timeout, number(value, 60, u32::MAX)),
    },
    Key {
        name: "sectorSize",
        allowed: "512, 4096",
        mutable: false,
        set: |all, value| put(&mut all.sector_size, word(value, &SECTORS)),
    },
    Key { name: "fsType", allowed: FS, mutable: false, set: fs },
    Key { name: "csi.storage.k8s.io/fstype", allowed: FS, mutable: false, set: fs },
    Key {
        name: "locality",
        allowed: "follow, fixed",
        mutable: true,
        set: |all, value| put(&mut all.locality, word(value, &LOCALITIES)),
    },
    Key {
        name: "verify",
        allowed: "sampled, full, off",
        mutable: true,
        set: |all, value| put(&mut all.verify, word(value, &VERIFIES)),
    },
    Key {
        name: "onStoreLoss",
        allowed: "suspend, continue",
        mutable: true,
        set: |all, value| put(&mut all.on_store_loss, word(value, &STORE_LOSSES)),
    },
];

const COPIES: &str = "1 to 3";
const MOST_COPIES: u32 = 3;
const COLUMNS: &str = "1 to 8";
const MOST_COLUMNS: u32 = 8;
const FS: &str = "xfs, ext4";
const SECTORS: [(&str, SectorSize); 2] = [("512", SectorSize::B512), ("4096", SectorSize::B4096)];
const LOCALITIES: [(&str, Locality); 2] = [("follow", Locality::Follow), ("fixed", Locality::Fixed)];
const VERIFIES: [(&str, Verify); 3] =
    [("sampled", Verify::Sampled), ("full", Verify::Full), ("off", Verify::Off)];
const STORE_LOSSES: [(&str, OnStoreLoss); 2] =
    [("suspend", OnStoreLoss::Suspend), ("continue", OnStoreLoss::Continue)];

/// Takes a value in, if there is one.
fn put<T>(field: &mut Option<T>, value: Option<T>) -> Option<()> {
    *field = Some(value?);
    Some(())
}

fn copies(all: &mut Parameters, value: &str) -> Option<()> {
    put(&mut all.replicas, number(value, 1, MOST_COPIES))
}

fn columns(all: &mut Parameters, value: &str) -> Option<()> {
    put(&mut all.stripe_width, number(value, 1, MOST_COLUMNS))
}

fn fs(all: &mut Parameters, value: &str) -> Option<()> {
    put(&mut all.fs, file_system(value))
}

fn number<T: FromStr + PartialOrd>(text: &str, least: T, most: T) -> Option<T> {
    text.parse().ok().filter(|number| (least..=most).contains(number))
}

fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Option<T> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
}

impl Parameters {
    /// What a volume is made with: those of its class, and over them those that can be changed later.
    pub fn of(
        parameters: &HashMap<String, String>,
        mutable: &HashMap<String, String>,
    ) -> Result<Self, Status> {
        let mut all = Self::default();
        all.take("parameters", parameters, |_| true)?;
        all.take("mutable_parameters", mutable, |key| key.mutable)?;
        Ok(all)
    }

    /// What is changed of a volume that there is.
    pub fn changes(mutable: &HashMap<String, String>) -> Result<Self, Status> {
        Self::of(&HashMap::new(), mutable)
    }

    fn take(
        &mut self,
        field: &str,
        values: &HashMap<String, String>,
        is_allowed: impl Fn(&Key) -> bool,
    ) -> Result<(), Status> {
        same_is_said_once(field, values)?;
        let keys: Vec<&Key> = KEYS.iter().filter(|key| is_allowed(key)).collect();
        for (name, value) in values {
            match keys.iter().find(|key| key.name == name) {
                Some(key) => (key.set)(self, value).ok_or_else(|| bad_value(field, key, value))?,
                None if name.starts_with(OF_THE_PROVISIONER) => {}
                None => return Err(unknown(field, name, value, &keys)),
            }
        }
        Ok(())
    }
}

fn same_is_said_once(field: &str, values: &HashMap<String, String>) -> Result<(), Status> {
    for (name, older) in SAME {
        if let (Some(one), Some(other)) = (values.get(name), values.get(older))
            && one != other
        {
            return Err(Status::invalid_argument(format!(
                "{field}: {name} is {one:?} and {older} is {other:?}, and they are the same; leave {older} out"
            )));
        }
    }
    Ok(())
}

fn bad_value(field: &str, key: &Key, value: &str) -> Status {
    let Key { name, allowed, .. } = key;
    Status::invalid_argument(format!("{field}: {name}: {value:?} is not allowed; use {allowed}"))
}

fn unknown(field: &str, name: &str, value: &str, keys: &[&Key]) -> Status {
    let known = keys.iter().map(|key| key.name).filter(|name| !SAME.iter().any(|(_, older)| older == name));
    let known = known.collect::<Vec<_>>().join(", ");
    Status::invalid_argument(format!("{field}: {name:?} ({value:?}) is not known; use {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mdfabric::plan::verbs::{MAX_COLUMNS, MAX_REPLICAS};
    use tonic::Code;

    fn map(values: &[(&str, &str)]) -> HashMap<String, String> {
        values.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn parse(values: &[(&str, &str)]) -> Result<Parameters, Status> {
        Parameters::of(&map(values), &HashMap::new())
    }

    fn refused(result: Result<Parameters, Status>, words: &[&str]) {
        let status = result.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        for word in words {
            assert!(status.message().contains(word), "{word:?} is not in {:?}", status.message());
        }
    }

    #[test]
    fn every_key_is_read() {
        let all = parse(&[
            ("replicaCount", "3"),
            ("stripeWidth", "2"),
            ("memberMissingTimeout", "60"),
            ("sectorSize", "512"),
            ("fsType", "ext4"),
            ("locality", "fixed"),
            ("verify", "full"),
            ("onStoreLoss", "continue"),
        ]);
        let expected = Parameters {
            replicas: Some(3),
            stripe_width: Some(2),
            member_missing_timeout: Some(60),
            sector_size: Some(SectorSize::B512),
            fs: Some(FsType::Ext4),
            locality: Some(Locality::Fixed),
            verify: Some(Verify::Full),
            on_store_loss: Some(OnStoreLoss::Continue),
        };
        assert_eq!(all.unwrap(), expected);
        assert_eq!(parse(&[]).unwrap(), Parameters::default());
    }

    #[test]
    fn older_names_count_and_may_not_contradict() {
        let older = [("numberOfCopies", "1"), ("drivesPerCopy", "4"), ("csi.storage.k8s.io/fstype", "xfs")];
        let all = parse(&older).unwrap();
        assert_eq!((all.replicas, all.stripe_width, all.fs), (Some(1), Some(4), Some(FsType::Xfs)));
        assert!(parse(&[("replicaCount", "2"), ("numberOfCopies", "2")]).is_ok());
        let both = parse(&[("replicaCount", "2"), ("numberOfCopies", "3")]);
        refused(both, &["replicaCount", "\"2\"", "numberOfCopies", "\"3\""]);
    }

    #[test]
    fn what_the_provisioner_adds_is_left_alone() {
        let added = [("csi.storage.k8s.io/pvc/name", "a"), ("csi.storage.k8s.io/pv/name", "b")];
        assert_eq!(parse(&added).unwrap(), Parameters::default());
    }

    #[test]
    fn a_bad_value_is_named_with_its_key_and_what_is_allowed() {
        for (key, allowed, bad) in [
            ("replicaCount", "1 to 3", ["0", "4", "two", ""]),
            ("stripeWidth", "1 to 8", ["0", "9", "-1", "1.5"]),
            ("memberMissingTimeout", "at least 60", ["59", "", "1h", "-60"]),
            ("sectorSize", "512, 4096", ["520", "0", "4k", ""]),
            ("fsType", "xfs, ext4", ["btrfs", "XFS", "raw", ""]),
            ("locality", "follow, fixed", ["near", "", "Follow", "off"]),
        ] {
            for value in bad {
                refused(parse(&[(key, value)]), &[key, &format!("{value:?}"), allowed]);
            }
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_those_there_are() {
        refused(
            parse(&[("replicas", "2")]),
            &["parameters", "\"replicas\"", "\"2\"", "replicaCount", "fsType"],
        );
    }

    #[test]
    fn only_some_of_it_can_be_changed_later() {
        let changed = map(&[("replicaCount", "3"), ("memberMissingTimeout", "120"), ("verify", "off")]);
        let all = Parameters::of(&map(&[("replicaCount", "1"), ("stripeWidth", "2")]), &changed).unwrap();
        assert_eq!((all.replicas, all.stripe_width, all.verify), (Some(3), Some(2), Some(Verify::Off)));
        for key in ["stripeWidth", "sectorSize", "fsType"] {
            refused(Parameters::changes(&map(&[(key, "2")])), &["mutable_parameters", key, "replicaCount"]);
        }
    }

    #[test]
    fn the_limits_are_the_daemons() {
        assert_eq!((MOST_COPIES, MOST_COLUMNS), (u32::from(MAX_REPLICAS), u32::from(MAX_COLUMNS)));
        assert_eq!((COPIES, COLUMNS), ("1 to 3", "1 to 8"));
    }
}
