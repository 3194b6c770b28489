//! Judged by `xfs_repair`, compared with mkfs.xfs sector by sector, geometry under random sizes.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use proptest::prelude::*;
use uuid::Uuid;

use super::geometry::{BLOCK, Extent, Geometry};
use super::{Stripe, XfsError, XfsOptions, XfsSuperblock, format};
use crate::fs::image::{Image, accepts};
use crate::fs::{Detected, detect};

mod mkfs;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const UUID: Uuid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);

fn options(sector_size: u32, stripe: Option<(u32, u32)>) -> XfsOptions {
    let stripe = stripe.map(|(unit_blocks, width_blocks)| Stripe { unit_blocks, width_blocks });
    XfsOptions {
        label: "vol-7".into(),
        sector_size,
        stripe,
        known_zero: true,
        ..XfsOptions::new(UUID, 1_790_000_000)
    }
}

/// Size in bytes, sector in bytes, stripe (unit, width) in blocks.
type Case = (u64, u32, Option<(u32, u32)>);

const CASES: [Case; 14] = [
    (300 * MIB, 512, None),
    (300 * MIB, 4096, Some((16, 32))),
    (301 * MIB + 512, 512, None),
    (512 * MIB, 4096, None),
    (GIB - 4096, 512, Some((128, 512))),
    (GIB, 512, None),
    (5 * GIB + 12345, 4096, None),
    (20 * GIB, 512, Some((256, 768))),
    (100 * GIB, 512, None),
    (600 * GIB, 4096, Some((1024, 2048))),
    (TIB, 512, None),
    (4 * TIB, 4096, None),
    (5 * TIB, 512, Some((16, 64))),
    (15 * TIB, 512, None),
];

#[test]
fn xfs_repair_finds_nothing_to_mend() {
    for (bytes, sector, stripe) in CASES {
        let image = Image::sparse(bytes);
        format(image.path(), &options(sector, stripe)).unwrap();
        accepts("xfs_repair", &["-n", "-f"], &image);
    }
}

#[test]
fn old_contents_do_no_harm() {
    let image = Image::sparse(320 * MIB);
    let file = OpenOptions::new().write(true).open(image.path()).unwrap();
    (0..320).for_each(|n| file.write_all_at(&vec![0xa5; 1 << 20], n * MIB).unwrap());
    format(image.path(), &XfsOptions { known_zero: false, ..options(512, None) }).unwrap();
    accepts("xfs_repair", &["-n", "-f"], &image);
}

#[test]
fn what_was_made_is_recognised() {
    let image = Image::sparse(GIB);
    format(image.path(), &options(512, None)).unwrap();
    let Detected::Xfs(found) = detect(image.path()).unwrap() else { panic!("not XFS") };
    assert_eq!((found.uuid, found.label.as_str(), found.in_progress), (UUID, "vol-7", false));
    assert_eq!((found.block_size, found.bytes(), found.ag_count), (4096, GIB, 4));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let small = Image::sparse(300 * MIB - 1);
    assert!(matches!(format(small.path(), &options(512, None)), Err(XfsError::TooSmall { .. })));
    let image = Image::sparse(300 * MIB);
    let refusal = |changed: XfsOptions| format(image.path(), &changed).unwrap_err();
    assert!(matches!(refusal(options(1024, None)), XfsError::Sector { asked: 1024, device: 512 }));
    assert!(matches!(refusal(options(512, Some((16, 24)))), XfsError::Stripe { .. }));
    assert!(matches!(refusal(options(512, Some((0, 0)))), XfsError::Stripe { .. }));
    assert!(matches!(refusal(options(512, Some((2048, 4096)))), XfsError::Stripe { .. }));
    let label = XfsOptions { label: "thirteen char".into(), ..options(512, None) };
    assert!(matches!(refusal(label), XfsError::Label { .. }));
    assert_eq!(detect(image.path()).unwrap(), Detected::None);
}

fn stripes() -> impl Strategy<Value = Option<Stripe>> {
    let some = (0u32..=10, 2u32..=16).prop_map(|(log, columns)| {
        let unit_blocks = 1 << log;
        Some(Stripe { unit_blocks, width_blocks: unit_blocks * columns })
    });
    prop_oneof![Just(None), some]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_size_has_a_sane_geometry(
        bytes in prop_oneof![300 * MIB..8 * GIB, 300 * MIB..16 * TIB, 16 * TIB..1024 * TIB],
        large: bool,
        stripe in stripes(),
    ) {
        let sector_size = if large { 4096 } else { 512 };
        let geometry = Geometry::new(bytes, &XfsOptions { sector_size, stripe, ..options(512, None) }).unwrap();
        prop_assert!(geometry.blocks * BLOCK <= bytes);
        prop_assert!(bytes - geometry.blocks * BLOCK < 64 * MIB + BLOCK);
        prop_assert!((2..=1025).contains(&geometry.ag_count));
        prop_assert!(1 << geometry.ag_log >= u64::from(geometry.ag_blocks));
        let lengths: u64 = (0..geometry.ag_count).map(|ag| u64::from(geometry.ag_length(ag))).sum();
        prop_assert_eq!(lengths, geometry.blocks);
        prop_assert!(geometry.log.start + geometry.log.length < geometry.ag_length(geometry.log_ag));
        prop_assert!(geometry.log.length >= 4096, "log of {} blocks", geometry.log.length);
        prop_assert!(u64::from(geometry.log.length) * BLOCK < 2 * GIB);
        for ag in 0..geometry.ag_count.min(40) {
            check_free(&geometry, ag)?;
        }
    }
}

/// Free extents are in order, apart from each other and inside the group; with what is used they fill it.
fn check_free(geometry: &Geometry, ag: u32) -> Result<(), TestCaseError> {
    let free = geometry.free(ag);
    let list = geometry.free_list(ag);
    prop_assert_eq!(list.len(), 4);
    prop_assert!(free.windows(2).all(|pair| pair[0].start + pair[0].length < pair[1].start));
    prop_assert!(
        free.iter().all(|extent| extent.length > 0 && extent.start + extent.length <= geometry.ag_length(ag))
    );
    let holds = |extent: &Extent, block: &u32| (extent.start..extent.start + extent.length).contains(block);
    prop_assert!(list.iter().all(|block| !free.iter().any(|extent| holds(extent, block))));
    let log = if ag == geometry.log_ag { geometry.log.length } else { 0 };
    let chunk = if ag == 0 { 8 } else { 0 };
    let used = geometry.fixed() + 4 + log + chunk;
    let total: u32 = free.iter().map(|extent| extent.length).sum();
    prop_assert_eq!(total + used, geometry.ag_length(ag));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_superblock_is_told(at in 4usize..512, bit in 0u8..8) {
        let plan = super::Plan::new(GIB, &options(512, None)).unwrap();
        let mut sector = super::superblock(&plan, super::Copy::Primary);
        prop_assert!(matches!(XfsSuperblock::parse(&sector), Ok(Some(_))));
        sector[at] ^= 1 << bit;
        prop_assert!(XfsSuperblock::parse(&sector).is_err());
    }
}
