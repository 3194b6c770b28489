//! `/proc/self/mountinfo` (Documentation/filesystems/proc.rst 3.5): one line per mount of this mount namespace.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::{CallError, DevNum, ParseError, Root};

const FILE: &str = "proc/self/mountinfo";

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Unique while it is mounted.
    pub id: u32,
    /// Device of the file system.
    pub dev: DevNum,
    /// The directory of the file system that is mounted: `/`, or the origin of a bind mount.
    pub root: PathBuf,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// `ext4`, `xfs`, `configfs`.
    pub fstype: String,
    /// The device or whatever stands for it.
    pub source: String,
    /// Either the mount or the file system below it is read-only.
    pub read_only: bool,
    /// Options of the mount (`rw`, `nosuid`).
    pub options: Vec<String>,
    /// Options of the file system (`rw`, `stripe=32`).
    pub super_options: Vec<String>,
}

/// Reads the mounts of this process' namespace, in the order in which they were made. The last one on a mount point
/// is the one that is seen.
pub fn mountinfo(root: &Root) -> Result<Vec<Mount>, CallError> {
    let text = root.read(FILE)?;
    parse_mountinfo(&text)
        .map_err(|wrong| io::Error::new(io::ErrorKind::InvalidData, wrong))
        .map_err(|source| CallError::new("parse", root.path(FILE).display(), source))
}

/// Parses the text of a mountinfo file.
pub fn parse_mountinfo(text: &str) -> Result<Vec<Mount>, ParseError> {
    text.lines().map(parse_line).collect()
}

/// `36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/root rw,errors=continue`: any number of optional
/// fields stand before the dash.
fn parse_line(line: &str) -> Result<Mount, ParseError> {
    let wrong = || ParseError::new("mountinfo", format!("{line:?}"));
    let mut fields = line.split(' ');
    let mut next = || fields.next().ok_or_else(wrong);
    let id = next()?.parse().map_err(|_| wrong())?;
    let _parent = next()?;
    let dev = next()?.parse()?;
    let root = path(next()?);
    let mount_point = path(next()?);
    let options = list(next()?);
    while next()? != "-" {}
    let fstype = next()?.to_owned();
    let source = String::from_utf8_lossy(&unescape(next()?)).into_owned();
    let super_options = list(next()?);
    let read_only = [&options, &super_options].iter().any(|list| list.iter().any(|option| option == "ro"));
    Ok(Mount { id, dev, root, mount_point, fstype, source, read_only, options, super_options })
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|option| String::from_utf8_lossy(&unescape(option)).into_owned()).collect()
}

fn path(text: &str) -> PathBuf {
    OsString::from_vec(unescape(text)).into()
}

/// Undoes `mangle_path` (`fs/seq_file.c`): space, tab, newline, backslash and `#` stand as `\` and three octal digits.
fn unescape(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut plain = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        (rest, plain) = match octal(rest) {
            Some((byte, after)) => (after, pushed(plain, byte)),
            None => (after, pushed(plain, *first)),
        };
    }
    plain
}

fn pushed(mut bytes: Vec<u8>, byte: u8) -> Vec<u8> {
    bytes.push(byte);
    bytes
}

fn octal(text: &[u8]) -> Option<(u8, &[u8])> {
    let (escape, after) = text.split_first_chunk::<4>()?;
    let [b'\\', digits @ ..] = escape else { return None };
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|d| d.is_ascii_digit()))?;
    Some((u8::from_str_radix(digits, 8).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str =
        r"72 29 253:7 / /var/lib/a\040b\134c rw,noatime shared:31 master:2 - ext4 /dev/md_x ro,stripe=32";

    #[test]
    fn a_line_is_taken_apart() {
        let mounts = parse_mountinfo(LINE).unwrap();
        let [mount] = mounts.as_slice() else { panic!("{mounts:?}") };
        assert_eq!((mount.id, mount.dev), (72, DevNum { major: 253, minor: 7 }));
        assert_eq!(mount.mount_point, PathBuf::from(r"/var/lib/a b\c"));
        assert_eq!((mount.fstype.as_str(), mount.source.as_str()), ("ext4", "/dev/md_x"));
        assert!(mount.read_only);
        assert_eq!(mount.super_options, ["ro", "stripe=32"]);
    }

    #[test]
    fn optional_fields_may_be_absent() {
        let text = "1 0 0:2 / / rw - rootfs none rw\n2 1 0:5 / /dev rw - devtmpfs dev rw";
        assert_eq!(parse_mountinfo(text).unwrap().len(), 2);
    }

    #[test]
    fn a_line_without_a_dash_is_refused() {
        assert!(parse_mountinfo("1 0 0:2 / / rw shared:1").is_err());
    }

    #[test]
    fn the_running_kernels_is_read() {
        let mounts = mountinfo(&Root::live()).unwrap();
        assert!(mounts.iter().any(|mount| mount.mount_point == *"/"));
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in any::<String>(), cut in 0..LINE.len()) {
            let _ = parse_mountinfo(&text);
            let _ = parse_mountinfo(&LINE[..cut]);
            let _ = unescape(&text);
        }

        #[test]
        fn escapes_come_back(plain in "[a-z \\\\\t\n#/]{0,20}") {
            let mangled: String = plain.bytes().map(|byte| match byte {
                b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}"),
                other => char::from(other).to_string(),
            }).collect();
            prop_assert_eq!(unescape(&mangled), plain.into_bytes());
        }
    }
}
