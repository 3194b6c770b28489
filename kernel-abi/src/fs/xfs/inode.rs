//! The root inode chunk: the root directory, the two inodes of the absent realtime section, 61 free ones
//! (`struct xfs_dinode`, version 3, 512 bytes).

use super::features::{DIFLAG_NEWRTBM, DIFLAG2_BIGTIME};
use super::plan::{NULL, Plan};
use super::record::Record;

/// Inodes in a chunk (`XFS_INODES_PER_CHUNK`).
pub(super) const CHUNK_INODES: u8 = 64;
/// Free ones among them: all but the root and two more.
pub(super) const CHUNK_FREE: u8 = 61;

const SIZE: usize = 512;
const S_IFDIR_755: u16 = 0o040_755;
const S_IFREG: u16 = 0o100_000;
/// `enum xfs_dinode_fmt`.
const FMT_LOCAL: u8 = 1;
const FMT_EXTENTS: u8 = 2;
/// Time stamps count from here, seconds before 1970 (`XFS_BIGTIME_EPOCH_OFFSET`).
const BIGTIME_EPOCH: u64 = 1 << 31;

#[derive(Clone, Copy)]
struct Content<'a> {
    mode: u16,
    format: u8,
    links: u32,
    flags: u16,
    fork: &'a [u8],
}

/// All 64 inodes, eight blocks.
pub(super) fn root_chunk(plan: &Plan) -> Vec<u8> {
    let root = plan.geometry.root_inode();
    let directory = empty_directory(root);
    let made = [
        Content { mode: S_IFDIR_755, format: FMT_LOCAL, links: 2, flags: 0, fork: &directory },
        Content { mode: S_IFREG, format: FMT_EXTENTS, links: 1, flags: DIFLAG_NEWRTBM, fork: &[] },
        Content { mode: S_IFREG, format: FMT_EXTENTS, links: 1, flags: 0, fork: &[] },
    ];
    let free =
        std::iter::repeat_n(Content { mode: 0, format: 0, links: 0, flags: 0, fork: &[] }, CHUNK_FREE.into());
    let contents = made.into_iter().chain(free);
    (u64::from(root)..).zip(contents).flat_map(|(number, content)| inode(plan, number, &content)).collect()
}

/// A directory without entries in the inode itself (`struct xfs_dir2_sf_hdr`): two counts, the parent.
fn empty_directory(parent: u32) -> Vec<u8> {
    Record::new(6).u8(0).u8(0).u32(parent).finish()
}

fn inode(plan: &Plan, number: u64, content: &Content<'_>) -> Vec<u8> {
    let used = content.mode != 0;
    let stamp = if used { bigtime(plan.options.now) } else { 0 };
    let when_used = |value: u64| if used { value } else { 0 };
    Record::new(SIZE)
        .raw(b"IN")
        .u16(content.mode) // di_mode
        .u8(3) // di_version
        .u8(content.format) // di_format
        .zeros(10) // di_onlink, di_uid, di_gid
        .u32(content.links) // di_nlink
        .zeros(12) // di_projid_lo, di_projid_hi, di_pad, di_flushiter
        .u64(stamp) // di_atime
        .u64(stamp) // di_mtime
        .u64(stamp) // di_ctime
        .u64(content.fork.len() as u64) // di_size
        .zeros(19) // di_nblocks, di_extsize, di_nextents, di_anextents, di_forkoff
        .u8(if used { FMT_EXTENTS } else { 0 }) // di_aformat
        .zeros(6) // di_dmevmask, di_dmstate
        .u16(content.flags) // di_flags
        .u32(0) // di_gen
        .u32(NULL) // di_next_unlinked
        .crc() // di_crc
        .u64(when_used(2)) // di_changecount
        .u64(0) // di_lsn
        .u64(when_used(DIFLAG2_BIGTIME)) // di_flags2
        .zeros(16) // di_cowextsize, di_pad2
        .u64(stamp) // di_crtime
        .u64(number) // di_ino
        .raw(&plan.uuid) // di_uuid
        .raw(content.fork)
        .finish()
}

/// Nanoseconds since December 1901.
fn bigtime(seconds: u64) -> u64 {
    seconds.saturating_add(BIGTIME_EPOCH).saturating_mul(1_000_000_000)
}
