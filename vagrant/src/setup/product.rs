//! The product's binary, fully static so that any guest can run it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::cache::Cache;

/// The target of static builds. Naming it keeps build scripts and macros out of the static flags.
pub(crate) const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Builds `mdfabric` and gives its path. Cargo decides whether there is anything to do.
pub fn build(cache: &Cache) -> Result<PathBuf> {
    let target = cache.target();
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--profile", "lab", "--package", "mdfabric", "--target", TRIPLE])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(cache.workspace())
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "mdfabric does not build");
    Ok(target.join(TRIPLE).join("lab/mdfabric"))
}
