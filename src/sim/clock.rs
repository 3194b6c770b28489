//! How time passes: in ticks. Those in which nothing would happen are left out.

use super::array::{COPY, SAFE_MODE};
use super::cluster::{Cluster, Machine};
use super::daemon::Daemon;
use super::kernel::{Array, ArrayMember};
use crate::domain::NodeName;
use crate::plan::timing::BEAT_MILLIS;

/// Milliseconds that pass in one tick.
pub(super) const TICK: u64 = 10;

/// How much has been told, written and counted: what leaves no mark here changes nothing that somebody else could wait for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp([usize; 3]);

impl Cluster {
    /// Lets [`TICK`] milliseconds pass.
    pub fn tick(&mut self) {
        self.now += TICK;
        let names: Vec<NodeName> = self
            .nodes
            .iter()
            .filter(|(_, machine)| !machine.is_paused())
            .map(|(name, _)| name.clone())
            .collect();
        for name in &names {
            self.run_power(name);
        }
        for name in &names {
            self.run_connections(name);
        }
        for name in &names {
            self.run_arrays(name);
        }
        self.run_apps();
        for name in &names {
            self.run_daemon(name);
        }
        let stamp = self.told();
        if std::mem::take(&mut self.checked.due) || stamp != self.stamp {
            self.check();
        }
    }

    /// Lets time pass until `done`, for at most `millis`. `false` when it did not come to that.
    ///
    /// Assumptions: `done` looks at more than the time.
    pub fn run_until(&mut self, millis: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + millis;
        // Whoever calls may have changed what leaves no mark: the first tick is played.
        let mut played = false;
        while self.now < end {
            if done(self) {
                return true;
            }
            if played {
                self.skip(end);
            }
            self.tick();
            played = true;
        }
        done(self)
    }

    /// Lets time pass.
    pub fn run_for(&mut self, millis: u64) {
        self.run_until(millis, |_| false);
    }

    fn told(&self) -> Stamp {
        Stamp([self.trace.len(), self.store.log.len(), self.counted])
    }

    /// After a tick in which nothing happened: on to the one before the next in which something will.
    fn skip(&mut self, end: u64) {
        let stamp = self.told();
        if std::mem::replace(&mut self.stamp, stamp) == stamp && !self.config.every_tick {
            let next = self.next_event().min(end);
            self.now += next.saturating_sub(self.now + 1) / TICK * TICK;
        }
    }

    fn next_event(&self) -> u64 {
        let machines = self.nodes.iter().filter(|(_, machine)| !machine.is_paused());
        machines.map(|(name, machine)| self.next_of(name, machine)).min().unwrap_or(self.now)
    }

    fn next_of(&self, name: &NodeName, machine: &Machine) -> u64 {
        if !machine.powered {
            return machine.power_up_at.unwrap_or(u64::MAX);
        }
        let arrays = machine.kernel.arrays.values().map(Array::next);
        let connections = machine.kernel.connections.iter();
        let connections = connections.map(|(key, connection)| self.next_of_connection(name, key, connection));
        let daemon = machine.daemon.as_ref().map(|daemon| self.next_of_daemon(machine, daemon));
        arrays.chain(connections).chain(daemon).chain(machine.daemon_up_at).min().unwrap_or(u64::MAX)
    }

    fn next_of_daemon(&self, machine: &Machine, daemon: &Daemon) -> u64 {
        let beat = self.now - self.now % BEAT_MILLIS + BEAT_MILLIS;
        let store = machine.store_reachable.then(|| daemon.next_from_store(&self.store, &machine.lags));
        let plan = daemon.may_plan().then_some(if machine.stirred { self.now } else { daemon.next_plan() });
        let timers = [beat, daemon.next_step(), daemon.next_turn()];
        timers.into_iter().chain(store).chain(plan).min().unwrap_or(self.now)
    }
}

impl Array {
    /// When something changes here by itself, or somebody uses it; 0 for at once.
    fn next(&self) -> u64 {
        let waits = self.members.iter().any(|member| member.header_due && !member.faulty);
        let use_at = if self.open { self.io_at } else { u64::MAX };
        if waits || !self.pending.is_empty() {
            return 0;
        }
        if self.frozen || !self.is_writable() {
            return use_at;
        }
        let mut next = use_at;
        if !self.clean && self.resync.is_empty() {
            next = next.min(self.last_write + SAFE_MODE + 1);
        }
        if self.forgettable().is_some() {
            next = next.min(self.forget_at);
        }
        if self.held {
            return next;
        }
        let joins = |member: &ArrayMember| !member.in_sync && self.free_slot().is_some();
        let moves = |member: &ArrayMember| match member.slot {
            Some(_) => member.faulty,
            None => !member.faulty && joins(member),
        };
        if self.members.iter().any(moves) {
            return 0;
        }
        if self.is_copying() {
            next = next.min(self.sync_at + COPY);
        }
        next
    }
}
