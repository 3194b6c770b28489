//! Removing records: a status, what an admin decided, or a whole object once nothing of ours holds it.

use std::time::Duration;

use futures::StreamExt;
use kube::api::{DeleteParams, DynamicObject, Preconditions, WatchEvent, WatchParams};
use serde_json::{Map, Value, json};

use super::failure::Failed;
use super::form;
use super::place::Half;
use super::write::{TRIES, Target, at, held_by};
use super::{KubeStore, revision};
use crate::domain::{Key, Revision};
use crate::ports::StoreError;

/// How long the echo of a removal is waited for.
const ECHO: Duration = Duration::from_secs(1);

impl KubeStore {
    pub(super) async fn remove(
        &self,
        target: &Target<'_>,
        expected: Revision,
    ) -> Result<Revision, StoreError> {
        if expected == Revision(0) {
            return self.nothing_there(target).await;
        }
        let mut from = expected;
        for _ in 0..TRIES {
            let removed = match (target.half, target.place.is_its_spec()) {
                (Half::Spec, true) => self.remove_object(target, from).await,
                (Half::Spec, false) => self.remove_spec(target, from).await,
                (Half::Status, _) => self.remove_status(target, from).await,
            };
            match removed {
                Ok(now) => return Ok(now),
                Err(failed) => from = self.after(target, failed, expected).await?,
            }
        }
        Err(self.never_still())
    }

    /// Removing nothing is already so.
    async fn nothing_there(&self, target: &Target<'_>) -> Result<Revision, StoreError> {
        let object = self.object("put", target.key).await?;
        match object.filter(|object| form::read(target.key.kind, object).is_some()) {
            None => self.revision_now("put", target.place).await,
            Some(object) => Err(StoreError::Conflict {
                key: target.key.clone(),
                expected: Revision(0),
                found: revision(&object),
            }),
        }
    }

    async fn remove_status(&self, target: &Target<'_>, from: Revision) -> Result<Revision, Failed> {
        let patch = json!({ "metadata": at(from), "status": null });
        let object = self.merge(target, &patch, Some(Half::Status)).await?;
        Ok(self.removed(target, &object))
    }

    /// What an admin decided goes field by field, and with it what holds the object.
    async fn remove_spec(&self, target: &Target<'_>, from: Revision) -> Result<Revision, Failed> {
        let object = self.ask(target.api.get(&target.name)).await?;
        let fields: Map<String, Value> = form::half(&object, Half::Spec)
            .map(|spec| spec.keys().map(|field| (field.clone(), Value::Null)).collect())
            .unwrap_or_default();
        let patch = json!({ "metadata": held_by(&others(&object), from), "spec": fields });
        let object = self.merge(target, &patch, None).await?;
        self.let_go(target, &object).await
    }

    /// Deletes the object and lets go of it. Somebody else who holds it keeps it as an object, not as a record.
    async fn remove_object(&self, target: &Target<'_>, from: Revision) -> Result<Revision, Failed> {
        let preconditions =
            Preconditions { resource_version: Some(from.0.to_string()), ..Preconditions::default() };
        let params = DeleteParams::default().preconditions(preconditions);
        match self.ask(target.api.delete(&target.name, &params)).await?.left() {
            None => Ok(self.echo(target, from).await),
            Some(object) if form::is_held(&object) => {
                let patch = json!({ "metadata": held_by(&others(&object), revision(&object)) });
                let object = self.merge(target, &patch, None).await?;
                self.let_go(target, &object).await
            }
            Some(object) => self.let_go(target, &object).await,
        }
    }

    /// The revision at which an object was let go: its own if it is still there, else that of its end.
    async fn let_go(&self, target: &Target<'_>, object: &DynamicObject) -> Result<Revision, Failed> {
        let ends = object.metadata.deletion_timestamp.is_some() && others(object).is_empty();
        Ok(if ends { self.echo(target, revision(object)).await } else { self.removed(target, object) })
    }

    fn removed(&self, target: &Target<'_>, object: &DynamicObject) -> Revision {
        self.note(target.key.kind, object);
        self.written(target.place).send_replace(revision(object));
        revision(object)
    }

    /// The revision at which an object went. The API server does not answer it, but shows it. Where it is not shown in time it is
    /// taken for the next one, which it is not before: whatever is known of the object from before stays older.
    async fn echo(&self, target: &Target<'_>, from: Revision) -> Revision {
        let shown = tokio::time::timeout(ECHO, self.end_of(target, from)).await.ok().flatten();
        let now = shown.unwrap_or(Revision(from.0.saturating_add(1)));
        for kind in form::kinds(target.place) {
            let key = Key { kind: *kind, name: target.key.name.clone() };
            self.inner.known.note(&key, now, None, false);
        }
        self.written(target.place).send_replace(now);
        now
    }

    async fn end_of(&self, target: &Target<'_>, from: Revision) -> Option<Revision> {
        let params = WatchParams::default().fields(&format!("metadata.name={}", target.name));
        let events = target.api.watch(&params, &from.0.to_string()).await.ok()?;
        let mut events = std::pin::pin!(events);
        while let Some(Ok(event)) = events.next().await {
            if let WatchEvent::Deleted(object) = event {
                return Some(revision(&object));
            }
        }
        None
    }
}

/// Whoever else holds an object.
fn others(object: &DynamicObject) -> Vec<String> {
    let holders = object.metadata.finalizers.iter().flatten();
    holders.filter(|holder| *holder != form::FINALIZER).cloned().collect()
}
