//! What the service manager is told; without one all of it is silence.

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::daemon::{StoreHealth, View};

/// Reports readiness at once (what runs in the kernel runs whether or not the store answers), then keeps the watchdog
/// fed as long as the daemon's view is published.
pub(super) fn ready(view: watch::Receiver<View>) -> JoinHandle<()> {
    tell(&[NotifyState::Ready, NotifyState::Status("running")]);
    tokio::spawn(keep_alive(view))
}

/// The daemon stops of its own will.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

async fn keep_alive(mut view: watch::Receiver<View>) {
    while view.changed().await.is_ok() {
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
