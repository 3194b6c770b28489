//! A reader that never rests: one block, past the page cache and through it, until it is ended.

use std::fs::{File, read_to_string};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use nix::libc;

use super::{Aligned, BLOCK};

/// Pause between two reads.
const TICK: Duration = Duration::from_millis(5);

/// What a read that failed is logged as.
pub const FAILED: char = '!';

/// What to read, and where to log it.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// A file of at least 4096 bytes.
    #[arg(long)]
    pub path: PathBuf,
    /// Gets a line per read: uptime in hundredths of a second, the first byte past the cache, and the one through it.
    #[arg(long)]
    pub log: PathBuf,
}

/// Reads until it is killed.
pub fn run(options: &Options) -> Result<()> {
    let open = |flags| {
        let file = File::options().read(true).custom_flags(flags).open(&options.path);
        file.with_context(|| format!("cannot open {}", options.path.display()))
    };
    let (direct, cached) = (open(libc::O_DIRECT)?, open(0)?);
    let mut log = File::create(&options.log)?;
    let mut buffer = Aligned::new(BLOCK);
    loop {
        let mut first = |file: &File| {
            let bytes = buffer.get_mut(BLOCK);
            file.read_exact_at(bytes, 0)
                .map_or(FAILED, |()| bytes.first().map_or(FAILED, |byte| char::from(*byte)))
        };
        let (past, through) = (first(&direct), first(&cached));
        writeln!(log, "{} {past} {through}", uptime()?)?;
        thread::sleep(TICK);
    }
}

/// The machine's uptime in hundredths of a second. It stands still while the machine is paused.
fn uptime() -> Result<u64> {
    parse_uptime(&read_to_string("/proc/uptime")?)
}

/// `/proc/uptime`: `12.34 5.67`.
pub fn parse_uptime(text: &str) -> Result<u64> {
    let word = text.split_whitespace().next().context("no uptime")?;
    Ok(word.replace('.', "").parse()?)
}

/// One read: when, and what it gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Uptime in hundredths of a second.
    pub at: u64,
    /// First byte past the page cache.
    pub direct: char,
    /// First byte through it.
    pub cached: char,
}

impl Read {
    /// Whether either way gave `byte`.
    #[must_use]
    pub fn gave(&self, byte: char) -> bool {
        self.direct == byte || self.cached == byte
    }
}

/// The lines of a log.
pub fn parse(log: &str) -> Result<Vec<Read>> {
    log.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<Read> {
    let words: Vec<&str> = line.split(' ').collect();
    let [at, direct, cached] = words.as_slice() else { anyhow::bail!("no read: {line:?}") };
    ensure!(direct.len() == 1 && cached.len() == 1, "no read: {line:?}");
    let byte = |word: &str| word.chars().next().unwrap_or(FAILED);
    Ok(Read { at: at.parse()?, direct: byte(direct), cached: byte(cached) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_back() {
        let reads = parse("1234 1 1\n1235 ! 1\n").unwrap();
        assert_eq!(reads[1], Read { at: 1235, direct: '!', cached: '1' });
        assert!(reads[1].gave('1') && reads[1].gave(FAILED) && !reads[0].gave(FAILED));
        assert!(parse("1234 1").is_err());
        assert_eq!(parse_uptime("12.34 5.6\n").unwrap(), 1234);
    }
}
