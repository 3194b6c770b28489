//! Rows of a table: the raw form the kernel takes and gives, and the three kinds we make.

use crate::{DevNum, ParseError};

/// One row of a table, or of a status. Sectors are 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// First sector of the map this row serves.
    pub start_sector: u64,
    /// How many.
    pub sectors: u64,
    /// Target type (`linear`, `multipath`).
    pub kind: String,
    /// Its parameters; in a status, what the target says of itself.
    pub parameters: String,
}

/// A leg: one path, bio-based, that holds I/O while the path is failed when `queue_if_no_path` is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multipath {
    /// Length in sectors of 512 bytes.
    pub sectors: u64,
    /// Hold I/O without a path instead of failing it.
    pub queue_if_no_path: bool,
    /// The device below.
    pub path: DevNum,
}

/// A range of another device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// First sector of the map.
    pub start_sector: u64,
    /// Length in sectors of 512 bytes.
    pub sectors: u64,
    /// The device below.
    pub device: DevNum,
    /// First sector on it.
    pub offset_sectors: u64,
}

/// Chunks dealt out over several devices, each used from its first sector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Striped {
    /// Length in sectors of 512 bytes; the kernel wants a multiple of stripes times chunk
    /// (drivers/md/dm-stripe.c `stripe_ctr`).
    pub sectors: u64,
    /// Chunk in sectors of 512 bytes.
    pub chunk_sectors: u32,
    /// The columns in order.
    pub devices: Vec<DevNum>,
}

impl From<Multipath> for Target {
    /// Features, no hardware handler, one group, round-robin without arguments over one path without arguments.
    fn from(leg: Multipath) -> Self {
        let features =
            if leg.queue_if_no_path { "3 queue_if_no_path queue_mode bio" } else { "2 queue_mode bio" };
        Self {
            start_sector: 0,
            sectors: leg.sectors,
            kind: "multipath".to_owned(),
            parameters: format!("{features} 0 1 1 round-robin 0 1 0 {}", leg.path),
        }
    }
}

impl From<Linear> for Target {
    fn from(row: Linear) -> Self {
        Self {
            start_sector: row.start_sector,
            sectors: row.sectors,
            kind: "linear".to_owned(),
            parameters: format!("{} {}", row.device, row.offset_sectors),
        }
    }
}

impl From<&Striped> for Target {
    fn from(stripes: &Striped) -> Self {
        let columns: Vec<String> = stripes.devices.iter().map(|device| format!("{device} 0")).collect();
        Self {
            start_sector: 0,
            sectors: stripes.sectors,
            kind: "striped".to_owned(),
            parameters: format!("{} {} {}", columns.len(), stripes.chunk_sectors, columns.join(" ")),
        }
    }
}

impl TryFrom<&Target> for Striped {
    type Error = ParseError;

    /// Reads a row of [`super::Control::table`] (drivers/md/dm-stripe.c `stripe_status`): `2 256 9:127 0 9:126 0`. A device that
    /// is not used from its first sector is not of this kind.
    fn try_from(row: &Target) -> Result<Self, ParseError> {
        let wrong = |why: &'static str| ParseError::new("striped target", why);
        if row.kind != "striped" {
            return Err(wrong("is of another kind"));
        }
        let mut words = row.parameters.split_ascii_whitespace();
        let mut number = || words.next().and_then(|word| word.parse::<u32>().ok());
        let (Some(stripes), Some(chunk_sectors)) = (number(), number()) else {
            return Err(wrong("has no stripes or no chunk"));
        };
        let words: Vec<&str> = words.collect();
        let column = |pair: &[&str]| match pair {
            [device, "0"] => device.parse::<DevNum>().ok(),
            _ => None,
        };
        let devices: Option<Vec<DevNum>> = words.chunks(2).map(column).collect();
        let devices = devices.ok_or_else(|| wrong("has a device that is not one from its start"))?;
        if usize::try_from(stripes) != Ok(devices.len()) {
            return Err(wrong("has another number of devices than of stripes"));
        }
        Ok(Self { sectors: row.sectors, chunk_sectors, devices })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DevNum = DevNum { major: 259, minor: 4 };

    #[test]
    fn a_leg_is_the_table_that_was_proven() {
        let mut leg = Multipath { sectors: 2048, queue_if_no_path: true, path: DEVICE };
        let target = Target::from(leg);
        assert_eq!((target.kind.as_str(), target.sectors), ("multipath", 2048));
        assert_eq!(target.parameters, "3 queue_if_no_path queue_mode bio 0 1 1 round-robin 0 1 0 259:4");
        leg.queue_if_no_path = false;
        assert_eq!(Target::from(leg).parameters, "2 queue_mode bio 0 1 1 round-robin 0 1 0 259:4");
    }

    #[test]
    fn linear_and_striped_follow_the_kernels_documentation() {
        let row = Linear { start_sector: 8, sectors: 16, device: DEVICE, offset_sectors: 32 };
        assert_eq!(Target::from(row).parameters, "259:4 32");
        let other = DevNum { major: 9, minor: 127 };
        let stripes = Striped { sectors: 4096, chunk_sectors: 128, devices: vec![DEVICE, other] };
        let row = Target::from(&stripes);
        assert_eq!(row.parameters, "2 128 259:4 0 9:127 0");
        assert_eq!(Striped::try_from(&row), Ok(stripes));
    }

    #[test]
    fn what_is_no_stripes_is_not_read_as_such() {
        let row = |kind: &str, parameters: &str| Target {
            start_sector: 0,
            sectors: 8,
            kind: kind.to_owned(),
            parameters: parameters.to_owned(),
        };
        assert!(Striped::try_from(&row("linear", "2 128 259:4 0 9:127 0")).is_err());
        for bad in
            ["", "2", "2 128", "2 128 259:4 0", "2 128 259:4 0 9:127", "1 128 259:4 8", "1 128 sda 0", "-1 1"]
        {
            assert!(Striped::try_from(&row("striped", bad)).is_err(), "{bad:?}");
        }
    }
}
