//! A conversation with the daemon.

mod dump;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Streaming};

use super::failure::Failure;
use crate::api::client::{self, Client, ClientError};
use crate::api::proto;
use crate::daemon;
use crate::domain::{Timestamp, World};
use crate::wire::convert::take_in;
use dump::Dump;

/// How long a daemon that went away is waited for: an upgrade, or a restart after a crash.
const AWAY: Duration = Duration::from_mins(1);
/// Wait between two tries to reach it.
const RETRY: Duration = Duration::from_millis(500);

/// Who answers, and what has been said about stale answers.
pub(super) struct Session {
    source: Source,
    noticed: bool,
}

/// Who answers.
enum Source {
    /// The daemon behind a socket.
    Daemon { client: Client, socket: PathBuf },
    /// Nobody: what a daemon knew when the dump was made.
    Dump(Box<Dump>),
}

impl Session {
    /// Connects to the daemon's socket.
    pub(super) async fn open(socket: &Path) -> Result<Self, Failure> {
        let client = client::connect(socket).await?;
        Ok(Self { source: Source::Daemon { client, socket: socket.to_owned() }, noticed: false })
    }

    /// Reads a dump instead.
    pub(super) fn of_dump(path: &Path) -> Result<Self, Failure> {
        Ok(Self { source: Source::Dump(Box::new(Dump::open(path)?)), noticed: false })
    }

    /// The daemon, which alone can change something.
    pub(super) fn client(&mut self) -> Result<&mut Client, Failure> {
        match &mut self.source {
            Source::Daemon { client, .. } => Ok(client),
            Source::Dump(dump) => Err(dump.only_shows("nothing can be changed in it")),
        }
    }

    /// The moment that ages are counted to.
    pub(super) fn now(&self) -> Timestamp {
        match &self.source {
            Source::Daemon { .. } => daemon::now(),
            Source::Dump(dump) => dump.taken_at(),
        }
    }

    /// Every record as it is now.
    pub(super) async fn world(&mut self) -> Result<World, Failure> {
        let (world, notice) = match &mut self.source {
            Source::Daemon { client, .. } => client::snapshot(client).await?,
            Source::Dump(dump) => (dump.world().clone(), dump.notice()),
        };
        self.warn(notice);
        Ok(world)
    }

    /// Why an object is as it is.
    pub(super) async fn explain(&mut self, object: String) -> Result<Vec<String>, Failure> {
        let (lines, notice) = match &mut self.source {
            Source::Daemon { client, .. } => {
                let response = client.explain(proto::ExplainRequest { object }).await?;
                let notice = client::notice(&response);
                (response.into_inner().lines, notice)
            }
            Source::Dump(dump) => (dump.explain(&object)?, dump.notice()),
        };
        self.warn(notice);
        Ok(lines)
    }

    /// Every record, as it changes.
    pub(super) async fn worlds(&mut self) -> Result<Worlds, Failure> {
        let (client, socket) = match &mut self.source {
            Source::Daemon { client, socket } => (client, socket.clone()),
            Source::Dump(dump) => return Err(dump.only_shows("nothing changes in it")),
        };
        let response = client.watch(proto::WatchRequest {}).await?;
        let notice = client::notice(&response);
        let updates = response.into_inner();
        self.warn(notice);
        let mut worlds = Worlds { world: World::default(), updates, socket, lost_since: None };
        worlds.changed().await?;
        Ok(worlds)
    }

    /// Says once that an answer is not fresh.
    pub(super) fn warn(&mut self, notice: Option<String>) {
        if let Some(notice) = notice.filter(|_| !self.noticed) {
            eprintln!("warning: {notice}");
            self.noticed = true;
        }
    }
}

/// The records as they change. A daemon that goes away is waited for: what it does goes on when it is back.
pub(super) struct Worlds {
    world: World,
    updates: Streaming<proto::World>,
    socket: PathBuf,
    lost_since: Option<Instant>,
}

impl Worlds {
    /// The records now.
    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// Waits for the next change, or for a try to reach a lost daemon. A future that is dropped before loses nothing.
    pub(super) async fn changed(&mut self) -> Result<(), Failure> {
        if let Some(since) = self.lost_since {
            return self.reach(since).await;
        }
        match self.updates.message().await {
            Ok(Some(update)) => {
                take_in(&mut self.world, update).map_err(ClientError::from)?;
            }
            Err(status) if matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted) => {
                return Err(status.into());
            }
            Ok(None) | Err(_) => {
                eprintln!("warning: the daemon went away; waiting for it");
                self.lost_since = Some(Instant::now());
            }
        }
        Ok(())
    }

    async fn reach(&mut self, since: Instant) -> Result<(), Failure> {
        match self.watch_again().await {
            Ok(updates) => {
                eprintln!("the daemon is back");
                self.updates = updates;
                self.lost_since = None;
                Ok(())
            }
            Err(failure) if since.elapsed() >= AWAY => Err(failure),
            Err(_) => {
                tokio::time::sleep(RETRY).await;
                Ok(())
            }
        }
    }

    /// The first message of a new watch is complete: nothing that happened meanwhile is missed.
    async fn watch_again(&self) -> Result<Streaming<proto::World>, Failure> {
        let mut client = client::connect(&self.socket).await?;
        Ok(client.watch(proto::WatchRequest {}).await?.into_inner())
    }
}
