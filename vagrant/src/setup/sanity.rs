//! csi-sanity, by which drivers of the Container Storage Interface are judged: built once from its Go module.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::cache::{Cache, Key};
use crate::command::run;

const MODULE: &str = "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity";
const VERSION: &str = "v5.6.0";
/// The last part of the module's path.
const PROGRAM: &str = "csi-sanity";
/// Where Go's own archives put it.
const GO_HOME: &str = "/usr/local/go/bin";

/// The program, built if this cache has none of this version.
pub fn program(cache: &Cache) -> Result<PathBuf> {
    Ok(cache.entry(PROGRAM, &Key::of(&[MODULE, VERSION]), build)?.join(PROGRAM))
}

/// Static, and without what only a debugger reads. It makes way for the guests of labs that run meanwhile.
fn build(draft: &Path) -> Result<()> {
    let start = Instant::now();
    let mut go = Command::new("nice");
    go.args(["-n", "10", "go", "install", "-trimpath", "-ldflags=-s -w", &format!("{MODULE}@{VERSION}")]);
    go.envs([("CGO_ENABLED", "0"), ("GOFLAGS", "-buildvcs=false")]);
    go.env("GOBIN", draft).env("PATH", search_path()).current_dir(draft);
    run(&mut go).context("csi-sanity is built with Go 1.21 or newer, from https://go.dev/dl or a package")?;
    eprintln!("lab: {PROGRAM} {VERSION}, once: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn search_path() -> String {
    format!("{}:{GO_HOME}", std::env::var("PATH").unwrap_or_default())
}
