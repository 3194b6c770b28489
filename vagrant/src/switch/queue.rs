//! The frames that wait for one party: bounded in bytes, ordered by the time at which they are due.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that may wait at one port; what comes on top is lost, as in any switch.
const LIMIT: usize = 16 << 20;

/// One port's outgoing frames.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<(Instant, u64), Waiting>,
    bytes: usize,
    sequence: u64,
}

struct Waiting {
    from: String,
    frame: Arc<[u8]>,
}

impl Queue {
    /// Adds a frame from `from` that is due after `delay`; drops it when the queue is full.
    pub fn push(&self, from: &str, frame: Arc<[u8]>, delay: Duration) {
        let mut state = self.state();
        if state.bytes + frame.len() > LIMIT {
            return;
        }
        state.bytes += frame.len();
        state.sequence += 1;
        let key = (Instant::now() + delay, state.sequence);
        state.waiting.insert(key, Waiting { from: from.to_owned(), frame });
        drop(state);
        self.changed.notify_one();
    }

    /// Waits for the next frame that is due and takes it out.
    #[must_use]
    pub fn pop(&self) -> Arc<[u8]> {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            let pause = match state.waiting.first_key_value() {
                Some(((due, _), _)) if *due <= now => {
                    if let Some((_, next)) = state.waiting.pop_first() {
                        state.bytes -= next.frame.len();
                        return next.frame;
                    }
                    Duration::ZERO
                }
                Some(((due, _), _)) => due.saturating_duration_since(now),
                None => Duration::from_hours(1),
            };
            state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Throws away what waits from `from`.
    pub fn purge(&self, from: &str) {
        let mut state = self.state();
        state.waiting.retain(|_, waiting| waiting.from != from);
        state.bytes = state.waiting.values().map(|waiting| waiting.frame.len()).sum();
    }

    /// Throws away everything.
    pub fn clear(&self) {
        let mut state = self.state();
        state.waiting.clear();
        state.bytes = 0;
    }

    /// Frames that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_in_the_order_they_are_due() {
        let queue = Queue::default();
        queue.push("a", Arc::from(&b"late"[..]), Duration::from_millis(30));
        queue.push("a", Arc::from(&b"one"[..]), Duration::ZERO);
        queue.push("a", Arc::from(&b"two"[..]), Duration::ZERO);
        let order = [queue.pop(), queue.pop(), queue.pop()];
        assert_eq!(order.map(|frame| frame.to_vec()), [b"one".to_vec(), b"two".to_vec(), b"late".to_vec()]);
    }

    #[test]
    fn a_full_queue_drops() {
        let queue = Queue::default();
        let big: Arc<[u8]> = vec![0; LIMIT - 1].into();
        queue.push("a", big, Duration::ZERO);
        queue.push("a", Arc::from(&b"no room"[..]), Duration::ZERO);
        assert_eq!(queue.len(), 1);
        queue.clear();
        assert!(queue.is_empty());
    }
}
