//! The attribute files of one device's directory.

use std::fs::File;
use std::io::Read;
use std::str::FromStr;

use super::{CLASS, ObserveError};
use crate::block::field;
use crate::{ParseError, Root};

/// sysfs counts sizes and starts in sectors of 512 bytes, whatever the device's own sector.
const SYSFS_SECTOR_BYTES: u64 = 512;

pub(super) struct Attributes<'a> {
    root: &'a Root,
    directory: String,
}

impl<'a> Attributes<'a> {
    pub(super) fn of(root: &'a Root, name: &str) -> Self {
        Self { root, directory: format!("{CLASS}/{name}") }
    }

    /// Trimmed text; `None` where there is no such attribute or it is empty.
    pub(super) fn text(&self, attribute: &str) -> Result<Option<String>, ObserveError> {
        let text = self.root.read_if_there(self.path(attribute))?;
        Ok(text.map(|text| text.trim_matches([' ', '\n', '\0']).to_owned()).filter(|text| !text.is_empty()))
    }

    /// The first of several that has text.
    pub(super) fn first_text(&self, attributes: &[&str]) -> Result<Option<String>, ObserveError> {
        for attribute in attributes {
            if let Some(text) = self.text(attribute)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    pub(super) fn parsed<T: FromStr>(&self, attribute: &str) -> Result<Option<T>, ObserveError> {
        let Some(text) = self.text(attribute)? else { return Ok(None) };
        let wrong = |_| ParseError::new("block attribute", format!("{} is {text:?}", self.path(attribute)));
        Ok(Some(text.parse().map_err(wrong)?))
    }

    /// `0` and what is not there are false.
    pub(super) fn flag(&self, attribute: &str) -> Result<bool, ObserveError> {
        Ok(self.parsed::<u64>(attribute)?.is_some_and(|value| value != 0))
    }

    /// A count of sectors, in bytes.
    pub(super) fn sectors(&self, attribute: &str) -> Result<Option<u64>, ObserveError> {
        let Some(sectors) = self.parsed::<u64>(attribute)? else { return Ok(None) };
        let bytes = sectors.checked_mul(SYSFS_SECTOR_BYTES);
        let wrong = || ParseError::new("block attribute", format!("{} is {sectors}", self.path(attribute)));
        Ok(Some(bytes.ok_or_else(wrong)?))
    }

    pub(super) fn names(&self, directory: &str) -> Result<Vec<String>, ObserveError> {
        Ok(self.root.list(self.path(directory))?)
    }

    /// The serial in SCSI vital product data page 0x80: four bytes of header, length big-endian in the last two.
    pub(super) fn vpd_serial(&self) -> Option<String> {
        let mut page = Vec::new();
        let file = File::open(self.root.path(self.path("device/vpd_pg80"))).ok()?;
        file.take(4096).read_to_end(&mut page).ok()?;
        vpd_serial(&page)
    }

    fn path(&self, attribute: &str) -> String {
        format!("{}/{attribute}", self.directory)
    }
}

pub(super) fn vpd_serial(page: &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes(field::array(page, 2)?));
    let rest = page.get(4..)?;
    let text =
        String::from_utf8_lossy(rest.get(..length).unwrap_or(rest)).trim_matches([' ', '\0']).to_owned();
    Some(text).filter(|text| !text.is_empty())
}
