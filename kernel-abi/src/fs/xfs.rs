//! XFS: version 5 file systems as mkfs.xfs 6.1 makes them by default, written in process; the superblock read back.
//!
//! Blocks of 4096 bytes, inodes of 512, internal log; free inode btree, sparse inodes, reflink, big time stamps,
//! inode btree counters. Deliberately absent: reverse mapping, realtime, external log, 64-bit extent counters.

mod ag;
mod btree;
mod features;
mod geometry;
mod inode;
mod log;
mod plan;
mod record;
mod superblock;

#[cfg(test)]
mod tests;

use std::path::Path;

use uuid::Uuid;

pub use superblock::XfsSuperblock;

use super::target::Target;
use crate::CallError;
use ag::Roots;
use geometry::{BLOCK, BLOCK_LEN};
use plan::Plan;
use superblock::{Copy, superblock};

/// Smallest device that is formatted, bytes: mkfs.xfs' own limit.
pub const MIN_BYTES: u64 = geometry::MIN_BYTES;
/// Longest label, bytes.
pub const MAX_LABEL_BYTES: usize = 12;
/// Largest stripe unit, blocks (4 MiB).
pub const MAX_STRIPE_UNIT_BLOCKS: u32 = 1024;
/// Largest stripe width, blocks (64 MiB).
pub const MAX_STRIPE_WIDTH_BLOCKS: u32 = 16384;
/// So much is cleared at either end of the device, bytes: where other signatures stand.
const WIPED: u64 = 1 << 20;

/// Every choice that is made when formatting. [`XfsOptions::new`] has mkfs.xfs' defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XfsOptions {
    /// Identity of the file system.
    pub uuid: Uuid,
    /// At most [`MAX_LABEL_BYTES`] bytes, none of them NUL.
    pub label: String,
    /// Seconds since 1970, for the time stamps.
    pub now: u64,
    /// 512 or 4096 bytes, at least the device's logical sector.
    pub sector_size: u32,
    /// Layout of a striped device.
    pub stripe: Option<Stripe>,
    /// Every block of the device reads as zeros: the log and the ends of the device are not zeroed.
    pub known_zero: bool,
}

impl XfsOptions {
    /// No label, sectors of 512 bytes, no stripe.
    #[must_use]
    pub fn new(uuid: Uuid, now: u64) -> Self {
        Self { uuid, label: String::new(), now, sector_size: 512, stripe: None, known_zero: false }
    }
}

/// A striped device, in file system blocks of 4096 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stripe {
    /// Chunk on one column, 1 to [`MAX_STRIPE_UNIT_BLOCKS`].
    pub unit_blocks: u32,
    /// All columns: a multiple of the unit, at least two of it, up to [`MAX_STRIPE_WIDTH_BLOCKS`].
    pub width_blocks: u32,
}

