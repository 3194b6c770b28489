//! Growing a mounted file system after its device grew. Neither kind is shrunk here.

use rustix::fs::fstatfs;

use super::MountPoint;
use super::ioctl::{self, XfsGeom};
use crate::CallError;

/// `EXT4_SUPER_MAGIC` (`include/uapi/linux/magic.h`).
const EXT4: u64 = 0xef53;
/// `XFS_SUPER_MAGIC`.
const XFS: u64 = 0x5846_5342;

/// What growing did. Counts are file system blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grown {
    /// The file system has `blocks` blocks now.
    To {
        /// Asked of ext4; read back from XFS, which leaves out a last allocation group that would be too small.
        blocks: u64,
    },
    /// It was that large before.
    AlreadySo,
}

/// Why a file system did not grow.
#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    /// The size asked for is smaller than the file system is.
    #[error("a file system of {have} blocks cannot shrink to {asked}")]
    Shrink {
        /// Blocks it has.
        have: u64,
        /// Blocks asked for.
        asked: u64,
    },
    /// Neither ext4 nor XFS.
    #[error("file system type {magic:#x} cannot be grown here")]
    Unknown {
        /// `statfs.f_type`.
        magic: u64,
    },
    /// The kernel refused.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// What a mounted XFS looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XfsGeometry {
    /// Bytes.
    pub block_size: u32,
    /// Size of the data section in blocks.
    pub blocks: u64,
    /// Blocks of an allocation group.
    pub ag_blocks: u32,
    /// Allocation groups.
    pub ag_count: u32,
    /// Percent of the space that inodes may take.
    pub inode_percent: u32,
}

impl From<XfsGeom> for XfsGeometry {
    fn from(geometry: XfsGeom) -> Self {
        Self {
            block_size: geometry.blocksize,
            blocks: geometry.datablocks,
            ag_blocks: geometry.agblocks,
            ag_count: geometry.agcount,
            inode_percent: geometry.imaxpct,
        }
    }
}

/// Grows ext4 or XFS, whichever is mounted, to the whole blocks of a device of `bytes` bytes.
pub fn to_device(at: &MountPoint, bytes: u64) -> Result<Grown, GrowError> {
    let about = fstatfs(at.directory()).map_err(|errno| at.error("fstatfs", errno))?;
    let block = u64::try_from(about.f_bsize).unwrap_or_default().max(512);
    match u64::try_from(about.f_type).unwrap_or_default() {
        EXT4 => ext4(at, bytes / block),
        XFS => xfs(at, bytes / block),
        magic => Err(GrowError::Unknown { magic }),
    }
}

/// Grows a mounted ext4 to `blocks` FILE SYSTEM blocks in all (`fs/ext4/resize.c`, `ext4_resize_fs`).
///
/// EPERM: no `CAP_SYS_RESOURCE` (`ext4_resize_begin`), or the file system has errors. EINVAL: fewer blocks than it has (so in wrong units), or more than the device. The size it already has is success.
#[doc(alias = "EXT4_IOC_RESIZE_FS")]
pub fn ext4(at: &MountPoint, blocks: u64) -> Result<Grown, GrowError> {
    let _in_call = at.enter("EXT4_IOC_RESIZE_FS");
    ioctl::ext4_resize(at.directory(), blocks)
        .map_err(|errno| at.error("EXT4_IOC_RESIZE_FS", errno).with_value(format_args!("{blocks} blocks")))?;
    Ok(Grown::To { blocks })
}

/// Grows a mounted XFS to `blocks` file system blocks in all, at most; the share of inodes stays (`fs/xfs/xfs_fsops.c`,
/// `xfs_growfs_data`). Needs `CAP_SYS_ADMIN`.
#[doc(alias = "XFS_IOC_FSGROWFSDATA")]
pub fn xfs(at: &MountPoint, blocks: u64) -> Result<Grown, GrowError> {
    let before = xfs_geometry(at)?;
    if blocks < before.blocks {
        return Err(GrowError::Shrink { have: before.blocks, asked: blocks });
    }
    if blocks == before.blocks {
        return Ok(Grown::AlreadySo);
    }
    let _in_call = at.enter("XFS_IOC_FSGROWFSDATA");
    ioctl::xfs_grow(at.directory(), blocks, before.inode_percent).map_err(|errno| {
        at.error("XFS_IOC_FSGROWFSDATA", errno).with_value(format_args!("{blocks} blocks"))
    })?;
    let after = xfs_geometry(at)?.blocks;
    Ok(if after == before.blocks { Grown::AlreadySo } else { Grown::To { blocks: after } })
}

/// Asks a mounted XFS for its geometry.
#[doc(alias = "XFS_IOC_FSGEOMETRY")]
pub fn xfs_geometry(at: &MountPoint) -> Result<XfsGeometry, CallError> {
    ioctl::xfs_geometry(at.directory()).map(Into::into).map_err(|errno| at.error("XFS_IOC_FSGEOMETRY", errno))
}
