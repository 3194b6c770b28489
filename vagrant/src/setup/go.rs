//! Programs out of Go's modules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::run;

/// Where Go is looked for beside the search path: where its own archives put it.
const GO: &str = "/usr/local/go/bin/go";

/// What is built of one module.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Build<'a> {
    /// The module's folder, with `go.mod` and `go.sum`.
    pub(super) house: &'a str,
    /// Its main packages, and those of what it requires.
    pub(super) packages: &'a [&'a str],
    /// Build tags, with commas between them.
    pub(super) tags: &'a str,
    /// What the linker is told beside leaving out what only a debugger reads.
    pub(super) linker: &'a str,
}

impl Build<'_> {
    /// Builds the programs into `folder`, each under the last part of its package's path. They are static, and Go asks nobody for other
    /// versions than the module says. It makes way for the guests of labs that run meanwhile.
    pub(super) fn run(&self, workspace: &Path, folder: &Path) -> Result<()> {
        let mut go = command()?;
        go.args(["build", "-mod=readonly", "-tags", self.tags, "-trimpath"]);
        go.arg(format!("-ldflags=-s -w {}", self.linker));
        go.arg("-o").arg(format!("{}/", folder.display())).args(self.packages);
        run(go.current_dir(workspace.join(self.house)))
    }
}

/// `go`, at a low priority, for static programs.
pub(super) fn command() -> Result<Command> {
    let mut go = Command::new("nice");
    go.args(["-n", "10"]).arg(find()?).env("CGO_ENABLED", "0").env("GOFLAGS", "-buildvcs=false");
    Ok(go)
}

fn find() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).map(|place| place.join("go")).chain([GO.into()]);
    match places.into_iter().find(|place| place.is_file()) {
        Some(go) => Ok(go),
        None => bail!("go is missing: install Go 1.26 or newer (go.dev/dl) into /usr/local/go"),
    }
}
