//! One task that owns all state of the node: it wakes on events, plans, records, and starts steps.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::cache::{Cache, StoreHealth};
use super::clock;
use super::lanes::{Finished, Lanes};
use super::records::Records;
use super::status::{NodeView, View};
use crate::domain::{Endpoint, Key, Kind, NodeName, NodeStatus, Record, Revision, Timestamp, Versioned};
use crate::plan::{self, ArraySeen, Input, Memory, Observation, Plan, Step, Write, controller, timing};
use crate::ports::{Change, Heartbeats, Kernel, Store, StoreError};
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

/// What became of a plan's writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// There was nothing to write.
    Nothing,
    /// All of them.
    Some,
    /// Somebody else wrote one of the records first.
    Overtaken,
    /// The store does not answer.
    Unavailable,
}

/// The state of a node's daemon.
pub struct Brain {
    me: NodeName,
    ports: Ports,
    records: Records,
    store: StoreHealth,
    store_retry_at: Timestamp,
    seen: Observation,
    stale: Stale,
    sample_due: Timestamp,
    look_due: Timestamp,
    looked_at: Timestamp,
    memory: Memory,
    lanes: Lanes,
    finished: mpsc::UnboundedReceiver<Finished>,
    node: NodeStatus,
    heartbeat_due: Timestamp,
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
        let notes = Notes::begin(ports.recorder.clone(), clock::now(), &me);
        let brain = Self {
            me,
            ports,
            records: Records::default(),
            store: StoreHealth::Starting,
            store_retry_at: Timestamp(0),
            seen: Observation::default(),
            stale: Stale::Everything,
            sample_due: Timestamp(0),
            look_due: Timestamp(0),
            looked_at: Timestamp(0),
            memory: Memory { started_at: clock::now(), ..Memory::default() },
            lanes,
            finished,
            node,
            heartbeat_due: Timestamp(0),
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
        let heartbeat = if self.records.is_listed() { self.heartbeat_due } else { Timestamp(u64::MAX) };
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
                self.find_store();
                self.records.take_listing(listing)
            }
            Cache::Changed(changes) => {
                self.find_store();
                let keys: Vec<Key> =
                    changes.into_iter().filter_map(|change| self.records.take_change(change)).collect();
                self.notes.seen(clock::now(), self.records.world(), &keys);
                keys
            }
            Cache::Lost(why) => {
                tracing::warn!(why, "the store does not answer; what runs goes on");
                self.lose_store(why);
                Vec::new()
            }
        };
        self.memory.liveness.heard(changed, clock::now());
    }

    fn find_store(&mut self) {
        let now = clock::now();
        self.store = StoreHealth::Good;
        self.memory.store.answered();
        self.notes.store_answers(now);
        self.memory.liveness.store_answered(now);
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
            Err(failure) => tracing::warn!(%step, kind = ?failure.kind, why = failure.message, "failed"),
        }
        self.notes.finished(clock::now(), &step, &result);
        if !routine {
            self.stale = Stale::Everything;
        }
        self.lanes.finish(&step);
        self.memory.record(&step, result, clock::now());
    }

    /// Learns what is stale. `false` when nothing came of it that a plan could need.
    async fn look(&mut self) -> bool {
        let was = std::mem::replace(&mut self.stale, Stale::Nothing);
        let turned = self.listen();
        let changed = match was {
            Stale::Nothing => true,
            Stale::Samples => self.sample().await,
            Stale::Everything => self.observe().await,
        };
        let lost = self.ask_for_answers().await;
        self.memory.track_legs(&self.seen, clock::now());
        if was > Stale::Nothing {
            let now = clock::now();
            let next = self.memory.sample_in(&self.seen, now);
            self.sample_due = next.map_or(Timestamp(u64::MAX), |millis| now.plus(millis));
        }
        turned || changed || lost || clock::now() >= self.heartbeat_due
    }

    /// Takes in what is heard of other daemons. `true` when one of them stands otherwise than before.
    fn listen(&mut self) -> bool {
        let heard = self.ports.peers.heard();
        let turned = heard.standings() != self.memory.peers.standings();
        self.memory.peers = heard;
        turned
    }

    /// Asks the kernel whether those whose daemons are silent still acknowledge what is sent to them. `true` when one of them
    /// went or came back.
    async fn ask_for_answers(&mut self) -> bool {
        let before = self.memory.gone();
        let silent: Vec<NodeName> = self.memory.peers.silent().map(|(node, _)| node.clone()).collect();
        let world = self.records.world();
        let target = |node: NodeName| Some((world.node_status(&node)?.endpoint.clone(), node));
        let targets: Vec<(Endpoint, NodeName)> = silent.into_iter().filter_map(target).collect();
        self.memory.unanswered.clear();
        if !targets.is_empty() && !self.seen.connections.is_empty() {
            let kernel = Arc::clone(&self.ports.kernel);
            let ask = move || {
                let answer = |(endpoint, node)| kernel.unanswered(&endpoint).map(|millis| (node, millis));
                targets.into_iter().map(answer).collect()
            };
            match tokio::task::spawn_blocking(ask).await {
                Ok(Ok(unanswered)) => self.memory.unanswered = unanswered,
                Ok(Err(why)) => tracing::warn!(why, "what waits for an answer could not be asked"),
                Err(error) => tracing::error!(%error, "who asks for answers died"),
            }
        }
        let gone = self.memory.gone();
        for node in gone.difference(&before) {
            tracing::warn!(%node, "silent on the data network, and its kernel acknowledges nothing: out of reach");
        }
        before != gone
    }

    /// A few small files; everything only if one of them says that something happened.
    async fn sample(&mut self) -> bool {
        let (kernel, seen) = (Arc::clone(&self.ports.kernel), self.seen.clone());
        match tokio::task::spawn_blocking(move || kernel.sample(&seen)).await {
            Ok(Ok(sample)) if self.seen.take(&sample) => self.observe().await,
            Ok(Ok(_)) => self.seen.arrays.values().any(ArraySeen::is_syncing),
            Ok(Err(_)) | Err(_) => self.observe().await,
        }
    }

    async fn observe(&mut self) -> bool {
        let kernel = Arc::clone(&self.ports.kernel);
        match tokio::task::spawn_blocking(move || kernel.observe()).await {
            Ok(Ok(seen)) => {
                self.notes.observed(clock::now(), &seen);
                self.seen = seen;
            }
            Ok(Err(why)) => tracing::warn!(why, "the kernel could not be observed"),
            Err(error) => tracing::error!(%error, "the observer died"),
        }
        self.looked_at = clock::now();
        true
    }

    /// Plans until nothing more can be recorded, starts what may be started, and notes when to look again.
    async fn turn(&mut self) {
        const TURNS: usize = 16;
        let mut plan = Plan::default();
        self.ports.peers.follow(plan::peers::wanted(self.records.world(), &self.me));
        if self.records.is_listed() {
            let mut written = Written::Some;
            for _ in 0..TURNS {
                plan = self.plan();
                written = self.write_all(&plan.writes).await;
                if matches!(written, Written::Nothing | Written::Unavailable) {
                    break;
                }
            }
            // A plan somebody overtook was decided from records that are not so any more.
            if written != Written::Overtaken {
                self.start_all(&plan.steps);
            }
            self.heartbeat().await;
        }
        self.publish(&plan);
        self.look_due = self.next_look(&plan);
    }

    fn plan(&mut self) -> Plan {
        let now = clock::now();
        let input =
            Input { me: &self.me, world: self.records.world(), seen: &self.seen, memory: &self.memory, now };
        let mut plan = plan::node(&input);
        let (leads, lease) = controller::lead(&input);
        plan.merge(lease);
        if leads {
            plan.merge(controller::plan(&input));
        }
        self.leads = leads;
        self.memory.track_missing(&plan.missing, now);
        plan
    }

    /// Writes what a plan wants recorded, up to the first write that is not taken.
    async fn write_all(&mut self, writes: &[Write]) -> Written {
        let mut written = Written::Nothing;
        for write in writes {
            match self.write(write).await {
                Written::Nothing => {}
                Written::Some => written = Written::Some,
                stopped @ (Written::Overtaken | Written::Unavailable) => return stopped,
            }
        }
        written
    }

    /// A store that did not answer is not asked again at once: its time-out would hold everything up.
    async fn write(&mut self, write: &Write) -> Written {
        let expected = self.records.world().revision(&write.key);
        if write.record.is_none() && expected == Revision(0) {
            return Written::Nothing;
        }
        if clock::now() < self.store_retry_at {
            return Written::Unavailable;
        }
        match self.ports.store.put(&write.key, write.record.as_ref(), expected).await {
            Ok(revision) => {
                self.find_store();
                self.notes.written(clock::now(), self.records.world(), write, revision);
                let value = write.record.clone().map(|value| Versioned { revision, value });
                let changed = self.records.take_change(Change { key: write.key.clone(), value, revision });
                self.memory.liveness.heard(changed, clock::now());
                Written::Some
            }
            Err(StoreError::Conflict { key, .. }) => {
                self.notes.refused(clock::now(), &key, "somebody else wrote it first");
                self.refresh(&key).await;
                Written::Overtaken
            }
            Err(error) => {
                tracing::warn!(key = %write.key, %error, "could not record");
                self.notes.refused(clock::now(), &write.key, &error);
                self.lose_store(error.to_string());
                Written::Unavailable
            }
        }
    }

    /// Somebody else wrote the record: read it, and plan with what it says. That it is gone the watch will tell.
    async fn refresh(&mut self, key: &Key) {
        match self.ports.store.get(key).await {
            Ok(Some(value)) => {
                let change = Change { key: key.clone(), revision: value.revision, value: Some(value) };
                let changed = self.records.take_change(change);
                self.memory.liveness.heard(changed, clock::now());
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%key, %error, "could not read"),
        }
    }

    async fn heartbeat(&mut self) {
        let now = clock::now();
        if now < self.heartbeat_due {
            return;
        }
        let record = NodeStatus { heartbeat_at: now, ..self.node.clone() };
        let key = Key::new(Kind::NodeStatus, &self.me);
        self.write(&Write { key, record: Some(Record::NodeStatus(record)) }).await;
        self.heartbeat_due = now.plus(timing::HEARTBEAT_MILLIS);
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

    /// When to look at everything although nothing happened: a step is tried again, a plan waits for a moment, or an event
    /// went missing.
    fn next_look(&self, plan: &Plan) -> Timestamp {
        let retries = plan.steps.iter().filter_map(|step| self.memory.failed.get(&step.to_string()));
        let now = clock::now();
        let at = self.looked_at.plus(timing::LOOK_MILLIS);
        let at = retries.map(|attempt| attempt.retry_at).fold(at, Timestamp::min);
        plan.wake_at.map_or(at, |wake| at.min(wake)).max(now.plus(timing::TURN_MIN_MILLIS))
    }

    fn publish(&self, plan: &Plan) {
        let node = NodeView {
            running: self.lanes.running().map(|(step, since)| (step.to_string(), since)).collect(),
            failing: self.failing(),
            reasons: plan.reasons.clone(),
            store: self.store.clone(),
            leads: self.leads,
            seen: self.seen.clone(),
            peers: self.memory.peers.clone(),
        };
        let view =
            View { me: self.me.clone(), world: Arc::new(self.records.world().clone()), node: Arc::new(node) };
        self.view.send_replace(view);
    }

    fn failing(&self) -> Vec<(String, u32, String)> {
        let entry = |(step, attempt): (&String, &plan::Attempt)| {
            (step.clone(), attempt.count, attempt.failure.message.clone())
        };
        self.memory.failed.iter().map(entry).collect()
    }
}
