//! csi-sanity, by which drivers of the Container Storage Interface are judged: built once from its Go module.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::cache::{Cache, Key};
use super::{go, step};
use crate::command::run;

const MODULE: &str = "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity";
const VERSION: &str = "v5.6.0";
/// The last part of the module's path.
const PROGRAM: &str = "csi-sanity";

/// The program, built if this cache has none of this version.
pub fn program(cache: &Cache) -> Result<PathBuf> {
    Ok(cache.entry(PROGRAM, &Key::of(&[MODULE, VERSION]), build)?.join(PROGRAM))
}

/// Static, and without what only a debugger reads.
fn build(draft: &Path) -> Result<()> {
    let mut go = go::command()?;
    go.args(["install", "-trimpath", "-ldflags=-s -w", &format!("{MODULE}@{VERSION}")]);
    step(&format!("{PROGRAM} {VERSION}, once"), || run(go.env("GOBIN", draft).current_dir(draft)))
}
