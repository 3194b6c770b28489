//! What `Snapshot` and `Watch` send.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_stream::Stream;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;
use tonic::Status;

use crate::api::proto;
use crate::daemon::View;
use crate::domain::{Key, Record, Revision, Versioned, World};
use crate::ports::Change;

/// Every record.
pub(super) fn complete(world: &World) -> proto::World {
    let entries = world.records().map(|(key, value)| entry(key, Some(value), value.revision)).collect();
    proto::World { revision: latest(world).0, complete: true, entries, unreadable: Vec::new() }
}

/// Every record, then what changes between one view and the next. Views that a slow reader misses are not sent.
pub(super) fn stream(
    view: watch::Receiver<View>,
) -> Pin<Box<dyn Stream<Item = Result<proto::World, Status>> + Send>> {
    let mut sent: Option<Arc<World>> = None;
    let updates = WatchStream::new(view).filter_map(move |view| {
        let update = match &sent {
            None => Some(complete(&view.world)),
            Some(before) => difference(before, &view.world),
        };
        sent = Some(view.world);
        update.map(Ok)
    });
    Box::pin(updates)
}

/// What has to be said to somebody who knows `before`; `None` when nothing changed.
fn difference(before: &World, after: &World) -> Option<proto::World> {
    if std::ptr::eq(before, after) {
        return None;
    }
    let revision = latest(after);
    let changed = after
        .records()
        .filter(|(key, value)| before.revision(key) != value.revision)
        .map(|(key, value)| entry(key, Some(value), value.revision));
    let gone = before
        .records()
        .filter(|(key, _)| after.record(key).is_none())
        .map(|(key, _)| entry(key, None, revision));
    let entries: Vec<_> = changed.chain(gone).collect();
    (!entries.is_empty()).then_some(proto::World {
        revision: revision.0,
        complete: false,
        entries,
        unreadable: Vec::new(),
    })
}

fn entry(key: &Key, value: Option<&Versioned<Record>>, revision: Revision) -> proto::Entry {
    Change { key: key.clone(), value: value.cloned(), revision }.into()
}

fn latest(world: &World) -> Revision {
    world.records().map(|(_, value)| value.revision).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Kind, NodeSpec};

    fn world(nodes: &[(&str, u64)]) -> World {
        let mut world = World::default();
        for (name, revision) in nodes {
            let value = Record::NodeSpec(NodeSpec::default());
            world.set(
                Key::new(Kind::NodeSpec, name),
                Some(Versioned { revision: Revision(*revision), value }),
            );
        }
        world
    }

    #[test]
    fn a_difference_turns_the_earlier_world_into_the_later_one() {
        let (before, after) = (world(&[("a", 1), ("b", 2)]), world(&[("b", 5), ("c", 6)]));
        let mut known = before.clone();
        crate::wire::convert::take_in(&mut known, difference(&before, &after).unwrap()).unwrap();
        assert_eq!(known, after);
        assert_eq!(difference(&after, &after.clone()), None);
    }
}
