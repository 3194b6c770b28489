//! Partition labels: 36 UTF-16 units.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

const UNITS: usize = 36;

/// A label as it stands on disk, so that writing a table back does not change what somebody else wrote. `Display` ends at
/// the first NUL and shows unpaired surrogates as U+FFFD.
#[derive(Clone, PartialEq, Eq)]
pub struct PartitionName([u16; UNITS]);

impl PartitionName {
    pub(super) fn from_le_bytes(bytes: &[u8; 2 * UNITS]) -> Self {
        let mut units = [0; UNITS];
        for (unit, pair) in units.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *unit = u16::from_le_bytes(*pair);
        }
        Self(units)
    }

    pub(super) fn le_bytes(&self) -> impl Iterator<Item = u8> {
        self.0.iter().flat_map(|unit| unit.to_le_bytes())
    }
}

impl Default for PartitionName {
    fn default() -> Self {
        Self([0; UNITS])
    }
}

impl FromStr for PartitionName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut units = [0; UNITS];
        let mut free = units.iter_mut();
        for unit in text.encode_utf16() {
            let why = || ParseError::new("partition name", format!("{text:?} is longer than {UNITS} units"));
            *free.next().ok_or_else(why)? = unit;
        }
        Ok(Self(units))
    }
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.0.split(|&unit| unit == 0).next().unwrap_or_default();
        f.write_str(&String::from_utf16_lossy(used))
    }
}

impl fmt::Debug for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}
