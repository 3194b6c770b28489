//! What this daemon tried and saw since it started. Losing it costs time, never data.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::heal;
use super::{
    ConnectionState, Dev, FailureKind, Held, Lane, Liveness, Observation, Outcome, Peers, Plan, Process,
    Step, StepFailure, StoreSilence, Usage, Waiting, timing,
};
use crate::domain::{Bytes, Epoch, NodeName, ReplicaId, Timestamp, VolumeName};

/// A step that failed and will be tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// The last failure.
    pub failure: StepFailure,
    /// Failures in a row.
    pub count: u32,
    /// Not before.
    pub retry_at: Timestamp,
}

/// A finished comparison of a new copy with the old ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// How much.
    pub bytes: Bytes,
    /// 512-byte sectors that differed.
    pub mismatched_sectors: u64,
}

/// How full a mounted file system was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// What was in use, and what was not.
    pub usage: Usage,
    /// When.
    pub at: Timestamp,
}

/// What this daemon compared of a volume since its scrub's position was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrubbed {
    /// When that scrub began.
    run: Timestamp,
    /// The recorded position.
    since: Bytes,
    /// What is behind it, over all columns.
    pub to: Bytes,
    /// What differed from `since` to there.
    pub mismatched: Bytes,
    /// When.
    pub at: Timestamp,
}

impl Scrubbed {
    /// Whether it goes on from what is recorded.
    #[must_use]
    pub fn is_of(&self, run: Timestamp, position: Bytes) -> bool {
        self.run == run && self.since == position
    }
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// When this daemon started: before that it waited for nobody.
    pub started_at: Timestamp,
    /// Steps under way, by lane, and since when.
    pub running: BTreeMap<Lane, (Step, Timestamp)>,
    /// What the running steps are in: the call that has not returned, if it is known, and since when.
    pub calls: BTreeMap<Lane, (Option<String>, Timestamp)>,
    /// A look at the kernel that does not come back.
    pub look: Option<Waiting>,
    /// Failed steps by their text.
    pub failed: BTreeMap<String, Attempt>,
    /// Members whose superblock could be read, by partition, and when last.
    pub readable: BTreeMap<Uuid, Timestamp>,
    /// Members whose superblock cannot be used, by partition.
    pub bad_headers: BTreeMap<Uuid, String>,
    /// Members the kernel did not take back by bitmap, by partition.
    pub bitmap_refused: BTreeSet<Uuid>,
    /// Partitions this daemon zeroed and read back.
    pub zeroed: BTreeSet<Uuid>,
    /// How far this daemon zeroed and read back partitions that grew.
    pub tails: BTreeMap<Uuid, Bytes>,
    /// What hosts of exports were told that partitions have.
    pub told: BTreeMap<(Uuid, Epoch), Bytes>,
    /// How large this daemon made mounted file systems, by the uuid of their volume: a name may be used again.
    pub grown: BTreeMap<Uuid, Bytes>,
    /// Partitions this daemon made unreadable.
    pub erased: BTreeSet<Uuid>,
    /// Arrays this daemon wrote the first superblocks of.
    pub headers_written: BTreeSet<Uuid>,
    /// Volumes this daemon made the file system on, by the uuid it has: a name may be used again.
    pub formatted: BTreeSet<Uuid>,
    /// Comparisons by the new copy's partition.
    pub compared: BTreeMap<Uuid, Compared>,
    /// What was compared of volumes that are scrubbed.
    pub scrubbed: BTreeMap<VolumeName, Scrubbed>,
    /// How full volumes were since this daemon mounted them, or since it started with them mounted.
    pub used: BTreeMap<VolumeName, Used>,
    /// Places where this daemon took volumes away, with what they were shown over.
    pub unpublished: BTreeSet<(VolumeName, String)>,
    /// Lost volumes whose file system is shut down for certain, and its device.
    pub shut_down: BTreeMap<VolumeName, Dev>,
    /// Who used lost volumes when it was looked for last.
    pub holders: BTreeMap<VolumeName, Held>,
    /// Processes this daemon ended because they used a lost volume, since that was last assembled here.
    pub ended: BTreeMap<VolumeName, Vec<Process>>,
    /// Since when a leg has no working path.
    pub lost_since: BTreeMap<(Uuid, Epoch), Timestamp>,
    /// Copies that are missing and looked after here.
    pub missing: BTreeMap<ReplicaId, heal::Waiting>,
    /// Since when the provider of a copy that is built from here has said that it cannot make it.
    pub objected: BTreeMap<ReplicaId, Timestamp>,
    /// Members whose leg was let go since they were last added: what the kernel says of them is not their drive's fault.
    pub let_go: BTreeSet<Uuid>,
    /// What was heard of nodes and leases.
    pub liveness: Liveness,
    /// What is heard of daemons over the data network.
    pub peers: Peers,
    /// Whether the store answers.
    pub store: StoreSilence,
    /// Of silent peers: for how many milliseconds their kernel has acknowledged nothing of what ours has sent to it.
    pub unanswered: BTreeMap<NodeName, u64>,
    /// The guard that this test does without.
    #[cfg(any(test, feature = "sabotage"))]
    pub sabotage: Option<super::safety::Guard>,
}

