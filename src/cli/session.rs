//! A conversation with the daemon.

use std::path::Path;

use tonic::Streaming;

use super::failure::Failure;
use crate::api::client::{self, Client, ClientError};
use crate::api::convert::take_in;
use crate::api::proto;
use crate::domain::World;

/// A connection, and what has been said about stale answers.
pub(super) struct Session {
    /// The daemon.
    pub(super) client: Client,
    noticed: bool,
}

impl Session {
    /// Connects to the daemon's socket.
    pub(super) async fn open(socket: &Path) -> Result<Self, Failure> {
        Ok(Self { client: client::connect(socket).await?, noticed: false })
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
        let mut worlds = Worlds { world: World::default(), updates: response.into_inner() };
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

/// The records as they change.
pub(super) struct Worlds {
    world: World,
    updates: Streaming<proto::World>,
}

impl Worlds {
    /// The records now.
    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// Waits for the next change. A future that is dropped before loses nothing.
    pub(super) async fn changed(&mut self) -> Result<(), Failure> {
        match self.updates.message().await? {
            Some(update) => Ok(take_in(&mut self.world, update).map_err(ClientError::from)?),
            None => Err(Failure::new("the daemon stopped", "the work goes on once it runs again")),
        }
    }
}
