//! Disks that guests only read, or write to on an overlay that is thrown away.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command::run;

/// Makes `image`, ext4 without a journal, `bytes` large and sparse, with the content of the folder `tree`.
pub(super) fn of_tree(tree: &Path, image: &Path, bytes: u64) -> Result<()> {
    File::create(image)?.set_len(bytes)?;
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d"]).arg(tree).arg(image);
    run(&mut mke2fs)
}
