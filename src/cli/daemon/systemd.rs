//! What the service manager is told; without one all of it is silence.

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::alive::Pulse;
use crate::daemon::{StoreHealth, View};

/// Reports readiness at once (what runs in the kernel runs whether or not the store answers), then keeps the watchdog
/// fed as long as the daemon's view is published, and whoever asks for `pulse` told.
pub(super) fn ready(view: watch::Receiver<View>, pulse: Pulse) -> JoinHandle<()> {
    tell(&[NotifyState::Ready, NotifyState::Status("running")]);
    pulse.beat();
    tokio::spawn(keep_alive(view, pulse))
}

/// The daemon stops of its own will.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

async fn keep_alive(mut view: watch::Receiver<View>, pulse: Pulse) {
    while view.changed().await.is_ok() {
        pulse.beat();
        let status = match &view.borrow_and_update().node.store {
            StoreHealth::Starting => "running; the store has not been read yet".to_owned(),
            StoreHealth::Good => "running".to_owned(),
            StoreHealth::Lost(why) => format!("running; the store does not answer: {why}"),
        };
        tell(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
    }
}

fn tell(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cli::daemon::alive;

    #[tokio::test]
    async fn each_turn_of_the_loop_is_a_beat_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("mdfabric.sock");
        for (turns, is_alive) in [(0, false), (1, true)] {
            let view = View { me: "n1".parse().unwrap(), world: Arc::default(), node: Arc::default() };
            let (publisher, reader) = watch::channel(view.clone());
            for _ in 0..turns {
                publisher.send_replace(view.clone());
            }
            drop(publisher);
            keep_alive(reader, Pulse::begin(&socket)).await;
            assert_eq!(alive::ask(&socket).is_ok(), is_alive);
        }
    }
}
