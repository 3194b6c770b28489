//! A node's daemon: looks, plans, writes, does, remembers. The real one has the same loop with real ports.
//!
//! What it wrote itself the real one knows at once, of the rest it knows what it has heard ([`super::Config::late`]). A simulated one may
//! also wait until it has heard of its own last writes: then it has heard of everything before them, too.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::apply::Effect;
use super::cluster::{Cluster, CrashWhen};
use super::heard::{Heard, Lags};
use super::store::{Change, Store};
use crate::domain::{
    Endpoint, Key, Kind, NodeName, NodeStatus, Record, Revision, Timestamp, Versioned, World, host_nqn,
};
use crate::plan::{
    self, FailureKind, Input, Lane, Liveness, Memory, Observation, Plan, Step, StepFailure, controller,
    timing,
};

/// How often a daemon plans anew at the most because of what it wrote, or somebody else did first.
const TURNS: usize = 16;
/// When it tries again what somebody was faster with, ms.
const AGAIN: u64 = 50;

#[derive(Debug)]
pub(super) struct Running {
    step: Step,
    ends_at: u64,
}

#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) memory: Memory,
    pub(super) world: World,
    /// What it has heard from the store. It plans again once it has heard of its own last writes, where it waits for them.
    heard: Heard,
    /// Removals that it knows of before it has heard of them.
    gone: BTreeMap<Key, Revision>,
    running: Vec<Running>,
    heartbeat_at: u64,
    wake_at: Option<u64>,
    planned: u64,
    /// Until when it has counted how long its peers are silent.
    listened_at: u64,
    /// Something was heard that may say whom it listens to.
    pub(super) peers_due: bool,
}

impl Daemon {
    pub(super) fn into_steps(self) -> impl Iterator<Item = Step> {
        self.running.into_iter().map(|running| running.step)
    }

    pub(super) fn under_way(&self) -> Vec<String> {
        self.running.iter().map(|running| running.step.to_string()).collect()
    }

    /// Whether it has heard of its own last write.
    pub(super) fn may_plan(&self) -> bool {
        self.heard.is_current()
    }

    /// When it plans though nothing has happened.
    pub(super) fn next_plan(&self) -> u64 {
        self.wake_at.unwrap_or(u64::MAX)
    }

    /// When the next step under way ends.
    pub(super) fn next_step(&self) -> u64 {
        self.running.iter().map(|running| running.ends_at).min().unwrap_or(u64::MAX)
    }

    /// When it hears of a change or writes its heartbeat.
    pub(super) fn next_from_store(&self, store: &Store, lags: &Lags) -> u64 {
        self.heard.next_at(&store.log, lags).min(self.heartbeat_at)
    }

    /// When a peer has been silent for long enough to be looked at in another way; 0 while one is.
    pub(super) fn next_turn(&self) -> u64 {
        if self.memory.peers.silent().next().is_some() {
            return 0;
        }
        self.memory.peers.next_change_in().map_or(u64::MAX, |millis| self.listened_at + millis)
    }

    /// Whether a change only says that somebody else lives who was known to: no plan hangs on that. One's own heartbeats bring the
    /// turns that routine work waits for.
    fn says_nothing(&self, me: &NodeName, change: &Change, now: u64) -> bool {
        let lived =
            |millis| self.memory.liveness.age(&change.key, Timestamp(now)).is_some_and(|age| age < millis);
        match (self.world.record(&change.key), change.value.as_ref().map(|change| &change.value)) {
            (Some(Record::NodeStatus(before)), Some(Record::NodeStatus(after))) => {
                let same = NodeStatus { heartbeat_at: before.heartbeat_at, ..after.clone() } == *before;
                same && change.key.name != me.as_str()
                    && lived(self.memory.liveness.pace().silent_node_dead_millis)
            }
            (Some(Record::Lease(before)), Some(Record::Lease(after))) => {
                before.holder == after.holder && after.holder != *me && lived(timing::LEASE_TERM_MILLIS)
            }
            _ => false,
        }
    }

