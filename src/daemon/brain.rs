//! One task that owns all state of the node: it wakes on events, plans, records, and starts steps.

mod beat;
mod look;
mod refusals;
mod write;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::asked::Asked;
use super::cache::{Cache, StoreHealth};
use super::clock;
use super::lanes::{Finished, Lanes};
use super::records::Records;
use super::status::{NodeView, View};
use crate::domain::{Key, NodeName, NodeStatus, Reason, Timestamp};
use crate::plan::{
    self, FailureKind, Input, Liveness, Memory, Observation, Plan, Sample, Step, StepFailure, controller,
    stuck, timing,
};
use crate::ports::{Heartbeats, Kernel, Store};
use crate::telemetry::recorder::{Notes, Recorder};

/// What a brain is connected to.
pub struct Ports {
    /// Where records live.
    pub store: Arc<dyn Store>,
    /// This node's kernel.
    pub kernel: Arc<dyn Kernel>,
    /// Records as they change.
    pub records: mpsc::Receiver<Cache>,
    /// A message whenever the kernel has something new to see.
    pub events: mpsc::Receiver<()>,
    /// The daemons of other nodes.
    pub peers: Arc<dyn Heartbeats>,
    /// A message whenever one of them is heard, falls silent, or says goodbye.
    pub standings: mpsc::Receiver<()>,
    /// Told what is done and seen.
    pub recorder: Recorder,
}

/// What is not known any more of the kernel, the most at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stale {
    /// Nothing.
    Nothing,
    /// What changes without an event.
    Samples,
    /// Anything.
    Everything,
}

/// Whether the kernel was looked at since the daemon started, the most at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Looked {
    /// Not yet: nothing is decided.
    NotYet,
    /// Once at least.
    Seen,
    /// And what it shows was recorded, as far as the store takes it.
    Told,
}

/// What became of a plan's writes, the worst at the end: it counts for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Written {
    /// There was nothing to write.
    Nothing,
    /// The store does not take one as it is, and answers. Nothing else was to be written.
    Refused,
    /// Something: what is to be done now is planned anew, though the store may have refused a part of it.
    Some,
    /// The store does not answer.
    Unavailable,
    /// Somebody else wrote one of the records first. No step of such a plan is begun, whatever became of its other writes.
    Overtaken,
}

/// The state of a node's daemon.
pub struct Brain {
    me: NodeName,
    ports: Ports,
    records: Records,
    store: StoreHealth,
    /// The records are not followed: what is known of them grows old, whatever becomes of writes.
    unfollowed: bool,
    store_retry_at: Timestamp,
    /// Until when nothing is written because of whoever overtook us, and is not known.
    overtaken_until: Timestamp,
    seen: Observation,
    looked: Looked,
    observing: Asked<Result<Observation, String>>,
    sampling: Asked<Result<Sample, String>>,
    stale: Stale,
    sample_due: Timestamp,
    look_due: Timestamp,
    looked_at: Timestamp,
    memory: Memory,
    lanes: Lanes,
    finished: mpsc::UnboundedReceiver<Finished>,
    node: NodeStatus,
    beats: beat::Beats,
    refusals: refusals::Refusals,
    /// When something that was refused may be offered again.
    offer_at: Timestamp,
    leads: bool,
    notes: Notes,
    view: watch::Sender<View>,
}

impl Brain {
    /// A brain that knows nothing yet. `node` is what it reports of itself with every heartbeat.
    #[must_use]
    pub fn new(me: NodeName, node: NodeStatus, ports: Ports) -> (Self, watch::Receiver<View>) {
        let (lanes, finished) = Lanes::new(Arc::clone(&ports.kernel));
        let view = View { me: me.clone(), world: Arc::default(), node: Arc::default() };
        let (view, reader) = watch::channel(view);
        let liveness = Liveness::paced(ports.store.pace());
        let notes = Notes::begin(ports.recorder.clone(), clock::now(), &me);
        let brain = Self {
            me,
            ports,
            records: Records::default(),
            store: StoreHealth::Starting,
            unfollowed: false,
            store_retry_at: Timestamp(0),
            overtaken_until: Timestamp(0),
            seen: Observation::default(),
            looked: Looked::NotYet,
            observing: Asked::default(),
            sampling: Asked::default(),
            stale: Stale::Everything,
            sample_due: Timestamp(0),
            look_due: Timestamp(0),
            looked_at: Timestamp(0),
            memory: Memory { started_at: clock::now(), liveness, ..Memory::default() },
            lanes,
            finished,
            node,
            beats: beat::Beats::default(),
            refusals: refusals::Refusals::default(),
            offer_at: Timestamp(u64::MAX),
            leads: false,
            notes,
            view,
        };
        (brain, reader)
    }

