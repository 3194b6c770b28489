//! What keeps a lab together, and what ends it.
//!
//! Two processes. The outer one enters new network and process-id namespaces and starts the inner one, which is
//! process 1 in there, takes a mount namespace of its own, and starts every guest, etcd and the switch. The inner one lives only as long as the pipe
//! from the outer one; when process 1 ends, for whatever reason, the kernel ends everything else in its namespaces
//! and takes the network with it. So nothing can be left behind and two labs cannot meet.
//!
//! A private lab hangs on a second pipe of the same kind, from the test or demo that started it.

pub mod control;
pub(crate) mod disks;
mod etcd;
mod inside;
mod plane;
mod service;

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;

pub use inside::run as run_inside;

use crate::setup::cache::{remove_tree, try_lock};

/// Held by the outer process while the lab runs.
pub const LOCK: &str = "lock";

/// The outer process's id, for `lab down`.
pub const PID: &str = "supervisor.pid";

/// How long a lab lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Until it is told to stop (SIGTERM).
    Detached,
    /// Until standard input ends; its directory goes with it.
    Private,
}

/// Starts the supervisor of the lab in `dir`.
pub fn spawn(dir: &Path, life: Life) -> Result<Child> {
    let log = File::options().create(true).append(true).open(dir.join("supervisor.log"))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("supervise").arg("--dir").arg(dir).stdout(log.try_clone()?).stderr(log);
    match life {
        Life::Detached => command.stdin(Stdio::null()),
        Life::Private => command.arg("--private").stdin(Stdio::piped()),
    };
    command.spawn().context("cannot start the lab's supervisor")
}

/// The outer process: returns when the lab has ended.
pub fn run(dir: &Path, life: Life) -> Result<()> {
    nix::unistd::setsid().ok();
    let lock = try_lock(&dir.join(LOCK))?.context("this lab runs already")?;
    fs::write(dir.join(PID), std::process::id().to_string())?;
    let signals = catch_signals()?;
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID).context("cannot enter new namespaces")?;
    let mut inner = Command::new(std::env::current_exe()?)
        .arg("supervise-inside")
        .arg("--dir")
        .arg(dir)
        .stdin(Stdio::piped())
        .spawn()?;
    let ended = wait_for_end(&mut inner, &signals, life);
    drop(inner.stdin.take());
    inner.kill().ok();
    inner.wait()?;
    if life == Life::Private {
        remove_tree(dir)?;
    }
    drop(lock);
    ended.map(drop)
}

fn catch_signals() -> Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
        set.add(signal);
    }
    set.thread_block()?;
    Ok(SignalFd::new(&set)?)
}

/// Waits for a signal, the end of the inner process, or the end of a private lab's lifeline.
fn wait_for_end(inner: &mut Child, signals: &SignalFd, life: Life) -> Result<Option<ExitStatus>> {
    let stdin = std::io::stdin();
    let mut watched = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    if life == Life::Private {
        watched.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
    }
    loop {
        match poll(&mut watched, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            other => other.context("poll")?,
        };
        let awake = |fd: Option<&PollFd>| fd.and_then(PollFd::any).unwrap_or(false);
        if awake(watched.get(1)) {
            return Ok(None);
        }
        if awake(watched.first()) {
            let signal = signals.read_signal()?.map(|info| info.ssi_signo);
            let status = inner.try_wait()?;
            if status.is_some() || signal != u32::try_from(Signal::SIGCHLD as i32).ok() {
                return Ok(status);
            }
        }
    }
}

/// Ends this process when standard input ends: the parent is gone.
pub(crate) fn hang_on_stdin() -> Result<()> {
    std::thread::Builder::new().name("lifeline".into()).spawn(|| {
        let mut rest = Vec::new();
        std::io::stdin().read_to_end(&mut rest).ok();
        std::process::exit(0);
    })?;
    Ok(())
}
