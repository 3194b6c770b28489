//! Where `/proc`, `/sys` and `/dev` hang from: the running machine or an unpacked debug dump.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{CallError, ParseError, call};

/// Longest attribute that is read: sysfs gives at most a page, procfs tables may be longer.
const MAX_ATTRIBUTE_BYTES: u64 = 4 << 20;

/// The directory that stands for `/`. Paths given to its methods are relative to it (`sys/block`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The running machine.
    #[must_use]
    pub fn live() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A directory that holds a copy of another machine's `/proc`, `/sys` and `/dev`.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// The real path of `relative`.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.0.join(relative)
    }

    /// Whether `relative` exists (symbolic links followed).
    pub fn exists(&self, relative: impl AsRef<Path>) -> bool {
        self.path(relative).exists()
    }

    /// Reads an attribute as text, trailing newline removed. Bytes that are not UTF-8 become U+FFFD.
    pub fn read(&self, relative: impl AsRef<Path>) -> Result<String, CallError> {
        let path = self.path(relative);
        let _in_call = call::enter("read", path.display());
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(MAX_ATTRIBUTE_BYTES).read_to_end(&mut bytes))
            .map_err(|source| CallError::new("read", path.display(), source))?;
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
    }

    /// Like [`Root::read`], but an attribute that does not exist (ENOENT, ENODEV, ENXIO) is `None`.
    pub fn read_if_there(&self, relative: impl AsRef<Path>) -> Result<Option<String>, CallError> {
        match self.read(relative) {
            Ok(text) => Ok(Some(text)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes an attribute in one `write(2)`, as sysfs and configfs need it; never creates or truncates.
    pub fn write(&self, relative: impl AsRef<Path>, value: &str) -> Result<(), CallError> {
        let path = self.path(relative);
        let _in_call = call::enter("write", path.display());
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(value.as_bytes()))
            .map_err(|source| CallError::new("write", path.display(), source).with_value(value))
    }

    /// The names in a directory, sorted. A directory that does not exist has none.
    pub fn list(&self, relative: impl AsRef<Path>) -> Result<Vec<String>, CallError> {
        let path = self.path(relative);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(CallError::new("readdir", path.display(), source)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| CallError::new("readdir", path.display(), source))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// The last component of what a symbolic link points to, `None` where there is no link.
    pub fn link_name(&self, relative: impl AsRef<Path>) -> Option<String> {
        let target = fs::read_link(self.path(relative)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }
}

fn is_gone(error: &CallError) -> bool {
    use nix::errno::Errno;
    matches!(error.errno(), Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO))
}

/// A device number as the kernel prints it: `MAJOR:MINOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevNum {
    /// Driver.
    pub major: u32,
    /// Device of that driver.
    pub minor: u32,
}

impl fmt::Display for DevNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for DevNum {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::new("device number", format!("{text:?} is not MAJOR:MINOR"));
        let (major, minor) = text.trim().split_once(':').ok_or_else(wrong)?;
        Ok(Self { major: major.parse().map_err(|_| wrong())?, minor: minor.parse().map_err(|_| wrong())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_read_as_the_kernel_prints_them() {
        assert_eq!("259:4".parse(), Ok(DevNum { major: 259, minor: 4 }));
        assert!("259".parse::<DevNum>().is_err());
    }

    #[test]
    fn a_failed_write_names_path_and_value() {
        let error = Root::at("/nonexistent").write("md/array_state", "clear").unwrap_err();
        assert_eq!(error.to_string(), "write /nonexistent/md/array_state <- \"clear\"");
        assert!(error.is(nix::errno::Errno::ENOENT));
    }
}
