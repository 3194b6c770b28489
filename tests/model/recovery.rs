//! Faults stop: from any moment a run without further ones leads to a volume that is served and whole.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use super::kernel::Reach;
use super::records::{Setup, Timing};
use super::state::{State, User};

/// Turns that everybody gets; timers run out in the second half.
const ROUNDS: u8 = 60;

/// Moments from which it is known to go well: runs meet soon, so that few of them are walked to their end.
#[derive(Default)]
pub(crate) struct Known(Mutex<HashSet<u64>>);

impl Known {
    pub(crate) fn is_well_in_the_end(&self, setup: &Setup, state: &State) -> bool {
        let mut state = state.clone();
        mend(&mut state);
        let mut path = Vec::new();
        for round in 0..ROUNDS {
            let id = fingerprint(&state);
            if is_well(&state) || self.0.lock().unwrap().contains(&id) {
                self.0.lock().unwrap().extend(path);
                return true;
            }
            if round < ROUNDS / 2 {
                path.push(id);
            }
            (0..state.nodes.len()).for_each(|me| turn(setup, &mut state, me, round >= ROUNDS / 2));
        }
        false
    }
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Power, network and store are there again.
fn mend(state: &mut State) {
    state.cut.clear();
    for me in 0..state.nodes.len() {
        state.hear(me);
        if !state.nodes[me].up {
            state.power_on(me);
        }
    }
}

/// A node hears, records, does what it may, and its kernel goes on.
fn turn(setup: &Setup, state: &mut State, me: usize, late: bool) {
    let timing = Timing { late, suspects: 0 };
    for _ in 0..8 {
        let plan = setup.plan(state, me, timing);
        let Some(write) = &plan.write else { break };
        if !state.record(setup, me, write) {
            break;
        }
    }
    for step in &setup.plan(state, me, timing).steps {
        if state.nodes[me].running.iter().all(|running| running.lane() != step.lane()) {
            state.nodes[me].running.push(step.clone());
        }
    }
    for index in (0..state.nodes[me].running.len()).rev() {
        state.finish(setup, me, index);
    }
    if state.is_asked_to_end(me) {
        state.close(me);
    }
    state.mark_if_due(me);
    for copy in 0..state.copies.len() {
        state.land_if_due(me, u8::try_from(copy).unwrap());
    }
    state.sync(me);
}

/// Served where it is wanted, from every copy it has.
fn is_well(state: &State) -> bool {
    let key = &state.store.key;
    let Some(array) = state.nodes[key.attached].array.as_ref().filter(|_| key.owner == Some(key.attached))
    else {
        return false;
    };
    let works =
        |copy: &usize| state.reach(key.attached, u8::try_from(*copy).unwrap(), array.epoch) == Reach::Copy;
    array.epoch == key.epoch && key.in_sync.len() == state.copies.len() && key.in_sync.iter().all(works)
}

impl State {
    /// An owner's process ends when the volume is attached elsewhere. Where it was lost, it ends when it is made to.
    fn is_asked_to_end(&self, me: usize) -> bool {
        let key = &self.store.key;
        self.nodes[me].user == User::Ending || key.owner == Some(me) && key.attached != me
    }

    fn mark_if_due(&mut self, me: usize) {
        let pending = self.nodes[me].array.as_ref().and_then(|array| array.pending.as_ref());
        if pending.is_some_and(|pending| !pending.marked) {
            self.mark(me);
        }
    }

    fn land_if_due(&mut self, me: usize, copy: u8) {
        let pending = self.nodes[me].array.as_ref().and_then(|array| array.pending.as_ref());
        if pending.is_some_and(|pending| pending.waiting.contains(&copy)) {
            self.land(me, copy);
        }
    }
}
