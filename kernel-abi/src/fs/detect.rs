//! What is on a device: nothing, a file system we know, or something else that must not be overwritten.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::ext4::Ext4Superblock;
use super::xfs::XfsSuperblock;
use crate::CallError;

/// So much is read from the start of a device, bytes.
const LOOKED_AT: u64 = 1 << 20;

/// What the first MiB of a device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detected {
    /// Zeros only.
    None,
    /// ext4 with a superblock that is right.
    Ext4(Ext4Superblock),
    /// XFS version 5 with a superblock that is right.
    Xfs(XfsSuperblock),
    /// Anything else: another file system, a damaged superblock, data.
    Other,
}

impl Detected {
    /// Judges the first bytes of a device. Survives any bytes.
    #[must_use]
    pub fn from_bytes(start: &[u8]) -> Self {
        match (Ext4Superblock::parse(start), XfsSuperblock::parse(start)) {
            (Ok(Some(ext4)), Ok(None)) => Self::Ext4(ext4),
            (Ok(None), Ok(Some(xfs))) => Self::Xfs(xfs),
            (Ok(None), Ok(None)) if start.iter().all(|byte| *byte == 0) => Self::None,
            _ => Self::Other,
        }
    }
}

/// Reads the first MiB of `device` (block device or image) and says what it holds.
pub fn detect(device: &Path) -> Result<Detected, CallError> {
    let mut start = Vec::new();
    File::open(device)
        .and_then(|file| file.take(LOOKED_AT).read_to_end(&mut start))
        .map_err(|source| CallError::new("read", device.display(), source))?;
    Ok(Detected::from_bytes(&start))
}

#[cfg(test)]
mod tests {
    use super::Detected;
    use proptest::prelude::*;

    #[test]
    fn zeros_are_nothing_and_one_bit_is_something() {
        let mut start = vec![0; 1 << 20];
        assert_eq!(Detected::from_bytes(&start), Detected::None);
        start[(1 << 20) - 1] = 1;
        assert_eq!(Detected::from_bytes(&start), Detected::Other);
    }

    #[test]
    fn an_empty_device_is_nothing() {
        assert_eq!(Detected::from_bytes(&[]), Detected::None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut start in prop::collection::vec(any::<u8>(), 0..4200), ext4: bool, xfs: bool) {
            if ext4 && start.len() > 1082 {
                start[1080..1082].copy_from_slice(&[0x53, 0xef]);
            }
            if xfs && start.len() > 4 {
                start[..4].copy_from_slice(b"XFSB");
            }
            let found = Detected::from_bytes(&start);
            prop_assert!(found != Detected::None || start.iter().all(|byte| *byte == 0));
        }
    }
}
