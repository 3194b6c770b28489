//! Sector size, disk size, and what follows from them.

use crate::ParseError;

/// Partitions start on multiples of this: 1 MiB.
pub const ALIGNMENT_BYTES: u64 = 1 << 20;

/// Bytes of one entry; the specification allows more, nobody writes more.
pub(super) const ENTRY_BYTES: u32 = 128;

/// Entries of a table we create.
pub(super) const DEFAULT_ENTRIES: u32 = 128;

/// Two headers, two arrays of 16 KiB and the MBR need 67 sectors of 512 bytes; one more for data.
const MINIMUM_SECTORS: u64 = 68;

/// Logical sector size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectorSize {
    /// 512 bytes.
    B512,
    /// 4096 bytes.
    B4096,
}

impl SectorSize {
    /// Bytes in a sector.
    #[must_use]
    pub fn bytes(self) -> u32 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }
}

impl TryFrom<u32> for SectorSize {
    type Error = ParseError;

    fn try_from(bytes: u32) -> Result<Self, ParseError> {
        match bytes {
            512 => Ok(Self::B512),
            4096 => Ok(Self::B4096),
            other => Err(ParseError::new("sector size", format!("{other} is neither 512 nor 4096"))),
        }
    }
}

/// A disk's sector size and how many sectors it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    sector: SectorSize,
    sectors: u64,
}

impl Geometry {
    /// Of a disk of `device_bytes` bytes with logical sectors of `sector_bytes`; a part of a sector at the end is ignored.
    pub fn new(sector_bytes: u32, device_bytes: u64) -> Result<Self, ParseError> {
        let sector = SectorSize::try_from(sector_bytes)?;
        let sectors = device_bytes / u64::from(sector_bytes);
        if sectors < MINIMUM_SECTORS {
            return Err(ParseError::new("disk size", format!("{sectors} sectors are too few for a GPT")));
        }
        Ok(Self { sector, sectors })
    }

    /// Logical sector size.
    #[must_use]
    pub fn sector(self) -> SectorSize {
        self.sector
    }

    /// Size of the disk in sectors.
    #[must_use]
    pub fn sectors(self) -> u64 {
        self.sectors
    }

    /// The last sector: the backup header's.
    #[must_use]
    pub fn last_lba(self) -> u64 {
        self.sectors - 1
    }

    /// `sectors` in bytes.
    pub(super) fn bytes(self, sectors: u64) -> u64 {
        sectors.saturating_mul(u64::from(self.sector.bytes()))
    }

    /// Sectors that hold `bytes`, rounded up.
    pub(super) fn sectors_for(self, bytes: u64) -> u64 {
        bytes.div_ceil(u64::from(self.sector.bytes()))
    }

    /// The first 1 MiB bound at or after `lba`.
    pub(super) fn align_up(self, lba: u64) -> u64 {
        let step = ALIGNMENT_BYTES / u64::from(self.sector.bytes());
        lba.div_ceil(step).saturating_mul(step)
    }

    /// Sectors of an array of `entries` entries.
    pub(super) fn entry_sectors(self, entries: u32) -> u64 {
        self.sectors_for(u64::from(entries) * u64::from(ENTRY_BYTES))
    }

    /// Where the backup's entries start: right before the last sector.
    pub(super) fn backup_entries_lba(self, entries: u32) -> u64 {
        self.last_lba().saturating_sub(self.entry_sectors(entries))
    }
}
