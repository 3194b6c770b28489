//! The block device, or in tests the image file, that a file system is made on.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::O_EXCL;
use rustix::fs::{FallocateFlags, fallocate, ioctl_blksszget};

use super::ioctl;
use crate::{CallError, call};

/// Logical sector size of an image file, bytes.
const FILE_SECTOR: u32 = 512;

/// An open device or image. A device is opened exclusively: EBUSY while it is mounted or a member of an array.
pub(super) struct Target {
    file: File,
    path: String,
    block_device: bool,
    /// Size in bytes.
    pub(super) bytes: u64,
    /// Logical sector size in bytes.
    pub(super) sector: u32,
}

impl Target {
    pub(super) fn open(path: &Path) -> Result<Self, CallError> {
        let failed = |call| move |source| CallError::new(call, path.display(), source);
        let _in_call = call::enter("open", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(O_EXCL) // no meaning for a file, exclusive claim on a device
            .open(path)
            .map_err(failed("open"))?;
        let block_device = file.metadata().map_err(failed("fstat"))?.file_type().is_block_device();
        let bytes = file.seek(SeekFrom::End(0)).map_err(failed("lseek"))?;
        let sector = if block_device {
            ioctl_blksszget(&file).map_err(io::Error::from).map_err(failed("BLKSSZGET"))?
        } else {
            FILE_SECTOR
        };
        Ok(Self { file, path: path.display().to_string(), block_device, bytes, sector })
    }

    /// Makes `length` bytes from `offset` read as zeros. Never a discard.
    pub(super) fn zero(&self, offset: u64, length: u64) -> Result<(), CallError> {
        let _in_call = call::enter(if self.block_device { "BLKZEROOUT" } else { "fallocate" }, &self.path);
        let (call, result) = if self.block_device {
            ("BLKZEROOUT", ioctl::zero_out(&self.file, offset, length).map_err(io::Error::from))
        } else {
            ("fallocate", zero_file(&self.file, offset, length))
        };
        result.map_err(|source| self.error(call, offset, length, source))
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), CallError> {
        let length = bytes.len() as u64;
        let _in_call = call::enter("pwrite", &self.path);
        self.file.write_all_at(bytes, offset).map_err(|source| self.error("pwrite", offset, length, source))
    }

    pub(super) fn sync(&self) -> Result<(), CallError> {
        let _in_call = call::enter("fsync", &self.path);
        self.file.sync_all().map_err(|source| CallError::new("fsync", &self.path, source))
    }

    fn error(&self, call: &'static str, offset: u64, length: u64, source: io::Error) -> CallError {
        CallError::new(call, &self.path, source).with_value(format_args!("{length} bytes at {offset}"))
    }
}

fn zero_file(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, offset, length) {
        Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(file, offset, length),
        other => Ok(other?),
    }
}

fn write_zeros(file: &File, mut offset: u64, length: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let end = offset.saturating_add(length);
    while offset < end {
        let count = usize::try_from(end - offset).unwrap_or(usize::MAX).min(zeros.len());
        let (now, _) = zeros.split_at(count);
        file.write_all_at(now, offset)?;
        offset += count as u64;
    }
    Ok(())
}
