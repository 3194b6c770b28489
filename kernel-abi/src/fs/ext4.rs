//! ext4: made by libext2fs, as `mke2fs -t ext4` would; its superblock read back.

mod shim;
mod superblock;

#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use uuid::Uuid;

pub use superblock::{Ext4State, Ext4Superblock};

use super::target::Target;
use crate::CallError;

/// Block size of every file system made here, bytes.
pub const BLOCK_BYTES: u64 = 4096;
/// Smallest device that is formatted, bytes: below it there is no room for a journal.
pub const MIN_BYTES: u64 = 16 << 20;
/// Longest label, bytes.
pub const MAX_LABEL_BYTES: usize = 16;

/// Every choice that is made when formatting. [`Ext4Options::new`] has mke2fs' defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ext4Options {
    /// Identity of the file system.
    pub uuid: Uuid,
    /// Seed of the directory hash.
    pub hash_seed: Uuid,
    /// At most [`MAX_LABEL_BYTES`] bytes, none of them NUL.
    pub label: String,
    /// Seconds since 1970, for the time stamps.
    pub now: u64,
    /// Leave all inode tables but the first to the kernel, which zeroes them after the first mount. The journal is
    /// zeroed all the same.
    pub lazy: bool,
    /// Every block of the device reads as zeros: nothing is zeroed, and the kernel is told that nothing needs to be.
    /// On a device with old contents this breaks the file system.
    pub known_zero: bool,
    /// Keep the checksum seed apart from the UUID, so that the UUID can be changed while mounted (Linux 4.4).
    pub csum_seed: bool,
    /// RAID chunk, file system blocks; 0 for none.
    pub stride_blocks: u16,
    /// RAID stripe of all data columns, file system blocks; 0 for none.
    pub stripe_width_blocks: u32,
    /// One inode for so many bytes, from 4096 up.
    pub bytes_per_inode: u32,
    /// Percent of the blocks that only root may fill, 0 to 50.
    pub reserved_percent: u8,
}

impl Ext4Options {
    /// mke2fs' defaults: no label, tables and journal zeroed, an inode for 16 KiB, 5 % reserved.
    #[must_use]
    pub fn new(uuid: Uuid, hash_seed: Uuid, now: u64) -> Self {
        Self {
            uuid,
            hash_seed,
            label: String::new(),
            now,
            lazy: false,
            known_zero: false,
            csum_seed: false,
            stride_blocks: 0,
            stripe_width_blocks: 0,
            bytes_per_inode: 16384,
            reserved_percent: 5,
        }
    }
}

/// Why there is no ext4 on the device.
#[derive(Debug, thiserror::Error)]
pub enum Ext4Error {
    /// Nothing was written.
    #[error("{bytes} bytes are too few for ext4, which needs {minimum}")]
    TooSmall {
        /// Size of the device.
        bytes: u64,
        /// [`MIN_BYTES`].
        minimum: u64,
    },
    /// Nothing was written: logical sectors of more than 4096 bytes.
    #[error("sectors of {sector} bytes are larger than a block of 4096")]
    Sector {
        /// Logical sector size of the device, bytes.
        sector: u32,
    },
    /// Nothing was written.
    #[error("{option} cannot be {value}")]
    Option {
        /// Which field of [`Ext4Options`].
        option: &'static str,
        /// What it was.
        value: String,
    },
    /// The kernel refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// libext2fs refused, for a reason that is not an errno.
    #[error("{step} on {target}: {message}")]
    Library {
        /// The function of libext2fs.
        step: String,
        /// The device.
        target: String,
        /// Its code (`ext2_err.h`).
        code: i64,
        /// Its text for the code.
        message: String,
    },
}

/// Makes an ext4 file system with 4 KiB blocks over all of `device`, durably. Whatever was there is gone.
///
/// Assumptions: nobody else writes to the device; it is opened exclusively, so a mounted one or a member of an array
/// is refused with EBUSY. Caveats: one call at a time in a process, others wait; minutes on a large slow device
/// unless `lazy` or `known_zero`.
#[doc(alias = "mke2fs")]
pub fn format(device: &Path, options: &Ext4Options) -> Result<(), Ext4Error> {
    let target = Target::open(device)?;
    let (bytes, sector) = (target.bytes, target.sector);
    drop(target); // the library opens it exclusively itself
    if u64::from(sector) > BLOCK_BYTES {
        return Err(Ext4Error::Sector { sector });
    }
    if bytes < MIN_BYTES {
        return Err(Ext4Error::TooSmall { bytes, minimum: MIN_BYTES });
    }
    let request = request(bytes / BLOCK_BYTES, options)?;
    let path = CString::new(device.as_os_str().as_bytes())
        .map_err(|_| refused("device", device.display().to_string()))?;
    shim::format(&path, &request).map_err(|failure| explain(device, failure))
}

fn request(blocks: u64, options: &Ext4Options) -> Result<shim::Request, Ext4Error> {
    if options.bytes_per_inode < 4096 {
        return Err(refused("bytes_per_inode", options.bytes_per_inode.to_string()));
    }
    if options.reserved_percent > 50 {
        return Err(refused("reserved_percent", options.reserved_percent.to_string()));
    }
    Ok(shim::Request {
        blocks,
        now: options.now,
        stride_blocks: options.stride_blocks.into(),
        stripe_width_blocks: options.stripe_width_blocks,
        bytes_per_inode: options.bytes_per_inode,
        reserved_percent: options.reserved_percent.into(),
        uuid: options.uuid.into_bytes(),
        hash_seed: options.hash_seed.into_bytes(),
        label: label(&options.label)?,
        lazy: options.lazy.into(),
        known_zero: options.known_zero.into(),
        csum_seed: options.csum_seed.into(),
        pad: [0; 5],
    })
}

fn label(text: &str) -> Result<[u8; MAX_LABEL_BYTES], Ext4Error> {
    super::fixed_label(text).ok_or_else(|| refused("label", format!("{text:?}")))
}

fn refused(option: &'static str, value: String) -> Ext4Error {
    Ext4Error::Option { option, value }
}

/// Codes below 4096 are errno values, the others libext2fs' own (`EXT2_ET_BASE` and up).
fn explain(device: &Path, failure: shim::Failure) -> Ext4Error {
    match i32::try_from(failure.code) {
        Ok(errno) if (1..4096).contains(&errno) => {
            let source = io::Error::from_raw_os_error(errno);
            CallError::new("mke2fs", device.display(), source).with_value(failure.step).into()
        }
        _ => Ext4Error::Library {
            step: failure.step,
            target: device.display().to_string(),
            code: failure.code,
            message: failure.message,
        },
    }
}
