//! A program beside the guests, in the lab's own namespaces.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(super) struct Service {
    name: &'static str,
    log: PathBuf,
    child: Option<Child>,
}

impl Service {
    /// Nothing runs yet. What it says goes into `NAME.log` of the lab's directory.
    pub(super) fn new(name: &'static str, lab_dir: &Path) -> Self {
        Self { name, log: lab_dir.join(format!("{name}.log")), child: None }
    }

    /// Starts it as `command` says. Already running is fine.
    pub(super) fn start(&mut self, command: &mut Command) -> Result<()> {
        if self.runs() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("cannot start {}", self.name))?);
        Ok(())
    }

    /// Kills it. Not running is fine.
    pub(super) fn cut(&mut self) -> Result<()> {
        super::inside::end(self.child.take())
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().with_context(|| format!("{} is off", self.name))?;
        Ok(kill(Pid::from_raw(i32::try_from(child.id())?), signal)?)
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn runs(&mut self) -> bool {
        self.child.as_mut().and_then(super::inside::running).is_some()
    }
}
