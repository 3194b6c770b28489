//! The cluster as a whole: what there is, and how time passes.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::app::App;
use super::check::Violation;
use super::clock::{Stamp, TICK};
use super::daemon::Daemon;
use super::disk::{Disk, Partition};
use super::drives::Hang;
use super::heard::{Lags, News};
use super::kernel::Kernel;
use super::rng::Rng;
use super::store::Store;
use crate::domain::{Bytes, DriveId, NodeName, Timestamp, VolumeName, World};
use crate::plan::timing::Pace;
use crate::plan::verbs::{Refusal, Verdict};
use crate::plan::{Alone, Write};

const START: u64 = 1_000_000;
/// By how many ticks more one kind of record may be late than another.
const APART: u64 = 50;

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct Config {
    /// Nodes.
    pub nodes: u8,
    /// Drives in each of them.
    pub drives: u8,
    /// Size of each drive.
    pub capacity: Bytes,
    /// Where chance starts.
    pub seed: u64,
    /// Ticks in which nothing happens are played, too.
    pub every_tick: bool,
    /// How often daemons say through the store that they live.
    pub pace: Pace,
    /// What is heard of one kind of record says nothing of how old another is.
    pub apart: bool,
    /// A daemon plans with what it wrote itself and with older news of the rest, as the real one does; else it waits until it has heard of what
    /// it wrote last.
    pub late: bool,
    /// The guard that every daemon does without.
    #[cfg(any(test, feature = "sabotage"))]
    pub sabotage: Option<crate::plan::safety::Guard>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nodes: 3,
            drives: 2,
            capacity: Bytes::gib(4),
            seed: 1,
            every_tick: false,
            pace: Pace::default(),
            apart: false,
            late: false,
            #[cfg(any(test, feature = "sabotage"))]
            sabotage: None,
        }
    }
}

/// When a daemon dies around a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashWhen {
    /// Before the kernel did it.
    BeforeEffect,
    /// The kernel did it, the daemon has not noticed.
    AfterEffect,
    /// The whole node loses power before the kernel did it.
    PowerCut,
}

/// A death at one step of the run.
#[derive(Debug, Clone)]
pub struct Crash {
    /// Which step, counted over all nodes from 0; store writes count as steps.
    pub at: usize,
    /// How.
    pub when: CrashWhen,
    /// Who; `None` for the node whose step it is.
    pub node: Option<NodeName>,
    /// Milliseconds until it is back.
    pub down: u64,
}

/// One machine.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each of them can be so or not, whatever the others are")]
pub(super) struct Machine {
    pub(super) disks: BTreeMap<DriveId, Disk>,
    pub(super) kernel: Kernel,
    pub(super) powered: bool,
    /// Since when nothing in it moves: neither daemon nor kernel nor applications.
    pub(super) paused_since: Option<u64>,
    pub(super) daemon: Option<Daemon>,
    pub(super) daemon_up_at: Option<u64>,
    pub(super) power_up_at: Option<u64>,
    pub(super) boots: u32,
    /// The kernel changed since the daemon last looked.
    pub(super) stirred: bool,
    /// Its daemon reaches the store.
    pub(super) store_reachable: bool,
    /// Milliseconds until it hears of a change.
    pub(super) lags: Lags,
    /// The same when all is well.
    soon: Lags,
    /// Its beats say that it goes down.
    pub(super) goes_down: bool,
    /// What its daemons noted on its own disk.
    pub(super) alone: BTreeSet<Alone>,
    /// What its kernel does not come back from.
    pub(super) hang: Option<Hang>,
}

impl Machine {
    pub(super) fn is_paused(&self) -> bool {
        self.paused_since.is_some()
    }
}

/// A simulated cluster.
#[derive(Debug)]
pub struct Cluster {
    pub(super) nodes: BTreeMap<NodeName, Machine>,
    pub(super) store: Store,
    pub(super) now: u64,
    pub(super) rng: Rng,
    pub(super) apps: BTreeMap<VolumeName, App>,
    /// From whom to whom nothing gets.
    pub(super) cut: BTreeSet<(NodeName, NodeName)>,
    pub(super) violations: Vec<Violation>,
    pub(super) trace: Vec<String>,
    pub(super) steps: Vec<String>,
    pub(super) counted: usize,
    pub(super) crash: Option<Crash>,
    pub(super) next_version: u64,
    /// How large the file system of an array was made, by the array's uuid.
    pub(super) file_systems: BTreeMap<Uuid, Bytes>,
    pub(super) start_read_auto: bool,
    pub(super) config: Config,
    pub(super) checked: super::check::Seen,
    /// How it was after the last tick.
    pub(super) stamp: Stamp,
    /// Places whose content went bad by itself, and to what.
    pub(super) rotten: BTreeMap<(Uuid, u8), u64>,
}

