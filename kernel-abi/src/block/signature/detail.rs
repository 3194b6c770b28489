//! What each format says of itself. Every reader gets the bytes from its structure's start and may find fewer than it
//! wants; `None` means that the structure is not plausible.

use uuid::Uuid;

use super::Detail;
use crate::block::field::{array, le16, le32, le64};

pub(super) type Read = fn(&[u8]) -> Option<Detail>;

#[expect(clippy::unnecessary_wraps, reason = "one shape for all rows of the table")]
pub(super) fn none(_: &[u8]) -> Option<Detail> {
    Some(Detail::default())
}

pub(super) fn gpt(header: &[u8]) -> Option<Detail> {
    Some(Detail { uuid: Some(Uuid::from_bytes_le(array(header, 56)?).to_string()), ..Detail::default() })
}

/// Flavours as libblkid tells them apart: a journal makes ext3, a feature ext3 does not know makes ext4. Two bytes of
/// magic are little, so the block size must be one.
pub(super) fn ext(sb: &[u8]) -> Option<Detail> {
    const HAS_JOURNAL: u32 = 0x4;
    const EXT3_INCOMPAT: u32 = 0x2 | 0x4 | 0x10;
    const EXT3_RO_COMPAT: u32 = 0x1 | 0x2 | 0x4;
    const JOURNAL_DEVICE: u32 = 0x8;
    let (compat, incompat, ro_compat) = (le32(sb, 92)?, le32(sb, 96)?, le32(sb, 100)?);
    if le32(sb, 24)? > 6 {
        return None;
    }
    let flavour = if incompat & JOURNAL_DEVICE != 0 {
        "journal device"
    } else if incompat & !EXT3_INCOMPAT != 0 || ro_compat & !EXT3_RO_COMPAT != 0 {
        "ext4"
    } else if compat & HAS_JOURNAL != 0 {
        "ext3"
    } else {
        "ext2"
    };
    detail(Some(flavour.to_owned()), text(sb, 120, 16), uuid(sb, 104))
}

pub(super) fn xfs(sb: &[u8]) -> Option<Detail> {
    let version = u16::from_be_bytes(array(sb, 100)?) & 0xf;
    detail(Some(format!("v{version}")), text(sb, 108, 12), uuid(sb, 32))
}

pub(super) fn btrfs(sb: &[u8]) -> Option<Detail> {
    detail(None, text(sb, 0x12b, 256), uuid(sb, 0x20))
}

pub(super) fn swap(page: &[u8]) -> Option<Detail> {
    detail(le32(page, 1024).map(|version| version.to_string()), text(page, 1052, 16), uuid(page, 1036))
}

/// `LABELONE` alone is the label of any LVM2 format; the type follows.
pub(super) fn lvm2(label: &[u8]) -> Option<Detail> {
    let kind = text(label, 24, 8).filter(|kind| kind.starts_with("LVM2"))?;
    let header_at = le32(label, 20)? as usize;
    let uuid = text(label, header_at.min(512), 32).filter(|_| header_at <= 480).map(|raw| lvm2_uuid(&raw));
    detail(Some(kind), None, uuid)
}

/// 32 characters on disk, printed in groups of 6-4-4-4-4-4-6.
fn lvm2_uuid(raw: &str) -> String {
    let dashed = |(index, letter)| {
        if matches!(index, 6 | 10 | 14 | 18 | 22 | 26) { vec!['-', letter] } else { vec![letter] }
    };
    raw.chars().enumerate().flat_map(dashed).collect()
}

pub(super) fn luks(header: &[u8]) -> Option<Detail> {
    let version = u16::from_be_bytes(array(header, 6)?);
    let label = if version == 2 { text(header, 24, 48) } else { None };
    detail(Some(format!("LUKS{version}")), label, text(header, 168, 40))
}

pub(super) fn md_090(sb: &[u8]) -> Option<Detail> {
    md_090_with(sb, u32::from_le_bytes)
}

pub(super) fn md_090_big_endian(sb: &[u8]) -> Option<Detail> {
    md_090_with(sb, u32::from_be_bytes)
}

