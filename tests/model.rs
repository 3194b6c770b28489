//! The protocol, searched exhaustively in a small scope: the machines of `plan/` as they are, on a kernel that is no more than
//! what R1 to R5 hang on, with every interleaving of what nodes hear, write, begin and finish, of writes that land, and of a
//! bounded number of faults and hand-overs.
//!
//! * Time is no number: any plan may be made while every timer is fresh or after all of them have run out, and a node may take any
//!   other for dead whenever it likes. What is safe here is safe with any clock.
//! * What a plan wants recorded is written one record at a time; a step's begin and end are two events, and a daemon that is
//!   killed between them leaves a call that comes to its end or not.
//! * A volume has one block; a kernel takes any superblock for good and gives a member back by bitmap whenever it is asked to.
//! * A move, growth, first start, file systems and what a drive does by itself are not in here: the simulation has them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall stop"
)]

#[path = "model/kernel.rs"]
mod kernel;
#[path = "model/records.rs"]
mod records;
#[path = "model/recovery.rs"]
mod recovery;
#[path = "model/state.rs"]
mod state;

use std::sync::Arc;
use std::time::Instant;

use mdfabric::plan::safety::Guard;
use mdfabric::plan::{Lane, Step, Write};
use records::{Setup, Timing};
use state::{Pending, State, User};
use stateright::{Checker, Model, Property};

/// What may happen next. Nodes and copies are numbers; copy n is on node n.
#[derive(Debug, Clone, PartialEq)]
enum Action {
    /// A node's watch brings it up to date.
    Hear(usize),
    /// A node writes what its plan wants recorded.
    Record(usize, Box<Write>),
    /// A step that is planned is given to its lane.
    Begin(usize, Box<Step>),
    /// It comes to its end.
    Finish(usize, usize),
    /// The daemon is killed and starts again; the calls that were out come to their end, or not.
    Kill(usize, bool),
    /// The application starts, ends, or writes.
    Open(usize),
    Close(usize),
    Issue(usize),
    /// The bit of a write reaches the members, or its data reaches one of them.
    Mark(usize),
    Land(usize, u8),
    /// A recovery or resync is done; the bit goes.
    Sync(usize),
    Forget(usize),
    /// The user wants it elsewhere.
    Attach(usize),
    PowerCut(usize),
    PowerOn(usize),
    Link(usize, usize, bool),
    Store(usize, bool),
}

/// How much may happen in one life.
#[derive(Debug, Clone, Copy)]
struct Scope {
    nodes: usize,
    copies: usize,
    attaches: u8,
    faults: u8,
    writes: u8,
}

struct Protocol {
    setup: Arc<Setup>,
    scope: Scope,
    recovery: recovery::Known,
}

impl Protocol {
    fn new(scope: Scope, sabotage: Option<Guard>) -> Self {
        let setup = Arc::new(Setup::new(scope.nodes, scope.copies, sabotage));
        Self { setup, scope, recovery: recovery::Known::default() }
    }

    /// What the machines of a node would do now, whatever its timers say and whomever it takes for dead.
    fn planned(&self, state: &State, me: usize, actions: &mut Vec<Action>) {
        for timing in Timing::all(me, self.scope.nodes) {
            let (writes, steps) = self.setup.plan(state, me, timing);
            let node = &state.nodes[me];
            let found: Vec<Action> = match writes.into_iter().next() {
                Some(write) if node.store => vec![Action::Record(me, Box::new(write))],
                Some(_) | None => {
                    let free = |step: &Step| node.may_begin(step);
                    steps.into_iter().filter(free).map(|step| Action::Begin(me, Box::new(step))).collect()
                }
            };
            for action in found {
                if !actions.contains(&action) {
                    actions.push(action);
                }
            }
        }
    }

    fn of_node(&self, state: &State, me: usize, actions: &mut Vec<Action>) {
        let node = &state.nodes[me];
        if node.store && !state.is_current(me) {
            actions.push(Action::Hear(me));
        }
        self.planned(state, me, actions);
        actions.extend((0..node.running.len()).map(|index| Action::Finish(me, index)));
        let Some(array) = &node.array else { return };
        let key = &state.store.key;
        actions.push(match (node.is_open(), &array.pending) {
            (false, _) if key.attached == me && key.owner == Some(me) && !node.is_stopping() => {
                Action::Open(me)
            }
            (true, None) if node.user == User::Process && state.written < self.scope.writes => {
                Action::Issue(me)
            }
            (true, Some(Pending { marked: false, .. })) => Action::Mark(me),
            _ => Action::Sync(me),
        });
        actions.extend([Action::Close(me), Action::Sync(me), Action::Forget(me)]);
        let waiting = array.pending.iter().flat_map(|pending| &pending.waiting);
        actions.extend(waiting.map(|copy| Action::Land(me, *copy)));
    }

