//! Names that become parts of sysfs paths.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// Longest block device name, bytes (include/linux/blkdev.h, `DISK_NAME_LEN` less its NUL).
const MAX_NAME_BYTES: usize = 31;
/// What every member's directory begins with (`bind_rdev_to_array`: `dev-%s`).
const MEMBER_PREFIX: &str = "dev-";

/// An array's kernel name: `md_vol1`, `md127`. Never contains a path separator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

impl NodeName {
    /// The name as it stands in `/sys/block` and `/dev`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Path of an attribute of the array, relative to the root.
    pub(super) fn attribute(&self, attribute: impl fmt::Display) -> String {
        format!("sys/block/{self}/md/{attribute}")
    }
}

impl FromStr for NodeName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.starts_with("md") && text.len() <= MAX_NAME_BYTES && is_path_component(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(ParseError::new("md device name", format!("{text:?} is not md… of at most 31 plain characters")))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A member's directory below the array's `md`: `dev-nvme0n1p2`, `dev-dm-0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberDir(String);

impl MemberDir {
    /// The directory's name, `dev-` included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The member's block device name. The kernel writes `!` for a `/` in it; this does too.
    #[must_use]
    pub fn device(&self) -> &str {
        self.0.strip_prefix(MEMBER_PREFIX).unwrap_or(&self.0)
    }
}

impl FromStr for MemberDir {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let named = text.strip_prefix(MEMBER_PREFIX).is_some_and(|device| !device.is_empty());
        if named && text.len() <= MEMBER_PREFIX.len() + MAX_NAME_BYTES && is_path_component(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(ParseError::new("md member directory", format!("{text:?} is not dev-NAME")))
    }
}

impl fmt::Display for MemberDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Both kinds begin with a letter, so `.` and `..` cannot occur.
fn is_path_component(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_graphic() && c != '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_directory() {
        assert!("md_vol1".parse::<NodeName>().is_ok());
        for wrong in ["", "sda", "md/../../x", "md 1", "md_0123456789012345678901234567890"] {
            assert!(wrong.parse::<NodeName>().is_err(), "{wrong}");
        }
        for wrong in ["", "dev-", "rd0", "dev-/x"] {
            assert!(wrong.parse::<MemberDir>().is_err(), "{wrong}");
        }
        assert_eq!("dev-dm-0".parse::<MemberDir>().unwrap().device(), "dm-0");
    }
}
