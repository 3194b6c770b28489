//! The btree roots of an allocation group, one leaf block each (`struct xfs_btree_block`, short form with CRC).

use super::geometry::{BLOCK, BLOCK_LEN, Extent};
use super::inode::{CHUNK_FREE, CHUNK_INODES};
use super::plan::{NULL, Plan};
use super::record::Record;

/// Sectors of `bb_blkno` are always of 512 bytes.
const SECTORS_PER_BLOCK: u64 = BLOCK / 512;

/// `bb_magic`.
type Magic = [u8; 4];

fn leaf(plan: &Plan, magic: Magic, ag: u32, block: u32, records: u16) -> Record {
    Record::new(BLOCK_LEN)
        .raw(&magic)
        .u16(0) // bb_level
        .u16(records) // bb_numrecs
        .u32(NULL) // bb_leftsib
        .u32(NULL) // bb_rightsib
        .u64(plan.geometry.offset(ag, block) / BLOCK * SECTORS_PER_BLOCK) // bb_blkno
        .u64(0) // bb_lsn
        .raw(&plan.uuid) // bb_uuid
        .u32(ag) // bb_owner
        .crc() // bb_crc
}

/// The free extents of a group, sorted as the tree `magic` wants them (`struct xfs_alloc_rec`).
pub(super) fn extents(plan: &Plan, magic: Magic, ag: u32, block: u32, sorted: &[Extent]) -> Vec<u8> {
    let count = u16::try_from(sorted.len()).unwrap_or(u16::MAX);
    sorted
        .iter()
        .fold(leaf(plan, magic, ag, block, count), |leaf, extent| leaf.u32(extent.start).u32(extent.length))
        .finish()
}

/// The inode chunks of a group: the root chunk in the first one, in both trees (`struct xfs_inobt_rec`).
pub(super) fn chunks(plan: &Plan, magic: Magic, ag: u32, block: u32) -> Vec<u8> {
    if ag != 0 {
        return leaf(plan, magic, ag, block, 0).finish();
    }
    let used = u64::from(CHUNK_INODES - CHUNK_FREE);
    leaf(plan, magic, ag, block, 1)
        .u32(plan.geometry.root_inode()) // ir_startino
        .u16(0) // ir_holemask
        .u8(CHUNK_INODES) // ir_count
        .u8(CHUNK_FREE) // ir_freecount
        .u64(u64::MAX << used) // ir_free
        .finish()
}

/// Reference counts: no extent is shared yet.
pub(super) fn refcounts(plan: &Plan, ag: u32, block: u32) -> Vec<u8> {
    leaf(plan, *b"R3FC", ag, block, 0).finish()
}