    /// Takes in what a record became. `false` when something newer is known: what it wrote itself, say.
    fn take(&mut self, key: &Key, value: Option<&Versioned<Record>>, revision: Revision) -> bool {
        let known = self.gone.get(key).copied().unwrap_or_default().max(self.world.revision(key));
        if revision <= known {
            return false;
        }
        match value {
            Some(_) => drop(self.gone.remove(key)),
            None => drop(self.gone.insert(key.clone(), revision)),
        }
        self.peers_due |=
            !matches!(key.kind, Kind::Lease | Kind::NodeStatus) || self.world.record(key).is_none();
        self.world.set(key.clone(), value.cloned());
        true
    }

    /// Peers are silent until now. Whether that changed how one of them stands.
    pub(super) fn listen_until(&mut self, now: u64) -> bool {
        let passed = now - std::mem::replace(&mut self.listened_at, now);
        if passed == 0 {
            return false;
        }
        let before: Vec<_> = self.memory.peers.standings().into_values().collect();
        self.memory.peers.pass(passed);
        !before.into_iter().eq(self.memory.peers.standings().into_values())
    }
}

/// Where a node's target listens.
pub(super) fn address(node: &NodeName) -> String {
    format!("{node}.test")
}

impl Cluster {
    /// How often the machines were asked what is to be done, on all nodes, since their daemons started.
    #[must_use]
    pub fn plans(&self) -> u64 {
        self.nodes.values().filter_map(|machine| machine.daemon.as_ref()).map(|daemon| daemon.planned).sum()
    }

    /// The daemon starts with an empty memory and lists all records.
    pub(super) fn start_daemon(&mut self, name: &NodeName) {
        let now = self.now;
        let world = self.store.world.clone();
        let heard = Heard::all(&self.store.log);
        let mut memory = Memory {
            started_at: Timestamp(now),
            liveness: Liveness::paced(self.config.pace),
            #[cfg(any(test, feature = "sabotage"))]
            sabotage: self.config.sabotage,
            ..Memory::default()
        };
        memory.liveness.store_answered(Timestamp(now));
        memory.liveness.heard(world.records().map(|(key, _)| key.clone()), Timestamp(now));
        let Some(machine) = self.nodes.get_mut(name) else { return };
        machine.daemon_up_at = None;
        machine.goes_down = false;
        machine.stirred = true;
        machine.daemon = Some(Daemon {
            memory,
            world,
            heard,
            gone: BTreeMap::new(),
            running: Vec::new(),
            heartbeat_at: now,
            wake_at: None,
            planned: 0,
            listened_at: now,
            peers_due: true,
        });
        self.note(format_args!("{name}: daemon starts"));
    }

    fn daemon_mut(&mut self, name: &NodeName) -> Option<&mut Daemon> {
        self.nodes.get_mut(name)?.daemon.as_mut()
    }

    pub(super) fn run_daemon(&mut self, name: &NodeName) {
        self.hear(name);
        self.listen(name);
        self.finish_steps(name);
        self.beat(name);
        let now = self.now;
        let Some(machine) = self.nodes.get(name) else { return };
        let Some(daemon) = &machine.daemon else { return };
        if (machine.stirred || daemon.next_plan() <= now) && daemon.may_plan() {
            self.plan_and_act(name);
        }
    }

    /// Changes of the store arrive, in order, a little later. What it wrote itself a daemon knows without the store.
    fn hear(&mut self, name: &NodeName) {
        let now = self.now;
        let Some(machine) = self.nodes.get_mut(name) else { return };
        let reachable = machine.store_reachable;
        let (lags, Some(daemon)) = (machine.lags, &mut machine.daemon) else { return };
        while let Some(change) = daemon.heard.next(&self.store.log, &lags, now, reachable) {
            let silence = daemon.memory.store;
            daemon.memory.store.answered();
            let says_nothing = silence == daemon.memory.store && daemon.says_nothing(name, change, now);
            daemon.memory.liveness.told([&change.key], Timestamp(now));
            if daemon.take(&change.key, change.value.as_ref(), change.revision) {
                daemon.memory.liveness.heard([change.key.clone()], Timestamp(now));
                machine.stirred |= !says_nothing;
            }
        }
    }

