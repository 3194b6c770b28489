//! Does the storage hold every acknowledged write?

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use nix::libc;
use serde::{Deserialize, Serialize};

use super::ack::{self, Ack};
use super::pattern::{self, Content};
use super::{Aligned, BLOCK};

/// What to check against what.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// File or block device.
    #[arg(long)]
    pub path: PathBuf,
    /// The writer's seed.
    #[arg(long)]
    pub seed: u64,
    /// Logs of acknowledged writes, in the order in which their writers ran.
    #[arg(long, required = true)]
    pub log: Vec<PathBuf>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Acknowledged writes in the logs.
    pub acknowledged: u64,
    /// Bytes that were acknowledged and are right.
    pub verified_bytes: u64,
    /// Blocks that hold the one write that was under way when a writer ended.
    pub in_flight_blocks: u64,
    /// What is wrong, at most [`SHOWN`] of them in words.
    pub wrong: Vec<String>,
    /// How many blocks are wrong.
    pub wrong_blocks: u64,
}

/// Wrong blocks that are described one by one.
pub const SHOWN: usize = 20;

/// Reads every acknowledged block and judges it.
pub fn run(options: &Options) -> Result<Verdict> {
    let mut expected = Expected::default();
    for path in &options.log {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        let acks = ack::parse(&bytes).with_context(|| format!("{} is no log of writes", path.display()))?;
        expected.add(&acks);
    }
    let target = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(&options.path)
        .with_context(|| format!("cannot open {}", options.path.display()))?;
    let mut buffer = Aligned::new(BLOCK);
    let mut verdict = Verdict { acknowledged: expected.acknowledged, ..Verdict::default() };
    for (&block, &version) in &expected.blocks {
        let offset = block * BLOCK as u64;
        target
            .read_exact_at(buffer.get_mut(BLOCK), offset)
            .with_context(|| format!("cannot read at {offset}"))?;
        let found = pattern::read(buffer.get(BLOCK), options.seed, block);
        verdict.note(block, version, found, &expected);
    }
    Ok(verdict)
}

/// What the logs promise.
#[derive(Debug, Default)]
struct Expected {
    /// The last acknowledged version of every block.
    blocks: BTreeMap<u64, u64>,
    /// Versions that may have been under way when a writer ended: the one after its last acknowledged one.
    in_flight: Vec<u64>,
    acknowledged: u64,
}

impl Expected {
    fn add(&mut self, acks: &[Ack]) {
        for ack in acks {
            for block in ack.block..ack.block + u64::from(ack.count) {
                let version = self.blocks.entry(block).or_default();
                *version = ack.version.max(*version);
            }
        }
        self.acknowledged += acks.len() as u64;
        // A log may hold several writers, one after the other: each gap in the versions is the end of one.
        let ends = acks.windows(2).filter_map(|pair| match pair {
            [before, after] if after.version != before.version + 1 => Some(before.version + 1),
            _ => None,
        });
        self.in_flight.extend(ends.chain(acks.last().map(|last| last.version + 1)));
    }
}

impl Verdict {
    fn note(&mut self, block: u64, version: u64, found: Content, expected: &Expected) {
        match found {
            Content::Version(got) if got == version => self.verified_bytes += BLOCK as u64,
            Content::Version(got) if got > version && expected.in_flight.contains(&got) => {
                self.verified_bytes += BLOCK as u64;
                self.in_flight_blocks += 1;
            }
            wrong => {
                self.wrong_blocks += 1;
                if self.wrong.len() < SHOWN {
                    self.wrong
                        .push(format!("block {block}: acknowledged version {version}, found {wrong:?}"));
                }
            }
        }
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.wrong_blocks == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(block: u64, count: u32, version: u64) -> Ack {
        Ack { block, count, version, nanos: 0 }
    }

    fn judge(acks: &[Ack], block: u64, found: Content) -> Verdict {
        let mut expected = Expected::default();
        expected.add(acks);
        let mut verdict = Verdict::default();
        verdict.note(block, expected.blocks[&block], found, &expected);
        verdict
    }

    #[test]
    fn the_last_acknowledged_version_is_right() {
        let acks = [ack(0, 4, 1), ack(2, 1, 2), ack(9, 1, 3)];
        assert!(judge(&acks, 2, Content::Version(2)).is_good());
        assert!(judge(&acks, 3, Content::Version(1)).is_good());
        assert!(!judge(&acks, 2, Content::Version(1)).is_good(), "an older one is a lost write");
    }

    #[test]
    fn the_write_under_way_may_have_landed_but_no_other() {
        let acks = [ack(0, 1, 1), ack(1, 1, 2)];
        let verdict = judge(&acks, 0, Content::Version(3));
        assert!(verdict.is_good() && verdict.in_flight_blocks == 1);
        assert!(!judge(&acks, 0, Content::Version(2)).is_good(), "version 2 never wrote block 0");
        assert!(!judge(&acks, 0, Content::Version(4)).is_good(), "version 4 was never issued");
    }

    #[test]
    fn blank_and_damaged_blocks_are_wrong() {
        let acks = [ack(0, 1, 1)];
        assert!(!judge(&acks, 0, Content::Blank).is_good());
        assert!(!judge(&acks, 0, Content::Damaged).is_good());
    }

    #[test]
    fn a_second_writer_in_the_same_log_leaves_the_first_ones_last_write_open() {
        let acks = [ack(0, 1, 1), ack(1, 1, 10)];
        assert!(judge(&acks, 0, Content::Version(2)).is_good());
        assert!(judge(&acks, 0, Content::Version(11)).is_good());
        assert!(!judge(&acks, 0, Content::Version(3)).is_good());
    }
}
