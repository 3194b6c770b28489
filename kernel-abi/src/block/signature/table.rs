//! Which bytes at which place mean what. Places are those of libblkid's superblock drivers.

use super::detail::{self, Read};
use super::{Detail, Kind};

/// Where a structure starts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// Bytes from the start.
    Start(u64),
    /// `back` bytes before the last multiple of `align`.
    End { align: u64, back: u64 },
}

impl Place {
    pub(super) fn offset(self, size_bytes: u64) -> Option<u64> {
        match self {
            Self::Start(offset) => Some(offset),
            Self::End { align, back } => (size_bytes / align * align).checked_sub(back),
        }
    }
}

/// One mark: `magic` at `magic_at` in the structure at `place`.
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) place: Place,
    pub(super) magic_at: usize,
    pub(super) magic: &'static [u8],
    /// Reads the rest of the structure; `None` says that the magic number was an accident.
    pub(super) detail: fn(&[u8]) -> Option<Detail>,
}

const fn row(kind: Kind, place: Place, magic_at: usize, magic: &'static [u8], detail: Read) -> Row {
    Row { kind, place, magic_at, magic, detail }
}

const MD_MAGIC: &[u8] = &[0xfc, 0x4e, 0x2b, 0xa9];
const MD_MAGIC_BIG_ENDIAN: &[u8] = &[0xa9, 0x2b, 0x4e, 0xfc];
const GPT: &[u8] = b"EFI PART";
const LVM2: &[u8] = b"LABELONE";
const LUKS: &[u8] = b"LUKS\xba\xbe";
const LUKS_SECOND: &[u8] = b"SKUL\xba\xbe";
const SWAP: &[u8] = b"SWAPSPACE2";
const BCACHE: &[u8] = b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81";
const BCACHEFS: &[u8] = b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef";
const STRATIS: &[u8] = b"!Stra0tis\x86\xff\x02^\x41rh";
const START: Place = Place::Start(0);
const MD_090: Place = Place::End { align: 64 << 10, back: 64 << 10 };
const MD_10: Place = Place::End { align: 4096, back: 8192 };
const LAST_4096: Place = Place::End { align: 4096, back: 4096 };

pub(super) const ROWS: &[Row] = &[
    row(Kind::Gpt, Place::Start(512), 0, GPT, detail::gpt),
    row(Kind::Gpt, Place::Start(4096), 0, GPT, detail::gpt),
    row(Kind::Gpt, Place::End { align: 512, back: 512 }, 0, GPT, detail::gpt),
    row(Kind::Gpt, LAST_4096, 0, GPT, detail::gpt),
    row(Kind::Ext, Place::Start(1024), 56, &[0x53, 0xef], detail::ext),
    row(Kind::Xfs, START, 0, b"XFSB", detail::xfs),
    row(Kind::Btrfs, Place::Start(64 << 10), 64, b"_BHRfS_M", detail::btrfs),
    row(Kind::Swap, START, 4096 - 10, SWAP, detail::swap),
    row(Kind::Swap, START, 8192 - 10, SWAP, detail::swap),
    row(Kind::Swap, START, 16384 - 10, SWAP, detail::swap),
    row(Kind::Swap, START, 65536 - 10, SWAP, detail::swap),
    row(Kind::Swap, START, 4096 - 10, b"S1SUSPEND\0", detail::swap),
    row(Kind::Lvm2, Place::Start(0), 0, LVM2, detail::lvm2),
    row(Kind::Lvm2, Place::Start(512), 0, LVM2, detail::lvm2),
    row(Kind::Lvm2, Place::Start(1024), 0, LVM2, detail::lvm2),
    row(Kind::Lvm2, Place::Start(1536), 0, LVM2, detail::lvm2),
    row(Kind::Luks, START, 0, LUKS, detail::luks),
    row(Kind::Luks, Place::Start(0x4000), 0, LUKS_SECOND, detail::luks),
    row(Kind::Luks, Place::Start(0x8000), 0, LUKS_SECOND, detail::luks),
    row(Kind::Luks, Place::Start(0x10000), 0, LUKS_SECOND, detail::luks),
    row(Kind::Luks, Place::Start(0x20000), 0, LUKS_SECOND, detail::luks),
    row(Kind::Luks, Place::Start(0x40000), 0, LUKS_SECOND, detail::luks),
    row(Kind::Md, MD_090, 0, MD_MAGIC, detail::md_090),
    row(Kind::Md, MD_090, 0, MD_MAGIC_BIG_ENDIAN, detail::md_090_big_endian),
    row(Kind::Md, MD_10, 0, MD_MAGIC, detail::md_1_0),
    row(Kind::Md, START, 0, MD_MAGIC, detail::md_1_1),
    row(Kind::Md, Place::Start(4096), 0, MD_MAGIC, detail::md_1_2),
    row(Kind::Bcache, Place::Start(4096), 24, BCACHE, detail::bcache),
    row(Kind::Bcachefs, Place::Start(4096), 24, BCACHEFS, detail::bcache),
    row(Kind::VmfsVolume, Place::Start(1 << 20), 0, &[0x0d, 0xd0, 0x01, 0xc0], detail::none),
    row(Kind::Vmfs, Place::Start(2 << 20), 0, &[0x5e, 0xf1, 0xab, 0x2f], detail::none),
    row(Kind::Fat, START, 0x36, b"FAT", detail::fat),
    row(Kind::Fat, START, 0x36, b"MSDOS", detail::fat),
    row(Kind::Fat, START, 0x52, b"FAT32   ", detail::fat32),
    row(Kind::ExFat, START, 3, b"EXFAT   ", detail::exfat),
    row(Kind::Ntfs, START, 3, b"NTFS    ", detail::ntfs),
    row(Kind::BitLocker, START, 3, b"-FVE-FS-", detail::none),
    row(Kind::Bluestore, START, 0, b"bluestore block device", detail::bluestore),
    row(Kind::Drbd, LAST_4096, 60, &[0x83, 0x74, 0x02, 0x6b], detail::drbd_08),
    row(Kind::Drbd, LAST_4096, 60, &[0x83, 0x74, 0x02, 0x6c], detail::drbd_08),
    row(Kind::Drbd, LAST_4096, 60, &[0x83, 0x74, 0x02, 0x6d], detail::drbd_09),
    row(Kind::Iso9660, Place::Start(32 << 10), 1, b"CD001", detail::iso9660),
    row(Kind::F2fs, Place::Start(1024), 0, &[0x10, 0x20, 0xf5, 0xf2], detail::none),
    row(Kind::Squashfs, START, 0, b"hsqs", detail::none),
    row(Kind::Stratis, Place::Start(512), 4, STRATIS, detail::none),
    row(Kind::IntelRaid, Place::End { align: 512, back: 1024 }, 0, b"Intel Raid ISM Cfg Sig. ", detail::none),
];
