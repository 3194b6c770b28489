//! The readers on what real kernels said: reduced dumps of two nodes of one volume (`fixtures/*/README.md`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on shall stop")]

use std::path::{Path, PathBuf};

use kernel_abi::md::bitmap::BitmapHeader;
use kernel_abi::md::superblock::Superblock;
use kernel_abi::md::{mdstat, sysfs};
use kernel_abi::nvme::{self, ControllerState, Nsid, Transport};
use kernel_abi::{DevNum, Root, fs, nvmet};
use uuid::{Uuid, uuid};

const LOCAL: Uuid = uuid!("03c7837e-d885-5a7b-9022-860fb51a49f3");
const REMOTE: Uuid = uuid!("07c8802c-4ede-53ea-8fe8-500923a5c870");
const SUBSYSTEM: &str = "nqn.2026-11.io.mdfabric:07c8802c-4ede-53ea-8fe8-500923a5c870:1";
const HOST: &str = "nqn.2026-11.io.mdfabric:host:node-1";
const ARRAY: &str = "md_549a3c915cbe5cb7";
/// 512 MiB in sectors.
const SECTORS: u64 = 1 << 20;

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/debian-13-6.12").join(file)
}

fn owner() -> Root {
    Root::at(path("owner"))
}

#[test]
fn the_owner_has_an_array_of_a_partition_and_a_write_mostly_leg() {
    let arrays = sysfs::arrays(&owner()).unwrap();
    assert_eq!(arrays.len(), 1);
    let array = &arrays[0];
    assert_eq!((array.name.to_string().as_str(), array.size_sectors), (ARRAY, SECTORS));
    assert_eq!((array.level.as_deref(), array.metadata_version.as_deref()), (Some("raid1"), Some("1.2")));
    assert_eq!((array.raid_disks, array.degraded, array.mismatch_sectors), (Some(2), Some(0), Some(0)));
    assert_eq!(array.bitmap_location.as_deref(), Some("+8"));
    let members: Vec<_> = array
        .members
        .iter()
        .map(|member| (member.dir.to_string(), member.dev, member.slot, member.offset_sectors))
        .collect();
    let dev = |major, minor| Some(DevNum { major, minor });
    let leg = ("dev-dm-0".to_owned(), dev(253, 0), Some(1), Some(2048));
    let partition = ("dev-nvme0n1p1".to_owned(), dev(259, 2), Some(0), Some(2048));
    assert_eq!(members, [leg, partition]);
}

#[test]
fn mdstat_says_the_same() {
    let mdstat = mdstat::read(&owner()).unwrap();
    assert_eq!(mdstat.personalities, ["raid1"]);
    let array = &mdstat.arrays[0];
    assert_eq!((array.name.as_str(), array.blocks_kib), (ARRAY, Some(SECTORS / 2)));
    assert_eq!(array.members.len(), 2);
}

#[test]
fn the_owner_is_connected_to_the_provider_beside_its_own_drives() {
    let controllers = nvme::controllers(&owner()).unwrap();
    let transports: Vec<&Transport> = controllers.iter().map(|controller| &controller.transport).collect();
    assert_eq!(transports, [&Transport::Pcie, &Transport::Pcie, &Transport::Tcp]);
    let remote = &controllers[2];
    assert_eq!((remote.state.clone(), remote.subsysnqn.as_str()), (ControllerState::Live, SUBSYSTEM));
    assert_eq!(remote.hostnqn.as_deref(), Some(HOST));
    assert_eq!(remote.address.socket_addr(), Some("10.77.0.2:4420".parse().unwrap()));
    assert_eq!(controllers[0].serial, "node-1-a");
}

#[test]
fn the_namespace_of_the_provider_carries_the_identity_of_the_replica() {
    let heads = nvme::namespaces(&owner()).unwrap();
    let head = heads.iter().find(|head| head.subsysnqn == SUBSYSTEM).unwrap();
    assert_eq!((head.uuid, head.nguid.is_some()), (Some(REMOTE), true));
    assert_eq!((head.size_bytes, head.paths.len()), (SECTORS * 512 + (1 << 20), 1));
    assert_eq!(heads.iter().filter(|head| head.transport == Some(Transport::Pcie)).count(), 2);
}

#[test]
fn the_provider_serves_one_partition_to_one_host() {
    let target = nvmet::observe(&Root::at(path("provider"))).unwrap();
    assert_eq!((target.hosts.as_slice(), target.subsystems.len()), (&[HOST.to_owned()][..], 1));
    let subsystem = target.subsystem(SUBSYSTEM).unwrap();
    assert_eq!(
        (subsystem.allow_any_host, subsystem.allowed_hosts.as_slice()),
        (false, &[HOST.to_owned()][..])
    );
    let namespace = subsystem.namespace(Nsid::FIRST).unwrap();
    assert_eq!((namespace.enabled, namespace.uuid), (true, Some(REMOTE)));
    let port = target.ports_of(SUBSYSTEM).next().unwrap();
    assert_eq!((port.id, port.traddr.as_str(), port.trtype.as_str()), (4420, "10.77.0.2", "tcp"));
}

#[test]
fn the_extracts_are_superblock_and_bitmap_of_the_local_copy() {
    let read =
        |name: &str| std::fs::read(path(&format!("owner/extracts/partitions/{LOCAL}/{name}"))).unwrap();
    let superblock = Superblock::parse(&read("superblock")).unwrap();
    assert_eq!((superblock.device_uuid, superblock.slot(), superblock.size), (LOCAL, Some(0), SECTORS));
    let array = sysfs::arrays(&owner()).unwrap().remove(0);
    let bitmap = BitmapHeader::parse(&read("bitmap")).unwrap();
    assert_eq!((Some(superblock.set_uuid), bitmap.chunk_sectors()), (array.uuid, 2048));
}

#[test]
fn the_mounts_of_the_machine_are_read() {
    let mounts = fs::mountinfo(&owner()).unwrap();
    let root = mounts.iter().find(|mount| mount.mount_point == Path::new("/")).unwrap();
    assert_eq!((root.fstype.as_str(), root.dev), ("ext4", DevNum { major: 254, minor: 0 }));
}
