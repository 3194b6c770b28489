//! A daemon that dies again and again, and is started anew after every death.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nix::libc;

use crate::command::tail;

/// The variable by which a daemon is told where to die.
const DEATH: &str = "MDFABRIC_TEST_DIE";

/// Which daemon, and where it dies.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The daemon's configuration.
    #[arg(long)]
    pub config: PathBuf,
    /// File that gets its output.
    #[arg(long)]
    pub log: PathBuf,
    /// Where it dies, in its own words: `after:/FILE`, `before:/FILE`.
    #[arg(long)]
    pub death: String,
}

/// Goes on until it is killed itself. A daemon that ends otherwise than by SIGKILL is an error.
pub fn run(options: &Options) -> Result<()> {
    loop {
        let status = one_life(options)?;
        if status.signal() != Some(libc::SIGKILL) {
            bail!("the daemon ended by itself: {status}\n{}", last_words(&options.log));
        }
    }
}

fn one_life(options: &Options) -> Result<ExitStatus> {
    let log = File::options().create(true).append(true).open(&options.log)?;
    let mut daemon = Command::new("mdfabric");
    daemon.args(["node", "--config"]).arg(&options.config).env(DEATH, &options.death);
    daemon.stdout(log.try_clone()?).stderr(log).status().context("cannot start the daemon")
}

fn last_words(log: &Path) -> String {
    tail(&std::fs::read_to_string(log).unwrap_or_default(), 20)
}
