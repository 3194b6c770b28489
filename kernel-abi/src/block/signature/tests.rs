//! Images made by hand from the table, images made by the formats' own tools where those are installed, and any bytes.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

const MIB: usize = 1 << 20;

fn kinds(bytes: &[u8]) -> Vec<Kind> {
    probe(bytes, bytes.len() as u64, "image").unwrap().iter().map(|found| found.kind).collect()
}

#[test]
fn nothing_is_found_on_zeroes_and_on_nothing() {
    for length in [0, 1, 511, 512, 4096, 3 * MIB] {
        assert_eq!(kinds(&vec![0; length]), []);
    }
}

/// Every row finds its own mark, but those that ask the structure for more.
#[test]
fn every_row_is_reachable() {
    for row in ROWS {
        let mut image = vec![0; 4 * MIB + 512];
        let base = usize::try_from(row.place.offset(image.len() as u64).unwrap()).unwrap();
        let at = base + row.magic_at;
        image[at..at + row.magic.len()].copy_from_slice(row.magic);
        match row.kind {
            Kind::Fat => image[510..512].copy_from_slice(&[0x55, 0xaa]),
            Kind::Md => image[base + 4] = 1,
            Kind::Lvm2 => image[base + 24..base + 28].copy_from_slice(b"LVM2"),
            _ => {}
        }
        let found = probe(image.as_slice(), image.len() as u64, "image").unwrap();
        let hit = found.iter().any(|it| it.kind == row.kind && it.offset == at as u64);
        assert!(hit, "{} at {at}: {found:?}", row.kind);
    }
}

#[test]
fn zfs_is_found_by_any_of_its_labels() {
    let size = 4 * MIB + 100 * 1024;
    for label in [0, 256 << 10, 4 * MIB - (512 << 10), 4 * MIB - (256 << 10)] {
        let mut image = vec![0; size];
        let at = label + (128 << 10) + 8 * 1024;
        image[at..at + 8].copy_from_slice(&0x00ba_b10c_u64.to_le_bytes());
        image[at + 8..at + 16].copy_from_slice(&5000u64.to_le_bytes());
        let found = probe(image.as_slice(), size as u64, "image").unwrap();
        assert_eq!((found[0].kind, found[0].offset), (Kind::Zfs, at as u64));
        assert_eq!(found[0].detail.version.as_deref(), Some("5000"));
    }
}

#[test]
fn a_label_cannot_write_to_a_terminal() {
    let mut image = vec![0; MIB];
    image[..4].copy_from_slice(b"XFSB");
    image[108..112].copy_from_slice(b"a\x1b[m");
    let found = probe(image.as_slice(), MIB as u64, "image").unwrap();
    assert_eq!(found[0].detail.label.as_deref(), Some("a\u{fffd}[m"));
}

/// An image file that goes away with the test.
struct Image(PathBuf);

impl Image {
    fn new(test: &str, mib: u64) -> Self {
        let path = std::env::temp_dir().join(format!("kernel-abi-signature-{}-{test}", std::process::id()));
        File::create(&path).unwrap().set_len(mib << 20).unwrap();
        Self(path)
    }

