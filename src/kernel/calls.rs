//! What is under way in the kernel: in which call each lane is, and whether it was told to give way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kernel_abi::call::{self, Slot};

use crate::plan::{Lane, Waiting};
use crate::ports::InCalls;

/// Whether a step is to give way.
#[derive(Debug, Clone, Default)]
pub(super) struct Abandoned(Arc<AtomicBool>);

impl Abandoned {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Default)]
struct Entry {
    slot: Arc<Slot>,
    abandoned: Abandoned,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Calls {
    lanes: Mutex<BTreeMap<Lane, Entry>>,
    look: Mutex<Option<Arc<Slot>>>,
}

impl Calls {
    /// Does a lane's work, of which there is one at a time.
    pub(super) fn of_lane<T>(&self, lane: &Lane, work: impl FnOnce(&Abandoned) -> T) -> T {
        let entry = Entry::default();
        lock(&self.lanes).insert(lane.clone(), entry.clone());
        let result = call::noted(&entry.slot, || work(&entry.abandoned));
        lock(&self.lanes).remove(lane);
        result
    }

    /// Looks at everything. One that does not come back is shown until another one has begun.
    pub(super) fn of_look<T>(&self, work: impl FnOnce() -> T) -> T {
        let slot = Arc::<Slot>::default();
        *lock(&self.look) = Some(Arc::clone(&slot));
        let result = call::noted(&slot, work);
        *lock(&self.look) = None;
        result
    }

    pub(super) fn now(&self) -> InCalls {
        let steps =
            lock(&self.lanes).iter().map(|(lane, entry)| (lane.clone(), waiting(&entry.slot))).collect();
        InCalls { steps, look: lock(&self.look).as_deref().map(waiting) }
    }

    pub(super) fn abandon(&self, lane: &Lane) {
        if let Some(entry) = lock(&self.lanes).get(lane) {
            entry.abandoned.set();
        }
    }
}

/// What a slot says, in the machines' words.
pub(super) fn waiting(slot: &Slot) -> Waiting {
    let (call, since) = slot.now();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Waiting { call: call.map(|call| call.to_string()), millis }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_told_to_give_way_while_it_works_and_is_forgotten_afterwards() {
        let calls = Calls::default();
        let lane = Lane::Volume("v".parse().unwrap());
        let told = calls.of_lane(&lane, |abandoned| {
            assert!(calls.now().steps.contains_key(&lane));
            calls.abandon(&lane);
            abandoned.is_set()
        });
        assert!(told);
        assert_eq!(calls.now(), InCalls::default());
        assert!(!calls.of_lane(&lane, Abandoned::is_set));
    }
}
