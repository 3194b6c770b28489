//! A question to the kernel that may never be answered.

use std::thread;
use std::time::Duration;

use tokio::sync::oneshot::{self, error::TryRecvError};

/// One question at a time, on a thread of its own: one of the runtime's would hold up the daemon's end.
#[derive(Debug)]
pub(super) struct Asked<T>(Option<oneshot::Receiver<T>>);

impl<T> Default for Asked<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static> Asked<T> {
    /// Asks and waits for so long. `None` when there is no answer in time, and at once while an earlier question is still
    /// out; what that one comes to is old by then, and is not used.
    pub(super) async fn ask(
        &mut self,
        patience: Duration,
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.is_out() {
            return None;
        }
        let (answer, mut answered) = oneshot::channel();
        let work = move || drop(answer.send(question()));
        thread::Builder::new().name("mdfabric-look".to_owned()).spawn(work).ok()?;
        if let Ok(answer) = tokio::time::timeout(patience, &mut answered).await {
            return answer.ok();
        }
        self.0 = Some(answered);
        None
    }

    /// Whether a question that was not waited for has not been answered yet.
    fn is_out(&mut self) -> bool {
        let out =
            self.0.as_mut().is_some_and(|earlier| matches!(earlier.try_recv(), Err(TryRecvError::Empty)));
        if !out {
            self.0 = None;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_question_that_hangs_holds_nobody_up_and_is_not_asked_twice() {
        let (let_go, held) = mpsc::channel::<()>();
        let mut asked = Asked::default();
        let hangs = move || {
            let _ = held.recv();
            1
        };
        assert_eq!(asked.ask(SHORT, hangs).await, None);
        assert_eq!(asked.ask(LONG, || 2).await, None);
        let_go.send(()).unwrap();
        while asked.is_out() {
            tokio::task::yield_now().await;
        }
        assert_eq!(asked.ask(LONG, || 3).await, Some(3));
    }
}
