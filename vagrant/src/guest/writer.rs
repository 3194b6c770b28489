//! A writer that never rests: every write is durable before it counts, and is logged outside the node.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde::{Deserialize, Serialize};

use super::ack::Ack;
use super::pattern::{Dice, fill};
use super::{Aligned, BLOCK};

/// The largest write in blocks: 64 KiB.
const LARGEST: u64 = 16;

/// How often the machine is asked to let a thread run.
const TICK: Duration = Duration::from_millis(20);

/// What to write, and where.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// File or block device; a file is made if it is not there.
    #[arg(long)]
    pub path: PathBuf,
    /// Bytes of it to use, a multiple of 4096.
    #[arg(long)]
    pub size: u64,
    /// Seed of content and places.
    #[arg(long)]
    pub seed: u64,
    /// Name of a virtio-serial port, or path of a file, that gets the log of acknowledged writes.
    #[arg(long)]
    pub log: String,
    /// First version; a writer that goes on after another one leaves a gap of at least one above its last, so that
    /// the write that was under way when the other one ended stays recognizable.
    #[arg(long, default_value_t = 1)]
    pub first_version: u64,
    /// Writes to do; without it, until SIGTERM.
    #[arg(long)]
    pub count: Option<u64>,
    /// Pause after each write in microseconds.
    #[arg(long, default_value_t = 0)]
    pub pause_us: u64,
}

/// What a writer did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Acknowledged writes.
    pub writes: u64,
    /// Acknowledged bytes.
    pub bytes: u64,
    /// The last acknowledged version.
    pub last_version: u64,
    /// The longest single write in nanoseconds.
    pub longest_stall_ns: u64,
    /// When that write ended: nanoseconds since the start.
    pub longest_stall_at_ns: u64,
    /// The longest time for which the machine let a thread wait that only wanted to wake up, nanoseconds: a stall that
    /// is no longer than that says nothing about the storage.
    pub longest_pause_ns: u64,
    /// How long the writer ran, nanoseconds.
    pub elapsed_ns: u64,
    /// Why it ended early, if it did.
    pub error: Option<String>,
}

/// Writes until told to stop. A failed write ends it too, with [`Summary::error`] set: it is not acknowledged.
pub fn run(options: &Options) -> Result<Summary> {
    let blocks = options.size / BLOCK as u64;
    ensure!(blocks > 0 && options.size.is_multiple_of(BLOCK as u64), "the size must be a multiple of 4096");
    let stop = catch_stop()?;
    let target = open_target(&options.path, options.size)?;
    let mut log = open_log(&options.log)?;
    let mut writer = Writer::new(options, blocks);
    let pauses = Pauses::watch()?;
    while writer.wants_more(options.count) && stop.read_signal()?.is_none() {
        match writer.write_one(&target) {
            Ok(ack) => log.write_all(&ack.to_bytes()).context("cannot log an acknowledged write")?,
            Err(err) => {
                writer.summary.error = Some(err.to_string());
                break;
            }
        }
        thread::sleep(Duration::from_micros(options.pause_us));
    }
    writer.summary.longest_pause_ns = pauses.longest_ns.load(Ordering::Relaxed);
    writer.summary.elapsed_ns = nanos(writer.start.elapsed());
    Ok(writer.summary)
}

struct Writer {
    seed: u64,
    blocks: u64,
    version: u64,
    dice: Dice,
    buffer: Aligned,
    start: Instant,
    summary: Summary,
}

impl Writer {
    fn new(options: &Options, blocks: u64) -> Self {
        Self {
            seed: options.seed,
            blocks,
            version: options.first_version,
            dice: Dice::new(options.seed ^ options.first_version),
            buffer: Aligned::new(usize::try_from(LARGEST).unwrap_or(1) * BLOCK),
            start: Instant::now(),
            summary: Summary::default(),
        }
    }

    fn wants_more(&self, count: Option<u64>) -> bool {
        count.is_none_or(|count| self.summary.writes < count)
    }

    fn write_one(&mut self, target: &File) -> Result<Ack> {
        let count = 1 + self.dice.below(LARGEST.min(self.blocks));
        let block = self.dice.below(self.blocks - count + 1);
        let length = usize::try_from(count)? * BLOCK;
        let bytes = self.buffer.get_mut(length);
        for (number, chunk) in (block..).zip(bytes.chunks_exact_mut(BLOCK)) {
            fill(chunk, self.seed, number, self.version);
        }
        let before = Instant::now();
        target.write_all_at(self.buffer.get(length), block * BLOCK as u64)?;
        let (took, now) = (nanos(before.elapsed()), nanos(self.start.elapsed()));
        let ack = Ack { block, count: u32::try_from(count)?, version: self.version, nanos: now };
        self.note(length as u64, took, now);
        Ok(ack)
    }

    fn note(&mut self, bytes: u64, took: u64, now: u64) {
        let summary = &mut self.summary;
        summary.writes += 1;
        summary.bytes += bytes;
        summary.last_version = self.version;
        if took > summary.longest_stall_ns {
            (summary.longest_stall_ns, summary.longest_stall_at_ns) = (took, now);
        }
        self.version += 1;
    }
}

/// A thread that sleeps for [`TICK`] again and again and notes how late it wakes up. It ends with the process.
struct Pauses {
    longest_ns: Arc<AtomicU64>,
}

impl Pauses {
    fn watch() -> Result<Self> {
        let longest_ns = Arc::new(AtomicU64::new(0));
        let noted = Arc::clone(&longest_ns);
        let watch = move || {
            loop {
                let before = Instant::now();
                thread::sleep(TICK);
                noted.fetch_max(nanos(before.elapsed().saturating_sub(TICK)), Ordering::Relaxed);
            }
        };
        thread::Builder::new().name("pauses".into()).spawn(watch).context("no thread")?;
        Ok(Self { longest_ns })
    }
}

/// SIGTERM and SIGINT become something to read between two writes, so that no write is cut short.
fn catch_stop() -> Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// `O_DSYNC`: a write that returned is on every copy. `O_DIRECT`: no page cache between.
fn open_target(path: &Path, size: u64) -> Result<File> {
    let is_device = fs::metadata(path).is_ok_and(|meta| meta.file_type().is_block_device());
    let mut options = File::options();
    options.write(true).create(!is_device).custom_flags(libc::O_DIRECT | libc::O_DSYNC);
    let file = options.open(path).with_context(|| format!("cannot open {}", path.display()))?;
    if !is_device {
        file.set_len(size)?;
        file.sync_all()?;
    }
    Ok(file)
}

fn open_log(name: &str) -> Result<File> {
    let port = Path::new("/dev/virtio-ports").join(name);
    let path = if port.exists() { port } else { PathBuf::from(name) };
    let mut options = File::options();
    options.append(true).create(path.is_relative() || !path.starts_with("/dev"));
    options.open(&path).with_context(|| format!("cannot open the log {}", path.display()))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
