use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::md::geometry;

const MIB: u64 = 2048;

fn array(present: &[(u32, u16)]) -> NewArray {
    NewArray {
        set_uuid: Uuid::from_u128(0x11),
        name: SetName::new("mdfabric:vol1").unwrap(),
        ctime: Timestamp::from_secs(1_700_000_000),
        raid_disks: 2,
        present: present.iter().map(|&(dev_number, slot)| Seat { dev_number, slot }).collect(),
        component_size: None,
    }
}

fn device(dev_number: u32, device_sectors: u64) -> NewMember {
    let device_uuid = Uuid::from_u128(0x100 + u128::from(dev_number));
    NewMember { dev_number, device_uuid, write_mostly: false, device_sectors }
}

fn good() -> Superblock {
    let mut good = Superblock::create(&array(&[(0, 0)]), &device(0, 64 * MIB)).unwrap();
    good.events = 41;
    good
}

#[test]
fn a_new_member_reads_as_it_was_made() {
    let superblock = Superblock::create(&array(&[(0, 0), (1, 1)]), &device(1, 64 * MIB)).unwrap();
    assert_eq!(superblock.encode().len(), 4096);
    assert_eq!(Superblock::parse(&superblock.encode()).unwrap(), superblock);
    assert_eq!((superblock.slot(), superblock.size), (Some(1), 63 * MIB));
    assert_eq!(superblock.role_of(0), Role::Active(0));
    assert!(superblock.is_clean());
}

#[test]
fn the_bytes_lie_where_the_kernel_looks() {
    let bytes = good().encode();
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!((u32_at(0), u32_at(4), u32_at(8), u32_at(12)), (0xa92b_4efc, 1, 1, 0));
    assert_eq!(&bytes[16..32], Uuid::from_u128(0x11).as_bytes());
    assert_eq!(&bytes[32..46], b"mdfabric:vol1\0");
    assert_eq!((u64_at(64), u32_at(72), u32_at(76), u64_at(80)), (1_700_000_000, 1, 0, 63 * MIB));
    assert_eq!((u32_at(88), u32_at(92), u32_at(96)), (0, 2, 8));
    assert_eq!((u64_at(128), u64_at(136), u64_at(144), u64_at(152)), (2048, 63 * MIB, 8, 0));
    assert_eq!((u32_at(160), &bytes[168..184]), (0, Uuid::from_u128(0x100).as_bytes().as_slice()));
    assert_eq!(u64_at(184), 0, "devflags and bad-block log");
    assert_eq!((u64_at(192), u64_at(200), u64_at(208), u32_at(220)), (1_700_000_000, 41, u64::MAX, 128));
    assert_eq!((u32_at(256), &bytes[224..256]), (0xffff_0000, [0; 32].as_slice()));
}

#[test]
fn the_checksum_is_the_kernels() {
    // Written by the code that Linux 6.12 and mdadm accepted.
    let bytes = include_bytes!("../../../tests/fixtures/md/superblock.bin");
    let superblock = Superblock::parse(bytes).unwrap();
    assert_eq!(superblock.name.to_string(), "any:ours");
    assert_eq!((superblock.raid_disks, superblock.slot(), superblock.events), (2, Some(0), 7));
    assert_eq!(superblock.encode(), bytes);
}

#[test]
fn every_broken_rule_has_its_own_answer() {
    let intact = good().encode();
    let broken = |at: usize, value: &[u8]| {
        let mut bytes = intact.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        Superblock::parse(&bytes).unwrap_err()
    };
    assert_eq!(broken(0, &[0; 4]), SuperblockError::Magic { found: 0 });
    assert_eq!(broken(4, &[9]), SuperblockError::Version { found: 9 });
    assert_eq!(broken(220, &[0xff; 4]), SuperblockError::MaxDev { found: u32::MAX });
    assert_eq!(broken(220, &1921u32.to_le_bytes()), SuperblockError::MaxDev { found: 1921 });
    assert!(matches!(broken(80, &[0xee]), SuperblockError::Checksum { .. }));
    assert_eq!(Superblock::parse(&intact[..255]), Err(SuperblockError::TooShort { have: 255 }));
    assert_eq!(Superblock::parse(&intact[..511]), Err(SuperblockError::TooShort { have: 511 }));
    assert_eq!(Superblock::parse(&[]), Err(SuperblockError::TooShort { have: 0 }));
}

