//! What is done at once, since it makes no difference when: steps that neither write a record nor let I/O pass or fail, nor end a
//! process. One that comes later comes to the same, as whatever could come between has the same effect before or after it. So
//! a state is what is left once they are done, and orders of theirs are not told apart.

use mdfabric::plan::Step;

use super::records::{Setup, Timing};
use super::state::{Call, State, User};

/// More than there ever is to be done: a plan that goes round in circles ends the search.
const AT_MOST: usize = 50;

/// Whether nobody but this node's own plan can tell when a step is done. An export that may come late could come after the fence.
fn is_quiet(step: &Step, calls_come_late: bool) -> bool {
    match step {
        Step::Connect { .. }
        | Step::Disconnect { .. }
        | Step::MapLeg { .. }
        | Step::UnmapLeg { .. }
        | Step::FindHolders { .. }
        | Step::SetSlots { .. }
        | Step::RemoveMember { .. } => true,
        Step::Export { .. } => !calls_come_late,
        _ => false,
    }
}

impl State {
    /// Does what is quiet, on every node, until nothing of it is left.
    pub(crate) fn settle(&mut self, setup: &Setup, calls_come_late: bool) {
        for _ in 0..AT_MOST {
            let up = (0..self.nodes.len()).filter(|me| self.nodes[*me].up);
            let changed = up.collect::<Vec<_>>().into_iter().fold(false, |changed, me| {
                self.serve_user(me) | self.settle_node(setup, me, calls_come_late) | changed
            });
            if !changed {
                return;
            }
        }
        panic!("quiet steps without an end: {self:#?}");
    }

    fn settle_node(&mut self, setup: &Setup, me: usize, calls_come_late: bool) -> bool {
        let plan = setup.plan(self, me, Timing::FRESH);
        if plan.write.is_some() && !self.is_silent(me) {
            return false;
        }
        let quiet = |step: &&Call| is_quiet(step, calls_come_late) && self.nodes[me].may_begin(step);
        let steps: Vec<_> = plan.steps.iter().filter(quiet).cloned().collect();
        steps.iter().fold(false, |changed, step| {
            let before = self.nodes[me].clone();
            self.apply(setup, me, step);
            changed | !self.nodes[me].is_as(&before)
        })
    }

    /// Who has it attached uses it from the moment on at which it is served: using it earlier or later is not writing yet.
    fn serve_user(&mut self, me: usize) -> bool {
        let node = &self.nodes[me];
        let opens =
            self.is_wanted(me) && node.array.is_some() && node.user == User::Nobody && !node.is_stopping();
        if opens {
            self.open(me);
        }
        opens
    }
}