/// Why there is no XFS on the device. Nothing was written, except where a call failed.
#[derive(Debug, thiserror::Error)]
pub enum XfsError {
    /// Below [`MIN_BYTES`].
    #[error("{bytes} bytes are too few for XFS, which needs {minimum}")]
    TooSmall {
        /// Size of the device.
        bytes: u64,
        /// [`MIN_BYTES`].
        minimum: u64,
    },
    /// Above 1 PiB.
    #[error("{bytes} bytes are more than the {maximum} that are formatted as XFS")]
    TooLarge {
        /// Size of the device.
        bytes: u64,
        /// The limit.
        maximum: u64,
    },
    /// Too long, or with a NUL.
    #[error("{label:?} cannot be an XFS label")]
    Label {
        /// What was asked for.
        label: String,
    },
    /// Neither 512 nor 4096, or less than the device's.
    #[error("XFS with sectors of {asked} bytes on a device with {device}")]
    Sector {
        /// Asked for, bytes.
        asked: u32,
        /// Logical sector of the device, bytes.
        device: u32,
    },
    /// Outside the bounds of [`Stripe`].
    #[error("{stripe:?} cannot be laid out")]
    Stripe {
        /// What was asked for.
        stripe: Stripe,
    },
    /// Sizes that do not go together.
    #[error("no XFS geometry: {why}")]
    Geometry {
        /// Which.
        why: String,
    },
    /// The kernel refused; what is on the device then does not mount.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Makes an XFS file system over `device`, durably. Whatever was there is gone.
///
/// Guarantees: the primary superblock is written last, after everything else is on the device. Assumptions: nobody
/// else writes to the device; it is opened exclusively, so a mounted one is refused with EBUSY.
#[doc(alias = "mkfs.xfs")]
pub fn format(device: &Path, options: &XfsOptions) -> Result<(), XfsError> {
    let target = Target::open(device)?;
    check(options, target.sector)?;
    let plan = Plan::new(target.bytes, options)?;
    wipe(&target, &plan)?;
    for ag in (0..plan.geometry.ag_count).rev() {
        write_group(&target, &plan, ag)?;
    }
    target.write(plan.geometry.offset(0, plan.geometry.root_chunk), &inode::root_chunk(&plan))?;
    target.write(log_offset(&plan), &log::unmount_record(&plan))?;
    target.sync()?;
    target.write(0, &superblock(&plan, Copy::Primary))?;
    Ok(target.sync()?)
}

fn check(options: &XfsOptions, device: u32) -> Result<(), XfsError> {
    let asked = options.sector_size;
    if !matches!(asked, 512 | 4096) || asked < device {
        return Err(XfsError::Sector { asked, device });
    }
    match options.stripe {
        Some(stripe) if !fits(stripe) => Err(XfsError::Stripe { stripe }),
        _ => Ok(()),
    }
}

fn fits(Stripe { unit_blocks: unit, width_blocks: width }: Stripe) -> bool {
    (1..=MAX_STRIPE_UNIT_BLOCKS).contains(&unit)
        && width > unit
        && width <= MAX_STRIPE_WIDTH_BLOCKS
        && width.is_multiple_of(unit)
}

fn log_offset(plan: &Plan) -> u64 {
    plan.geometry.offset(plan.geometry.log_ag, plan.geometry.log.start)
}

/// Takes away what was there, the old primary superblock durably: from here on nothing mounts until the end.
fn wipe(target: &Target, plan: &Plan) -> Result<(), CallError> {
    target.write(0, &vec![0; BLOCK_LEN])?;
    target.sync()?;
    if plan.options.known_zero {
        return Ok(());
    }
    target.zero(0, WIPED)?;
    target.zero((target.bytes / BLOCK * BLOCK).saturating_sub(WIPED), WIPED)?;
    target.zero(log_offset(plan), u64::from(plan.geometry.log.length) * BLOCK)
}

/// The fixed blocks of one allocation group: four header sectors and the btree roots, in one write. The primary
/// superblock's sector stays zero.
fn write_group(target: &Target, plan: &Plan, ag: u32) -> Result<(), CallError> {
    let geometry = &plan.geometry;
    let free = geometry.free(ag);
    let mut blocks = match Copy::of(ag, geometry.ag_count) {
        Copy::Primary => vec![0; plan.sector],
        copy => superblock(plan, copy),
    };
    blocks.extend(ag::free_space(plan, ag, &free));
    blocks.extend(ag::inodes(plan, ag));
    blocks.extend(ag::free_list(plan, ag));
    blocks.resize(geometry.headers as usize * BLOCK_LEN, 0);

    let roots = Roots::of(plan);
    let mut by_size = free.clone();
    by_size.sort_unstable_by_key(|extent| (extent.length, extent.start));
    blocks.extend(btree::extents(plan, *b"AB3B", ag, roots.by_block, &free));
    blocks.extend(btree::extents(plan, *b"AB3C", ag, roots.by_size, &by_size));
    blocks.extend(btree::chunks(plan, *b"IAB3", ag, roots.inodes));
    blocks.extend(btree::chunks(plan, *b"FIB3", ag, roots.free_inodes));
    blocks.extend(btree::refcounts(plan, ag, roots.refcount));
    target.write(geometry.offset(ag, 0), &blocks)
}