    fn finish_steps(&mut self, name: &NodeName) {
        loop {
            let now = self.now;
            let Some(daemon) = self.daemon_mut(name) else {
                return;
            };
            let Some(index) = daemon.running.iter().position(|running| running.ends_at <= now) else {
                return;
            };
            let mut running = daemon.running.remove(index);
            if self.dies(name, CrashWhen::BeforeEffect) || self.dies(name, CrashWhen::PowerCut) {
                return;
            }
            match self.apply(name, &running.step) {
                Effect::Blocked => {
                    running.ends_at = now + 1;
                    if let Some(daemon) = self.daemon_mut(name) {
                        daemon.running.push(running);
                    }
                }
                Effect::Over(result) => {
                    match &result {
                        Ok(_) if running.step.is_routine() => {}
                        Ok(_) => {
                            let line = format!("{name}: {}", running.step);
                            self.note(&line);
                            self.steps.push(line);
                        }
                        Err(failure) => {
                            self.note(format_args!("{name}: {} FAILED: {}", running.step, failure.message));
                        }
                    }
                    let died = self.dies(name, CrashWhen::AfterEffect);
                    self.counted += 1;
                    if died {
                        return;
                    }
                    if let Some(daemon) = self.daemon_mut(name) {
                        daemon.memory.record(&running.step, result, Timestamp(now));
                    }
                    // Its lane is free, whatever came of it.
                    self.stir(name);
                }
            }
        }
    }

    /// Carries out the planned death if this is its moment.
    fn dies(&mut self, name: &NodeName, when: CrashWhen) -> bool {
        let Some(crash) = self.crash.clone().filter(|crash| crash.when == when && crash.at == self.counted)
        else {
            return false;
        };
        self.crash = None;
        let victim = crash.node.unwrap_or_else(|| name.clone());
        match when {
            CrashWhen::PowerCut => self.power_cut(&victim, Some(crash.down)),
            CrashWhen::BeforeEffect | CrashWhen::AfterEffect => self.kill_daemon(&victim, crash.down),
        }
        victim == *name
    }

    fn beat(&mut self, name: &NodeName) {
        let now = self.now;
        let Some(machine) = self.nodes.get_mut(name) else { return };
        let (boots, reachable) = (machine.boots, machine.store_reachable);
        let Some(daemon) = machine.daemon.as_mut().filter(|daemon| daemon.heartbeat_at <= now) else {
            return;
        };
        let pace = daemon.memory.liveness.pace();
        daemon.heartbeat_at = now + pace.heartbeat_millis;
        if !reachable {
            daemon.memory.store.asked_in_vain(Timestamp(now));
            machine.stirred = true;
            return;
        }
        let status = NodeStatus {
            endpoint: Endpoint { address: address(name), port: 4420 },
            host_nqn: host_nqn(name),
            host_id: Uuid::new_v5(&Uuid::NAMESPACE_DNS, name.as_str().as_bytes()),
            kernel: "simulated".to_owned(),
            version: "0".to_owned(),
            boot_id: boots.to_string(),
            missing: Vec::new(),
            heartbeat_at: Timestamp(now),
            dead_after_millis: pace.node_dead_millis,
        };
        let key = Key::new(Kind::NodeStatus, name);
        let revision = self.store.world.revision(&key);
        drop(self.store.put(&key, Some(&Record::NodeStatus(status)), revision, now));
        if self.config.late {
            self.know(name, &key);
            // A beat that is due brings a turn.
            self.stir(name);
        }
    }

    /// Somebody else was faster. Where the record is gone its other half is read, too.
    fn learn(&mut self, name: &NodeName, key: &Key) {
        self.know(name, key);
        if let Some(other) = key.other_half().filter(|_| self.store.world.record(key).is_none()) {
            self.know(name, &other);
        }
    }

    /// What a record is now is known here, before it is heard of: it was written here, or read after somebody else was faster.
    fn know(&mut self, name: &NodeName, key: &Key) {
        let now = Timestamp(self.now);
        let there = self.store.world.record(key).cloned();
        let revision = self.store.world.revision(key);
        let value = there.map(|value| Versioned { revision, value });
        let Some(daemon) = self.daemon_mut(name) else { return };
        // When one that is gone went is not known.
        let revision = value.as_ref().map_or(Revision(daemon.world.revision(key).0 + 1), |_| revision);
        daemon.memory.store.answered();
        if daemon.take(key, value.as_ref(), revision) {
            daemon.memory.liveness.heard([key.clone()], now);
        }
    }

