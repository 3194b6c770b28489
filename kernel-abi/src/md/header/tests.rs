use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use uuid::Uuid;

use super::*;
use crate::md::superblock::{NewArray, NewMember, Seat, SetName, Timestamp};

const MIB: u64 = 2048;

/// A file that stands for a device, removed when dropped.
struct Image(PathBuf);

impl Image {
    /// Full of bytes that are no zeros, so that nothing passes because it was zero before.
    fn new(name: &str, sectors: u64) -> Self {
        let path = std::env::temp_dir().join(format!("kernel-abi-md-{}-{name}", std::process::id()));
        fs::write(&path, vec![0xa5; usize::try_from(sectors * SECTOR_BYTES).unwrap()]).unwrap();
        Self(path)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn header(device_sectors: u64) -> MemberHeader {
    let array = NewArray {
        set_uuid: Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        name: SetName::new("mdfabric:vol1").unwrap(),
        ctime: Timestamp::from_secs(1_700_000_000),
        raid_disks: 2,
        present: vec![Seat { dev_number: 0, slot: 0 }],
        component_size: None,
    };
    let device_uuid = Uuid::from_u128(0xfedc_ba98_7654_3210_0123_4567_89ab_cdef);
    let member = NewMember { dev_number: 0, device_uuid, write_mostly: false, device_sectors };
    let superblock = Superblock::create(&array, &member).unwrap();
    let bitmap = Bitmap::clean(array.set_uuid, superblock.size, superblock.events).unwrap();
    MemberHeader { superblock, bitmap }
}

fn overwrite(image: &Image, at: u64, bytes: &[u8]) {
    File::options().write(true).open(&image.0).unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn a_header_is_read_as_it_was_written_and_data_is_left_alone() {
    let image = Image::new("round", 4 * MIB);
    let mut header = header(4 * MIB);
    header.bitmap.mark(2);
    write_member_header(&image.0, &header).unwrap();
    assert_eq!(read_member_header(&image.0).unwrap(), header);
    assert_eq!(read_superblock(&image.0).unwrap(), header.superblock);
    let bytes = fs::read(&image.0).unwrap();
    assert!(bytes[1 << 20..].iter().chain(&bytes[..4096]).all(|&byte| byte == 0xa5));
}

#[test]
fn a_wiped_member_is_blank() {
    let image = Image::new("wipe", 4 * MIB);
    write_member_header(&image.0, &header(4 * MIB)).unwrap();
    wipe_member_header(&image.0).unwrap();
    assert!(matches!(read_member_header(&image.0), Err(ReadHeaderError::NoSuperblock { magic: 0 })));
    let bytes = fs::read(&image.0).unwrap();
    assert!(
        bytes[..1 << 20].iter().all(|&byte| byte == 0) && bytes[1 << 20..].iter().all(|&byte| byte == 0xa5)
    );
}

#[test]
fn what_is_wrong_is_told_apart() {
    let image = Image::new("wrong", 4 * MIB);
    assert!(matches!(
        read_member_header(&image.0),
        Err(ReadHeaderError::NoSuperblock { magic: 0xa5a5_a5a5 })
    ));
    let fresh = || write_member_header(&image.0, &header(4 * MIB)).unwrap();
    fresh();
    overwrite(&image, 4096 + 80, &[0xee]);
    assert!(matches!(read_member_header(&image.0), Err(ReadHeaderError::CorruptSuperblock(_))));
    fresh();
    overwrite(&image, 8192, &[0]);
    assert!(matches!(read_member_header(&image.0), Err(ReadHeaderError::CorruptBitmap { .. })));
    fresh();
    overwrite(&image, 8192 + 8, &[0xee]);
    assert!(matches!(read_member_header(&image.0), Err(ReadHeaderError::ForeignBitmap { .. })));
    fresh();
    let mut huge = header(4 * MIB).bitmap.header;
    huge.sync_size = 1 << 40;
    overwrite(&image, 8192, &huge.encode());
    assert!(matches!(read_member_header(&image.0), Err(ReadHeaderError::CorruptBitmap { .. })));
}

#[test]
fn a_bitmap_outside_the_header_is_neither_read_nor_written() {
    let image = Image::new("misplaced", 4 * MIB);
    for offset in [-8, 0, 7, 9, 2000, i32::MAX] {
        let mut header = header(4 * MIB);
        header.superblock.bitmap_offset = offset;
        let refused = write_member_header(&image.0, &header).unwrap_err();
        assert!(refused.is(Errno::EINVAL), "{offset}");
        overwrite(&image, SUPER_AT, &header.superblock.encode());
        let answer = read_member_header(&image.0).unwrap_err();
        let no_reading =
            matches!(answer, ReadHeaderError::MisplacedBitmap { .. } | ReadHeaderError::CorruptBitmap { .. });
        assert!(no_reading, "{offset}: {answer:?}");
    }
    let mut none = header(4 * MIB).superblock;
    none.feature_map = FeatureMap(0);
    overwrite(&image, SUPER_AT, &none.encode());
    assert!(matches!(read_member_header(&image.0), Err(ReadHeaderError::NoBitmap { .. })));
}

#[test]
fn a_device_that_does_not_answer_is_not_a_blank_one() {
    let Err(ReadHeaderError::Call(error)) = read_member_header(Path::new("/nonexistent/device")) else {
        panic!("read a device that is not there");
    };
    assert!(error.is(Errno::ENOENT));
    let short = Image::new("short", 8);
    assert!(matches!(read_member_header(&short.0), Err(ReadHeaderError::Call(_))));
}

/// mdadm is a judge that nobody here wrote. Where it is not installed this test says so and judges nothing.
#[test]
fn mdadm_reads_what_we_write() {
    let image = Image::new("mdadm", 64 * MIB);
    let mut header = header(64 * MIB);
    assert!([0, 1, 40].into_iter().all(|chunk| header.bitmap.mark(chunk)));
    write_member_header(&image.0, &header).unwrap();
    let Some(examined) = mdadm("--examine", &image) else {
        return;
    };
    for (field, value) in [
        ("Version", "1.2"),
        ("Feature Map", "0x1"),
        ("Array UUID", "00112233:44556677:8899aabb:ccddeeff"),
        ("Name", "mdfabric:vol1"),
        ("Raid Level", "raid1"),
        ("Raid Devices", "2"),
        ("Data Offset", "2048 sectors"),
        ("Super Offset", "8 sectors"),
        ("State", "clean"),
        ("Device UUID", "fedcba98:76543210:01234567:89abcdef"),
        ("Internal Bitmap", "8 sectors from superblock"),
        ("Events", "0"),
        ("Device Role", "Active device 0"),
        ("Array State", "A. ('A' == active, '.' == missing, 'R' == replacing)"),
    ] {
        assert_field(&examined, field, value);
    }
    assert!(examined.contains("- correct"), "checksum: {examined}");
    // Of a plain file, mdadm takes the first bytes for the bitmap.
    let area = Image(image.0.with_extension("bitmap"));
    fs::write(&area.0, &fs::read(&image.0).unwrap()[8192..8192 + (128 << 10)]).unwrap();
    let Some(bitmap) = mdadm("--examine-bitmap", &area) else {
        return;
    };
    assert_field(&bitmap, "Version", "4");
    assert_field(&bitmap, "UUID", "00112233:44556677:8899aabb:ccddeeff");
    assert_field(&bitmap, "Chunksize", "1 MB");
    assert_field(&bitmap, "Bitmap", "63 bits (chunks), 3 dirty (4.8%)");
}

fn mdadm(verb: &str, image: &Image) -> Option<String> {
    let found = ["/sbin/mdadm", "/usr/sbin/mdadm"].into_iter().find(|program| Path::new(program).exists());
    let Some(program) = found else {
        println!("skipped: mdadm is not installed");
        return None;
    };
    let output = Command::new(program).arg(verb).arg(&image.0).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "mdadm {verb}: {errors}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn assert_field(text: &str, field: &str, value: &str) {
    let found = text.lines().filter_map(|line| line.split_once(" : ")).find(|(name, _)| name.trim() == field);
    let shown = found.map(|(_, shown)| shown.trim());
    assert!(
        shown.is_some_and(|shown| shown.starts_with(value)),
        "{field} is {shown:?}, not {value:?}:\n{text}"
    );
}
