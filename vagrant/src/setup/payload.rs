//! The disk with the programs under test, made anew for every lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::run;

/// Room for the file system itself, bytes.
const OVERHEAD: u64 = 8 << 20;

/// Makes the read-only disk `lab_dir/payload.img` with `programs` in its root.
pub fn build(lab_dir: &Path, programs: &[PathBuf]) -> Result<()> {
    let content = lab_dir.join("payload");
    fs::create_dir_all(&content)?;
    let mut bytes = OVERHEAD;
    for program in programs {
        let name = program.file_name().context("a program without a name")?;
        bytes += fs::copy(program, content.join(name)).with_context(|| program.display().to_string())?;
    }
    let image = lab_dir.join("payload.img");
    fs::File::create(&image)?.set_len(bytes.next_multiple_of(1 << 20))?;
    run(Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d"])
        .arg(content)
        .arg(image))
}
