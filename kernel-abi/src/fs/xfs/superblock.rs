//! The superblock, `struct xfs_dsb` in `fs/xfs/libxfs/xfs_format.h`: big endian, in the first sector of every
//! allocation group. Written here, and read back.

use uuid::Uuid;

use super::features::{FEATURES2, INCOMPAT, RO_COMPAT, version};
use super::geometry::{BLOCK_LOG, CHUNK_BLOCKS};
use super::inode::{CHUNK_FREE, CHUNK_INODES};
use super::plan::{NULL_INODE, Plan};
use super::record::Record;
use crate::ParseError;
use crate::fs::bytes::{array, be16, be32, be64, text};

const MAGIC: &[u8; 4] = b"XFSB";

/// The copies differ: mkfs.xfs writes the others before the root inodes exist and then adds the root to two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copy {
    Primary,
    Secondary,
    /// The last and the middle one, for `xfs_repair`.
    SecondaryWithRoot,
}

impl Copy {
    /// Which copy group `ag` of `count` has.
    pub(super) fn of(ag: u32, count: u32) -> Self {
        match ag {
            0 => Self::Primary,
            last if last + 1 == count => Self::SecondaryWithRoot,
            middle if count > 2 && middle == (count - 1) / 2 => Self::SecondaryWithRoot,
            _ => Self::Secondary,
        }
    }
}

/// One sector.
pub(super) fn superblock(plan: &Plan, copy: Copy) -> Vec<u8> {
    let geometry = &plan.geometry;
    let primary = copy == Copy::Primary;
    let root = u64::from(geometry.root_inode());
    let (unit, width) = plan.stripe();
    let (sector, sector_log) = if plan.large_sectors() { (4096, 12) } else { (512, 9) };
    let (inodes, free_inodes, free_blocks) = if primary {
        (CHUNK_INODES, CHUNK_FREE, plan.free_blocks)
    } else {
        (0, 0, plan.free_blocks + u64::from(CHUNK_BLOCKS))
    };
    let (log_sector_log, log_sector) = if plan.large_sectors() { (sector_log, sector) } else { (0, 0) };
    Record::new(plan.sector)
        .raw(MAGIC)
        .u32(1 << BLOCK_LOG) // sb_blocksize
        .u64(geometry.blocks) // sb_dblocks
        .u64(0) // sb_rblocks
        .u64(0) // sb_rextents
        .raw(&plan.uuid) // sb_uuid
        .u64(geometry.log_start()) // sb_logstart
        .u64(if copy == Copy::Secondary { NULL_INODE } else { root }) // sb_rootino
        .u64(if primary { root + 1 } else { NULL_INODE }) // sb_rbmino
        .u64(if primary { root + 2 } else { NULL_INODE }) // sb_rsumino
        .u32(1) // sb_rextsize
        .u32(geometry.ag_blocks) // sb_agblocks
        .u32(geometry.ag_count) // sb_agcount
        .u32(0) // sb_rbmblocks
        .u32(geometry.log.length) // sb_logblocks
        .u16(version(plan.large_sectors(), unit > 0)) // sb_versionnum
        .u16(sector) // sb_sectsize
        .u16(512) // sb_inodesize
        .u16(8) // sb_inopblock
        .raw(&plan.label) // sb_fname
        .u8(BLOCK_LOG) // sb_blocklog
        .u8(sector_log) // sb_sectlog
        .u8(9) // sb_inodelog
        .u8(3) // sb_inopblog
        .u8(geometry.ag_log) // sb_agblklog
        .u8(0) // sb_rextslog
        .u8(u8::from(!primary)) // sb_inprogress
        .u8(geometry.inode_percent) // sb_imax_pct
        .u64(u64::from(inodes)) // sb_icount
        .u64(u64::from(free_inodes)) // sb_ifree
        .u64(free_blocks) // sb_fdblocks
        .zeros(28) // sb_frextents, sb_uquotino, sb_gquotino, sb_qflags, sb_flags, sb_shared_vn
        .u32(CHUNK_BLOCKS) // sb_inoalignmt
        .u32(unit) // sb_unit
        .u32(width) // sb_width
        .u8(0) // sb_dirblklog
        .u8(log_sector_log) // sb_logsectlog
        .u16(log_sector) // sb_logsectsize
        .u32(plan.log_unit()) // sb_logsunit
        .u32(FEATURES2) // sb_features2
        .u32(FEATURES2) // sb_bad_features2
        .u32(0) // sb_features_compat
        .u32(RO_COMPAT) // sb_features_ro_compat
        .u32(INCOMPAT) // sb_features_incompat
        .u32(0) // sb_features_log_incompat
        .crc() // sb_crc
        .u32(4) // sb_spino_align
        .finish()
}

