//! Round trips, hostile bytes, power cuts at every write, and what `gptman`, `sfdisk` and `sgdisk` say.

use std::cell::RefCell;
use std::io;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::block::{ReadAt, WriteAt};

const MIB: u64 = 1 << 20;
const DISK: Uuid = uuid!("11111111-2222-4333-8444-555555555555");
const FOREIGN_TYPE: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");

/// A disk in memory that may stop taking writes, tearing the one it stops at.
struct Disk {
    bytes: RefCell<Vec<u8>>,
    /// Bytes that still reach the medium before the power goes.
    power: RefCell<usize>,
    log: RefCell<Vec<&'static str>>,
}

impl Disk {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: RefCell::new(bytes), power: RefCell::new(usize::MAX), log: RefCell::default() }
    }

    fn blank(mib: u64) -> Self {
        Self::new(vec![0; usize::try_from(mib * MIB).unwrap()])
    }
}

impl ReadAt for Disk {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.bytes.borrow().as_slice().read_exact_at(buffer, offset)
    }
}

impl WriteAt for Disk {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.log.borrow_mut().push(if offset == 0 { "front" } else { "array" });
        let mut power = self.power.borrow_mut();
        let lasting = bytes.len().min(*power);
        *power -= lasting;
        let start = usize::try_from(offset).unwrap();
        self.bytes.borrow_mut()[start..start + lasting].copy_from_slice(&bytes[..lasting]);
        if lasting == bytes.len() { Ok(()) } else { Err(io::Error::from_raw_os_error(5)) }
    }

    fn sync(&self) -> io::Result<()> {
        self.log.borrow_mut().push("sync");
        if *self.power.borrow() == 0 { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

fn geometry(sector: u32, mib: u64) -> Geometry {
    Geometry::new(sector, mib * MIB).unwrap()
}

fn guid(n: u128) -> Uuid {
    Uuid::from_u128(0x1000 + n)
}

fn add(table: &mut Table, n: u128, bytes: u64) -> Result<Change<Placement>, EditError> {
    table.add(guid(n), REPLICA_TYPE, format!("r{n}").parse().unwrap(), bytes)
}

fn three_partitions(sector: u32, mib: u64) -> Table {
    let mut table = Table::create(DISK, geometry(sector, mib));
    for n in 1..=3 {
        add(&mut table, n, 2 * MIB).unwrap();
    }
    table
}

fn state(disk: &Disk, geometry: Geometry) -> GptState {
    read(disk, geometry, "disk").unwrap()
}

#[test]
fn what_is_written_is_read_on_both_sector_sizes() {
    for sector in [512, 4096] {
        let disk = Disk::blank(16);
        assert_eq!(state(&disk, geometry(sector, 16)), GptState::Absent);
        let table = three_partitions(sector, 16);
        write(&disk, &table, "disk").unwrap();
        assert_eq!(state(&disk, geometry(sector, 16)), GptState::Healthy(table));
        assert_eq!(*disk.log.borrow(), ["array", "sync", "array", "front", "sync"]);
    }
}

#[test]
fn removing_keeps_the_other_numbers_and_frees_the_place_for_the_next() {
    let mut table = three_partitions(512, 16);
    assert_eq!(table.remove(guid(2)).map(|partition| partition.number), Some(2));
    assert_eq!(table.remove(guid(2)), None);
    assert_eq!(table.partitions().iter().map(|partition| partition.number).collect::<Vec<_>>(), [1, 3]);
    let placed = add(&mut table, 4, 2 * MIB).unwrap();
    assert_eq!(placed, Change::Made(Placement { number: 2, start_bytes: 3 * MIB, length_bytes: 2 * MIB }));
}

#[test]
fn adding_the_same_again_is_already_so_and_another_size_is_refused() {
    let mut table = three_partitions(512, 16);
    let before = table.clone();
    assert!(matches!(add(&mut table, 1, 2 * MIB), Ok(Change::AlreadySo(_))));
    assert_eq!(add(&mut table, 1, 3 * MIB), Err(EditError::GuidTaken { number: 1, bytes: 2 * MIB }));
    assert!(matches!(add(&mut table, 9, 100 * MIB), Err(EditError::NoSpace { .. })));
    assert_eq!(
        add(&mut table, 9, u64::MAX).unwrap_err(),
        EditError::NoSpace { wanted_bytes: u64::MAX, largest_bytes: table.free_extents()[0].bytes }
    );
    assert_eq!(table, before);
}

#[test]
fn growing_stays_in_place_and_stops_at_the_neighbour() {
    let mut table = three_partitions(4096, 16);
    let refused = table.grow(guid(1), 3 * MIB);
    let most = EditError::NoRoomToGrow { number: 1, wanted_bytes: 3 * MIB, most_bytes: 2 * MIB };
    assert_eq!(refused, Err(most));
    let grown = table.grow(guid(3), 4 * MIB).unwrap().into_inner();
    assert_eq!(grown, Placement { number: 3, start_bytes: 5 * MIB, length_bytes: 4 * MIB });
    assert!(matches!(table.grow(guid(3), MIB), Ok(Change::AlreadySo(_))));
    assert_eq!(table.grow(guid(7), MIB), Err(EditError::NoSuchPartition { guid: guid(7) }));
}

#[test]
fn a_power_cut_anywhere_leaves_the_old_table_or_the_new_one() {
    for sector in [512, 4096] {
        let geometry = geometry(sector, 16);
        let old = three_partitions(sector, 16);
        let mut new = old.clone();
        new.remove(guid(2));
        add(&mut new, 4, 5 * MIB).unwrap();
        let before = Disk::blank(16);
        write(&before, &old, "disk").unwrap();
        for power in (0..48 * 1024).step_by(512) {
            let disk = Disk::new(before.bytes.borrow().clone());
            *disk.power.borrow_mut() = power;
            let finished = write(&disk, &new, "disk").is_ok();
            match state(&disk, geometry) {
                GptState::Healthy(table) | GptState::Repairable { table, .. } => {
                    assert!(if finished { table == new } else { table == old || table == new }, "{power}");
                    *disk.power.borrow_mut() = usize::MAX;
                    write(&disk, &table, "disk").unwrap();
                    assert_eq!(state(&disk, geometry), GptState::Healthy(table));
                }
                other => panic!("{power}: {other:?}"),
            }
        }
    }
}

#[test]
fn one_bad_copy_is_repairable_and_says_why() {
    let geometry = geometry(512, 16);
    let table = three_partitions(512, 16);
    let disk = Disk::blank(16);
    write(&disk, &table, "disk").unwrap();
    let good = disk.bytes.borrow().clone();
    let last = good.len() - 512;
    let cases = [
        (512, Part::Primary, Defect::Missing),
        (512 + 56, Part::Primary, Defect::HeaderChecksum),
        (1024 + 40, Part::Primary, Defect::EntriesChecksum),
        (last, Part::Backup, Defect::Missing),
        (last + 40, Part::Backup, Defect::HeaderChecksum),
        (last - 128, Part::Backup, Defect::EntriesChecksum),
        (450, Part::ProtectiveMbr, Defect::Missing),
    ];
    for (at, part, defect) in cases {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        if part == Part::ProtectiveMbr {
            bytes[446..512].fill(0);
        }
        let expected = GptState::Repairable { table: table.clone(), damage: vec![Damage { part, defect }] };
        assert_eq!(state(&Disk::new(bytes), geometry), expected, "byte {at}");
    }
}

#[test]
fn two_bad_copies_are_corrupt_and_never_absent() {
    let disk = Disk::blank(16);
    write(&disk, &three_partitions(512, 16), "disk").unwrap();
    let last = disk.bytes.borrow().len() - 512;
    disk.bytes.borrow_mut()[512 + 20] = 1;
    disk.bytes.borrow_mut()[last..].fill(0);
    let found = state(&disk, geometry(512, 16));
    assert_eq!(found, GptState::Corrupt { primary: Defect::HeaderChecksum, backup: Defect::Missing });
}

#[test]
fn a_grown_disk_is_repairable_and_its_new_space_usable() {
    let disk = Disk::blank(16);
    write(&disk, &three_partitions(512, 16), "disk").unwrap();
    disk.bytes.borrow_mut().resize(usize::try_from(32 * MIB).unwrap(), 0);
    let lba = 16 * MIB / 512 - 1;
    let GptState::Repairable { mut table, damage } = state(&disk, geometry(512, 32)) else {
        panic!("not repairable")
    };
    assert_eq!(damage, [Damage { part: Part::Backup, defect: Defect::NotAtEnd { lba } }]);
    add(&mut table, 4, 20 * MIB).unwrap();
    write(&disk, &table, "disk").unwrap();
    assert_eq!(state(&disk, geometry(512, 32)), GptState::Healthy(table));
}

#[test]
fn a_shrunken_disk_is_corrupt() {
    let disk = Disk::blank(16);
    write(&disk, &three_partitions(512, 16), "disk").unwrap();
    assert!(matches!(state(&disk, geometry(512, 8)), GptState::Corrupt { .. }));
}

#[test]
fn an_mbr_with_partitions_wins_over_gpt_remains() {
    let disk = Disk::blank(16);
    let mut entry = [0; 16];
    entry[4] = 0x83;
    entry[8] = 63;
    entry[12] = 200;
    disk.bytes.borrow_mut()[446..462].copy_from_slice(&entry);
    disk.bytes.borrow_mut()[510..512].copy_from_slice(&[0x55, 0xaa]);
    let only = GptState::OnlyMbr { partitions: 1, gpt_remains: false };
    assert_eq!(state(&disk, geometry(512, 16)), only);
}

#[test]
fn boot_code_survives_a_write() {
    let disk = Disk::blank(16);
    disk.bytes.borrow_mut()[..440].fill(0x90);
    write(&disk, &three_partitions(512, 16), "disk").unwrap();
    assert_eq!(disk.bytes.borrow()[..440], [0x90; 440]);
}

#[test]
fn foreign_names_and_attributes_survive() {
    let mut table = three_partitions(512, 16);
    table.partitions[0].attributes = 0x8000_0000_0000_0005;
    table.partitions[0].name = PartitionName::from_le_bytes(&[0xd8; 72]);
    table.partitions[0].type_guid = FOREIGN_TYPE;
    let disk = Disk::blank(16);
    write(&disk, &table, "disk").unwrap();
    assert_eq!(state(&disk, geometry(512, 16)), GptState::Healthy(table));
}

#[test]
fn names_are_thirty_six_units() {
    assert_eq!("x".repeat(36).parse::<PartitionName>().unwrap().to_string(), "x".repeat(36));
    assert!("x".repeat(37).parse::<PartitionName>().is_err());
    assert_eq!("größe".parse::<PartitionName>().unwrap().to_string(), "größe");
}

#[test]
fn too_small_a_disk_has_no_geometry() {
    assert!(Geometry::new(512, 10 * 512).is_err());
    assert!(Geometry::new(520, MIB).is_err());
}

#[test]
fn gptman_reads_what_we_write_and_we_read_what_it_writes() {
    for sector in [512u32, 4096] {
        let disk = Disk::blank(16);
        let table = three_partitions(sector, 16);
        write(&disk, &table, "disk").unwrap();
        let mut bytes = io::Cursor::new(disk.bytes.borrow().clone());
        let mut theirs = gptman::GPT::read_from(&mut bytes, u64::from(sector)).unwrap();
        let ours: Vec<_> = table.partitions().iter().map(|p| (p.number, p.first_lba, p.last_lba)).collect();
        let seen = theirs.iter().filter(|(_, p)| p.is_used());
        assert_eq!(seen.map(|(n, p)| (n, p.starting_lba, p.ending_lba)).collect::<Vec<_>>(), ours);
        theirs.remove(2).unwrap();
        theirs.write_into(&mut bytes).unwrap();
        let GptState::Healthy(back) = state(&Disk::new(bytes.into_inner()), geometry(sector, 16)) else {
            panic!()
        };
        assert_eq!(back.partitions().len(), 2);
        assert_eq!(back.partition(guid(3)), table.partition(guid(3)));
    }
}

/// Runs a judge where it is installed; `None` and a line where it is not.
fn judged(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())),
        Err(error) => {
            println!("skipped: {program}: {error}");
            None
        }
    }
}