    /// Works until `stop` is closed. What runs in the kernel goes on without it.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            if self.look().await {
                self.turn().await;
            }
            let wait = Duration::from_millis(self.due().0.saturating_sub(clock::now().0));
            tokio::select! {
                cache = self.ports.records.recv() => match cache {
                    Some(cache) => self.take_records(cache),
                    None => return,
                },
                Some(done) = self.finished.recv() => self.take_finished(done),
                said = self.beats.said() => self.take_beat(said).await,
                Some(()) = self.ports.events.recv() => self.stale = Stale::Everything,
                Some(()) = self.ports.standings.recv() => self.stale = self.stale.max(Stale::Samples),
                () = tokio::time::sleep(wait) => {}
                _ = stop.changed() => return,
            }
            self.drain();
            self.age();
        }
    }

    /// When to wake at the latest. Nothing is written before the records are known.
    fn due(&self) -> Timestamp {
        let heartbeat = if self.records.is_listed() { self.beats.due() } else { Timestamp(u64::MAX) };
        self.look_due.min(self.sample_due).min(heartbeat)
    }

    /// What time makes stale, whatever it was that woke us: records that change all the time must not put off a sample.
    /// That a heartbeat is due makes nothing stale.
    fn age(&mut self) {
        let now = clock::now();
        if now >= self.look_due {
            self.stale = Stale::Everything;
        } else if now >= self.sample_due {
            self.stale = self.stale.max(Stale::Samples);
        }
    }

    fn drain(&mut self) {
        while let Ok(cache) = self.ports.records.try_recv() {
            self.take_records(cache);
        }
        while let Ok(done) = self.finished.try_recv() {
            self.take_finished(done);
        }
        while self.ports.events.try_recv().is_ok() {
            self.stale = Stale::Everything;
        }
        while self.ports.standings.try_recv().is_ok() {
            self.stale = self.stale.max(Stale::Samples);
        }
    }

    fn take_records(&mut self, cache: Cache) {
        let changed = match cache {
            Cache::Listed(listing) => {
                for (key, why) in &listing.corrupt {
                    tracing::error!(%key, why, "a record cannot be read and is left alone");
                }
                self.follow_store();
                self.memory.liveness.store_answered(clock::now());
                self.records.take_listing(listing)
            }
            Cache::Changed(changes) => {
                self.follow_store();
                self.memory.liveness.told(changes.iter().map(|change| &change.key), clock::now());
                let keys: Vec<Key> =
                    changes.into_iter().filter_map(|change| self.records.take_change(change)).collect();
                self.notes.seen(clock::now(), self.records.world(), &keys);
                keys
            }
            Cache::WentBack => {
                tracing::error!(
                    "the store is older than it was, as if restored from a backup: everything is read anew"
                );
                self.records = Records::default();
                Vec::new()
            }
            Cache::Lost(why) => {
                tracing::warn!(why, "the store does not answer; what runs goes on");
                self.unfollowed = true;
                self.lose_store(why);
                Vec::new()
            }
        };
        self.memory.liveness.heard(changed, clock::now());
    }

    /// The store tells what changes.
    fn follow_store(&mut self) {
        self.unfollowed = false;
        self.find_store();
    }

    /// The store answers: a write, at least. While nothing is heard from it, what readers are shown is old all the same.
    fn find_store(&mut self) {
        self.memory.store.answered();
        if !self.unfollowed {
            self.store = StoreHealth::Good;
            self.notes.store_answers(clock::now());
        }
    }

    fn lose_store(&mut self, why: String) {
        let now = clock::now();
        self.notes.store_lost(now, &why);
        self.memory.store.asked_in_vain(now);
        self.store = StoreHealth::Lost(why);
        self.store_retry_at = now.plus(timing::STORE_RETRY_MILLIS);
    }

    fn take_finished(&mut self, Finished { step, result }: Finished) {
        let routine = step.is_routine() && result.is_ok();
        match &result {
            Ok(outcome) if routine => tracing::debug!(%step, ?outcome, "done"),
            Ok(outcome) => tracing::info!(%step, ?outcome, "done"),
            Err(StepFailure { kind: FailureKind::Abandoned, message }) => {
                tracing::info!(%step, why = message, "abandoned");
            }
            Err(failure) => tracing::warn!(%step, kind = ?failure.kind, why = failure.message, "failed"),
        }
        self.notes.finished(clock::now(), &step, &result);
        if !step.is_unseen() || result.is_err() {
            self.stale = Stale::Everything;
        }
        self.lanes.finish(&step);
        self.memory.record(&step, result, clock::now());
    }

    /// Plans until nothing more can be recorded, starts what may be started, and notes when to look again.
    async fn turn(&mut self) {
        const TURNS: usize = 16;
        let mut plan = Plan::default();
        self.offer_at = Timestamp(u64::MAX);
        self.ports.peers.follow(plan::peers::wanted(self.records.world(), &self.me));
        self.memory.learn_calls(self.ports.kernel.in_calls().steps, clock::now());
        if self.records.is_listed() {
            self.beat();
            let mut written = Written::Some;
            for _ in 0..TURNS {
                plan = self.plan();
                written = self.write_all(&plan.writes).await;
                let in_vain = written == Written::Overtaken && clock::now() < self.overtaken_until;
                if in_vain || matches!(written, Written::Nothing | Written::Refused | Written::Unavailable) {
                    break;
                }
            }
            // What the store refuses is unknown of one volume, and no more.
            if self.looked == Looked::Seen && matches!(written, Written::Nothing | Written::Refused) {
                self.looked = Looked::Told;
            }
            // A plan somebody overtook was decided from records that are not so any more.
            if written != Written::Overtaken {
                self.start_all(&plan.steps);
                plan.abandon.iter().for_each(|lane| self.ports.kernel.abandon(lane));
            }
        }
        self.publish(&plan);
        self.look_due = self.next_look(&plan);
    }

    /// While nothing can be seen nothing is decided; what was decided goes on.
    fn plan(&mut self) -> Plan {
        let now = clock::now();
        let input =
            Input { me: &self.me, world: self.records.world(), seen: &self.seen, memory: &self.memory, now };
        if self.looked == Looked::NotYet || self.memory.look.is_some() {
            return stuck::plan(&input);
        }
        let mut plan = plan::node(&input);
        let (leads, lease) = controller::lead(&input);
        plan.merge(lease);
        if leads {
            plan.merge(controller::plan(&input));
        }
        self.leads = leads;
        self.memory.track_waits(&plan, now);
        plan
    }

    fn start_all(&mut self, steps: &[Step]) {
        let now = clock::now();
        for step in steps {
            if self.lanes.is_free(&step.lane()) && self.memory.waits(step, now).is_none() {
                self.notes.begun(now, step);
                self.memory.begin(step.clone(), now);
                self.lanes.start(step.clone(), now);
            }
        }
    }

    /// When to look at everything although nothing happened: a step or a write is tried again, a plan waits for a moment, or an event
    /// went missing.
    fn next_look(&self, plan: &Plan) -> Timestamp {
        let retries = plan.steps.iter().filter_map(|step| self.memory.failed.get(&step.to_string()));
        let now = clock::now();
        let at = self.looked_at.plus(timing::LOOK_MILLIS).min(self.offer_at);
        let at = retries.map(|attempt| attempt.retry_at).fold(at, Timestamp::min);
        plan.wake_at.map_or(at, |wake| at.min(wake)).max(now.plus(timing::TURN_MIN_MILLIS))
    }

    fn publish(&mut self, plan: &Plan) {
        let refused = self.refusals.reasons(clock::now());
        let held = self.tell_held();
        let node = NodeView {
            running: self.lanes.running().map(|(step, since)| (step.to_string(), since)).collect(),
            failing: self.failing(),
            reasons: plan.reasons.iter().cloned().chain(refused).chain(held).collect(),
            store: self.store.clone(),
            leads: self.leads,
            told: self.looked == Looked::Told,
            frozen: self.refusals.frozen(),
            seen: self.seen.clone(),
            used: self.memory.used.clone(),
            peers: self.memory.peers.clone(),
        };
        let view =
            View { me: self.me.clone(), world: Arc::new(self.records.world().clone()), node: Arc::new(node) };
        self.view.send_replace(view);
    }

    /// Why what somebody deleted in the store itself is there still; told there, too.
    fn tell_held(&self) -> Vec<Reason> {
        let held = plan::held::reasons(self.records.world(), &self.me, &self.ports.store.held());
        for (key, reason) in &held {
            self.ports.store.tell(key, reason);
        }
        held.into_iter().map(|(_, reason)| reason).collect()
    }

    fn failing(&self) -> Vec<(String, u32, String)> {
        let entry = |(step, attempt): (&String, &plan::Attempt)| {
            (step.clone(), attempt.count, attempt.failure.message.clone())
        };
        self.memory.failed.iter().map(entry).collect()
    }
}