impl Memory {
    /// Notes that a step was given to its lane. Whatever comes of it, a place where a volume is to be shown is not known to be empty.
    pub fn begin(&mut self, step: Step, now: Timestamp) {
        if let Step::Publish { volume, path, .. } = &step {
            self.unpublished.remove(&(volume.clone(), path.clone()));
        }
        self.running.insert(step.lane(), (step, now));
    }

    /// Notes what the running steps are in.
    pub fn learn_calls(&mut self, calls: BTreeMap<Lane, Waiting>, now: Timestamp) {
        let since = |millis| Timestamp(now.0.saturating_sub(millis));
        let noted = calls.into_iter().map(|(lane, waiting)| (lane, (waiting.call, since(waiting.millis))));
        self.calls = noted.collect();
    }

    /// Takes in what a step came to.
    pub fn record(&mut self, step: &Step, result: Result<Outcome, StepFailure>, now: Timestamp) {
        self.running.remove(&step.lane());
        self.calls.remove(&step.lane());
        match result {
            Ok(outcome) => {
                self.failed.remove(&step.to_string());
                self.learn(step, outcome, now);
            }
            Err(StepFailure { kind: FailureKind::Abandoned, .. }) => {}
            Err(failure) => self.record_failure(step, failure, now),
        }
    }

    fn learn(&mut self, step: &Step, outcome: Outcome, now: Timestamp) {
        match (step, outcome) {
            (Step::Compare { partition, .. }, Outcome::Compared { bytes, mismatched_sectors }) => {
                self.compared.insert(*partition, Compared { bytes, mismatched_sectors });
            }
            (
                Step::Check { volume, run, since, base, from, .. },
                Outcome::Checked { to, mismatched_sectors },
            ) => {
                let begun = self.scrubbed.get(volume).filter(|seen| seen.is_of(*run, *since));
                let begun = begun.filter(|seen| seen.to.0 == base.0 + from.0);
                let before = begun.map_or(0, |seen| seen.mismatched.0);
                let (to, mismatched) = (Bytes(base.0 + to.0), Bytes(before + mismatched_sectors * 512));
                let seen = Scrubbed { run: *run, since: *since, to, mismatched, at: now };
                self.scrubbed.insert(volume.clone(), seen);
            }
            (Step::AddMember { member, .. }, _) => {
                self.compared.remove(&member.partition);
                self.let_go.remove(&member.partition);
                self.bitmap_refused.remove(&member.partition);
                self.bad_headers.remove(&member.partition);
            }
            (Step::FailLeg { partition, .. }, _) => drop(self.let_go.insert(*partition)),
            (Step::Zero { partition, .. }, _) => drop(self.zeroed.insert(*partition)),
            (Step::Erase { partition, .. }, _) => drop(self.erased.insert(*partition)),
            (Step::Carve { partition, .. } | Step::RemovePartition { partition, .. }, _) => {
                self.zeroed.remove(partition);
                self.tails.remove(partition);
                self.told.retain(|(told, _), _| told != partition);
                self.erased.remove(partition);
            }
            (Step::MeasureUse { volume, .. }, Outcome::Used(usage)) => {
                self.used.insert(volume.clone(), Used { usage, at: now });
            }
            (Step::ReadHeader { partition, .. }, _) => drop(self.readable.insert(*partition, now)),
            (Step::Assemble { volume, array, .. }, _) => {
                // That it was made is recorded before its first start: a record that says otherwise later was lost.
                self.headers_written.remove(array);
                self.shut_down.remove(volume);
                self.ended.remove(volume);
            }
            (Step::ShutDown { volume, dev, .. }, _) => drop(self.shut_down.insert(volume.clone(), *dev)),
            (Step::FindHolders { volume, .. }, Outcome::Holders(holders)) => {
                self.holders.insert(volume.clone(), Held { holders, at: now });
            }
            (Step::EndProcesses { volume, processes }, _) => {
                self.holders.remove(volume);
                let ended = self.ended.entry(volume.clone()).or_default();
                // One that has not gone yet may have been told twice.
                let new: Vec<_> =
                    processes.iter().filter(|process| !ended.contains(process)).cloned().collect();
                ended.extend(new);
            }
            (Step::ZeroTail { partition, to, .. }, _) => drop(self.tails.insert(*partition, *to)),
            (Step::Revalidate { partition, epoch, size }, _) => {
                self.told.insert((*partition, *epoch), *size);
            }
            // Who connects from now on asks how large it is.
            (Step::Fence { partition, epoch }, _) => drop(self.told.remove(&(*partition, *epoch))),
            (Step::GrowFs { uuid, size, .. }, _) => drop(self.grown.insert(*uuid, *size)),
            // What was measured before may be older than another owner's figure, or that of an earlier volume of the name.
            (Step::Mount { volume, .. }, _) => {
                self.used.remove(volume);
                self.shut_down.remove(volume);
            }
            (Step::Unpublish { volume, path }, _) => {
                self.unpublished.insert((volume.clone(), path.clone()));
            }
            (Step::Format { uuid, .. }, _) => drop(self.formatted.insert(*uuid)),
            (Step::WriteHeaders { array, members, .. }, _) => {
                self.headers_written.insert(*array);
                for member in members {
                    self.bad_headers.remove(&member.partition);
                }
            }
            _ => {}
        }
    }

