//! The daemon of this node, through its socket. A daemon that is away for a moment, being upgraded or killed, is waited for.

use std::error::Error;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

use crate::cluster::Cluster;
use crate::wire::mdfabric::md_fabric_client::MdFabricClient;
use crate::wire::mdfabric::{Change, GetInfoRequest, SnapshotRequest, WatchRequest, World};

/// The largest answer: all records of a large cluster many times over.
const MAX_WORLD_BYTES: usize = 256 << 20;
/// Between two tries to reach a daemon that went away.
const RETRY: Duration = Duration::from_millis(200);

/// What is asked of the daemon.
pub type Client = MdFabricClient<Channel>;

/// Whether what is waited for is there.
#[derive(Debug)]
pub enum Seen<T> {
    /// It is.
    There(T),
    /// Not yet: why.
    NotYet(String),
    /// It will not be.
    Never(Status),
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Daemon {
    client: Client,
    socket: String,
}

impl Daemon {
    /// The daemon that listens on `socket`, an absolute path; nobody is asked yet. Has to be called within a runtime.
    ///
    /// # Errors
    /// The path makes no address.
    pub fn at(socket: &Path) -> Result<Self, tonic::transport::Error> {
        let socket = socket.display().to_string();
        let channel = Endpoint::from_shared(format!("unix://{socket}"))?.connect_lazy();
        let client = MdFabricClient::new(channel).max_decoding_message_size(MAX_WORLD_BYTES);
        Ok(Self { client, socket })
    }

    /// Asks something. What the daemon refuses keeps its code and its words; what was not heard at all says that nobody answers.
    pub async fn ask<T, F>(&self, call: impl FnOnce(Client) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        call(self.client.clone()).await.map(Response::into_inner).map_err(|status| self.heard(&status))
    }

    /// Tells the daemon to change something; `true` if it had to.
    pub async fn tell<F>(&self, call: impl FnOnce(Client) -> F) -> Result<bool, Status>
    where
        F: Future<Output = Result<Response<Change>, Status>>,
    {
        self.ask(call).await.map(|change| !change.already_so)
    }

    /// A status the daemon sent has no source: one that has was made on this side of the socket.
    fn heard(&self, status: &Status) -> Status {
        match status.source() {
            None => Status::new(status.code(), status.message()),
            Some(cause) => Status::unavailable(format!(
                "no daemon answers on {}: {}; what it had recorded goes on by itself, ask again",
                self.socket,
                root(cause)
            )),
        }
    }

    /// The name of the node.
    pub async fn node(&self) -> Result<String, Status> {
        self.node_of("").await
    }

    /// The name of the node, once its records can be relied on in what they say of a volume here.
    pub async fn node_of(&self, volume: &str) -> Result<String, Status> {
        let request = GetInfoRequest { volume: volume.to_owned() };
        let info = self.ask(|mut client| async move { client.get_info(request).await }).await?;
        Ok(info.node)
    }

    /// What it knows now.
    pub async fn cluster(&self) -> Result<Cluster, Status> {
        let world = self.ask(|mut client| async move { client.snapshot(SnapshotRequest {}).await }).await?;
        let mut cluster = Cluster::default();
        cluster.take(world);
        Ok(cluster)
    }

    /// Waits until what is looked for is there. At the `deadline` the error says what was still waited for.
    pub async fn until<T>(
        &self,
        deadline: Instant,
        look: impl Fn(&Cluster) -> Seen<T> + Send + Sync,
    ) -> Result<T, Status> {
        let mut why = String::from("the daemon has not answered");
        let waited = timeout_at(deadline, async {
            loop {
                match self.updates().await {
                    Ok(updates) => {
                        if let Some(result) = follow(updates, &look, &mut why).await {
                            return result;
                        }
                    }
                    Err(status) => status.message().clone_into(&mut why),
                }
                sleep(RETRY).await;
            }
        });
        match waited.await {
            Ok(result) => result,
            Err(_) => Err(Status::deadline_exceeded(format!("{why}; it goes on by itself, ask again"))),
        }
    }

    async fn updates(&self) -> Result<Streaming<World>, Status> {
        self.ask(|mut client| async move { client.watch(WatchRequest {}).await }).await
    }
}

/// Where a chain of errors began.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    error.source().map_or(error, root)
}

/// Until it is there or never will be; `None` when the daemon went away. The first message is complete: nothing is missed between two.
async fn follow<T>(
    mut updates: Streaming<World>,
    look: &(impl Fn(&Cluster) -> Seen<T> + Send + Sync),
    why: &mut String,
) -> Option<Result<T, Status>> {
    let mut cluster = Cluster::default();
    while let Ok(Some(world)) = updates.message().await {
        cluster.take(world);
        match look(&cluster) {
            Seen::There(value) => return Some(Ok(value)),
            Seen::Never(status) => return Some(Err(status)),
            Seen::NotYet(reason) => *why = reason,
        }
    }
    None
}