    /// Plans until nothing more can be recorded, then begins what may be begun.
    fn turn(&mut self, name: &NodeName) {
        for turn in 1..=TURNS {
            let Some((mut plan, reachable)) = self.decide(name) else { return };
            self.leave_out_what_is_gone(name, &mut plan);
            let overtaken = reachable && !self.record_all(name, &plan);
            let now = self.now;
            let again = overtaken.then_some(now + AGAIN);
            let Some(daemon) = self.daemon_mut(name) else { return };
            daemon.wake_at = plan.wake_at.map(|at| at.0.max(now + 1)).into_iter().chain(again).min();
            if !reachable || plan.writes.is_empty() || turn == TURNS && !overtaken {
                return self.act(name, plan);
            }
        }
    }

    /// What is not there is not removed again.
    fn leave_out_what_is_gone(&mut self, name: &NodeName, plan: &mut Plan) {
        if let Some(daemon) = self.daemon_mut(name) {
            plan.writes.retain(|write| write.record.is_some() || daemon.world.record(&write.key).is_some());
        }
    }

    /// The lease first: who lost it records nothing by it. `false` where somebody else was faster; what that one wrote is known then.
    fn record_all(&mut self, name: &NodeName, plan: &Plan) -> bool {
        let (leases, rest): (Vec<_>, Vec<_>) =
            plan.writes.iter().partition(|write| write.key.kind == Kind::Lease);
        leases.into_iter().chain(rest).all(|write| {
            if !self.may_record(name, write) {
                return false;
            }
            let done = self.record(name, write);
            // What was to be removed and is gone is removed: nothing is read then.
            if done || write.record.is_none() {
                self.know(name, &write.key);
            } else {
                self.learn(name, &write.key);
            }
            done
        })
    }

    /// Whether what it was decided by is still as it is known; if not, it is known then.
    fn may_record(&mut self, name: &NodeName, write: &plan::Write) -> bool {
        let Some(daemon) = self.daemon_mut(name) else { return false };
        let Some(basis) = write.basis(&daemon.world) else { return true };
        let known = daemon.world.revision(&basis);
        let holds = basis == write.key || known == self.store.world.revision(&basis);
        if !holds {
            self.note(format_args!("{name} CONFLICT on {}, by which {} goes", basis, write.key));
            self.learn(name, &basis);
        }
        holds
    }

    fn plan_and_act(&mut self, name: &NodeName) {
        if self.config.late {
            return self.turn(name);
        }
        let Some((plan, reachable)) = self.decide(name) else { return };
        let mut wrote = true;
        for write in &plan.writes {
            wrote = reachable && self.record(name, write);
            if !wrote {
                break;
            }
        }
        let now = self.now;
        let written: Vec<Kind> = plan.writes.iter().map(|write| write.key.kind).collect();
        let own = self.config.apart.then_some(written.as_slice());
        let Some(daemon) = self.nodes.get_mut(name).and_then(|machine| machine.daemon.as_mut()) else {
            return;
        };
        if reachable {
            daemon.heard.wait(&self.store.log, own);
        } else {
            daemon.heard.wait_for_nothing();
        }
        daemon.wake_at = plan.wake_at.map(|at| at.0.max(now + 1));
        if !wrote {
            daemon.wake_at = Some(now + AGAIN);
        }
        // R5: without the store only what the stored records already say is done; that is every step.
        if wrote || !reachable {
            self.act(name, plan);
        }
    }

    fn act(&mut self, name: &NodeName, plan: Plan) {
        let told = plan.abandon.clone();
        self.start_steps(name, plan);
        self.give_way(name, &told);
    }