    fn record_failure(&mut self, step: &Step, failure: StepFailure, now: Timestamp) {
        match (&failure.kind, step) {
            (FailureKind::BadHeader(partition), _) => {
                self.bad_headers.insert(*partition, failure.message.clone());
            }
            (FailureKind::BitmapRefused, Step::AddMember { member, .. }) => {
                self.bitmap_refused.insert(member.partition);
            }
            _ => {}
        }
        self.failed.retain(|_, attempt| now.since(attempt.retry_at) < timing::FAILURES_KEPT_MILLIS);
        let count = self.failed.get(&step.to_string()).map_or(0, |attempt| attempt.count) + 1;
        let wait = timing::RETRY_FIRST_MILLIS
            .saturating_mul(1 << count.min(10).saturating_sub(1))
            .min(timing::RETRY_MAX_MILLIS);
        self.failed.insert(step.to_string(), Attempt { failure, count, retry_at: now.plus(wait) });
    }

    /// Notes which legs have no working path, and since when.
    pub fn track_legs(&mut self, seen: &Observation, now: Timestamp) {
        let lost = |key: &(Uuid, Epoch)| {
            let path = seen.maps.get(key).is_some_and(|map| map.path_active && map.path.is_some());
            let live =
                seen.connections.get(key).is_some_and(|connection| connection.state == ConnectionState::Live);
            !path || !live
        };
        self.lost_since.retain(|key, _| seen.maps.contains_key(key) && lost(key));
        for key in seen.maps.keys().filter(|key| lost(key)) {
            self.lost_since.entry(*key).or_insert(now);
        }
    }

    /// Notes what a plan waits for: copies that are missing, and new ones that their providers object to.
    pub fn track_waits(&mut self, plan: &Plan, now: Timestamp) {
        self.missing = heal::remember(&self.missing, &plan.missing, now);
        self.objected.retain(|replica, _| plan.objected.contains(replica));
        for replica in &plan.objected {
            self.objected.entry(*replica).or_insert(now);
        }
    }

    /// In how many milliseconds to look again at what changes without an event; `None` while there is no such thing. Closely
    /// while writes may wait for what is learnt.
    #[must_use]
    pub fn sample_in(&self, seen: &Observation, now: Timestamp) -> Option<u64> {
        let just_lost = self.lost_since.values().any(|since| now.since(*since) < timing::CLOSELY_FOR_MILLIS);
        let just_silent = self.peers.silent().any(|(_, silent)| silent < timing::CLOSELY_FOR_MILLIS);
        let closely = just_lost || just_silent && !seen.connections.is_empty();
        let millis = if closely { timing::SAMPLE_CLOSELY_MILLIS } else { timing::SAMPLE_MILLIS };
        seen.needs_sampling().then_some(millis)
    }

    /// Who uses a volume, if that was looked for just now.
    #[must_use]
    pub fn users(&self, volume: &VolumeName, now: Timestamp) -> Option<&Held> {
        self.holders.get(volume).filter(|held| now < held.good_until())
    }

    /// The last failure of a step, if it is still to be waited for at `now`.
    #[must_use]
    pub fn waits(&self, step: &Step, now: Timestamp) -> Option<&Attempt> {
        self.failed.get(&step.to_string()).filter(|attempt| attempt.retry_at > now)
    }
}