#[test]
fn sgdisk_and_sfdisk_find_no_fault() {
    let path = std::env::temp_dir().join(format!("kernel-abi-gpt-{}", std::process::id()));
    let file =
        std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.set_len(64 * MIB).unwrap();
    write(&file, &three_partitions(512, 64), path.display()).unwrap();
    let name = path.to_str().unwrap();
    if let Some((ok, text)) = judged("sgdisk", &["-v", name]) {
        assert!(ok && text.contains("No problems found"), "{text}");
    }
    if let Some((ok, text)) = judged("sfdisk", &["-V", name]) {
        assert!(ok && text.contains("No errors detected"), "{text}");
    }
    if let Some((ok, text)) = judged("sfdisk", &["--json", name]) {
        assert!(ok && text.contains(&guid(3).to_string().to_uppercase()), "{text}");
    }
    std::fs::remove_file(&path).unwrap();
}

/// A header and array with right checksums around arbitrary fields: what a hostile disk can present.
fn sealed(fields: [u64; 5], count: u32, entry_bytes: u32, entries: &[u8]) -> Vec<u8> {
    let mut disk = vec![0; 128 * 1024];
    disk[1024..1024 + entries.len()].copy_from_slice(entries);
    let header = codec::Header {
        my_lba: fields[0],
        alternate_lba: fields[1],
        first_usable_lba: fields[2],
        last_usable_lba: fields[3],
        disk_guid: DISK,
        entries_lba: fields[4],
        entry_count: count,
        entries_checksum: codec::entries_checksum(&disk[1024..], count.min(900)),
    };
    let mut sector = header.encode(geometry(512, 1));
    sector[84..88].copy_from_slice(&entry_bytes.to_le_bytes());
    sector[16..20].fill(0);
    let checksum = crc32fast::hash(&sector[..92]);
    sector[16..20].copy_from_slice(&checksum.to_le_bytes());
    disk[512..1024].copy_from_slice(&sector);
    disk
}

