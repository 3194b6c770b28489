//! The cluster as everybody in the chaos sees it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::timeline::TimeLine;
use crate::lab::Lab;
use crate::node::{Node, Output};

/// A verb that finds a daemon, and a daemon that finds no store, may take this long.
const VERB: &str = "20";
/// With what the agent adds.
const VERB_DEADLINE: Duration = Duration::from_secs(40);
/// Exit status of timeout(1) for what it ended.
const TIMED_OUT: i32 = 124;

pub(super) struct World<'a> {
    pub(super) lab: &'a Lab,
    pub(super) line: TimeLine,
    parties: Vec<Party>,
    is_over: AtomicBool,
}

/// A node, and whether anything can be asked of it.
pub(super) struct Party {
    pub(super) node: Node,
    answers: AtomicBool,
    /// One thing at a time is done to a node.
    turn: Mutex<()>,
}

impl Party {
    pub(super) fn answers(&self) -> bool {
        self.answers.load(Ordering::Acquire)
    }

    pub(super) fn set_answers(&self, answers: bool) {
        self.answers.store(answers, Ordering::Release);
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> World<'a> {
    pub(super) fn new(lab: &'a Lab) -> Self {
        let party = |node| Party { node, answers: AtomicBool::new(true), turn: Mutex::new(()) };
        Self {
            lab,
            line: TimeLine::new(),
            parties: lab.nodes().into_iter().map(party).collect(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Whether nobody writes any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    pub(super) fn end_all(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    pub(super) fn party(&self, name: &str) -> Result<&Party> {
        self.parties.iter().find(|party| party.node.name() == name).with_context(|| format!("no node {name}"))
    }

    pub(super) fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// Runs a verb on `first`, or if that is away on another node.
    pub(super) fn ask(&self, first: &str, line: &str) -> Result<Output> {
        let named = self.parties.iter().filter(|party| party.node.name() == first);
        let mut in_turn = named.chain(&self.parties).filter(|party| party.answers());
        let party = in_turn.next().context("every node is away")?;
        let mut argv = vec!["timeout", VERB, "mdfabric"];
        argv.extend(line.split_whitespace());
        let output = party.node.run_for(VERB_DEADLINE, &argv)?;
        if output.status == TIMED_OUT {
            bail!("{} does not answer", party.node.name());
        }
        Ok(output)
    }

    /// As [`World::ask`]; what is refused is noted, and gives false.
    pub(super) fn wish(&self, first: &str, line: &str) -> bool {
        match self.ask(first, line) {
            Ok(output) if output.status == 0 => {
                self.line.say(&format!("mdfabric {line}: {}", output.stdout));
                return true;
            }
            Ok(output) => self.line.refused(line, &output.stderr),
            Err(err) => self.line.left_out(line, &format!("{err:#}")),
        }
        false
    }

    /// All records of a kind, as `first` has them.
    pub(super) fn records(&self, first: &str, kind: &str) -> Result<Vec<Value>> {
        let output = self.ask(first, &format!("{kind} ls -o json"))?.ok()?;
        serde_json::from_str(&output.stdout).with_context(|| format!("{kind} ls: {}", output.stdout))
    }

    /// A volume's record, as `first` has it.
    pub(super) fn volume(&self, first: &str, name: &str) -> Result<Value> {
        let output = self.ask(first, &format!("volume show {name} -o json"))?.ok()?;
        serde_json::from_str(&output.stdout).with_context(|| format!("volume show {name}: {}", output.stdout))
    }
}
