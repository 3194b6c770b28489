//! The command line's side of the socket.

use std::error::Error;
use std::path::Path;

use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use super::proto::{self, md_fabric_client::MdFabricClient};
use super::server::{HINT, NOTICE};
use crate::domain::World;
use crate::wire::convert::{FieldError, take_in};

/// A daemon on the other side.
pub type Client = MdFabricClient<Channel>;

/// What a call came to, if not to an answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers on the socket.
    #[error("no daemon answers on {socket}")]
    NoDaemon {
        /// The socket.
        socket: String,
        /// What was said.
        source: tonic::transport::Error,
    },
    /// The daemon ended, or its socket did, while it was asked.
    #[error("the daemon went away before it answered: {why}")]
    Lost {
        /// What the kernel, or whoever else is at the bottom of it, said.
        why: String,
    },
    /// The daemon refused or failed.
    #[error("{message}")]
    Refused {
        /// The object, what was tried, why not.
        message: String,
        /// What the user can do; empty where the daemon has no advice.
        hint: String,
    },
    /// The daemon speaks another version.
    #[error("the daemon's answer cannot be read")]
    Unreadable(#[from] FieldError),
}

impl ClientError {
    /// What the user can do; empty where there is no advice.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            Self::NoDaemon { .. } => {
                "start it with `systemctl start mdfabric` or `mdfabric node`, or give its --socket; only root may talk to it"
            }
            Self::Lost { .. } => {
                "ask again: what it had recorded goes on by itself, and asking twice does no harm"
            }
            Self::Refused { hint, .. } => hint,
            Self::Unreadable(_) => "use the command of the daemon's version",
        }
    }
}

impl From<Status> for ClientError {
    /// A status the daemon sent has no source: one that has was made on this side of the socket.
    fn from(status: Status) -> Self {
        if let Some(cause) = status.source() {
            return Self::Lost { why: root(cause).to_string() };
        }
        let hint = binary(status.metadata(), HINT).unwrap_or_default();
        let message = status.message();
        let short = message.strip_suffix(&hint).and_then(|text| text.strip_suffix("; ")).unwrap_or(message);
        let message = if short.is_empty() { format!("{:?}", status.code()) } else { short.to_owned() };
        Self::Refused { message, hint }
    }
}

/// Where a chain of errors began.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    error.source().map_or(error, root)
}

fn binary(metadata: &tonic::metadata::MetadataMap, key: &'static str) -> Option<String> {
    let bytes = metadata.get_bin(key)?.to_bytes().ok()?;
    String::from_utf8(bytes.to_vec()).ok()
}

/// What the daemon has to say about an answer that is not fresh.
#[must_use]
pub fn notice<T>(response: &Response<T>) -> Option<String> {
    binary(response.metadata(), NOTICE)
}

/// Connects to the daemon's socket.
pub async fn connect(socket: &Path) -> Result<Client, ClientError> {
    let failed = |source| ClientError::NoDaemon { socket: socket.display().to_string(), source };
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(failed)?;
    let channel = endpoint.connect().await.map_err(failed)?;
    Ok(MdFabricClient::new(channel).max_decoding_message_size(MAX_WORLD_BYTES))
}

/// The largest answer: all records of a large cluster many times over.
const MAX_WORLD_BYTES: usize = 256 << 20;

/// Every record, and why it may be stale.
pub async fn snapshot(client: &mut Client) -> Result<(World, Option<String>), ClientError> {
    let response = client.snapshot(proto::SnapshotRequest {}).await?;
    let notice = notice(&response);
    let mut world = World::default();
    take_in(&mut world, response.into_inner())?;
    Ok((world, notice))
}
