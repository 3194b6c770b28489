use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::api::server::{self, Api};
use crate::cli::goal::Goal;
use crate::cli::wait::{self, Waiting};
use crate::daemon::{NodeView, StoreHealth, View};
use crate::domain::{DriveState, DriveStatus, Key, Kind, Record, Revision, Timestamp, Versioned};
use crate::store::LocalStore;
use crate::telemetry::dump::Place;

fn drive(state: DriveState) -> DriveStatus {
    DriveStatus {
        node: "n1".parse().unwrap(),
        state,
        model: String::new(),
        capacity: crate::domain::Bytes::gib(1),
        allocated: crate::domain::Bytes(0),
        free: crate::domain::Bytes::gib(1),
        largest_free: crate::domain::Bytes::gib(1),
        sector_size: 512,
        read_only: false,
        health: "Good".to_owned(),
        found: Vec::new(),
        message: None,
    }
}

fn view(state: DriveState, revision: u64) -> View {
    let value = Record::DriveStatus(drive(state));
    let mut world = World::default();
    world.set(Key::new(value.kind(), "S1"), Some(Versioned { revision: Revision(revision), value }));
    let node = NodeView { store: StoreHealth::Good, ..NodeView::default() };
    View { me: "n1".parse().unwrap(), world: Arc::new(world), node: Arc::new(node) }
}

struct Daemon {
    view: watch::Sender<View>,
    server: JoinHandle<()>,
}

impl Daemon {
    fn start(dir: &Path, store: &LocalStore, first: View) -> Self {
        let (view, reader) = watch::channel(first);
        let socket = server::bind(&dir.join("m.sock")).unwrap();
        let place = Place { root: dir.to_owned(), recorder: dir.join("recorder"), config: "{}".to_owned() };
        let api = Api::new(Arc::new(store.clone()), reader, Arc::new(Vec::new), place, || Timestamp(1));
        let server = tokio::spawn(async move { server::serve(api, &socket).await.unwrap() });
        Self { view, server }
    }

    /// As a kill would: the socket and every stream end.
    async fn kill(self) {
        self.server.abort();
        assert!(self.server.await.unwrap_err().is_cancelled());
        drop(self.view);
    }
}

const PATIENT: Waiting = Waiting { no_wait: false, timeout: Some(20) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_goes_on_over_a_restart_of_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(&dir.path().join("s")).unwrap();
    let daemon = Daemon::start(dir.path(), &store, view(DriveState::Preparing, 1));
    let mut session = Session::open(&dir.path().join("m.sock")).await.unwrap();
    let waiting = tokio::spawn(async move {
        let goal = Goal::DriveReady("S1".parse().unwrap());
        wait::until(&mut session, &goal, &proto::Change::default(), PATIENT).await
    });
    // The watch is known to be open once the daemon's view has a second reader.
    while daemon.view.receiver_count() < 2 {
        tokio::task::yield_now().await;
    }
    daemon.kill().await;
    let daemon = Daemon::start(dir.path(), &store, view(DriveState::Preparing, 2));
    daemon.view.send_replace(view(DriveState::Ready, 3));
    assert_eq!(waiting.await.unwrap().unwrap(), "drive S1 on n1 is ready, 1 GiB free");
    daemon.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_is_over_says_that_the_work_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(&dir.path().join("s")).unwrap();
    let daemon = Daemon::start(dir.path(), &store, view(DriveState::Preparing, 1));
    let mut session = Session::open(&dir.path().join("m.sock")).await.unwrap();
    let goal = Goal::DriveReady("S1".parse().unwrap());
    let short = Waiting { timeout: Some(1), ..PATIENT };
    let text = wait::until(&mut session, &goal, &proto::Change::default(), short).await.unwrap_err().text();
    assert!(text.contains("the time to wait is over: drive/S1 is not done; drive S1 is Preparing"), "{text}");
    assert!(text.contains("the work goes on"), "{text}");

    daemon.view.send_replace(view(DriveState::Foreign, 2));
    let text = wait::until(&mut session, &goal, &proto::Change::default(), PATIENT).await.unwrap_err().text();
    assert!(text.contains("error: drive S1 is Foreign"), "{text}");
    daemon.kill().await;
}

/// The view of a daemon that is slow shows what was there before the verb.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_from_before_the_verb_is_not_judged() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(&dir.path().join("s")).unwrap();
    let daemon = Daemon::start(dir.path(), &store, view(DriveState::Foreign, 2));
    let mut session = Session::open(&dir.path().join("m.sock")).await.unwrap();
    let written = vec![(Key::new(Kind::DriveStatus, "S1"), Revision(3)).into()];
    let change = proto::Change { written, ..proto::Change::default() };
    let goal = Goal::DriveReady("S1".parse().unwrap());
    let short = Waiting { timeout: Some(1), ..PATIENT };
    let text = wait::until(&mut session, &goal, &change, short).await.unwrap_err().text();
    assert!(text.contains("drive/S1: recorded; the daemon has not taken it in yet"), "{text}");

    daemon.view.send_replace(view(DriveState::Ready, 3));
    let done = wait::until(&mut session, &goal, &change, PATIENT).await;
    assert_eq!(done.unwrap(), "drive S1 on n1 is ready, 1 GiB free");
    daemon.kill().await;
}

/// It may be over before anybody looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_removed_already_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(&dir.path().join("s")).unwrap();
    let empty = View { world: Arc::default(), ..view(DriveState::Ready, 1) };
    let daemon = Daemon::start(dir.path(), &store, empty);
    let mut session = Session::open(&dir.path().join("m.sock")).await.unwrap();
    let written = vec![(Key::new(Kind::DriveSpec, "S1"), Revision(3)).into()];
    let change = proto::Change { written, ..proto::Change::default() };
    let goal = Goal::DriveReleased("S1".parse().unwrap());
    wait::until(&mut session, &goal, &change, PATIENT).await.unwrap();
    daemon.kill().await;
}

/// Whether a HEADERS frame follows the client's preface of 24 bytes (RFC 9113, 3.4 and 6.2): it may come with the greeting or after.
fn has_request(heard: &[u8]) -> bool {
    let mut frames = heard.get(24..).unwrap_or_default();
    while let [high, middle, low, kind, ..] = frames {
        if *kind == 1 {
            return true;
        }
        let length = u32::from_be_bytes([0, *high, *middle, *low]);
        frames = frames.get(9 + length as usize..).unwrap_or_default();
    }
    false
}

/// Whoever answers the socket takes a request and dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_dies_before_it_answers_is_said_to_have_gone() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("m.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let dying = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !has_request(&heard) {
            assert!(stream.read_buf(&mut heard).await.unwrap() > 0);
        }
    });
    let mut session = Session::open(&socket).await.unwrap();
    let text = session.world().await.unwrap_err().text();
    assert!(text.contains("error: the daemon went away before it answered"), "{text}");
    assert!(text.contains("hint: ask again"), "{text}");
    dying.await.unwrap();
}