fn any_lba() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, any::<u64>(), Just(u64::MAX)]
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 34816..40000), big in any::<bool>()) {
        let sector = if big { 4096 } else { 512 };
        if let Ok(geometry) = Geometry::new(sector, bytes.len() as u64) {
            read(bytes.as_slice(), geometry, "bytes").unwrap();
        }
    }

    #[test]
    fn any_sealed_header_is_survived_and_what_is_accepted_can_be_edited(
        fields in [Just(1u64).boxed(), any_lba().boxed(), any_lba().boxed(), any_lba().boxed(), any_lba().boxed()],
        count in prop_oneof![1..200u32, any::<u32>()],
        entry_bytes in prop_oneof![4 => Just(128u32), 1 => any::<u32>()],
        entries in proptest::collection::vec(any::<u8>(), 0..600),
        want in any::<u64>(),
    ) {
        let disk = sealed(fields, count, entry_bytes, &entries);
        let geometry = Geometry::new(512, disk.len() as u64).unwrap();
        if let GptState::Healthy(mut table) | GptState::Repairable { mut table, .. } =
            read(disk.as_slice(), geometry, "bytes").unwrap()
        {
            let _ = add(&mut table, 1, want);
            let _ = table.grow(guid(1), want);
            let written = Disk::new(disk);
            write(&written, &table, "disk").unwrap();
            prop_assert_eq!(state(&written, geometry), GptState::Healthy(table));
        }
    }

    #[test]
    fn any_edits_keep_a_table_valid(steps in proptest::collection::vec((0..8u128, 0..3u8, 1..6 * MIB), 0..40)) {
        let mut table = Table::create(DISK, geometry(4096, 16));
        for (n, verb, bytes) in steps {
            match verb {
                0 => drop(add(&mut table, n, bytes)),
                1 => drop(table.remove(guid(n))),
                _ => drop(table.grow(guid(n), bytes)),
            }
        }
        let aligned = |placement: Placement| placement.start_bytes.is_multiple_of(ALIGNMENT_BYTES);
        prop_assert!(table.partitions().iter().all(|p| aligned(p.placement(table.geometry()))));
        let disk = Disk::blank(16);
        write(&disk, &table, "disk").unwrap();
        prop_assert_eq!(state(&disk, geometry(4096, 16)), GptState::Healthy(table));
    }
}
