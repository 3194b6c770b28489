//! Sizes that the daemon can make of those CSI asks for.

use tonic::Status;

use crate::wire::csi::CapacityRange;

/// The smallest volume, bytes.
pub const SMALLEST: u64 = 300 << 20;
/// Where nothing is said, bytes.
const DEFAULT: u64 = 1 << 30;
/// Every column is whole in it, bytes.
const MIB: u64 = 1 << 20;

/// Bytes from and to, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    least: u64,
    most: u64,
}

impl Range {
    /// What a request says; `InvalidArgument` for what is no range.
    pub fn of(range: Option<&CapacityRange>) -> Result<Self, Status> {
        let CapacityRange { required_bytes, limit_bytes } = range.copied().unwrap_or_default();
        let (Ok(least), Ok(most)) = (u64::try_from(required_bytes), u64::try_from(limit_bytes)) else {
            return Err(Status::invalid_argument(format!(
                "capacity_range: {required_bytes} to {limit_bytes} bytes is no size; use numbers from 0 on"
            )));
        };
        if most != 0 && most < least {
            return Err(Status::invalid_argument(format!(
                "capacity_range: required_bytes {least} is more than limit_bytes {most}"
            )));
        }
        Ok(Self { least, most: if most == 0 { u64::MAX } else { most } })
    }

    /// Whether so many bytes are what was asked for.
    #[must_use]
    pub fn holds(&self, bytes: u64) -> bool {
        (self.least..=self.most).contains(&bytes)
    }

    /// The size of a volume with so many columns, none smaller than `has`; `OutOfRange` if there is none in between.
    pub fn size(&self, columns: u32, has: Option<u64>) -> Result<u64, Status> {
        let least = match (self.least, has) {
            (0, None) => DEFAULT.min(self.most),
            (least, has) => least.max(has.unwrap_or(0)),
        };
        let unit = MIB * u64::from(columns.max(1));
        let size = least.max(SMALLEST).checked_next_multiple_of(unit).unwrap_or(u64::MAX);
        if size <= self.most && i64::try_from(size).is_ok() {
            return Ok(size);
        }
        let Self { most, .. } = self;
        Err(Status::out_of_range(format!(
            "capacity_range: no size up to limit_bytes {most} will do: volumes have {SMALLEST} bytes or more, in whole {unit}, and never become smaller; the next is {size}"
        )))
    }
}

/// As CSI counts.
#[must_use]
pub fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn size(required_bytes: i64, limit_bytes: i64, columns: u32, has: Option<u64>) -> Result<u64, Code> {
        let range = Range::of(Some(&CapacityRange { required_bytes, limit_bytes }));
        range.and_then(|range| range.size(columns, has)).map_err(|status| status.code())
    }

    #[test]
    fn sizes_are_whole_in_every_column_and_within_what_was_asked_for() {
        let gib = 1_i64 << 30;
        assert_eq!(Range::of(None).unwrap().size(1, None).unwrap(), DEFAULT);
        assert_eq!(size(0, 0, 3, None), Ok(1026 * MIB));
        assert_eq!(size(gib + 1, 0, 1, None), Ok(1025 * MIB));
        assert_eq!(size(1, 0, 1, None), Ok(SMALLEST));
        assert_eq!(size(0, 400 << 20, 1, None), Ok(400 * MIB));
        assert_eq!(size(gib, gib, 1, None), Ok(DEFAULT));
        assert_eq!(size(gib, 0, 1, Some(5 << 30)), Ok(5 << 30));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let gib = 1_i64 << 30;
        assert_eq!(size(-1, 0, 1, None), Err(Code::InvalidArgument));
        assert_eq!(size(2, 1, 1, None), Err(Code::InvalidArgument));
        assert_eq!(size(gib + 1, gib + 2, 1, None), Err(Code::OutOfRange));
        assert_eq!(size(0, 100, 1, None), Err(Code::OutOfRange));
        assert_eq!(size(gib, gib, 1, Some(2 << 30)), Err(Code::OutOfRange));
        assert_eq!(size(i64::MAX, 0, 1, None), Err(Code::OutOfRange));
    }

    #[test]
    fn the_smallest_size_is_the_daemons() {
        assert_eq!(SMALLEST, mdfabric::plan::verbs::MIN_VOLUME.0);
    }
}