impl Cluster {
    /// Powered nodes `node-1`… with empty drives `n1d1`…; their daemons start at once.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut cluster = Self::bare(config);
        for index in 1..=cluster.config.nodes {
            let Ok(name) = format!("node-{index}").parse::<NodeName>() else { continue };
            let capacity = cluster.config.capacity;
            let ids =
                (1..=cluster.config.drives).filter_map(|drive| format!("n{index}d{drive}").parse().ok());
            let disks = ids.map(|id: DriveId| (id, new_disk(capacity, 512))).collect();
            cluster.add_machine(&name, disks);
        }
        cluster
    }

    pub(super) fn bare(config: Config) -> Self {
        let mut rng = Rng::new(config.seed);
        let start_read_auto = rng.one_in(2);
        Self {
            nodes: BTreeMap::new(),
            store: Store::default(),
            now: START,
            rng,
            apps: BTreeMap::new(),
            cut: BTreeSet::new(),
            violations: Vec::new(),
            trace: Vec::new(),
            steps: Vec::new(),
            counted: 0,
            crash: None,
            next_version: 1000,
            file_systems: BTreeMap::new(),
            start_read_auto,
            config,
            checked: super::check::Seen::default(),
            stamp: Stamp::default(),
            rotten: BTreeMap::new(),
        }
    }

    pub(super) fn add_machine(&mut self, name: &NodeName, disks: BTreeMap<DriveId, Disk>) {
        let longest = if self.rng.one_in(4) { 50 } else { 4 };
        let lag = self.rng.below(longest) * TICK;
        let mut lags = Lags::default();
        for own in &mut lags {
            let apart = if self.config.apart { self.rng.below(APART) * TICK } else { 0 };
            *own = lag + apart;
        }
        let machine = Machine {
            disks,
            kernel: Kernel::default(),
            powered: false,
            paused_since: None,
            daemon: None,
            daemon_up_at: None,
            power_up_at: None,
            boots: 0,
            stirred: true,
            store_reachable: true,
            lags,
            soon: lags,
            goes_down: false,
            alone: BTreeSet::new(),
            hang: None,
        };
        self.nodes.insert(name.clone(), machine);
        self.power_on(name);
    }

    /// All records.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.store.world
    }

    /// The moment it is.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// The names of all nodes.
    #[must_use]
    pub fn node_names(&self) -> Vec<NodeName> {
        self.nodes.keys().cloned().collect()
    }

    /// Promises that were broken so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Every finished step, failed attempt and noteworthy write, as lines.
    #[must_use]
    pub fn trace(&self) -> &[String] {
        &self.trace
    }

    /// Every step that was done, as `node-1: carve …`.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// Steps and writes so far: what [`Crash::at`] counts.
    #[must_use]
    pub fn counted(&self) -> usize {
        self.counted
    }

    /// Plans a death.
    pub fn crash(&mut self, crash: Option<Crash>) {
        self.crash = crash;
    }

    /// Carries a verb out as the API does: decided on all records, written by compare-and-swap.
    pub fn request(
        &mut self,
        verb: impl FnOnce(&World, Timestamp) -> Result<Verdict, Refusal>,
    ) -> Result<(), Refusal> {
        let verdict = verb(&self.store.world, self.now())?;
        self.write(&verdict.writes);
        Ok(())
    }

    /// Writes records as they are.
    pub fn write(&mut self, writes: &[Write]) {
        for write in writes {
            let revision = self.store.world.revision(&write.key);
            self.note(format_args!("user writes {}", write.key));
            // The revision was read in the same breath: there is nobody to conflict with.
            drop(self.store.put(&write.key, write.record.as_ref(), revision, self.now));
        }
    }

    pub(super) fn note(&mut self, line: impl std::fmt::Display) {
        let at = self.now - START;
        self.trace.push(format!("{:>7}.{:03} {line}", at / 1000, at % 1000));
    }

    pub(super) fn violate(&mut self, what: impl std::fmt::Display) {
        let violation = Violation { at: Timestamp(self.now), what: what.to_string() };
        self.note(format_args!("VIOLATION {}", violation.what));
        self.violations.push(violation);
    }

    pub(super) fn stir(&mut self, node: &NodeName) {
        if let Some(machine) = self.nodes.get_mut(node) {
            machine.stirred = true;
        }
    }

    pub(super) fn stir_all(&mut self) {
        self.nodes.values_mut().for_each(|machine| machine.stirred = true);
    }

    pub(super) fn partition(&self, node: &NodeName, guid: Uuid) -> Option<&Partition> {
        self.nodes.get(node)?.disks.values().find_map(|disk| disk.partitions.get(&guid))
    }

    pub(super) fn partition_mut(&mut self, node: &NodeName, guid: Uuid) -> Option<&mut Partition> {
        self.checked.due = true;
        self.nodes.get_mut(node)?.disks.values_mut().find_map(|disk| disk.partitions.get_mut(&guid))
    }

    pub(super) fn run_power(&mut self, name: &NodeName) {
        let now = self.now;
        let Some(machine) = self.nodes.get_mut(name) else { return };
        if machine.power_up_at.is_some_and(|at| at <= now) {
            self.power_on(name);
        } else if machine.powered && machine.daemon_up_at.is_some_and(|at| at <= now) {
            self.start_daemon(name);
        }
    }

    /// Power comes: an empty kernel finds the drives, device numbers are new; the daemon starts a little later.
    pub fn power_on(&mut self, name: &NodeName) {
        let now = self.now;
        let Some(machine) = self.nodes.get_mut(name).filter(|machine| !machine.powered) else { return };
        machine.powered = true;
        machine.power_up_at = None;
        machine.boots += 1;
        machine.kernel = Kernel::default();
        machine.daemon_up_at = Some(if machine.boots > 1 { now + 2000 } else { now });
        for _ in 0..machine.boots * 3 {
            machine.kernel.new_dev(259);
        }
        for disk in machine.disks.values_mut() {
            disk.dev = machine.kernel.new_dev(259);
            for partition in disk.partitions.values_mut() {
                partition.dev = machine.kernel.new_dev(259);
                partition.known = partition.size;
            }
        }
        self.note(format_args!("{name}: power on"));
    }

    /// Power goes: whatever the kernel held is lost, drives keep what has reached them.
    pub fn power_cut(&mut self, name: &NodeName, down: Option<u64>) {
        let now = self.now;
        let Some(machine) = self.nodes.get_mut(name) else { return };
        machine.powered = false;
        machine.paused_since = None;
        machine.kernel = Kernel::default();
        machine.daemon = None;
        machine.daemon_up_at = None;
        machine.power_up_at = down.map(|down| now + down);
        machine.hang = None;
        self.reset_drives(name);
        self.apps.values_mut().for_each(|app| app.killed_on(name));
        self.note(format_args!("{name}: power cut"));
    }

    /// The daemon is killed; the kernel goes on, and some of the calls that were under way still come to their end.
    /// It starts again after `down` milliseconds.
    pub fn kill_daemon(&mut self, name: &NodeName, down: u64) {
        let now = self.now;
        let Some(machine) =
            self.nodes.get_mut(name).filter(|machine| machine.powered && !machine.is_paused())
        else {
            return;
        };
        let Some(daemon) = machine.daemon.take() else { return };
        machine.daemon_up_at = Some(now + down);
        self.note(format_args!("{name}: daemon killed"));
        for step in daemon.into_steps() {
            if self.rng.one_in(2) {
                self.apply(name, &step);
            } else {
                self.apply_half(name, &step);
            }
        }
        if let Some(machine) = self.nodes.get_mut(name) {
            machine.kernel.arrays.values_mut().for_each(|array| array.frozen = false);
            machine.kernel.tops.values_mut().for_each(|top| top.suspended = false);
        }
    }

    /// Two nodes can or cannot talk to each other.
    pub fn set_link(&mut self, one: &NodeName, other: &NodeName, up: bool) {
        self.open_way(one, other, up);
        self.open_way(other, one, up);
        self.note(format_args!("link {one} - {other}: {}", if up { "up" } else { "down" }));
    }

    /// What one node sends does or does not get to another; the other way stays as it is.
    pub fn set_way(&mut self, from: &NodeName, to: &NodeName, open: bool) {
        self.open_way(from, to, open);
        self.note(format_args!("way {from} -> {to}: {}", if open { "open" } else { "closed" }));
    }

    fn open_way(&mut self, from: &NodeName, to: &NodeName, open: bool) {
        let way = (from.clone(), to.clone());
        if open {
            self.cut.remove(&way);
        } else {
            self.cut.insert(way);
        }
    }

    /// A node can or cannot reach the store.
    pub fn set_store(&mut self, node: &NodeName, reachable: bool) {
        if let Some(machine) = self.nodes.get_mut(node) {
            machine.store_reachable = reachable;
        }
        self.note(format_args!("{node}: store {}", if reachable { "reachable" } else { "out of reach" }));
    }

    /// How soon a node hears from the store what others write.
    pub fn set_news(&mut self, node: &NodeName, news: News) {
        if let Some(machine) = self.nodes.get_mut(node) {
            machine.lags = news.lags(&machine.soon, &mut self.rng);
        }
        self.note(format_args!("{node}: news of the store {news:?}"));
    }

    /// The steps under way on a node, as lines.
    #[must_use]
    pub fn under_way(&self, node: &NodeName) -> Vec<String> {
        let daemon = self.nodes.get(node).and_then(|machine| machine.daemon.as_ref());
        daemon.map(Daemon::under_way).unwrap_or_default()
    }

    /// What every kernel holds, one line each.
    #[must_use]
    pub fn picture(&self) -> String {
        let mut lines = Vec::new();
        for (name, machine) in &self.nodes {
            lines.push(format!(
                "{name}: powered {}, steps under way {:?}",
                machine.powered,
                self.under_way(name)
            ));
            let kernel = &machine.kernel;
            lines.extend(
                kernel.exports.iter().map(|(key, export)| format!("  export {key:?} to {:?}", export.hosts)),
            );
            lines.extend(
                kernel
                    .connections
                    .iter()
                    .map(|(key, connection)| format!("  connection {key:?} {:?}", connection.state)),
            );
            lines.extend(
                kernel.maps.iter().map(|(key, map)| {
                    format!("  map {key:?} active {} queueing {}", map.active, map.queueing)
                }),
            );
            lines.extend(kernel.arrays.values().map(|array| format!("  array {array:?}")));
            lines.extend(kernel.tops.values().map(|top| format!("  stripes {top:?}")));
            lines.extend(kernel.mounts.keys().map(|path| format!("  mount {path}")));
            lines.extend(kernel.device_binds.keys().map(|path| format!("  bind {path}")));
            let partitions = machine.disks.values().flat_map(|disk| &disk.partitions);
            lines.extend(partitions.map(|(guid, partition)| {
                format!(
                    "  partition {guid} {:?} {:?}",
                    partition.blocks,
                    partition.header.as_ref().map(|header| (header.events, header.clean))
                )
            }));
        }
        lines.join("\n")
    }

    /// What the kernels and drives still hold for volumes: exports, connections, maps, arrays, mounts, partitions.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (name, machine) in &self.nodes {
            let kernel = &machine.kernel;
            left.extend(kernel.exports.keys().map(|key| format!("{name}: export {key:?}")));
            left.extend(kernel.connections.keys().map(|key| format!("{name}: connection {key:?}")));
            left.extend(kernel.maps.keys().map(|key| format!("{name}: map {key:?}")));
            left.extend(kernel.arrays.values().map(|array| format!("{name}: array {}", array.name)));
            left.extend(kernel.tops.keys().map(|volume| format!("{name}: stripes of {volume}")));
            left.extend(machine.alone.iter().map(|note| format!("{name}: note {note:?}")));
            left.extend(kernel.mounts.keys().map(|path| format!("{name}: mount {path}")));
            left.extend(kernel.device_binds.keys().map(|path| format!("{name}: bind {path}")));
            let partitions = machine.disks.values().flat_map(|disk| disk.partitions.keys());
            left.extend(partitions.map(|guid| format!("{name}: partition {guid}")));
        }
        left
    }

    /// Whether a node has power.
    #[must_use]
    pub fn is_powered(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|machine| machine.powered)
    }

    /// Whether every node has power and a running daemon.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.nodes.values().all(|machine| machine.powered && !machine.is_paused() && machine.daemon.is_some())
    }

    /// Marks a drive as carrying something.
    pub fn put_on_drive(&mut self, id: &DriveId, found: &str) {
        let disks = self.nodes.values_mut().flat_map(|machine| machine.disks.iter_mut());
        disks.filter(|(known, _)| *known == id).for_each(|(_, disk)| disk.found.push(found.to_owned()));
        self.stir_all();
    }
}

pub(super) fn new_disk(capacity: Bytes, sector_size: u32) -> Disk {
    Disk {
        dev: crate::plan::Dev { major: 0, minor: 0 },
        capacity,
        sector_size,
        guid: None,
        found: Vec::new(),
        partitions: BTreeMap::new(),
        fault: super::drives::DriveFault::default(),
        silent_since: None,
    }
}
