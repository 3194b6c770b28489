//! Who uses a volume: its application, which writes wherever the volume is wanted, and asks for it elsewhere when told to.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde_json::Value;

use super::timeline::Begun;
use super::world::{Party, World};
use super::{Used, WORK_BYTES};
use crate::daemon::word;
use crate::guest::ack;
use crate::load::{BRISK, Work, Writer, next_version};
use crate::node::Node;

/// How often a node is asked something.
const ASK: Duration = Duration::from_secs(2);
/// pgrep(1)'s exit status when there is no such process.
const NOBODY: i32 = 1;

/// What a tenant is told.
#[derive(Debug, Clone)]
pub(super) enum Word {
    /// It is wanted on this node.
    Go(String),
    /// The end: it ends its writer.
    End,
}

/// One volume's application.
pub(super) struct Tenant<'a> {
    world: &'a World<'a>,
    used: &'static Used,
    port: usize,
    home: String,
    writer: Option<Writer>,
    /// Where a writer of it may be that was not seen to end.
    left: Vec<String>,
    /// Whether the wish for it to be at home is still to be told.
    is_asking: bool,
    /// The way to a new home, until it is written there.
    way: Option<Begun>,
    asked: Instant,
}

impl<'a> Tenant<'a> {
    pub(super) fn new(world: &'a World<'a>, used: &'static Used, port: usize) -> Self {
        let home = used.home.to_owned();
        Self {
            world,
            used,
            port,
            home,
            writer: None,
            left: Vec::new(),
            is_asking: false,
            way: None,
            asked: Instant::now(),
        }
    }

    /// Until it is told to end.
    pub(super) fn run(mut self, words: &Receiver<Word>) {
        loop {
            match words.recv_timeout(ASK.saturating_sub(self.asked.elapsed())) {
                Ok(Word::Go(to)) => self.go(to),
                Err(RecvTimeoutError::Timeout) => {
                    self.asked = Instant::now();
                    if let Err(err) = self.turn() {
                        self.say(&format!("{err:#}"));
                    }
                }
                Ok(Word::End) | Err(RecvTimeoutError::Disconnected) => return self.end_writer(),
            }
        }
    }

    fn say(&self, text: &str) {
        self.world.line.say(&format!("{}: {text}", self.used.name));
    }

    fn go(&mut self, to: String) {
        if to == self.home {
            return;
        }
        self.say(&format!("wanted on {to}, not on {}", self.home));
        self.way.get_or_insert_with(|| self.world.line.begin_way(self.used.name));
        self.end_writer();
        self.home = to;
        self.is_asking = true;
    }

    /// Lets the writer end; one that cannot be reached, or whose write is held, is ended when it can be.
    fn end_writer(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let name = writer.node().name();
        let answers = self.world.party(name).is_ok_and(Party::answers);
        let ended = if answers { writer.stop().map(drop) } else { Err(anyhow!("its node is away")) };
        if let Err(err) = ended {
            self.say(&format!("its writer on {name} is left: {err:#}"));
            self.left.push(name.to_owned());
        }
    }

    fn turn(&mut self) -> Result<()> {
        self.end_left();
        if self.is_asking {
            self.is_asking = !self.asks();
            return Ok(());
        }
        if !self.world.party(&self.home)?.answers() || self.left.contains(&self.home) {
            return Ok(());
        }
        let Some(writer) = &self.writer else { return self.start_writer() };
        match writer.poll() {
            Ok(None) => return Ok(()),
            Ok(Some(summary)) => self.say(&format!("its writer ended: {:?}", summary.error)),
            Err(err) => {
                self.say(&format!("its writer does not answer: {err:#}"));
                self.left.push(self.home.clone());
            }
        }
        self.writer = None;
        Ok(())
    }

    /// As an orchestrator that finds its node again ends what it does not want there, and sees that it is gone: a write of it
    /// that is still held would land after those of the next one.
    fn end_left(&mut self) {
        let (world, pattern) = (self.world, self.used.pattern());
        let is_gone = |name: &str| {
            let answering = world.party(name).ok().filter(|party| party.answers())?;
            answering.node.run_for(ASK * 10, &["pkill", "-KILL", "-f", &pattern]).ok()?;
            let left = answering.node.run_for(ASK * 10, &["pgrep", "-f", &pattern]).ok()?;
            Some(left.status == NOBODY)
        };
        self.left.retain(|name| is_gone(name) != Some(true));
    }

    /// Not there any more, but here. It may have been detached when this was asked before.
    fn asks(&self) -> bool {
        let (name, home) = (self.used.name, &self.home);
        let wish = |line: String| self.world.wish(home, &line);
        wish(format!("volume detach {name} --no-wait"));
        let mount = self.used.mount_point().map(|at| format!("volume mount {name} {at} --no-wait"));
        wish(format!("volume attach {name} --node {home} --no-wait")) && mount.is_none_or(wish)
    }

    /// Starts a writer at home if the volume is there.
    fn start_writer(&mut self) -> Result<()> {
        let node = self.world.party(&self.home)?.node.clone();
        let Some(path) = self.path(&node)? else { return Ok(()) };
        let mut logs = Vec::new();
        for party in self.world.parties() {
            logs.extend(ack::parse(&party.node.ack_log_of(self.port)?));
        }
        let work = self.used.work(&path);
        self.writer = Some(work.start_logged(&node, next_version(&logs), self.port)?);
        self.say(&format!("written on {}", node.name()));
        if let Some(way) = self.way.take() {
            self.world.line.end(way);
        }
        Ok(())
    }

    /// What is written, if it is there.
    fn path(&self, node: &Node) -> Result<Option<String>> {
        let Ok(record) = self.world.volume(node.name(), self.used.name) else { return Ok(None) };
        if word(&record, "/status/owner") != node.name() {
            return Ok(None);
        }
        let path = self.used.path(&record);
        let is_there = match self.used.mount_point() {
            Some(at) => word(&record, "/status/array/mountedAt") == at && is_mounted(node, &at)?,
            None => !path.is_empty() && node.run(&["test", "-b", &path])?.status == 0,
        };
        Ok(is_there.then_some(path))
    }
}

fn is_mounted(node: &Node, at: &str) -> Result<bool> {
    Ok(node.run(&["mountpoint", "-q", at])?.status == 0)
}

impl Used {
    /// Where it is mounted; a raw one is not.
    pub(super) fn mount_point(&self) -> Option<String> {
        (self.fs != "raw").then(|| format!("/mnt/{}", self.name))
    }

    /// What its writers write.
    pub(super) fn path(&self, record: &Value) -> String {
        self.mount_point().map_or_else(|| word(record, "/status/array/device"), |at| at + "/data")
    }

    /// How a writer of it is known by its command line.
    fn pattern(&self) -> String {
        format!("lab writer .*--seed {} ", self.seed)
    }

    pub(super) fn work(&self, path: &str) -> Work {
        Work { path: path.to_owned(), size: WORK_BYTES, seed: self.seed, rest: BRISK }
    }
}
