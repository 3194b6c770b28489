//! One moment of the whole: store, nodes, copies, and the application's memory of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use mdfabric::domain::Key;
use mdfabric::plan::{Step, Write};

use super::records::{Digest, Records, Setup};

/// One copy's partition: what survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Copy {
    /// The write it saw last.
    pub(crate) version: u8,
    /// Its bitmap says that it may differ from the others.
    pub(crate) dirty: bool,
    /// Its superblock says that its recovery has not ended.
    pub(crate) filling: bool,
}

/// A leg: a connection, and maybe a map over it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Leg {
    pub(crate) connected: bool,
    pub(crate) map: Option<Map>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Map {
    pub(crate) active: bool,
    pub(crate) queueing: bool,
}

/// A member as MD has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    InSync,
    /// Being filled: all of it, or what the bitmap says.
    Filling {
        by_bitmap: bool,
    },
    Spare {
        by_bitmap: bool,
    },
    /// Kicked out; it has no slot any more.
    Faulty,
}

/// A write under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    pub(crate) version: u8,
    pub(crate) marked: bool,
    pub(crate) waiting: BTreeSet<u8>,
    pub(crate) landed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Array {
    /// The ownership whose legs its members are.
    pub(crate) epoch: u64,
    pub(crate) members: BTreeMap<u8, Role>,
    pub(crate) slots: u32,
    pub(crate) dirty: bool,
    /// It was not stopped in order: members are to be made equal.
    pub(crate) resync: bool,
    pub(crate) pending: Option<Pending>,
}

/// Who has the array open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum User {
    Nobody,
    Process,
    /// A process with SIGKILL pending: it hears nothing any more.
    Ending,
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) up: bool,
    /// It reaches the store.
    pub(crate) store: bool,
    pub(crate) view: Records,
    pub(crate) running: Vec<Step>,
    pub(crate) exports: BTreeSet<(u8, u64)>,
    pub(crate) legs: BTreeMap<(u8, u64), Leg>,
    pub(crate) array: Option<Array>,
    pub(crate) user: User,
    /// Whom the daemon found there when it looked last.
    pub(crate) found: Option<User>,
}

#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) store: Records,
    pub(crate) nodes: Vec<Node>,
    pub(crate) copies: Vec<Copy>,
    pub(crate) cut: BTreeSet<(usize, usize)>,
    pub(crate) written: u8,
    pub(crate) acked: u8,
    pub(crate) acked_by_another: bool,
    pub(crate) attaches: u8,
    pub(crate) faults: u8,
    keys: Arc<Vec<Key>>,
}

/// All that tells one moment from another.
type Identity<'a> = (
    (&'a Digest, &'a Vec<Copy>, &'a BTreeSet<(usize, usize)>, [u8; 5]),
    Vec<([bool; 2], &'a Digest, Vec<bool>, Vec<String>, &'a BTreeSet<(u8, u64)>, NodeKernel<'a>)>,
);
type NodeKernel<'a> = (&'a BTreeMap<(u8, u64), Leg>, &'a Option<Array>, User, Option<User>);

impl State {
    pub(crate) fn new(setup: &Setup) -> Self {
        let records = Records { world: setup.world.clone(), key: setup.digest(&setup.world) };
        let node = Node {
            up: true,
            store: true,
            view: records.clone(),
            running: Vec::new(),
            exports: BTreeSet::new(),
            legs: BTreeMap::new(),
            array: None,
            user: User::Nobody,
            found: None,
        };
        Self {
            store: records,
            nodes: vec![node; setup.nodes.len()],
            copies: vec![Copy::default(); setup.replicas.len()],
            cut: BTreeSet::new(),
            written: 0,
            acked: 0,
            acked_by_another: false,
            attaches: 0,
            faults: 0,
            keys: Arc::new(setup.keys.clone()),
        }
    }

    fn identity(&self) -> Identity<'_> {
        let node = |node: &'_ Node| {
            let current =
                self.keys.iter().map(|key| node.view.world.revision(key) == self.store.world.revision(key));
            current.collect::<Vec<_>>()
        };
        let counts = [self.written, self.acked, self.acked_by_another.into(), self.attaches, self.faults];
        let nodes = self.nodes.iter().map(|one| {
            let running = one.running.iter().map(ToString::to_string).collect();
            let kernel = (&one.legs, &one.array, one.user, one.found);
            ([one.up, one.store], &one.view.key, node(one), running, &one.exports, kernel)
        });
        ((&self.store.key, &self.copies, &self.cut, counts), nodes.collect())
    }

    /// Whether a node has heard of everything.
    pub(crate) fn is_current(&self, me: usize) -> bool {
        let view = &self.nodes[me].view.world;
        self.keys.iter().all(|key| view.revision(key) == self.store.world.revision(key))
    }

    pub(crate) fn hear(&mut self, me: usize) {
        self.nodes[me].view = self.store.clone();
    }

    /// A compare-and-swap: `false` if somebody else was first.
    pub(crate) fn record(&mut self, setup: &Setup, me: usize, write: &Write) -> bool {
        let view = &self.nodes[me].view;
        let Some(record) = &write.record else { return false };
        if view.world.revision(&write.key) != self.store.world.revision(&write.key) {
            return false;
        }
        let (Some(store), Some(view)) =
            (setup.written(&self.store, &write.key, record), setup.written(view, &write.key, record))
        else {
            return false;
        };
        self.store = store;
        self.nodes[me].view = view;
        true
    }

    pub(crate) fn kill(&mut self, setup: &Setup, me: usize, finishes: bool) {
        while finishes && !self.nodes[me].running.is_empty() && self.finish(setup, me, 0) {}
        self.nodes[me].running.clear();
        self.nodes[me].found = None;
        self.faults += 1;
        if self.nodes[me].store {
            self.hear(me);
        }
    }

    pub(crate) fn attach(&mut self, setup: &Setup, to: usize) {
        self.store = setup.with_attachment(&self.store, to);
        self.attaches += 1;
    }

    pub(crate) fn power_cut(&mut self, me: usize) {
        let node = &mut self.nodes[me];
        node.up = false;
        node.running.clear();
        node.exports.clear();
        node.legs.clear();
        node.array = None;
        node.user = User::Nobody;
        node.found = None;
        self.faults += 1;
        self.hear(me);
    }

    pub(crate) fn power_on(&mut self, me: usize) {
        self.nodes[me].up = true;
        self.hear(me);
    }

    pub(crate) fn link(&mut self, one: usize, other: usize, up: bool) {
        if up {
            self.cut.remove(&(one, other));
        } else {
            self.cut.insert((one, other));
            self.faults += 1;
        }
    }

    pub(crate) fn reach_store(&mut self, me: usize, reachable: bool) {
        self.nodes[me].store = reachable;
        self.faults += u8::from(!reachable);
    }

    /// R1, R2.
    pub(crate) fn acknowledged_is_everywhere(&self) -> bool {
        let in_sync = &self.store.key.in_sync;
        !in_sync.is_empty() && in_sync.iter().all(|copy| self.copies[*copy].version >= self.acked)
    }

    /// R3.
    pub(crate) fn differences_are_known(&self) -> bool {
        let copies: Vec<Copy> = self.store.key.in_sync.iter().map(|copy| self.copies[*copy]).collect();
        let equal = copies.windows(2).all(|pair| pair[0].version == pair[1].version);
        equal || copies.iter().any(|copy| copy.dirty)
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.identity().hash(hasher);
    }
}
