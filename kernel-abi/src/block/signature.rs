//! What a disk or partition already carries: the reason not to take it.
//!
//! Reads only windows at both ends (1.3 MiB in all) and two sectors in between, whatever the size. An empty answer means
//! that none of the known kinds was found, not that the device is empty: [`super::zero::verify_zero`] tells that.
//!
//! Errs on the side of finding something: leftovers of a format that was overwritten at the other end are reported too.

mod detail;
mod table;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;

use super::ReadAt;
use super::gpt;
use crate::{CallError, call};
use table::{ROWS, Row};
use window::Windows;

/// What is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the name of a format; Display spells it")]
pub enum Kind {
    Gpt,
    Mbr,
    Ext,
    Xfs,
    Btrfs,
    Swap,
    Lvm2,
    Luks,
    Md,
    Zfs,
    Bcache,
    Bcachefs,
    Vmfs,
    VmfsVolume,
    Fat,
    ExFat,
    Ntfs,
    BitLocker,
    Bluestore,
    Drbd,
    Iso9660,
    F2fs,
    Squashfs,
    Stratis,
    IntelRaid,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gpt => "GPT",
            Self::Mbr => "MBR partitions",
            Self::Ext => "ext2/3/4",
            Self::Xfs => "XFS",
            Self::Btrfs => "btrfs",
            Self::Swap => "swap",
            Self::Lvm2 => "LVM2 physical volume",
            Self::Luks => "LUKS",
            Self::Md => "MD member",
            Self::Zfs => "ZFS",
            Self::Bcache => "bcache",
            Self::Bcachefs => "bcachefs",
            Self::Vmfs => "VMFS",
            Self::VmfsVolume => "VMFS volume member",
            Self::Fat => "FAT",
            Self::ExFat => "exFAT",
            Self::Ntfs => "NTFS",
            Self::BitLocker => "BitLocker",
            Self::Bluestore => "Ceph BlueStore",
            Self::Drbd => "DRBD",
            Self::Iso9660 => "ISO 9660",
            Self::F2fs => "F2FS",
            Self::Squashfs => "SquashFS",
            Self::Stratis => "Stratis",
            Self::IntelRaid => "Intel RAID",
        })
    }
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// What it is.
    pub kind: Kind,
    /// Where its magic number lies, in bytes.
    pub offset: u64,
    /// What it says of itself.
    pub detail: Detail,
}

/// What a format says of itself; printable text, `None` where it has no such thing or it is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// Version or flavour (`1.2`, `ext4`, `LUKS2`).
    pub version: Option<String>,
    /// Label or name.
    pub label: Option<String>,
    /// UUID or serial, as its own tools print it.
    pub uuid: Option<String>,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.offset)?;
        let Detail { version, label, uuid } = &self.detail;
        for (name, value) in [("version", version), ("label", label), ("uuid", uuid)] {
            if let Some(value) = value {
                write!(f, ", {name} {value:?}")?;
            }
        }
        Ok(())
    }
}

/// Everything known on a device of `size_bytes`, by offset.
pub fn probe(
    device: &(impl ReadAt + ?Sized),
    size_bytes: u64,
    target: impl fmt::Display,
) -> Result<Vec<Signature>, CallError> {
    let _in_call = call::enter("pread", &target);
    let windows =
        Windows::read(device, size_bytes).map_err(|source| CallError::new("pread", target, source))?;
    let mut found: Vec<Signature> = ROWS.iter().filter_map(|row| matched(row, &windows)).collect();
    found.extend(partitioned(&windows));
    found.extend(zfs_labels(&windows));
    found.sort_by_key(|signature| (signature.offset, signature.kind));
    found.dedup_by_key(|signature| (signature.offset, signature.kind));
    Ok(found)
}

fn matched(row: &Row, windows: &Windows) -> Option<Signature> {
    let base = row.place.offset(windows.size_bytes())?;
    let structure = windows.from(base)?;
    if !structure.get(row.magic_at..)?.starts_with(row.magic) {
        return None;
    }
    let detail = (row.detail)(structure)?;
    Some(Signature { kind: row.kind, offset: base + row.magic_at as u64, detail })
}

fn partitioned(windows: &Windows) -> Option<Signature> {
    let count = gpt::mbr_partitions(windows.from(0)?)?;
    let detail = Detail { version: Some(format!("{count} partitions")), ..Detail::default() };
    Some(Signature { kind: Kind::Mbr, offset: 510, detail })
}

/// Four labels of 256 KiB, two at each end; each counts by its first uberblock (1 KiB slots in its second half).
fn zfs_labels(windows: &Windows) -> Vec<Signature> {
    const LABEL: u64 = 256 << 10;
    let end = windows.size_bytes() / LABEL * LABEL;
    let starts = [Some(0), Some(LABEL), end.checked_sub(2 * LABEL), end.checked_sub(LABEL)];
    starts.into_iter().flatten().filter_map(|start| uberblock(windows, start)).collect()
}

fn uberblock(windows: &Windows, label: u64) -> Option<Signature> {
    const MAGIC: u64 = 0x00ba_b10c;
    let slots = windows.from(label + (128 << 10))?.chunks(1024).take(128);
    let (index, block) = (0u64..).zip(slots).find(|(_, block)| {
        block
            .first_chunk()
            .is_some_and(|&magic| u64::from_le_bytes(magic) == MAGIC || u64::from_be_bytes(magic) == MAGIC)
    })?;
    Some(Signature {
        kind: Kind::Zfs,
        offset: label + (128 << 10) + index * 1024,
        detail: detail::zfs(block)?,
    })
}
