//! Carrying a verdict out, or saying what that would be.

use std::time::Duration;

use serde_json::Value;
use tonic::Status;

use super::{Answer, Api, answer, status};
use crate::api::proto;
use crate::domain::{Key, Record, Revision, World};
use crate::plan::Write;
use crate::plan::verbs::{Refusal, Verdict};
use crate::ports::{Change, StoreError};

/// Decisions that may be overtaken by other writers before the caller hears of it.
const TRIES: usize = 5;
/// How long an answer waits until the daemon's own view shows what was written.
const ECHO: Duration = Duration::from_secs(5);

/// Says what would be done in the kernels after writes, one sentence each, without doing anything.
pub type Rehearse = fn(&World, &[Write]) -> Vec<String>;

/// Why writes were not made.
enum Failure {
    /// Somebody else wrote this one first.
    Overtaken(Key),
    /// For good.
    Final(Status),
}

impl Api {
    /// Decides, writes, and answers once readers of this daemon can see it. Decides again from fresh records when
    /// somebody else was faster.
    pub(super) async fn carry_out(
        &self,
        dry_run: bool,
        decide: impl Fn(&World) -> Result<Verdict, Refusal> + Send,
    ) -> Answer<proto::Change> {
        let view = self.readable()?;
        let (mut read, mut fresh): (Vec<Change>, Option<World>) = (Vec::new(), None);
        for _ in 0..TRIES {
            let world = fresh.as_ref().unwrap_or(view.world.as_ref());
            let verdict = decide(world).map_err(|refusal| status::refused(&refusal))?;
            let already_so = verdict.writes.is_empty();
            let steps = if dry_run {
                self.rehearse(world, &verdict.writes).await?
            } else {
                words(world, &verdict.writes)
            };
            let (object, chosen) = (verdict.object, verdict.chosen);
            if dry_run || already_so {
                let written = Vec::new();
                return Ok(answer(&view, proto::Change { already_so, steps, object, chosen, written }));
            }
            match self.write(world, &verdict.writes).await {
                Ok(written) => {
                    return Ok(answer(&view, proto::Change { already_so, steps, object, chosen, written }));
                }
                Err(Failure::Overtaken(key)) => {
                    read.push(self.overtaken(&key, world.revision(&key)).await?);
                    fresh = Some(self.known_with(&read));
                }
                Err(Failure::Final(status)) => return Err(status),
            }
        }
        Err(status::overtaken())
    }

    /// What would be recorded, and then done.
    async fn rehearse(&self, world: &World, writes: &[Write]) -> Result<Vec<String>, Status> {
        let (rehearse, world, writes) = (self.rehearse, world.clone(), writes.to_vec());
        let steps = tokio::task::spawn_blocking(move || {
            let mut steps = words(&world, &writes);
            steps.extend(rehearse(&world, &writes));
            steps
        });
        steps.await.map_err(|error| Status::internal(format!("rehearsal: {error}")))
    }

    async fn write(&self, world: &World, writes: &[Write]) -> Result<Vec<proto::Written>, Failure> {
        let mut written = Vec::new();
        for Write { key, record } in writes {
            match self.store.put(key, record.as_ref(), world.revision(key)).await {
                Ok(revision) => {
                    let kept = record.as_ref().map(|_| revision);
                    self.echo(key, kept).await;
                    written.extend(kept.map(|revision| (key.clone(), revision).into()));
                }
                Err(StoreError::Conflict { .. }) => return Err(Failure::Overtaken(key.clone())),
                Err(error) => return Err(Failure::Final(status::not_stored(&error))),
            }
        }
        Ok(written)
    }

    /// What is recorded where somebody else was faster. If it is as the caller wants it already, whoever asks this daemon next sees that,
    /// too.
    async fn overtaken(&self, key: &Key, expected: Revision) -> Result<Change, Status> {
        let there = Change::read(&*self.store, key, expected).await;
        let there = there.map_err(|error| status::not_stored(&error))?;
        self.echo(key, there.value.as_ref().map(|value| value.revision)).await;
        Ok(there)
    }

    /// What this daemon shows by now, and what was read of the store beside it: to list everything is too much where many are overtaken
    /// at once.
    fn known_with(&self, read: &[Change]) -> World {
        let mut world = World::clone(&self.seen().world);
        for Change { key, value, revision } in read {
            if world.revision(key) < *revision {
                world.set(key.clone(), value.clone());
            }
        }
        world
    }

    /// A caller that asks this daemon next sees what is recorded, or that it is gone, unless the daemon is slow: then it has to compare
    /// what was written.
    async fn echo(&self, key: &Key, revision: Option<Revision>) {
        let mut view = self.view.clone();
        let shown = view.wait_for(|view| match revision {
            Some(revision) => view.world.revision(key) >= revision,
            None => view.world.record(key).is_none(),
        });
        // Too late is no failure: the record is written.
        drop(tokio::time::timeout(ECHO, shown).await);
    }
}

/// The records that would be written, in words: what is new, and what changes from what.
fn words(world: &World, writes: &[Write]) -> Vec<String> {
    writes.iter().flat_map(|write| one_in_words(world, write)).collect()
}

fn one_in_words(world: &World, Write { key, record }: &Write) -> Vec<String> {
    match (world.record(key), record) {
        (_, None) => vec![format!("remove {key}")],
        (None, Some(_)) => vec![format!("write {key}")],
        (Some(before), Some(after)) => differences(before, after)
            .into_iter()
            .map(|difference| format!("change {key}: {difference}"))
            .collect(),
    }
}

fn differences(before: &Record, after: &Record) -> Vec<String> {
    let (before, after) = (fields(before), fields(after));
    let value = |fields: &[(String, Value)], name: &str| {
        fields.iter().find(|(field, _)| field == name).map_or(Value::Null, |(_, value)| value.clone())
    };
    after
        .iter()
        .filter(|(name, new)| value(&before, name) != *new)
        .map(|(name, new)| format!("{name} from {} to {new}", value(&before, name)))
        .collect()
}

/// The fields of a record by name. A record is an object in an object that names its kind.
fn fields(record: &Record) -> Vec<(String, Value)> {
    match serde_json::to_value(record) {
        Ok(Value::Object(kind)) => kind
            .into_iter()
            .filter_map(|(_, inner)| if let Value::Object(fields) = inner { Some(fields) } else { None })
            .flatten()
            .collect(),
        _ => Vec::new(),
    }
}
