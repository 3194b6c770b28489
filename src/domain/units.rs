//! Numbers with units.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A count of bytes.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// One MiB: the unit of volume sizes.
    pub const MIB: u64 = 1 << 20;

    /// `count` MiB.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count * Self::MIB)
    }

    /// `count` GiB.
    #[must_use]
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// The kernel's 512-byte sectors, rounded down.
    #[must_use]
    pub const fn sectors(self) -> u64 {
        self.0 / 512
    }
}

impl fmt::Display for Bytes {
    /// `2.0 GiB`, `512 MiB`: binary units, one decimal below ten.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 4] =
            [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let text = match UNITS.iter().find(|(_, unit)| self.0 >= *unit) {
            Some((name, unit)) if self.0 / unit < 10 && !self.0.is_multiple_of(*unit) => {
                format!("{}.{} {name}", self.0 / unit, self.0 % unit * 10 / unit)
            }
            Some((name, unit)) => format!("{} {name}", self.0 / unit),
            None => format!("{} B", self.0),
        };
        f.pad(&text)
    }
}

/// `12.5%` of so many tenths of a percent.
#[must_use]
pub fn percent(permille: u16) -> String {
    format!("{}.{}%", permille / 10, permille % 10)
}

/// A size that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a size: use a whole number with MiB, GiB or TiB (512MiB, 10GiB)")]
pub struct InvalidSize {
    /// The offending text.
    pub text: String,
}

impl FromStr for Bytes {
    type Err = InvalidSize;

    /// `512MiB`, `10GiB`, `10Gi`, `2 TiB`: a unit is demanded, so that nobody gets ten bytes for ten gigabytes.
    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let wrong = || InvalidSize { text: text.to_owned() };
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = trimmed.split_at(split);
        let shift = match unit.trim() {
            "Mi" | "MiB" | "M" => 20,
            "Gi" | "GiB" | "G" => 30,
            "Ti" | "TiB" | "T" => 40,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }
}

/// A moment: milliseconds since the Unix epoch.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Milliseconds from `earlier` to `self`, 0 if the clock went back.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment plus `millis`.
    #[must_use]
    pub const fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!("512MiB".parse(), Ok(Bytes::mib(512)));
        assert_eq!("10Gi".parse(), Ok(Bytes::gib(10)));
        for bad in
            ["", "0x1", "10", "-1GiB", "ten", "1.5GiB", "99999999999999999999GiB", "18446744073709551615TiB"]
        {
            assert!(bad.parse::<Bytes>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes_print_short() {
        assert_eq!(Bytes::mib(512).to_string(), "512 MiB");
        assert_eq!(Bytes(3 << 29).to_string(), "1.5 GiB");
        assert_eq!(Bytes(12).to_string(), "12 B");
    }
}
