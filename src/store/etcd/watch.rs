//! A watch on etcd.

use etcd_client::{Event, EventType, WatchOptions, WatchResponse, WatchStream};

use super::super::codec;
use super::{EtcdStore, MAX_ANSWER_BYTES, failure, from_etcd, to_etcd, within};
use crate::domain::{Key, Revision};
use crate::ports::{Change, PortFuture, StoreError, Watch};

/// One watch. A `next` that was dropped before it was ready loses nothing.
pub(super) struct EtcdWatch {
    store: EtcdStore,
    member: usize,
    stream: WatchStream,
}

/// Watches all records for changes after `from`.
pub(super) async fn start(store: &EtcdStore, from: Revision) -> Result<EtcdWatch, StoreError> {
    // etcd would wait in silence for a revision it has yet to reach, as after a restore from an older copy.
    if store.revision("watch").await? < from {
        return Err(StoreError::Lagged);
    }
    let options = WatchOptions::new()
        .with_range(store.keys.end())
        .with_start_revision(to_etcd(from).saturating_add(1))
        .with_fragment();
    let (member, client) = store.member("watch")?;
    let mut watches = client.watch_client().max_decoding_message_size(MAX_ANSWER_BYTES);
    let stream = within(&store.name, "watch", watches.watch(store.keys.first(), Some(options))).await;
    let stream = stream.inspect_err(|_| store.members.leave(member))?;
    Ok(EtcdWatch { store: store.clone(), member, stream })
}

impl EtcdWatch {
    async fn answer(&mut self) -> Result<WatchResponse, StoreError> {
        let answer = self.message().await;
        if let Err(StoreError::Unavailable { .. }) = answer {
            self.store.members.leave(self.member);
        }
        answer
    }

    async fn message(&mut self) -> Result<WatchResponse, StoreError> {
        // No deadline: silence is what a watch mostly hears. A dead connection is found by its keep-alive.
        let answer =
            self.stream.message().await.map_err(|error| failure(&self.store.name, "watch", &error))?;
        let answer = answer.ok_or_else(|| self.store.said("watch", "the stream ended"))?;
        if answer.compact_revision() > 0 {
            return Err(StoreError::Lagged);
        }
        if answer.canceled() {
            return Err(self.store.said("watch", answer.cancel_reason()));
        }
        Ok(answer)
    }

    fn changes(&self, answer: &WatchResponse) -> Result<Vec<Change>, StoreError> {
        answer.events().iter().filter_map(|event| self.change(event).transpose()).collect()
    }

    fn change(&self, event: &Event) -> Result<Option<Change>, StoreError> {
        let row = event.kv().ok_or_else(|| self.store.said("watch", "an event has no key"))?;
        let revision = from_etcd(row.mod_revision());
        let key = match codec::parse_key(self.store.keys.strip(row.key())) {
            Ok(key) => key,
            Err(codec::KeyError::Stranger { .. }) => return Ok(None),
            Err(codec::KeyError::BadName { kind, name }) => {
                let why = super::super::BAD_NAME.to_owned();
                return Err(StoreError::Corrupt { key: Key { kind, name }, why });
            }
        };
        let value = match event.event_type() {
            EventType::Put => Some(super::super::read(&key, revision, row.value())?),
            EventType::Delete => None,
        };
        Ok(Some(Change { key, value, revision }))
    }
}

impl Watch for EtcdWatch {
    fn next(&mut self) -> PortFuture<'_, Result<Vec<Change>, StoreError>> {
        Box::pin(async move {
            loop {
                let answer = self.answer().await?;
                let changes = self.changes(&answer)?;
                if !changes.is_empty() {
                    return Ok(changes);
                }
            }
        })
    }
}
