//! A conversation with the daemon.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Code, Streaming};

use super::failure::Failure;
use crate::api::client::{self, Client, ClientError};
use crate::api::proto;
use crate::domain::World;
use crate::wire::convert::take_in;

/// How long a daemon that went away is waited for: an upgrade, or a restart after a crash.
const AWAY: Duration = Duration::from_mins(1);
/// Wait between two tries to reach it.
const RETRY: Duration = Duration::from_millis(500);

/// A connection, and what has been said about stale answers.
pub(super) struct Session {
    /// The daemon.
    pub(super) client: Client,
    socket: PathBuf,
    noticed: bool,
}

impl Session {
    /// Connects to the daemon's socket.
    pub(super) async fn open(socket: &Path) -> Result<Self, Failure> {
        Ok(Self { client: client::connect(socket).await?, socket: socket.to_owned(), noticed: false })
    }

    /// Every record as it is now.
    pub(super) async fn world(&mut self) -> Result<World, Failure> {
        let (world, notice) = client::snapshot(&mut self.client).await?;
        self.warn(notice);
        Ok(world)
    }

    /// Every record, as it changes.
    pub(super) async fn worlds(&mut self) -> Result<Worlds, Failure> {
        let response = self.client.watch(proto::WatchRequest {}).await?;
        self.warn(client::notice(&response));
        let mut worlds = Worlds {
            world: World::default(),
            updates: response.into_inner(),
            socket: self.socket.clone(),
            lost_since: None,
        };
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
