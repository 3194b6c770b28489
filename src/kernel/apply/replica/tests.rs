use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use kernel_abi::nvmet::Port;

use super::*;
use crate::kernel::apply::testing::member;

const OURS: PortAddress = PortAddress {
    transport: Fabric::Tcp,
    addr: std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
    svc: 5000,
};

fn port(id: u16, traddr: &str, trsvcid: &str, subsystems: &[&str]) -> Port {
    Port {
        id,
        trtype: "tcp".to_owned(),
        adrfam: "ipv4".to_owned(),
        traddr: traddr.to_owned(),
        trsvcid: trsvcid.to_owned(),
        subsystems: subsystems.iter().map(|&nqn| nqn.to_owned()).collect(),
    }
}

fn id_among(ports: &[Port]) -> Result<u16, String> {
    port_id(&Target { ports: ports.to_vec(), ..Target::default() }, &OURS).map_err(|failure| failure.message)
}

#[test]
fn a_port_is_called_by_its_number() {
    assert_eq!(id_among(&[]), Ok(5000));
    assert_eq!(id_among(&[port(4420, "10.0.0.1", "4420", &["other"])]), Ok(5000));
}

#[test]
fn the_port_that_listens_there_is_used_whatever_its_id() {
    assert_eq!(
        id_among(&[port(1, "10.0.0.9", "5000", &[]), port(4420, "10.0.0.1", "5000", &["x"])]),
        Ok(4420)
    );
}

#[test]
fn one_made_by_half_or_idle_at_an_old_address_is_taken_over() {
    assert_eq!(id_among(&[port(5000, "", "", &[])]), Ok(5000));
    assert_eq!(id_among(&[port(5000, "10.0.0.7", "5000", &[])]), Ok(5000));
}

#[test]
fn one_that_serves_elsewhere_is_left_alone_and_named() {
    let message = id_among(&[port(5000, "10.0.0.7", "4420", &["nqn.other"])]).unwrap_err();
    for word in ["port 5000", "tcp://10.0.0.1:5000", "nqn.other", "10.0.0.7:4420", "data-port"] {
        assert!(message.contains(word), "{word} is not in {message}");
    }
}

/// Whoever has lost a copy's records finds its data; a superblock that somebody else has left there is zeroed with the rest.
#[test]
fn what_was_a_member_as_this_very_replica_is_not_zeroed() {
    let (own, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let image = member(own, 0);
    let said = is_no_member(image.path(), own).unwrap_err().message;
    assert!(said.contains("is not zeroed"), "{said}");
    is_no_member(image.path(), other).unwrap();
    let blank = tempfile::NamedTempFile::new().unwrap();
    blank.as_file().set_len(1 << 20).unwrap();
    is_no_member(blank.path(), own).unwrap();
}

const EPOCH: Epoch = Epoch(7);

/// An export as configfs shows it, in plain files.
struct Exported {
    directory: tempfile::TempDir,
    partition: Uuid,
    allowed: PathBuf,
    shown: PathBuf,
    enable: PathBuf,
}

impl Exported {
    fn new() -> Self {
        let (directory, partition) = (tempfile::tempdir().unwrap(), Uuid::from_u128(1));
        let name = subsystem_nqn(partition, EPOCH);
        let target = directory.path().join(nvmet::DIRECTORY);
        let subsystem = target.join("subsystems").join(&name);
        let [allowed, shown, enable] = [
            subsystem.join("allowed_hosts/nqn.2014-08.org.nvmexpress:owner"),
            target.join("ports/1/subsystems").join(&name),
            subsystem.join("namespaces/1/enable"),
        ];
        for part in [&allowed, &shown, &enable] {
            fs::create_dir_all(part.parent().unwrap()).unwrap();
        }
        fs::write(subsystem.join("attr_allow_any_host"), "0\n").unwrap();
        fs::write(target.join("ports/1/addr_trtype"), "tcp\n").unwrap();
        fs::write(&enable, "1\n").unwrap();
        symlink(&subsystem, &allowed).unwrap();
        symlink(&subsystem, &shown).unwrap();
        Self { directory, partition, allowed, shown, enable }
    }

    /// What the fence stops at.
    fn fenced(&self) -> String {
        fence(&Root::at(self.directory.path()), self.partition, EPOCH).unwrap_err().message
    }

    /// Whether the owner may connect, is connected, and reaches the drive.
    fn is_open(&self) -> [bool; 3] {
        let is_there = |path: &Path| path.symlink_metadata().is_ok();
        let enabled = fs::read_to_string(&self.enable).unwrap().starts_with('1');
        [is_there(&self.allowed), is_there(&self.shown), enabled]
    }
}

/// R4. A link that cannot be removed stops the fence in the middle: what comes before is done, what comes after is not. A plain
/// directory, which is not removed with what is in it, stops it at its end.
#[test]
fn a_fence_bars_the_owner_then_cuts_it_off_then_drains() {
    let export = Exported::new();
    assert_eq!(export.is_open(), [true; 3]);
    fs::remove_file(&export.shown).unwrap();
    fs::create_dir(&export.shown).unwrap();
    let stopped = export.fenced();
    assert!(stopped.contains("ports/1/subsystems"), "{stopped}");
    assert_eq!(export.is_open(), [false, true, true]);
    fs::remove_dir(&export.shown).unwrap();
    let stopped = export.fenced();
    assert!(stopped.contains("rmdir") && stopped.contains("namespaces/1"), "{stopped}");
    assert_eq!(export.is_open(), [false; 3]);
}