    fn of_the_world(&self, state: &State, actions: &mut Vec<Action>) {
        let nodes = 0..self.scope.nodes;
        let harm = state.faults < self.scope.faults;
        if state.attaches < self.scope.attaches {
            actions
                .extend(nodes.clone().filter(|node| *node != state.store.key.attached).map(Action::Attach));
        }
        for (index, node) in state.nodes.iter().enumerate() {
            if !node.up {
                actions.push(Action::PowerOn(index));
            } else if harm {
                actions.extend([
                    Action::PowerCut(index),
                    Action::Kill(index, false),
                    Action::Kill(index, true),
                ]);
            }
            if harm || !node.store {
                actions.push(Action::Store(index, !node.store));
            }
            for other in nodes.clone().filter(|other| *other > index) {
                let cut = state.cut.contains(&(index, other));
                if cut || harm {
                    actions.push(Action::Link(index, other, cut));
                }
            }
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.setup)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for me in (0..self.scope.nodes).filter(|me| state.nodes[*me].up) {
            self.of_node(state, me, actions);
        }
        self.of_the_world(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        match action {
            Action::Hear(me) => next.hear(me),
            Action::Record(me, write) => return next.record(&self.setup, me, &write).then_some(next),
            Action::Begin(me, step) => next.nodes[me].running.push(*step),
            Action::Finish(me, index) => return next.finish(&self.setup, me, index).then_some(next),
            Action::Kill(me, finishes) => next.kill(&self.setup, me, finishes),
            Action::Open(me) => next.open(me),
            Action::Close(me) => return next.close(me).then_some(next),
            Action::Issue(me) => next.issue(me),
            Action::Mark(me) => return next.mark(me).then_some(next),
            Action::Land(me, copy) => return next.land(me, copy).then_some(next),
            Action::Sync(me) => return next.sync(me).then_some(next),
            Action::Forget(me) => return next.forget(me).then_some(next),
            Action::Attach(to) => next.attach(&self.setup, to),
            Action::PowerCut(me) => next.power_cut(me),
            Action::PowerOn(me) => next.power_on(me),
            Action::Link(one, other, up) => next.link(one, other, up),
            Action::Store(me, reachable) => next.reach_store(me, reachable),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "acknowledged writes are on every copy that may be started from",
                |_, state: &State| state.acknowledged_is_everywhere(),
            ),
            Property::always("copies that count differ only where a bitmap says so", |_, state: &State| {
                state.differences_are_known()
            }),
            Property::always(
                "a fault-free run leads to a volume that is served and whole",
                |model: &Self, state| model.recovery.is_well_in_the_end(&model.setup, state),
            ),
            Property::sometimes("another owner acknowledges a write", |_, state: &State| {
                state.acked > 0 && state.acked_by_another
            }),
            Property::sometimes("an owner that lost the volume still runs it", |_, state: &State| {
                state
                    .nodes
                    .iter()
                    .enumerate()
                    .any(|(index, node)| node.is_open() && state.store.key.owner != Some(index))
            }),
        ]
    }
}

fn search(scope: Scope, sabotage: Option<Guard>) -> impl Checker<Protocol> {
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = Protocol::new(scope, sabotage).checker().threads(threads).spawn_bfs().join();
    println!(
        "{scope:?}, without {sabotage:?}: {} states, {} transitions, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f32()
    );
    checker
}

/// `MODEL_SCOPE=nodes,copies,attaches,faults,writes` searches another scope.
fn scope(otherwise: [u8; 5]) -> Scope {
    let wished = std::env::var("MODEL_SCOPE").ok().map(|text| {
        let numbers: Vec<u8> = text.split(',').map(|number| number.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    });
    let [nodes, copies, attaches, faults, writes] = wished.unwrap_or(otherwise);
    Scope { nodes: nodes.into(), copies: copies.into(), attaches, faults, writes }
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "takes minutes without optimisation: --profile checked -- --include-ignored"
)]
fn two_nodes_with_two_copies() {
    search(scope([2, 2, 1, 0, 1]), None).assert_properties();
}

impl state::Node {
    /// Lanes exclude each other as they do in the daemon; beside a call on the array one more is let out, to keep this
    /// small. An array that is open is not stopped: the kernel says so at once (`md_ioctl`).
    fn may_begin(&self, step: &Step) -> bool {
        let apart =
            |running: &Step| running.lane() != step.lane() && matches!(running.lane(), Lane::Volume(_));
        let refused = self.is_open() && matches!(step, Step::StopArray { .. });
        !refused && self.running.iter().all(apart)
    }

    fn is_open(&self) -> bool {
        self.user != User::Nobody
    }

    /// Nobody opens an array that is being stopped (`MD_CLOSING`).
    fn is_stopping(&self) -> bool {
        self.running.iter().any(|step| matches!(step, Step::StopArray { .. }))
    }
}
