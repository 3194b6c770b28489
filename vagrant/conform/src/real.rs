//! The kernel this program runs on, driven as the daemon drives it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, read_link};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use mdfabric::domain::{DriveId, Endpoint};
use mdfabric::kernel::{NodeKernel, prepare};
use mdfabric::plan::placement::HEADER;
use mdfabric::plan::{ArraySeen, Dev, Observation, Outcome, Step, StepFailure};
use mdfabric::ports::Kernel as _;
use nix::libc::O_DIRECT;
use uuid::Uuid;

use crate::play::{BLOCK, BLOCKS};
use crate::rig::{PATIENCE, Rig, Written};

/// An NVMe target of this machine that only this machine uses.
const ENDPOINT: (&str, u16) = ("127.0.0.1", 4420);

/// What is written and read at a time, bytes; direct I/O wants it aligned.
const PAGE: usize = 4096;

/// What comes before the blocks of a partition, bytes.
const HEAD: usize = 1 << 20;
const _: () = assert!(HEAD as u64 == HEADER.0);

#[repr(align(4096))]
struct Head([u8; HEAD]);

/// Nothing in it.
static BLANK: Head = Head([0; HEAD]);

#[repr(align(4096))]
struct Page([u8; PAGE]);

impl Page {
    fn of(version: u64) -> Self {
        let mut bytes = [0; PAGE];
        bytes.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&version.to_le_bytes()));
        Self(bytes)
    }

    /// Nothing if it does not say the same all over.
    fn version(&self) -> Option<u64> {
        let version = u64::from_le_bytes(*self.0.first_chunk()?);
        (Self::of(version).0 == self.0).then_some(version)
    }
}

pub(crate) struct Real {
    kernel: NodeKernel,
    open: BTreeMap<Uuid, File>,
}

impl Real {
    /// Nothing of ours may be there but the drives.
    pub(crate) fn new(drives: &[DriveId]) -> Result<Self> {
        let missing = prepare().into_iter().find(|check| check.required && !check.ok);
        if let Some(check) = missing {
            return Err(anyhow!("{}: {}", check.name, check.detail));
        }
        let real = Self { kernel: NodeKernel::new(Path::new("/run/conform")), open: BTreeMap::new() };
        let seen = real.kernel.observe().map_err(|error| anyhow!(error))?;
        ensure!(seen.arrays.is_empty() && seen.maps.is_empty(), "arrays or maps are here already");
        for drive in drives {
            ensure!(seen.drives.contains_key(drive), "there is no drive {drive}");
        }
        Ok(real)
    }
}

impl Rig for Real {
    fn endpoint(&self) -> Endpoint {
        let (address, port) = ENDPOINT;
        Endpoint { address: address.to_owned(), port }
    }

    fn look(&mut self) -> Result<Observation> {
        self.kernel.observe().map_err(|error| anyhow!(error))
    }

    fn apply(&mut self, step: &Step) -> Option<Result<Outcome, StepFailure>> {
        let (kernel, step) = (self.kernel.clone(), step.clone());
        within(PATIENCE, &aside(move || kernel.apply(&step)))
    }

    /// Only that: to zero all of it would take most of the time.
    fn blank(&mut self, partition: Uuid, dev: Dev) -> Result<()> {
        let file = direct(dev, true)?;
        let mut blocks = (0..BLOCKS).map(|block| HEADER.0 + u64::from(block) * BLOCK.0);
        let zeroed = file
            .write_all_at(&BLANK.0, 0)
            .and_then(|()| blocks.try_for_each(|at| file.write_all_at(&Page::of(0).0, at)));
        zeroed.with_context(|| format!("blank {partition}"))
    }

    fn write(&mut self, _: Uuid, array: &ArraySeen, block: u8, version: u64) -> Result<Written> {
        let file = direct(array.dev, true)?;
        let at = u64::from(block) * BLOCK.0;
        let write = aside(move || file.write_all_at(&Page::of(version).0, at));
        Ok(match within(PATIENCE, &write) {
            Some(Ok(())) => Written::Done,
            Some(Err(_)) => Written::Failed,
            None => Written::Waits,
        })
    }

    fn read(&mut self, partition: Uuid, dev: Dev, block: u8) -> Result<u64> {
        let mut page = Page::of(0);
        let at = HEADER.0 + u64::from(block) * BLOCK.0;
        direct(dev, false)?.read_exact_at(&mut page.0, at).with_context(|| format!("read {partition}"))?;
        page.version().with_context(|| format!("block {block} of {partition} was written by somebody else"))
    }

    fn set_open(&mut self, uuid: Uuid, array: &ArraySeen, open: bool) -> Result<()> {
        if open {
            self.open.insert(uuid, direct(array.dev, false)?);
        } else {
            self.open.remove(&uuid);
        }
        Ok(())
    }

    fn pass(&mut self, time: Duration) {
        thread::sleep(time);
    }
}

/// Does `work` on a thread of its own, which may wait for ever.
fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (done, result) = channel();
    thread::spawn(move || done.send(work()));
    result
}

fn within<T>(patience: Duration, result: &Receiver<T>) -> Option<T> {
    result.recv_timeout(patience).ok()
}

fn direct(dev: Dev, write: bool) -> Result<File> {
    let path = path(dev)?;
    let file = OpenOptions::new().read(true).write(write).custom_flags(O_DIRECT).open(&path);
    file.with_context(|| format!("open {}", path.display()))
}

fn path(dev: Dev) -> Result<PathBuf> {
    let link = format!("/sys/dev/block/{dev}");
    let target = read_link(&link).with_context(|| format!("read {link}"))?;
    Ok(Path::new("/dev").join(target.file_name().context("a device without a name")?))
}