/// The UUID's four words do not lie together (`mdp_super_t` in `include/uapi/linux/raid/md_p.h`).
fn md_090_with(sb: &[u8], word: fn([u8; 4]) -> u32) -> Option<Detail> {
    let at = |offset| array(sb, offset).map(word);
    let version = format!("{}.{}", at(4)?, at(8)?);
    let words = [at(20)?, at(52)?, at(56)?, at(60)?];
    let uuid = words.map(|word| format!("{word:08x}")).join(":");
    detail(Some(version), None, Some(uuid))
}

pub(super) fn md_1_0(sb: &[u8]) -> Option<Detail> {
    md_1(sb, "1.0")
}

pub(super) fn md_1_1(sb: &[u8]) -> Option<Detail> {
    md_1(sb, "1.1")
}

pub(super) fn md_1_2(sb: &[u8]) -> Option<Detail> {
    md_1(sb, "1.2")
}

fn md_1(sb: &[u8], version: &str) -> Option<Detail> {
    (le32(sb, 4)? == 1).then_some(())?;
    detail(Some(version.to_owned()), text(sb, 32, 32), uuid(sb, 16))
}

pub(super) fn zfs(uberblock: &[u8]) -> Option<Detail> {
    let version = le64(uberblock, 8)?;
    let version = if version > u64::from(u32::MAX) { version.swap_bytes() } else { version };
    detail(Some(version.to_string()), None, None)
}

pub(super) fn bcache(sb: &[u8]) -> Option<Detail> {
    detail(le64(sb, 16).map(|version| version.to_string()), text(sb, 72, 32), uuid(sb, 40))
}

/// Three letters are little: a boot sector must end in its own mark.
pub(super) fn fat(sector: &[u8]) -> Option<Detail> {
    boot_sector(sector)?;
    detail(text(sector, 0x36, 8), text(sector, 0x2b, 11), serial32(sector, 0x27))
}

pub(super) fn fat32(sector: &[u8]) -> Option<Detail> {
    boot_sector(sector)?;
    detail(text(sector, 0x52, 8), text(sector, 0x47, 11), serial32(sector, 0x43))
}

pub(super) fn exfat(sector: &[u8]) -> Option<Detail> {
    detail(None, None, serial32(sector, 100))
}

pub(super) fn ntfs(sector: &[u8]) -> Option<Detail> {
    detail(None, None, le64(sector, 0x48).map(|serial| format!("{serial:016X}")))
}

pub(super) fn bluestore(label: &[u8]) -> Option<Detail> {
    detail(None, None, text(label, 23, 36))
}

pub(super) fn drbd_08(meta: &[u8]) -> Option<Detail> {
    detail(Some("8".to_owned()), None, device_id(meta, 40))
}

pub(super) fn drbd_09(meta: &[u8]) -> Option<Detail> {
    detail(Some("9".to_owned()), None, device_id(meta, 48))
}

/// Zero until the device was brought up for the first time.
fn device_id(meta: &[u8], at: usize) -> Option<String> {
    array(meta, at).map(u64::from_be_bytes).filter(|&id| id != 0).map(|id| format!("{id:016X}"))
}

pub(super) fn iso9660(descriptor: &[u8]) -> Option<Detail> {
    detail(None, text(descriptor, 40, 32), None)
}

#[expect(clippy::unnecessary_wraps, reason = "the tail of readers that return an option")]
fn detail(version: Option<String>, label: Option<String>, uuid: Option<String>) -> Option<Detail> {
    Some(Detail { version, label, uuid })
}

fn boot_sector(sector: &[u8]) -> Option<()> {
    (le16(sector, 510)? == 0xaa55).then_some(())
}

fn serial32(bytes: &[u8], at: usize) -> Option<String> {
    le32(bytes, at).map(|serial| format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff))
}

/// Sixteen raw bytes, unless all are zero.
fn uuid(bytes: &[u8], at: usize) -> Option<String> {
    array(bytes, at).map(Uuid::from_bytes).filter(|uuid| !uuid.is_nil()).map(|uuid| uuid.to_string())
}

/// Up to the first NUL, trimmed; control characters become U+FFFD, for this text ends up in logs and terminals.
fn text(bytes: &[u8], at: usize, length: usize) -> Option<String> {
    let raw = bytes.get(at..at.checked_add(length)?)?;
    let text = String::from_utf8_lossy(raw.split(|&byte| byte == 0).next()?);
    let clean = text.trim().replace(char::is_control, "\u{fffd}");
    Some(clean).filter(|text| !text.is_empty())
}
