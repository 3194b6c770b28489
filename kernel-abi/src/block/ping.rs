//! Whether a device answers.

use std::path::Path;

use super::ReadAt;
use super::zero::direct::AlignedBuffer;
use super::zero::open_direct;
use crate::{CallError, call};

/// What is read, bytes: the largest logical sector.
const PING_BYTES: u64 = 4096;

/// Reads the first bytes of the device at `path`, around the page cache: returns when the drive has answered, an error
/// being an answer too.
pub fn ping(path: &Path) -> Result<(), CallError> {
    let failed = |source| CallError::new("pread O_DIRECT", path.display(), source);
    let file = open_direct(path, false)?;
    let mut buffer = AlignedBuffer::zeroed(PING_BYTES).map_err(failed)?;
    let bytes = buffer.first_mut(PING_BYTES).map_err(failed)?;
    let _in_call = call::enter("pread O_DIRECT", path.display());
    ReadAt::read_exact_at(&file, bytes, 0).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_first_sector_answers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        std::fs::write(&path, vec![1; 8192]).unwrap();
        ping(&path).unwrap();
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(ping(&path).unwrap_err().call, "pread O_DIRECT");
    }
}
