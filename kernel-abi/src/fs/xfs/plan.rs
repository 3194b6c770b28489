//! What every writer of a structure is given.

use super::geometry::{BLOCK_LOG, Geometry, log_unit_blocks};
use super::{XfsError, XfsOptions};

/// `NULLAGBLOCK`, `NULLAGINO`: there is none.
pub(super) const NULL: u32 = u32::MAX;
/// `NULLFSINO`.
pub(super) const NULL_INODE: u64 = u64::MAX;
/// A file system about to be written.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) geometry: Geometry,
    pub(super) options: XfsOptions,
    pub(super) uuid: [u8; 16],
    pub(super) label: [u8; 12],
    /// Sector size, bytes.
    pub(super) sector: usize,
    /// Free blocks with the root inodes in place.
    pub(super) free_blocks: u64,
}

impl Plan {
    pub(super) fn new(bytes: u64, options: &XfsOptions) -> Result<Self, XfsError> {
        let geometry = Geometry::new(bytes, options)?;
        let label = crate::fs::fixed_label(&options.label)
            .ok_or_else(|| XfsError::Label { label: options.label.clone() })?;
        Ok(Self {
            free_blocks: geometry.free_blocks(),
            geometry,
            uuid: options.uuid.into_bytes(),
            label,
            sector: if options.sector_size == 4096 { 4096 } else { 512 },
            options: options.clone(),
        })
    }

    pub(super) fn large_sectors(&self) -> bool {
        self.sector > 512
    }

    /// Stripe unit and width for the superblock, blocks; zero without a stripe.
    pub(super) fn stripe(&self) -> (u32, u32) {
        self.options.stripe.map_or((0, 0), |stripe| (stripe.unit_blocks, stripe.width_blocks))
    }

    /// `sb_logsunit`, bytes: log writes are padded to it. 1 stands for none.
    pub(super) fn log_unit(&self) -> u32 {
        log_unit_blocks(&self.options).map_or(1, |blocks| blocks << BLOCK_LOG)
    }
}