#[test]
fn what_a_newer_kernel_wrote_is_refused_with_a_good_checksum() {
    // Adding one word to another, and clearing the first, keeps the sum.
    let moved = |from: usize, to: usize| {
        let mut bytes = good().encode();
        let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let sum = word(&bytes, from) + word(&bytes, to);
        bytes[from..from + 4].fill(0);
        bytes[to..to + 4].copy_from_slice(&sum.to_le_bytes());
        Superblock::parse(&bytes).unwrap_err()
    };
    assert_eq!(moved(92, 12), SuperblockError::Padding);
    assert_eq!(moved(92, 252), SuperblockError::Padding);
    assert_eq!(moved(136, 8), SuperblockError::Features { unknown: (63 * 2048 + 1) & !0x1fff });
    assert_eq!(moved(144, 152), SuperblockError::SuperOffset { found: 0 });
    assert_eq!(moved(136, 152), SuperblockError::DataSize { found: 0 });
}

#[test]
fn a_joining_member_cannot_be_taken_for_an_old_one() {
    let mut good = good();
    good.feature_map = FeatureMap(1 | 2 | 8 | 16 | 128);
    good.corrected_reads = 3;
    good.bad_block_log = BadBlockLog { shift: 0, size: 8, offset: 16 };
    let member = NewMember { write_mostly: true, ..device(2, 80 * MIB) };
    let joining = good.joining(&member).unwrap();
    assert_eq!((joining.events, joining.feature_map), (0, FeatureMap(1)));
    assert_eq!((joining.role(), joining.slot(), joining.recovery_offset), (Role::Spare, None, 0));
    assert_eq!((joining.dev_number, joining.device_uuid), (2, member.device_uuid));
    assert_eq!((joining.size, joining.data_size), (good.size, 79 * MIB));
    assert_eq!((joining.devflags, joining.corrected_reads), (DevFlags::WRITE_MOSTLY, 0));
    assert_eq!(joining.bad_block_log, BadBlockLog::default());
    assert_eq!((joining.set_uuid, joining.role_of(0)), (good.set_uuid, Role::Active(0)));
}

#[test]
fn a_member_joins_under_a_number_that_was_its_own() {
    let mut good = good();
    good.roles[1] = Role::Active(1);
    let joining = good.joining(&device(1, 64 * MIB)).unwrap();
    assert_eq!((joining.events, joining.role(), joining.role_of(0)), (0, Role::Spare, Role::Active(0)));
    let thin = good.thin(&device(1, 64 * MIB), 1).unwrap();
    assert_eq!((thin.dev_number, thin.slot()), (1, Some(1)));
}

#[test]
fn a_thin_member_holds_the_slot_and_the_events_of_the_good_one() {
    let mut good = good();
    good.roles[1] = Role::Active(1);
    let thin = good.thin(&device(130, 64 * MIB), 1).unwrap();
    assert_eq!((thin.slot(), thin.events, thin.roles.len()), (Some(1), 41, 131));
    assert_eq!(thin.role_of(1), Role::Spare, "the slot's former member");
    assert_eq!(Superblock::parse(&thin.encode()).unwrap(), thin);
}

#[test]
fn what_cannot_be_is_refused() {
    let create = |present: &[(u32, u16)], number, sectors| {
        Superblock::create(&array(present), &device(number, sectors)).unwrap_err()
    };
    let too_small = LayoutError::TooSmall { device: 2100, component: 0, data_offset: 2048 };
    assert_eq!(create(&[(0, 0)], 0, 2100), too_small);
    assert_eq!(create(&[(0, 2)], 0, 64 * MIB), LayoutError::Slot { slot: 2, raid_disks: 2 });
    assert_eq!(create(&[(0, 0), (1, 0)], 0, 64 * MIB), LayoutError::SlotTwice { slot: 0 });
    assert_eq!(create(&[(0, 0), (0, 1)], 0, 64 * MIB), LayoutError::DevNumberTaken { dev_number: 0 });
    assert_eq!(create(&[(0, 0)], 1, 64 * MIB), LayoutError::NotPresent { dev_number: 1 });
    assert_eq!(create(&[(1920, 0)], 1920, 64 * MIB), LayoutError::DevNumber { dev_number: 1920 });
    let none = NewArray { raid_disks: 0, ..array(&[]) };
    assert_eq!(Superblock::create(&none, &device(0, 64 * MIB)), Err(LayoutError::NoSlots));
    let good = good();
    assert_eq!(good.joining(&device(0, 64 * MIB)), Err(LayoutError::DevNumberTaken { dev_number: 0 }));
    assert!(matches!(good.joining(&device(1, 63 * MIB)), Err(LayoutError::TooSmall { .. })));
    assert_eq!(
        good.joining(&device(u32::MAX, 64 * MIB)),
        Err(LayoutError::DevNumber { dev_number: u32::MAX })
    );
    assert_eq!(good.thin(&device(1, 64 * MIB), 0), Err(LayoutError::SlotTaken { slot: 0 }));
    assert_eq!(good.thin(&device(1, 64 * MIB), 2), Err(LayoutError::Slot { slot: 2, raid_disks: 2 }));
}

