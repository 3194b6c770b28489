//! What a thread is in: a call that does not return cannot say so itself.
//!
//! A worker hands in a [`Slot`] with [`noted`]; until its work is done the verbs of this crate note there which call they make on
//! what, and when they come back. Whoever holds the slot too can look at any time. A thread without a slot notes nothing.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A call that has begun and not returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The system call or the verb (`write`, `ADD_NEW_DISK`, `mkdir`), as in [`crate::CallError`].
    pub call: &'static str,
    /// The path or device it was made on.
    pub target: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.call, self.target)
    }
}

/// Where one thread notes what it is in.
#[derive(Debug)]
pub struct Slot(Mutex<Noted>);

#[derive(Debug, Clone)]
struct Noted {
    call: Option<Call>,
    since: Instant,
}

impl Default for Slot {
    fn default() -> Self {
        Self(Mutex::new(Noted { call: None, since: Instant::now() }))
    }
}

impl Slot {
    /// The call that has not returned, if there is one, and how long ago the last one began or returned.
    #[must_use]
    pub fn now(&self) -> (Option<Call>, Duration) {
        let Noted { call, since } = self.lock().clone();
        (call, since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, call: Option<Call>) -> Option<Call> {
        std::mem::replace(&mut *self.lock(), Noted { call, since: Instant::now() }).call
    }
}

thread_local! {
    static SLOT: RefCell<Option<Arc<Slot>>> = const { RefCell::new(None) };
}

/// Does `work`; this thread notes the calls it makes meanwhile in `slot`.
pub fn noted<T>(slot: &Arc<Slot>, work: impl FnOnce() -> T) -> T {
    let outer = SLOT.replace(Some(Arc::clone(slot)));
    let result = work();
    SLOT.set(outer);
    result
}

/// Until it is dropped, this thread is in a call.
pub(crate) struct Entered(Option<(Arc<Slot>, Option<Call>)>);

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some((slot, outer)) = self.0.take() {
            slot.note(outer);
        }
    }
}

/// Notes that this thread makes `call` on `target` now.
#[must_use = "the call ends when this is dropped"]
pub(crate) fn enter(call: &'static str, target: impl fmt::Display) -> Entered {
    let slot = SLOT.with_borrow(Clone::clone);
    Entered(slot.map(|slot| {
        let outer = slot.note(Some(Call { call, target: target.to_string() }));
        (slot, outer)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_the_slot_sees_what_another_thread_is_in() {
        let slot = Arc::new(Slot::default());
        let own = Arc::clone(&slot);
        let (entered, seen) = (Arc::new(std::sync::Barrier::new(2)), Arc::new(std::sync::Barrier::new(2)));
        let (its_entered, its_seen) = (Arc::clone(&entered), Arc::clone(&seen));
        let worker = std::thread::spawn(move || {
            noted(&own, || {
                let _outer = enter("BLKPG", "/dev/x");
                drop(enter("open", "/dev/y"));
                its_entered.wait();
                its_seen.wait();
            });
            let _not_noted = enter("open", "/dev/z");
            own.now().0
        });
        entered.wait();
        let (call, _) = slot.now();
        assert_eq!(call.unwrap().to_string(), "BLKPG on /dev/x");
        seen.wait();
        assert_eq!(worker.join().unwrap(), None);
    }
}