const SB_DBLOCKS: usize = 8;
const SB_BLOCKSIZE: usize = 4;
const SB_UUID: usize = 32;
const SB_AGBLOCKS: usize = 84;
const SB_AGCOUNT: usize = 88;
const SB_VERSIONNUM: usize = 100;
const SB_SECTSIZE: usize = 102;
const SB_FNAME: usize = 108;
const SB_INPROGRESS: usize = 126;
const SB_CRC: usize = 224;

/// What the superblock says of an XFS file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XfsSuperblock {
    /// Identity.
    pub uuid: Uuid,
    /// Label, often empty.
    pub label: String,
    /// Bytes, 512 to 65536.
    pub block_size: u32,
    /// Size of the file system in blocks.
    pub blocks: u64,
    /// Bytes, 512 to 32768.
    pub sector_size: u16,
    /// Blocks of an allocation group.
    pub ag_blocks: u32,
    /// Allocation groups.
    pub ag_count: u32,
    /// mkfs did not finish; the kernel refuses to mount it.
    pub in_progress: bool,
}

impl XfsSuperblock {
    /// Reads the superblock out of the first bytes of a device. `Ok(None)`: no XFS magic there.
    pub fn parse(device: &[u8]) -> Result<Option<Self>, ParseError> {
        if array(device, 0) != Some(*MAGIC) {
            return Ok(None);
        }
        let sector_size = check(device)?;
        let short = || broken("fields missing");
        Ok(Some(Self {
            uuid: Uuid::from_bytes(array(device, SB_UUID).ok_or_else(short)?),
            label: text::<12>(device, SB_FNAME).ok_or_else(short)?,
            block_size: block_size(device).ok_or_else(|| broken("block size out of range"))?,
            blocks: be64(device, SB_DBLOCKS).ok_or_else(short)?,
            sector_size,
            ag_blocks: be32(device, SB_AGBLOCKS).ok_or_else(short)?,
            ag_count: be32(device, SB_AGCOUNT).ok_or_else(short)?,
            in_progress: array(device, SB_INPROGRESS).ok_or_else(short)? != [0],
        }))
    }

    /// Size of the file system in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size.into())
    }
}

fn broken(why: &str) -> ParseError {
    ParseError::new("XFS superblock", why)
}

/// Is it version 5 and does its checksum, over one sector, hold? Returns the sector size.
fn check(device: &[u8]) -> Result<u16, ParseError> {
    if be16(device, SB_VERSIONNUM).is_none_or(|version| version & 0xf != 5) {
        return Err(broken("not version 5"));
    }
    let sector = be16(device, SB_SECTSIZE)
        .filter(|size| (512..=32768).contains(size) && size.is_power_of_two())
        .ok_or_else(|| broken("sector size out of range"))?;
    let sum = device.get(..sector.into()).and_then(checksum);
    if sum.is_none() || sum != array(device, SB_CRC).map(u32::from_le_bytes) {
        return Err(broken("checksum does not match"));
    }
    Ok(sector)
}

/// CRC-32C over the sector with its own field as zeros.
fn checksum(sector: &[u8]) -> Option<u32> {
    let (head, tail) = sector.split_at_checked(SB_CRC)?;
    let sum = crc32c::crc32c_append(crc32c::crc32c(head), &[0; 4]);
    Some(crc32c::crc32c_append(sum, tail.get(4..)?))
}

fn block_size(device: &[u8]) -> Option<u32> {
    be32(device, SB_BLOCKSIZE).filter(|size| (512..=65536).contains(size) && size.is_power_of_two())
}