    fn found(&self) -> Vec<Signature> {
        let file = File::open(&self.0).unwrap();
        let size = file.metadata().unwrap().len();
        probe(&file, size, self.0.display()).unwrap()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes `tool`'s format on an image and gives what is found; `None` and a line where the tool is not installed or does
/// not work here.
fn made_by(tool: &str, arguments: &[&str], mib: u64) -> Option<Vec<Signature>> {
    let image = Image::new(&tool.replace('.', "-"), mib);
    let mut command = Command::new(tool);
    command.args(arguments).arg(&image.0).stdin(Stdio::null()).stdout(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => Some(image.found()),
        Ok(output) => {
            println!("skipped: {tool}: {}", String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            println!("skipped: {tool}: {error}");
            None
        }
    }
}

const ID: &str = "6f1c7d4e-1111-4222-8333-444455556666";

#[test]
fn the_formats_own_tools_are_recognised() {
    let cases: &[(&str, &[&str], u64, Kind, Detail)] = &[
        (
            "mke2fs",
            &["-q", "-F", "-t", "ext4", "-L", "data", "-U", ID],
            64,
            Kind::Ext,
            told("ext4", "data", ID),
        ),
        ("mkfs.ext3", &["-q", "-F", "-L", "data", "-U", ID], 64, Kind::Ext, told("ext3", "data", ID)),
        ("mkfs.ext2", &["-q", "-F", "-L", "data", "-U", ID], 64, Kind::Ext, told("ext2", "data", ID)),
        (
            "mkfs.xfs",
            &["-q", "-L", "data", "-m", &format!("uuid={ID}")],
            512,
            Kind::Xfs,
            told("v5", "data", ID),
        ),
        ("mkfs.btrfs", &["-q", "-L", "data", "-U", ID], 512, Kind::Btrfs, told("", "data", ID)),
        ("mkswap", &["-q", "-L", "data", "-U", ID], 64, Kind::Swap, told("1", "data", ID)),
        (
            "mkfs.fat",
            &["-F", "32", "-n", "DATA", "-i", "1234ABCD"],
            64,
            Kind::Fat,
            told("FAT32", "DATA", "1234-ABCD"),
        ),
        (
            "mkfs.vfat",
            &["-F", "16", "-n", "DATA", "-i", "1234ABCD"],
            64,
            Kind::Fat,
            told("FAT16", "DATA", "1234-ABCD"),
        ),
    ];
    for (tool, arguments, mib, kind, detail) in cases {
        if let Some(found) = made_by(tool, arguments, *mib) {
            let hit = found.iter().find(|it| it.kind == *kind);
            assert_eq!(hit.map(|it| &it.detail), Some(detail), "{tool}: {found:?}");
            assert_eq!(found.len(), 1, "{tool}: {found:?}");
        }
    }
    for (tool, arguments, kind) in [
        ("mkfs.exfat", &[][..], Kind::ExFat),
        ("mkfs.ntfs", &["-F", "-Q", "-q"], Kind::Ntfs),
        ("sgdisk", &["-n", "1"], Kind::Gpt),
    ] {
        if let Some(found) = made_by(tool, arguments, 64) {
            assert!(found.iter().any(|it| it.kind == kind), "{tool}: {found:?}");
        }
    }
}

#[test]
fn luks_of_both_versions_is_recognised() {
    let key = Image::new("luks-key", 0);
    fs::write(&key.0, "key").unwrap();
    for (version, count) in [("luks1", 1), ("luks2", 2)] {
        let image = Image::new(version, 64);
        let mut command = Command::new("cryptsetup");
        command.args(["luksFormat", "-q", "--type", version, "--uuid", ID, "--pbkdf", "pbkdf2"]);
        command.args(["--pbkdf-force-iterations", "1000", "--key-file"]).arg(&key.0).arg(&image.0);
        match command.output() {
            Ok(output) if output.status.success() => {}
            other => {
                println!("skipped: cryptsetup: {other:?}");
                continue;
            }
        }
        let found = image.found();
        assert_eq!(found.len(), count, "{found:?}");
        assert_eq!(found[0].detail, told(&version.to_uppercase(), "", ID));
    }
}

fn told(version: &str, label: &str, uuid: &str) -> Detail {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Detail { version: some(version), label: some(label), uuid: some(uuid) }
}

proptest! {
    #[test]
    fn any_small_image_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
        kinds(&bytes);
    }

    /// Every structure whose magic number is right, with anything around it, on any size.
    #[test]
    fn any_structure_is_survived(
        length in 0..3 * MIB,
        row in 0..ROWS.len(),
        noise in proptest::collection::vec(any::<u8>(), 2048),
    ) {
        let mut image = vec![0; length];
        let row = &ROWS[row];
        if let Some(base) = row.place.offset(length as u64).and_then(|base| usize::try_from(base).ok())
            && let Some(place) = image.get_mut(base..base + 2048)
        {
            place.copy_from_slice(&noise);
            if let Some(place) = place.get_mut(row.magic_at..row.magic_at + row.magic.len()) {
                place.copy_from_slice(row.magic);
            }
        }
        kinds(&image);
    }
}
