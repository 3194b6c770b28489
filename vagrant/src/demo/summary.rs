//! What the demo found.

use std::fmt;

use super::judges::Judgement;
use crate::guest::verify::Verdict;

/// One move of a copy.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub(super) what: String,
    pub(super) seconds: f64,
    pub(super) longest_stall_ns: u64,
    pub(super) longest_pause_ns: u64,
    pub(super) copied_bytes: u64,
}

/// Everything the last screen says.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) writes: u64,
    pub(super) written_bytes: u64,
    pub(super) drain_seconds: f64,
    pub(super) moves: Vec<Move>,
    pub(super) verdicts: Vec<(String, Verdict)>,
    pub(super) copies: Vec<(String, Vec<String>)>,
    pub(super) phases: Vec<String>,
    pub(super) judges: Vec<Judgement>,
    pub(super) seconds: f64,
}

impl Facts {
    pub(super) fn verified(&mut self, name: &str, verdict: &Verdict) {
        self.verdicts.push((name.to_owned(), verdict.clone()));
    }

    /// Nothing acknowledged is missing, and every judge is content.
    pub(super) fn is_good(&self) -> bool {
        self.verdicts.len() == 2
            && self.verdicts.iter().all(|(_, verdict)| verdict.is_good() && verdict.acknowledged > 0)
            && self.judges.iter().all(|judge| judge.content)
    }
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

fn millis(nanos: u64) -> u64 {
    nanos / 1_000_000
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n== summary")?;
        writeln!(f, "written      {} MiB in {} acknowledged writes", mib(self.written_bytes), self.writes)?;
        for (name, verdict) in &self.verdicts {
            let (acked, bytes) = (verdict.acknowledged, mib(verdict.verified_bytes));
            let word = if verdict.is_good() { "all there" } else { "WRITES ARE MISSING" };
            writeln!(f, "verified     {name}: {acked} acknowledged writes, {bytes} MiB read back: {word}")?;
        }
        for (name, nodes) in &self.copies {
            writeln!(f, "copies       {name}: in sync on {}", nodes.join(", "))?;
        }
        for one in &self.moves {
            let (seconds, copied) = (one.seconds, mib(one.copied_bytes));
            let (stall, pause) = (millis(one.longest_stall_ns), millis(one.longest_pause_ns));
            writeln!(f, "move         {}: {seconds:.1} s, {copied} MiB copied", one.what)?;
            writeln!(
                f,
                "stall        longest write {stall} ms; the guest itself let a thread wait {pause} ms at most"
            )?;
        }
        writeln!(f, "drain        {:.1} s from detach on node-1 to mounted on node-3", self.drain_seconds)?;
        writeln!(f, "phases       {}", self.phases.join(" > "))?;
        for judge in &self.judges {
            let word = if judge.content { "content" } else { "NOT CONTENT" };
            writeln!(f, "judge        {word}: {} on {}: {}", judge.tool, judge.object, judge.said)?;
        }
        write!(f, "all of it    {:.0} s", self.seconds)
    }
}
