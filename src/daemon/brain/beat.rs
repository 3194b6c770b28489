//! This node's heartbeat in the store.
//!
//! Guarantees: it waits for no other write, and no other write waits for it: whatever else the store refuses or is slow with, this
//! node is not taken for dead. One that was not taken is due again as soon as the store is asked again.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Brain, Written};
use crate::daemon::clock;
use crate::domain::{Key, Kind, NodeStatus, Record, Revision, Timestamp};
use crate::plan::{Write, timing};
use crate::ports::StoreError;

/// What the store said to a beat.
pub(super) type Said = Result<Revision, StoreError>;

/// When the next beat is due, and the one that is on its way.
#[derive(Default)]
pub(super) struct Beats {
    due: Timestamp,
    under_way: Option<(Write, oneshot::Receiver<Said>)>,
}

impl Beats {
    /// When a beat is to be written; never while one is on its way.
    pub(super) fn due(&self) -> Timestamp {
        if self.under_way.is_some() { Timestamp(u64::MAX) } else { self.due }
    }

    /// What became of the beat that is on its way; nothing while there is none. Dropped before it is ready, it loses nothing.
    pub(super) async fn said(&mut self) -> (Write, Option<Said>) {
        let Some((_, answer)) = &mut self.under_way else { return std::future::pending().await };
        let said = answer.await.ok();
        match self.under_way.take() {
            Some((write, _)) => (write, said),
            None => std::future::pending().await,
        }
    }
}

impl Brain {
    /// Writes a beat if one is due. It is not waited for.
    pub(super) fn beat(&mut self) {
        let now = clock::now();
        if now < self.beats.due() {
            return;
        }
        let pace = self.memory.liveness.pace();
        let status =
            NodeStatus { heartbeat_at: now, dead_after_millis: pace.node_dead_millis, ..self.node.clone() };
        let key = Key::new(Kind::NodeStatus, &self.me);
        let expected = self.records.world().revision(&key);
        let write = Write { key, record: Some(Record::NodeStatus(status)) };
        let (answer, answered) = oneshot::channel();
        let (store, beat) = (Arc::clone(&self.ports.store), write.clone());
        tokio::spawn(async move {
            let _ = answer.send(store.put(&beat.key, beat.record.as_ref(), expected).await);
        });
        self.beats.due = now.plus(pace.heartbeat_millis);
        self.beats.under_way = Some((write, answered));
    }

    /// Takes in what became of a beat.
    pub(super) async fn take_beat(&mut self, (write, said): (Write, Option<Said>)) {
        let written = match said {
            Some(said) => self.take_answer(&write, said).await,
            None => Written::Unavailable,
        };
        match written {
            Written::Nothing | Written::Some => {}
            // What overtook it was read: the next one knows better, unless that is no news.
            Written::Overtaken => self.beats.due = clock::now().max(self.overtaken_until),
            Written::Refused | Written::Unavailable => {
                self.beats.due = clock::now().plus(timing::STORE_RETRY_MILLIS);
            }
        }
    }
}

#[cfg(test)]
mod tests;
