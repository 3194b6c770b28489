//! Judged by e2fsck and compared with mke2fs.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use uuid::Uuid;

use super::shim::Failure;
use super::{Ext4Error, Ext4Options, Ext4Superblock, explain, format};
use crate::fs::image::{Image, accepts, judge};
use crate::fs::{Detected, detect};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn options() -> Ext4Options {
    let mut options = Ext4Options::new(Uuid::from_u128(0x1234), Uuid::from_u128(0x5678), 1_790_000_000);
    options.label = "vol-7".into();
    options
}

#[test]
fn e2fsck_finds_nothing_to_mend() {
    for bytes in [16 * MIB, 100 * MIB + 4096, 128 * MIB, GIB + 512, 17 * GIB, 2048 * GIB] {
        let image = Image::sparse(bytes);
        format(image.path(), &Ext4Options { lazy: true, known_zero: true, ..options() }).unwrap();
        accepts("e2fsck", &["-fn"], &image);
    }
}

#[test]
fn every_way_to_fill_the_tables_is_sound_on_old_contents() {
    for (lazy, csum_seed) in [(false, false), (true, true)] {
        let image = Image::sparse(64 * MIB);
        let file = OpenOptions::new().write(true).open(image.path()).unwrap();
        (0..64).for_each(|n| file.write_all_at(&vec![0xa5; 1 << 20], n * MIB).unwrap());
        format(image.path(), &Ext4Options { lazy, csum_seed, ..options() }).unwrap();
        accepts("e2fsck", &["-fn"], &image);
    }
}

#[test]
fn what_was_made_is_recognised() {
    let image = Image::sparse(300 * MIB);
    format(image.path(), &options()).unwrap();
    let Detected::Ext4(found) = detect(image.path()).unwrap() else { panic!("not ext4") };
    assert_eq!((found.uuid, found.label.as_str()), (Uuid::from_u128(0x1234), "vol-7"));
    assert_eq!((found.block_size, found.blocks, found.bytes()), (4096, 76800, 300 * MIB));
    assert!(found.state.clean && !found.state.errors && !found.state.needs_recovery);
}

#[test]
fn the_features_are_those_of_mke2fs() {
    let (ours, theirs) = (Image::sparse(GIB), Image::sparse(GIB));
    format(ours.path(), &options()).unwrap();
    let path = theirs.path().to_str().unwrap();
    if judge("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "4096", path]).is_none() {
        return;
    }
    let facts = |image: &Image| -> Vec<String> {
        let said = accepts("dumpe2fs", &["-h"], image).unwrap();
        let same = [
            "features", "Inode", "Block", "inode", "Journal", "Reserved", "Free", "Flex", "Default",
            "Checksum",
        ];
        said.lines()
            .filter(|line| same.iter().any(|word| line.contains(word)))
            .filter(|line| {
                !["Journal checksum", "Inode size", "Checksum:"].iter().any(|word| line.starts_with(word))
            })
            .map(|line| line.replace("metadata_csum_seed ", "").replace("orphan_file ", ""))
            .filter(|line| !line.contains("hecksum seed"))
            .collect()
    };
    assert_eq!(facts(&ours), facts(&theirs));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let image = Image::sparse(16 * MIB - 1);
    assert!(matches!(format(image.path(), &options()), Err(Ext4Error::TooSmall { .. })));
    let image = Image::sparse(16 * MIB);
    let refused =
        |changed: Ext4Options| matches!(format(image.path(), &changed), Err(Ext4Error::Option { .. }));
    assert!(refused(Ext4Options { label: "seventeen letters".into(), ..options() }));
    assert!(refused(Ext4Options { label: "nul\0".into(), ..options() }));
    assert!(refused(Ext4Options { bytes_per_inode: 0, ..options() }));
    assert!(refused(Ext4Options { reserved_percent: 51, ..options() }));
    assert_eq!(detect(image.path()).unwrap(), Detected::None);
}

#[test]
fn a_failure_is_an_errno_or_the_librarys_own_code() {
    let failure = |code| {
        let (step, message) = ("ext2fs_allocate_tables".to_owned(), "No free space".to_owned());
        explain("/dev/x".as_ref(), Failure { step, code, message })
    };
    assert!(matches!(failure(28), Ext4Error::Call(call) if call.is(nix::errno::Errno::ENOSPC)));
    assert_eq!(failure(2_133_571_360).to_string(), "ext2fs_allocate_tables on /dev/x: No free space");
    assert!(matches!(format("/nonexistent".as_ref(), &options()), Err(Ext4Error::Call(_))));
}

#[test]
fn threads_take_turns() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let image = Image::sparse(64 * MIB);
                format(image.path(), &options()).unwrap();
                accepts("e2fsck", &["-fn"], &image);
            });
        }
    });
}

proptest! {
    #[test]
    fn a_damaged_superblock_is_told(at in 0usize..1020, bit in 0u8..8) {
        let image = Image::sparse(16 * MIB);
        format(image.path(), &Ext4Options { known_zero: true, ..options() }).unwrap();
        let mut start = std::fs::read(image.path()).unwrap();
        start[1024 + at] ^= 1 << bit;
        prop_assert!(!matches!(Ext4Superblock::parse(&start), Ok(Some(_))) || at == 0x64 + 1 || (0x60..0x64).contains(&at));
    }
}
