//! Where everything goes: allocation groups, log, root inodes. The rules are those of mkfs.xfs 6.1
//! (`mkfs/xfs_mkfs.c`: `calc_default_ag_geometry`, `align_ag_geometry`, `calculate_log_size`).

use super::{Stripe, XfsError, XfsOptions};

/// Block size, bytes.
pub(super) const BLOCK: u64 = 4096;
/// [`BLOCK`] as a length in memory.
pub(super) const BLOCK_LEN: usize = 4096;
/// log2 of [`BLOCK`].
pub(super) const BLOCK_LOG: u8 = 12;
/// Blocks of the root inode chunk: 64 inodes of 512 bytes.
pub(super) const CHUNK_BLOCKS: u32 = 8;
/// Blocks kept for the free list of an allocation group (its AGFL starts with as many).
pub(super) const FREE_LIST: u8 = 4;

const MIB: u64 = (1 << 20) / BLOCK;
const GIB: u64 = (1 << 30) / BLOCK;
const TIB: u64 = (1 << 40) / BLOCK;
/// mkfs.xfs refuses less ("Filesystem must be larger than 300MB").
pub(super) const MIN_BYTES: u64 = 300 << 20;
/// The limit set here, 1 PiB; XFS' own is far above.
pub(super) const MAX_BYTES: u64 = 1 << 50;
/// `XFS_AG_MAX_BLOCKS`.
const MAX_AG: u64 = TIB - 1;
/// `XFS_AG_MIN_BLOCKS`: a last group below it is left out.
const MIN_AG: u64 = 16 * MIB;
/// `XFS_MAX_LOG_BYTES` less the 10 MiB that mkfs keeps away from it.
const MAX_LOG: u64 = 2038 * MIB;
/// Blocks of 256 KiB, the largest stripe unit of a log.
const MAX_LOG_UNIT: u32 = 64;
/// Blocks of 32 KiB.
const FALLBACK_LOG_UNIT: u32 = 8;
/// btree roots behind the headers: by block, by size, inodes, free inodes, reference counts.
pub(super) const ROOTS: u32 = 5;
/// Blocks that are left free in the log's group beyond its fixed metadata.
const LOG_SLACK: u64 = 16;

/// A run of blocks in an allocation group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extent {
    pub(super) start: u32,
    pub(super) length: u32,
}

impl Extent {
    fn end(self) -> u32 {
        self.start.saturating_add(self.length)
    }
}

/// All sizes and places. Counts are blocks, places are blocks from the start of their allocation group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) blocks: u64,
    pub(super) ag_blocks: u32,
    pub(super) ag_count: u32,
    /// log2 of `ag_blocks`, rounded up.
    pub(super) ag_log: u8,
    /// The allocation group that holds the log.
    pub(super) log_ag: u32,
    pub(super) log: Extent,
    /// Blocks taken by the four header sectors of a group.
    pub(super) headers: u32,
    pub(super) root_chunk: u32,
    /// Percent of the space that inodes may take.
    pub(super) inode_percent: u8,
}

impl Geometry {
    pub(super) fn new(bytes: u64, options: &XfsOptions) -> Result<Self, XfsError> {
        if bytes < MIN_BYTES {
            return Err(XfsError::TooSmall { bytes, minimum: MIN_BYTES });
        }
        if bytes > MAX_BYTES {
            return Err(XfsError::TooLarge { bytes, maximum: MAX_BYTES });
        }
        let device = bytes / BLOCK;
        let (blocks, ag_blocks) =
            without_runt(device, aligned(default_ag(device, options.stripe), options.stripe));
        let ag_count = narrow(blocks.div_ceil(ag_blocks))?;
        let headers = narrow(u64::from(4 * options.sector_size).div_ceil(BLOCK))?;
        let log = log_extent(blocks, ag_blocks, headers + ROOTS, log_unit_blocks(options).unwrap_or(1))?;
        let alignment = options.stripe.map_or(CHUNK_BLOCKS, |stripe| stripe.unit_blocks.max(CHUNK_BLOCKS));
        let ag_blocks = narrow(ag_blocks)?;
        Ok(Self {
            blocks,
            ag_blocks,
            ag_count,
            ag_log: log2_up(ag_blocks),
            log_ag: ag_count / 2,
            log,
            headers,
            root_chunk: (headers + ROOTS + 4).next_multiple_of(alignment),
            inode_percent: inode_percent(blocks),
        })
    }

    /// Blocks of the headers and btree roots at the start of every group (`XFS_PREALLOC_BLOCKS`).
    pub(super) fn fixed(&self) -> u32 {
        self.headers + ROOTS
    }

    /// Length of group `ag`: the last one may be shorter.
    pub(super) fn ag_length(&self, ag: u32) -> u32 {
        let left = self.blocks.saturating_sub(u64::from(ag) * u64::from(self.ag_blocks));
        u32::try_from(left).unwrap_or(u32::MAX).min(self.ag_blocks)
    }

    /// Where block `block` of group `ag` is on the device, bytes.
    pub(super) fn offset(&self, ag: u32, block: u32) -> u64 {
        (u64::from(ag) * u64::from(self.ag_blocks) + u64::from(block)) * BLOCK
    }

    /// Inode number of the root directory; two more inodes follow (`XFS_AGB_TO_AGINO`, eight inodes in a block).
    pub(super) fn root_inode(&self) -> u32 {
        self.root_chunk << 3
    }

