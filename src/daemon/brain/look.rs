//! Taking in what the kernel and other daemons have to say.

use std::sync::Arc;
use std::time::Duration;

use super::{Brain, Looked, Stale};
use crate::daemon::clock;
use crate::domain::{Endpoint, NodeName, Timestamp};
use crate::plan::{ArraySeen, timing};

/// How long the kernel is waited for.
const PATIENCE: Duration = Duration::from_millis(timing::LOOK_CALL_MILLIS);

impl Brain {
    /// Learns what is stale. `false` when nothing came of it that a plan could need.
    pub(super) async fn look(&mut self) -> bool {
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
        turned || changed || lost || clock::now() >= self.beats.due()
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
        match self.sampling.ask(PATIENCE, move || kernel.sample(&seen)).await {
            Some(Ok(sample)) if self.seen.take(&sample) => self.observe().await,
            Some(Ok(_)) => self.seen.arrays.values().any(ArraySeen::is_syncing),
            Some(Err(_)) | None => self.observe().await,
        }
    }

    /// One that does not come back is not waited for.
    async fn observe(&mut self) -> bool {
        let kernel = Arc::clone(&self.ports.kernel);
        let answer = self.observing.ask(PATIENCE, move || kernel.observe()).await;
        self.memory.look = None;
        match answer {
            Some(Ok(seen)) => {
                self.notes.observed(clock::now(), &seen);
                self.seen = seen;
                self.looked = self.looked.max(Looked::Seen);
            }
            Some(Err(why)) => tracing::warn!(why, "the kernel could not be observed"),
            None => {
                let look = self.ports.kernel.in_calls().look;
                tracing::warn!(?look, "a look at the kernel does not come back");
                self.memory.look = look;
            }
        }
        self.looked_at = clock::now();
        true
    }
}