#[test]
fn a_forced_component_size_must_fit() {
    let forced = |size| NewArray { component_size: Some(size), ..array(&[(0, 0)]) };
    let superblock = Superblock::create(&forced(10 * MIB), &device(0, 64 * MIB)).unwrap();
    assert_eq!((superblock.size, superblock.data_size), (10 * MIB, 63 * MIB));
    assert!(Superblock::create(&forced(64 * MIB), &device(0, 64 * MIB)).is_err());
    assert!(Superblock::create(&forced(0), &device(0, 64 * MIB)).is_err());
}

#[test]
fn free_numbers_skip_roles_and_bound_spares() {
    let mut good = good();
    good.roles[1] = Role::Active(1);
    good.roles[2] = Role::Faulty;
    assert_eq!(good.free_dev_number(&[3]), Some(4));
    let all: Vec<u32> = (0..1920).collect();
    assert_eq!(good.free_dev_number(&all), None);
}

#[test]
fn names_are_at_most_32_bytes() {
    assert_eq!(SetName::new(&"x".repeat(32)).unwrap().to_string(), "x".repeat(32));
    assert!(SetName::new(&"x".repeat(33)).is_err());
    assert!(SetName::new("a\0b").is_err());
    assert_eq!(Timestamp::from_secs(u64::MAX).secs(), (1 << 40) - 1);
}

fn any_superblock() -> impl Strategy<Value = Superblock> {
    let array =
        (any::<[u8; 16]>(), any::<[u8; 32]>(), any::<[u64; 3]>(), any::<[u32; 4]>(), any::<[i32; 2]>());
    let reshape = (any::<u64>(), any::<[i32; 3]>(), any::<[u32; 2]>());
    let member =
        (any::<[u8; 16]>(), any::<[u64; 5]>(), any::<[u32; 2]>(), any::<[u8; 2]>(), any::<(u16, i32)>());
    let roles = prop::collection::vec(any::<u16>().prop_map(Role::from), 0..=MAX_ROLES);
    (array, reshape, member, 10u64.., roles).prop_map(|(array, reshape, member, data_size, roles)| {
        let (
            set_uuid,
            name,
            [ctime, size, data_offset],
            [features, layout, chunk, raid_disks],
            [level, offset],
        ) = array;
        let (position, [new_level, delta_disks, new_offset], [new_layout, new_chunk]) = reshape;
        let (device_uuid, [recovery_offset, utime, events, resync_offset, _], numbers, [flags, shift], log) =
            member;
        Superblock {
            feature_map: FeatureMap(features & FeatureMap::KNOWN.0),
            set_uuid: Uuid::from_bytes(set_uuid),
            name: SetName::from_wire(name),
            ctime: Timestamp::from_wire(ctime),
            level,
            layout,
            size,
            chunk,
            raid_disks,
            bitmap_offset: offset,
            reshape: Reshape { new_level, position, delta_disks, new_layout, new_chunk, new_offset },
            data_offset,
            data_size,
            recovery_offset,
            dev_number: numbers[0],
            corrected_reads: numbers[1],
            device_uuid: Uuid::from_bytes(device_uuid),
            devflags: DevFlags(flags),
            bad_block_log: BadBlockLog { shift, size: log.0, offset: log.1 },
            utime: Timestamp::from_wire(utime),
            events,
            resync_offset,
            roles,
        }
    })
}

proptest! {
    #[test]
    fn any_superblock_survives_the_disk(superblock in any_superblock()) {
        prop_assert_eq!(Superblock::parse(&superblock.encode()), Ok(superblock));
    }

    #[test]
    fn one_changed_byte_is_noticed(superblock in any_superblock(), at in 0usize..256, flip in 1u8..) {
        let mut bytes = superblock.encode();
        bytes[at] ^= flip;
        prop_assert!(Superblock::parse(&bytes).is_err());
    }

    #[test]
    fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..4200), with_magic: bool) {
        if with_magic && bytes.len() > 224 {
            bytes[..8].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]);
            bytes[222..224].fill(0);
        }
        let _ = Superblock::parse(&bytes);
    }

    #[test]
    fn any_good_superblock_can_be_asked_for_members(
        good in any_superblock(),
        number: u32,
        sectors: u64,
        slot: u16,
    ) {
        let member = device(number, sectors);
        for made in [good.joining(&member), good.thin(&member, slot)].into_iter().flatten() {
            prop_assert!(made.data_size >= made.size && made.roles.len() <= MAX_ROLES);
        }
        let _ = good.free_dev_number(&[number]);
        let _ = geometry::component_size(sectors);
        let _ = geometry::device_size(sectors);
    }
}