    /// The log's first block as the superblock names it (`XFS_AGB_TO_FSB`).
    pub(super) fn log_start(&self) -> u64 {
        u64::from(self.log_ag) << self.ag_log | u64::from(self.log.start)
    }

    /// Blocks of the free list of group `ag`: the start of the smallest gap that holds them all, as
    /// `xfs_alloc_fix_freelist` takes them before the root inodes exist.
    pub(super) fn free_list(&self, ag: u32) -> Vec<u32> {
        let length = FREE_LIST.into();
        let gaps = self.gaps(ag, self.fixed_extents(ag)).into_iter().filter(|gap| gap.length >= length);
        let smallest = gaps.min_by_key(|gap| (gap.length, gap.start));
        smallest.map_or(Vec::new(), |gap| (gap.start..gap.start + length).collect())
    }

    /// Free extents of group `ag` by position, free list not included.
    pub(super) fn free(&self, ag: u32) -> Vec<Extent> {
        let mut used = self.fixed_extents(ag);
        used.extend(self.free_list(ag).into_iter().map(|start| Extent { start, length: 1 }));
        if ag == 0 {
            used.push(Extent { start: self.root_chunk, length: CHUNK_BLOCKS });
        }
        self.gaps(ag, used)
    }

    fn gaps(&self, ag: u32, mut used: Vec<Extent>) -> Vec<Extent> {
        used.sort_unstable();
        used.push(Extent { start: self.ag_length(ag), length: 0 });
        let mut at = 0;
        let mut gaps = Vec::new();
        for extent in used {
            if extent.start > at {
                gaps.push(Extent { start: at, length: extent.start - at });
            }
            at = extent.end();
        }
        gaps
    }

    /// Free blocks of the file system, those of the free lists included.
    pub(super) fn free_blocks(&self) -> u64 {
        let lists = u64::from(self.ag_count) * u64::from(FREE_LIST);
        let extents = (0..self.ag_count).flat_map(|ag| self.free(ag));
        lists + extents.map(|extent| u64::from(extent.length)).sum::<u64>()
    }

    fn fixed_extents(&self, ag: u32) -> Vec<Extent> {
        let mut used = vec![Extent { start: 0, length: self.fixed() }];
        if ag == self.log_ag {
            used.push(self.log);
        }
        used
    }
}

fn narrow(value: u64) -> Result<u32, XfsError> {
    u32::try_from(value).map_err(|_| XfsError::Geometry { why: format!("{value} does not fit 32 bits") })
}

fn log2_up(value: u32) -> u8 {
    let bits = value.saturating_sub(1).checked_ilog2().map_or(0, |log| log + 1);
    u8::try_from(bits).unwrap_or(32)
}

/// 4 groups on one disk, 8 to 32 on a stripe, never above 1 TiB each.
fn default_ag(device: u64, stripe: Option<Stripe>) -> u64 {
    let striped = stripe.is_some();
    if device >= 32 * TIB || (!striped && device >= 4 * TIB) {
        return MAX_AG;
    }
    let groups = match striped {
        false => 4,
        true if device > 512 * GIB => 32,
        true if device > 8 * GIB => 16,
        true => 8,
    };
    device.div_ceil(groups).min(MAX_AG)
}

/// Whole stripe units in a group, but no whole stripe widths: else all headers would lie on the same column.
fn aligned(ag: u64, stripe: Option<Stripe>) -> u64 {
    let Some(stripe) = stripe else { return ag };
    let (unit, width) = (u64::from(stripe.unit_blocks), u64::from(stripe.width_blocks));
    let up = ag.next_multiple_of(unit);
    let ag = if up < MAX_AG { up } else { ag / unit * unit };
    if ag.is_multiple_of(width) { ag - unit } else { ag }
}

/// Leaves out a last group that would be too small. Returns (blocks in all, blocks of a group).
fn without_runt(device: u64, ag: u64) -> (u64, u64) {
    let last = device % ag;
    (if last < MIN_AG { device - last } else { device }, ag)
}

/// 64 MiB on small volumes, 1/2048 of large ones, always within one group; start and length are multiples of `unit`.
fn log_extent(blocks: u64, ag: u64, fixed: u32, unit: u32) -> Result<Extent, XfsError> {
    let start = fixed.next_multiple_of(unit);
    let unit = unit.into();
    let room = ag.saturating_sub(u64::from(start) + LOG_SLACK) / unit * unit;
    let length = (blocks / 2048).max(64 * MIB).next_multiple_of(unit).min(MAX_LOG).min(room);
    Ok(Extent { start, length: narrow(length)? })
}

/// The stripe unit that log writes are padded to, blocks: with large sectors one block, else the data's, unless that is
/// larger than the log can have (`calc_stripe_factors`). `None`: no padding.
pub(super) fn log_unit_blocks(options: &XfsOptions) -> Option<u32> {
    match options.stripe {
        _ if options.sector_size > 512 => Some(1),
        Some(stripe) if stripe.unit_blocks > MAX_LOG_UNIT => Some(FALLBACK_LOG_UNIT),
        stripe => stripe.map(|stripe| stripe.unit_blocks),
    }
}

fn inode_percent(blocks: u64) -> u8 {
    match blocks {
        small if small < TIB => 25,
        medium if medium < 50 * TIB => 5,
        _ => 1,
    }
}
