//! Waking up: uevents, and everything of MD that can be polled, on one thread.

use std::os::fd::AsFd;
use std::thread;

use kernel_abi::md::sysfs;
use kernel_abi::md::watch::{ArrayWatch, Watch, Watched};
use kernel_abi::uevent::{Received, UeventSocket};
use kernel_abi::{CallError, Root};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc;

use super::NodeKernel;

/// Bytes of uevents that may wait: thousands.
const UEVENT_BUFFER_BYTES: usize = 8 << 20;

/// Starts the thread. A message means "look"; several things that happen at once may share one.
pub fn watch(kernel: &NodeKernel) -> Result<mpsc::Receiver<()>, CallError> {
    let (wake, woken) = mpsc::channel(1);
    kernel.tell_late_answers(wake.clone());
    let uevents = UeventSocket::kernel(UEVENT_BUFFER_BYTES)?;
    let mut watcher = Watcher { kernel: kernel.clone(), uevents, mdstat: None, arrays: Vec::new() };
    let run = move || {
        while let Err(error) = watcher.run(&wake) {
            tracing::warn!(error = super::chain(&error), "watching the kernel failed; starting again");
        }
    };
    let spawned = thread::Builder::new().name("mdfabric-events".to_owned()).spawn(run);
    spawned.map_err(|source| CallError::new("clone", "thread mdfabric-events", source))?;
    Ok(woken)
}

struct Watcher {
    kernel: NodeKernel,
    uevents: UeventSocket,
    mdstat: Option<Watch>,
    arrays: Vec<ArrayWatch>,
}

impl Watcher {
    /// Ends with `Ok` when nobody listens any more.
    fn run(&mut self, wake: &mpsc::Sender<()>) -> Result<(), CallError> {
        loop {
            self.arm()?;
            self.wait()?;
            self.read_uevents()?;
            match wake.try_send(()) {
                Err(mpsc::error::TrySendError::Closed(())) => return Ok(()),
                Ok(()) | Err(mpsc::error::TrySendError::Full(())) => {}
            }
        }
    }

    /// Opens what is new, closes what is gone, arms the rest.
    fn arm(&mut self) -> Result<(), CallError> {
        let root = Root::live();
        match &mut self.mdstat {
            Some(watch) => drop(watch.rearm()?),
            None => self.mdstat = Watch::open(&root, Watched::Mdstat)?.map(|(watch, _)| watch),
        }
        let names = sysfs::names(&root)?;
        self.arrays.retain(|watch| names.contains(watch.name()));
        for name in names {
            if !self.arrays.iter().any(|watch| *watch.name() == name) {
                self.arrays.push(ArrayWatch::open(&root, name)?);
            }
        }
        self.arrays.iter_mut().try_for_each(|watch| watch.refresh(&root).map(drop))
    }

    fn wait(&self) -> Result<(), CallError> {
        let priority = PollFlags::POLLPRI | PollFlags::POLLERR;
        let mut fds = vec![PollFd::new(self.uevents.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.mdstat.iter().map(|watch| PollFd::new(watch.as_fd(), priority)));
        let members = self.arrays.iter().flat_map(ArrayWatch::watches);
        fds.extend(members.map(|watch| PollFd::new(watch.as_fd(), priority)));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(CallError::new("poll", "uevents and md attributes", errno)),
        }
    }

    /// Whatever a block device says may mean that a table was changed or a disk swapped. Our own maps and arrays do not.
    fn read_uevents(&mut self) -> Result<(), CallError> {
        loop {
            match self.uevents.receive()? {
                Received::WouldBlock => return Ok(()),
                Received::Lost => self.kernel.forget_drives(),
                Received::Event(event) => {
                    let virtual_device = event.devpath.contains("/virtual/");
                    if event.subsystem == "block" && !virtual_device {
                        self.kernel.forget_drives();
                    }
                }
            }
        }
    }
}
