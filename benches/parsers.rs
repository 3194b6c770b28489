//! What it costs to read what others wrote: superblock, bitmap, mdstat, partition table, mounts, uevents.
#![allow(clippy::expect_used, reason = "a benchmark that cannot go on shall stop")]

use std::fmt::Write as _;
use std::fs::File;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use kernel_abi::block::gpt::{self, Geometry, Table};
use kernel_abi::fs::parse_mountinfo;
use kernel_abi::md::bitmap::Bitmap;
use kernel_abi::md::mdstat;
use kernel_abi::md::superblock::Superblock;
use kernel_abi::uevent::Uevent;
use uuid::Uuid;

const SUPERBLOCK: &[u8] = include_bytes!("../kernel-abi/tests/fixtures/md/superblock.bin");
const MDSTAT: &str = include_str!("../kernel-abi/tests/fixtures/md/mdstat");
const UEVENT: &[u8] = b"change@/devices/virtual/block/dm-3\0ACTION=change\0DEVPATH=/devices/virtual/block/dm-3\0\
SUBSYSTEM=block\0DM_TARGET=multipath\0DM_ACTION=PATH_FAILED\0DM_SEQNUM=4\0DM_PATH=259:7\0DM_NR_VALID_PATHS=0\0\
DM_NAME=mdfabric-leg-9baf33e8ac89509ca83ede7e7738bfa3\0\
DM_UUID=mdfabric-leg-9baf33e8-ac89-509c-a83e-de7e7738bfa3:1\0MAJOR=253\0MINOR=3\0DEVNAME=dm-3\0DEVTYPE=disk\0\
DISKSEQ=71\0SEQNUM=4242\0";

const MIB: u64 = 1 << 20;
/// Component of 1 TiB in 512-byte sectors: a bitmap of 2^20 bits.
const TEBIBYTE_SECTORS: u64 = 1 << 31;
const DISK_BYTES: u64 = 64 * MIB;
const PARTITIONS: u128 = 40;
const MOUNTS: usize = 200;

/// A bitmap with every 64th chunk dirty.
fn bitmap() -> Vec<u8> {
    let mut bitmap = Bitmap::clean(Uuid::from_u128(1), TEBIBYTE_SECTORS, 7).expect("a bitmap of this size");
    for chunk in (0..bitmap.header.chunks()).step_by(64) {
        bitmap.mark(chunk);
    }
    bitmap.encode()
}

/// A disk with a table of ours.
fn disk(geometry: Geometry) -> Vec<u8> {
    let mut table = Table::create(Uuid::from_u128(1), geometry);
    for number in 2..2 + PARTITIONS {
        let name = "volume".parse().expect("a name");
        table.add(Uuid::from_u128(number), gpt::REPLICA_TYPE, name, MIB).expect("room for a partition");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(DISK_BYTES).expect("room for a file");
    let disk: &File = file.as_file();
    gpt::write(disk, &table, "disk").expect("a table is written");
    std::fs::read(file.path()).expect("the disk is read")
}

fn mounts() -> String {
    (0..MOUNTS).fold(String::new(), |mut text, number| {
        let line = writeln!(
            text,
            "{number} 25 9:{number} / /srv/vol\\040{number} rw,noatime shared:{number} - xfs /dev/md_{number} rw,attr2"
        );
        line.expect("text grows");
        text
    })
}

fn bench(criterion: &mut Criterion, name: &str, bytes: usize, mut parse: impl FnMut() -> bool) {
    assert!(parse(), "{name} is refused");
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(name, |bencher| bencher.iter(|| black_box(parse())));
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let (bitmap, mounts) = (bitmap(), mounts());
    let geometry = Geometry::new(512, DISK_BYTES).expect("a disk");
    let disk = disk(geometry);
    // Both copies: a header of one sector and 32 of entries.
    let tables = 2 * 33 * 512;
    bench(&mut criterion, "superblock", SUPERBLOCK.len(), || {
        Superblock::parse(black_box(SUPERBLOCK)).is_ok()
    });
    bench(&mut criterion, "bitmap_1tib", bitmap.len(), || {
        Bitmap::parse(black_box(&bitmap)).is_ok_and(|bitmap| bitmap.dirty_chunks().count() > 0)
    });
    bench(&mut criterion, "mdstat", MDSTAT.len(), || mdstat::parse(black_box(MDSTAT)).is_ok());
    bench(&mut criterion, "gpt_40_partitions", tables, || {
        gpt::read(black_box(disk.as_slice()), geometry, "disk").is_ok()
    });
    bench(&mut criterion, "mountinfo_200", mounts.len(), || parse_mountinfo(black_box(&mounts)).is_ok());
    bench(&mut criterion, "uevent", UEVENT.len(), || Uevent::parse(black_box(UEVENT)).is_ok());
    criterion.final_summary();
}
