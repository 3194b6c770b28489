//! `Dump`: an archive, written by a thread of its own into the stream. A kernel that hangs costs what would have come
//! after, and nobody waits for it.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::api::{dump, proto};
use crate::daemon::{StoreHealth, View};
use crate::domain::Timestamp;
use crate::plan::ledger;
use crate::telemetry::dump::{self as archive, Knowledge, Manifest, NodeFacts, Place};

/// How long one entry may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pieces that may wait for the reader.
const QUEUED: usize = 256;
/// What is sent at once, bytes, where it is there already.
const CHUNK_BYTES: usize = 256 << 10;

/// What this node's daemon knows.
pub(super) fn knowledge(view: &View, records: proto::World, now: Timestamp) -> Knowledge {
    let node = NodeFacts {
        running: view.node.running.clone(),
        failing: view.node.failing.clone(),
        reasons: view.node.reasons.clone(),
        store_lost: match &view.node.store {
            StoreHealth::Lost(why) => Some(why.clone()),
            StoreHealth::Starting | StoreHealth::Good => None,
        },
        leads: view.node.leads,
        peers: view.node.peers.words(),
        foreign: ledger::foreign(&view.world, &view.node.seen),
    };
    Knowledge {
        manifest: Manifest::new(&view.me, now),
        records: dump::pack(records),
        node: Some(node),
        observation: Some(format!("{:#?}\n", view.node.seen)),
        problems: Vec::new(),
    }
}

/// The archive. `permit` is given back when its thread ends, which may be never.
pub(super) fn stream(
    place: Place,
    known: Knowledge,
    permit: OwnedSemaphorePermit,
) -> Result<ReceiverStream<Result<proto::DumpChunk, Status>>, Status> {
    let (pieces, written) = mpsc::channel(QUEUED);
    let (chunks, stream) = mpsc::channel(1);
    let at = known.manifest.taken_at;
    let work = move || {
        let _permit = permit;
        let out = Pieces { buffer: Vec::new(), pieces };
        if let Err(error) = archive::write(out, &place, &known) {
            tracing::warn!(%error, "a dump was not finished");
        }
    };
    let spawned = thread::Builder::new().name("mdfabric-dump".to_owned()).spawn(work);
    spawned.map_err(|error| Status::internal(format!("no thread for the dump: {error}")))?;
    tokio::spawn(forward(written, chunks, at));
    Ok(ReceiverStream::new(stream))
}

/// Hands on what the thread wrote, and closes the archive when it hangs.
async fn forward(
    mut written: mpsc::Receiver<Vec<u8>>,
    chunks: mpsc::Sender<Result<proto::DumpChunk, Status>>,
    at: Timestamp,
) {
    let mut over = false;
    while !over {
        let data = match timeout(PATIENCE, written.recv()).await {
            Ok(None) => return,
            Ok(Some(piece)) => gathered(piece, &mut written),
            Err(_) => {
                over = true;
                archive::closing("the kernel did not answer within 20 s; what would follow is missing", at)
                    .unwrap_or_default()
            }
        };
        if chunks.send(Ok(proto::DumpChunk { data })).await.is_err() {
            return;
        }
    }
}

/// A piece with those that wait behind it.
fn gathered(mut data: Vec<u8>, written: &mut mpsc::Receiver<Vec<u8>>) -> Vec<u8> {
    while data.len() < CHUNK_BYTES {
        match written.try_recv() {
            Ok(piece) => data.extend(piece),
            Err(_) => break,
        }
    }
    data
}

/// Sends whole entries: what is flushed.
struct Pieces {
    buffer: Vec<u8>,
    pieces: mpsc::Sender<Vec<u8>>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.buffer);
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
