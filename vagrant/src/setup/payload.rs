//! The disk with the programs under test, made anew for every lab.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::disk;

/// Room for the file system itself, bytes.
const OVERHEAD: u64 = 8 << 20;

/// The folder whose content becomes the disk's; what is small and stands in it already stays there.
#[must_use]
pub fn content(lab_dir: &Path) -> PathBuf {
    lab_dir.join("payload")
}

/// Makes the read-only disk `lab_dir/payload.img` with `programs` in its root.
pub fn build(lab_dir: &Path, programs: &[PathBuf]) -> Result<()> {
    let content = content(lab_dir);
    fs::create_dir_all(&content)?;
    let mut bytes = OVERHEAD;
    for program in programs {
        let name = program.file_name().context("a program without a name")?;
        bytes += fs::copy(program, content.join(name)).with_context(|| program.display().to_string())?;
    }
    disk::of_tree(&content, &lab_dir.join("payload.img"), bytes.next_multiple_of(1 << 20))
}
