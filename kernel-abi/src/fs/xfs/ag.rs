//! The headers of an allocation group, one sector each (`fs/xfs/libxfs/xfs_format.h`).

use super::geometry::{Extent, FREE_LIST};
use super::inode::{CHUNK_FREE, CHUNK_INODES};
use super::plan::{NULL, Plan};
use super::record::Record;

/// `XFS_AGI_UNLINKED_BUCKETS` of four bytes.
const UNLINKED_BYTES: usize = 64 * 4;

/// Blocks of a group's btree roots, in the order in which they lie behind the headers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Roots {
    pub(super) by_block: u32,
    pub(super) by_size: u32,
    pub(super) inodes: u32,
    pub(super) free_inodes: u32,
    pub(super) refcount: u32,
}

impl Roots {
    pub(super) fn of(plan: &Plan) -> Self {
        let first = plan.geometry.headers;
        Self {
            by_block: first,
            by_size: first + 1,
            inodes: first + 2,
            free_inodes: first + 3,
            refcount: first + 4,
        }
    }
}

/// `struct xfs_agf`: the free space of group `ag`.
pub(super) fn free_space(plan: &Plan, ag: u32, free: &[Extent]) -> Vec<u8> {
    let roots = Roots::of(plan);
    Record::new(plan.sector)
        .raw(b"XAGF")
        .u32(1) // agf_versionnum
        .u32(ag) // agf_seqno
        .u32(plan.geometry.ag_length(ag)) // agf_length
        .u32(roots.by_block) // agf_bno_root
        .u32(roots.by_size) // agf_cnt_root
        .u32(0) // agf_rmap_root
        .u32(1) // agf_bno_level
        .u32(1) // agf_cnt_level
        .u32(0) // agf_rmap_level
        .u32(1) // agf_flfirst
        .u32(FREE_LIST.into()) // agf_fllast
        .u32(FREE_LIST.into()) // agf_flcount
        .u32(free.iter().map(|extent| extent.length).sum()) // agf_freeblks
        .u32(free.iter().map(|extent| extent.length).max().unwrap_or(0)) // agf_longest
        .u32(0) // agf_btreeblks
        .raw(&plan.uuid) // agf_uuid
        .u32(0) // agf_rmap_blocks
        .u32(1) // agf_refcount_blocks
        .u32(roots.refcount) // agf_refcount_root
        .u32(1) // agf_refcount_level
        .zeros(112) // agf_spare64
        .u64(0) // agf_lsn
        .crc() // agf_crc
        .finish()
}

/// `struct xfs_agi`: the inodes of group `ag`. Only the first has any.
pub(super) fn inodes(plan: &Plan, ag: u32) -> Vec<u8> {
    let roots = Roots::of(plan);
    let (count, free, newest) =
        if ag == 0 { (CHUNK_INODES, CHUNK_FREE, plan.geometry.root_inode()) } else { (0, 0, NULL) };
    Record::new(plan.sector)
        .raw(b"XAGI")
        .u32(1) // agi_versionnum
        .u32(ag) // agi_seqno
        .u32(plan.geometry.ag_length(ag)) // agi_length
        .u32(count.into()) // agi_count
        .u32(roots.inodes) // agi_root
        .u32(1) // agi_level
        .u32(free.into()) // agi_freecount
        .u32(newest) // agi_newino
        .u32(NULL) // agi_dirino
        .fill(UNLINKED_BYTES, 0xff) // agi_unlinked
        .raw(&plan.uuid) // agi_uuid
        .crc() // agi_crc
        .u32(0) // agi_pad32
        .u64(0) // agi_lsn
        .u32(roots.free_inodes) // agi_free_root
        .u32(1) // agi_free_level
        .u32(1) // agi_iblocks
        .u32(1) // agi_fblocks
        .finish()
}

/// `struct xfs_agfl`: blocks kept for the btrees of group `ag`, from entry 1 (`agf_flfirst`).
pub(super) fn free_list(plan: &Plan, ag: u32) -> Vec<u8> {
    let header = Record::new(plan.sector)
        .padded_with_ones()
        .raw(b"XAFL")
        .u32(ag) // agfl_seqno
        .raw(&plan.uuid) // agfl_uuid
        .u64(0) // agfl_lsn
        .crc() // agfl_crc
        .u32(NULL); // agfl_bno[0]
    plan.geometry.free_list(ag).into_iter().fold(header, Record::u32).finish()
}