    /// Comparisons look whether they shall give way, and end as abandoned; whatever else runs in those lanes goes on.
    fn give_way(&mut self, name: &NodeName, told: &BTreeSet<Lane>) {
        let now = Timestamp(self.now);
        let looks = |step: &Step| matches!(step, Step::Compare { .. } | Step::Check { .. });
        let gives_way = |running: &Running| looks(&running.step) && told.contains(&running.step.lane());
        let Some(daemon) = self.daemon_mut(name) else { return };
        let (ended, rest): (Vec<_>, Vec<_>) = daemon.running.drain(..).partition(gives_way);
        daemon.running = rest;
        for Running { step, .. } in &ended {
            let failure = StepFailure { kind: FailureKind::Abandoned, message: "it gives way".to_owned() };
            daemon.memory.record(step, Err(failure), now);
        }
        for Running { step, .. } in ended {
            self.note(format_args!("{name}: {step} gives way"));
            self.stir(name);
        }
    }

    /// What a daemon on a node sees.
    pub(super) fn look(&self, name: &NodeName) -> Observation {
        let Some(machine) = self.nodes.get(name) else { return Observation::default() };
        let has_namespace = |key: &_, connection: &_| self.namespace_is_there(key, connection);
        let alone = machine.alone.clone();
        Observation { alone, ..machine.kernel.observe(&machine.disks, has_namespace) }
    }

    fn decide(&mut self, name: &NodeName) -> Option<(Plan, bool)> {
        let now = Timestamp(self.now);
        self.follow_peers(name);
        let mut seen = self.look(name);
        let began = self.nodes.get(name)?.daemon.as_ref()?.memory.started_at;
        self.see_silence(name, began, &mut seen);
        let machine = self.nodes.get_mut(name)?;
        let reachable = machine.store_reachable;
        machine.stirred = false;
        let daemon = machine.daemon.as_mut()?;
        daemon.planned += 1;
        daemon.memory.track_legs(&seen, now);
        let input = Input { me: name, world: &daemon.world, seen: &seen, memory: &daemon.memory, now };
        let mut plan = plan::node(&input);
        let (leads, lease) = controller::lead(&input);
        plan.merge(lease);
        if leads {
            plan.merge(controller::plan(&input));
        }
        daemon.memory.track_waits(&plan, now);
        Some((plan, reachable))
    }

    fn record(&mut self, name: &NodeName, write: &plan::Write) -> bool {
        let Some(daemon) = self.nodes.get(name).and_then(|machine| machine.daemon.as_ref()) else {
            return false;
        };
        let revision = daemon.world.revision(&write.key);
        let done = self.store.put(&write.key, write.record.as_ref(), revision, self.now).is_ok();
        let what = if done { "writes" } else { "CONFLICT on" };
        match &write.record {
            Some(Record::Lease(_)) => {}
            Some(Record::VolumeStatus(status)) => {
                self.note(format_args!("{name} {what} {}: {}", write.key, super::rehearse::summary(status)));
            }
            Some(Record::ReplicaStatus(status)) => {
                self.note(format_args!(
                    "{name} {what} {}: {:?} acked {}",
                    write.key, status.state, status.acked_epoch
                ));
            }
            Some(_) => self.note(format_args!("{name} {what} {}", write.key)),
            None => self.note(format_args!("{name} {what} removal of {}", write.key)),
        }
        done
    }

    /// A fence returns when what is under way has come to its end: 1.7 s were seen with slow drives.
    fn duration(&mut self, step: &Step) -> u64 {
        let slow = matches!(step, Step::Fence { .. }) && self.rng.one_in(4);
        self.rng.between(10, if slow { 1_700 } else { 60 })
    }

    /// One step at a time per lane; a step that failed a moment ago waits.
    fn start_steps(&mut self, name: &NodeName, plan: Plan) {
        let now = self.now;
        for step in plan.steps {
            let took = self.duration(&step);
            let Some(daemon) = self.daemon_mut(name) else {
                return;
            };
            if let Some(attempt) = daemon.memory.waits(&step, Timestamp(now)) {
                let at = attempt.retry_at.0;
                daemon.wake_at = Some(daemon.wake_at.map_or(at, |earlier| earlier.min(at)));
            } else if !daemon.memory.running.contains_key(&step.lane()) {
                daemon.memory.begin(step.clone(), Timestamp(now));
                daemon.running.push(Running { step, ends_at: now + took });
            }
        }
    }
}
