//! One moment of the whole: store, nodes, copies, and the application's memory of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::{Deref, Index, IndexMut};
use std::sync::Arc;

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

/// A call that is out, and all of it in words, which tell it from others: what is printed for people leaves out whom an array is
/// started from.
#[derive(Debug, Clone)]
pub(crate) struct Call(Arc<(Step, String)>);

impl Call {
    pub(crate) fn new(step: Step) -> Self {
        let words = format!("{step:?}");
        Self(Arc::new((step, words)))
    }

    pub(crate) fn words(&self) -> &str {
        &self.0.1
    }
}

impl Deref for Call {
    type Target = Step;

    fn deref(&self) -> &Step {
        &self.0.0
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.0.1 == other.0.1
    }
}

impl Hash for Call {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.1.hash(hasher);
    }
}

/// What a daemon knows of the records.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// All that is written, at once.
    Prompt,
    /// What was written before; what it writes itself is taken where nobody was first.
    Late(Records),
    /// What was written before; the store does not answer.
    Silent(Records),
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) up: bool,
    pub(crate) news: News,
    pub(crate) running: Vec<Call>,
    pub(crate) exports: BTreeSet<(u8, u64)>,
    pub(crate) legs: BTreeMap<(u8, u64), Leg>,
    pub(crate) array: Option<Array>,
    pub(crate) user: User,
    /// Whom the daemon found there when it looked last.
    pub(crate) found: Option<User>,
}

impl Node {
    /// What a power cut leaves of a node: nothing but its drives.
    fn bare(up: bool) -> Self {
        Self {
            up,
            news: News::Prompt,
            running: Vec::new(),
            exports: BTreeSet::new(),
            legs: BTreeMap::new(),
            array: None,
            user: User::Nobody,
            found: None,
        }
    }

    /// Whether its kernel, and what was seen of it, are as they were.
    pub(crate) fn is_as(&self, before: &Self) -> bool {
        let kernel = |node: &'_ Self| (node.user, node.found);
        kernel(self) == kernel(before)
            && self.exports == before.exports
            && self.legs == before.legs
            && self.array == before.array
    }
}

impl News {
    fn stale(&self) -> Option<Stale<'_>> {
        match self {
            Self::Prompt => None,
            Self::Late(view) => Some((true, &view.key)),
            Self::Silent(view) => Some((false, &view.key)),
        }
    }
}

/// Moments share what they have in common.
#[derive(Debug, Clone)]
pub(crate) struct Nodes(Vec<Arc<Node>>);

impl Nodes {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.0.iter().map(Arc::as_ref)
    }
}

impl Index<usize> for Nodes {
    type Output = Node;

    fn index(&self, me: usize) -> &Node {
        &self.0[me]
    }
}

impl IndexMut<usize> for Nodes {
    fn index_mut(&mut self, me: usize) -> &mut Node {
        Arc::make_mut(&mut self.0[me])
    }
}

/// How often each fault happened, or may happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// A call comes to its end only after others went on.
    pub(crate) calls: u8,
    /// News from the store come only after others went on, as they do to a node that was paused.
    pub(crate) news: u8,
    /// A daemon is killed.
    pub(crate) kills: u8,
    /// A node loses power.
    pub(crate) powers: u8,
    /// Two nodes cannot talk to each other.
    pub(crate) links: u8,
    /// A node cannot reach the store.
    pub(crate) stores: u8,
}

#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) store: Records,
    pub(crate) nodes: Nodes,
    pub(crate) copies: Vec<Copy>,
    pub(crate) cut: BTreeSet<(usize, usize)>,
    pub(crate) written: u8,
    pub(crate) acked: u8,
    pub(crate) acked_by_another: bool,
    pub(crate) attaches: u8,
    pub(crate) faults: Faults,
}

/// All that tells one moment from another.
type Identity<'a> = (
    (&'a Digest, &'a Vec<Copy>, &'a BTreeSet<(usize, usize)>, [u8; 4], Faults),
    Vec<(bool, Option<Stale<'a>>, &'a Vec<Call>, &'a BTreeSet<(u8, u64)>, NodeKernel<'a>)>,
);
/// Whether the store answers, and what was heard last.
type Stale<'a> = (bool, &'a Digest);
type NodeKernel<'a> = (&'a BTreeMap<(u8, u64), Leg>, &'a Option<Array>, User, Option<User>);

impl State {
    pub(crate) fn new(setup: &Setup) -> Self {
        let node = Arc::new(Node::bare(true));
        Self {
            store: setup.records(),
            nodes: Nodes(vec![node; setup.nodes.len()]),
            copies: vec![Copy::default(); setup.replicas.len()],
            cut: BTreeSet::new(),
            written: 0,
            acked: 0,
            acked_by_another: false,
            attaches: 0,
            faults: Faults::default(),
        }
    }

    fn identity(&self) -> Identity<'_> {
        let counts = [self.written, self.acked, self.acked_by_another.into(), self.attaches];
        let nodes = self.nodes.iter().map(|one| {
            let kernel = (&one.legs, &one.array, one.user, one.found);
            (one.up, one.news.stale(), &one.running, &one.exports, kernel)
        });
        ((&self.store.key, &self.copies, &self.cut, counts, self.faults), nodes.collect())
    }

    /// The records as a node knows them.
    pub(crate) fn view(&self, me: usize) -> &Records {
        match &self.nodes[me].news {
            News::Prompt => &self.store,
            News::Late(view) | News::Silent(view) => view,
        }
    }

    pub(crate) fn is_silent(&self, me: usize) -> bool {
        matches!(self.nodes[me].news, News::Silent(_))
    }

    /// All that a node's plan hangs on.
    pub(crate) fn hash_sight<H: Hasher>(&self, me: usize, hasher: &mut H) {
        let node = &self.nodes[me];
        (&self.view(me).key, &node.running, node.user, node.found).hash(hasher);
        (&node.exports, &node.legs, &node.array).hash(hasher);
        node.legs.keys().for_each(|key| self.is_through(me, *key).hash(hasher));
    }

    /// A compare-and-swap: `false` if somebody else was first.
    pub(crate) fn record(&mut self, setup: &Setup, me: usize, write: &Write) -> bool {
        let view = self.view(me);
        let Some(record) = &write.record else { return false };
        if !setup.agree(&view.key, &self.store.key, &write.key) {
            return false;
        }
        let (Some(store), Some(view)) =
            (setup.written(&self.store, &write.key, record), setup.written(view, &write.key, record))
        else {
            return false;
        };
        self.store = store;
        if let News::Late(known) = &mut self.nodes[me].news {
            *known = view;
        }
        true
    }

    pub(crate) fn kill(&mut self, setup: &Setup, me: usize, finishes: bool) -> bool {
        while finishes && !self.nodes[me].running.is_empty() && self.finish(setup, me, 0) {}
        let node = &mut self.nodes[me];
        node.running.clear();
        node.found = None;
        node.news = News::Prompt;
        self.faults.kills += 1;
        true
    }

    pub(crate) fn attach(&mut self, setup: &Setup, to: usize) -> bool {
        self.store = setup.with_attachment(&self.store, to);
        self.attaches += 1;
        true
    }

    pub(crate) fn power_cut(&mut self, me: usize) -> bool {
        self.nodes[me] = Node::bare(false);
        self.faults.powers += 1;
        true
    }

    pub(crate) fn power_on(&mut self, me: usize) -> bool {
        self.nodes[me].up = true;
        true
    }

    pub(crate) fn link(&mut self, one: usize, other: usize, up: bool) -> bool {
        if up {
            self.cut.remove(&(one, other));
        } else {
            self.cut.insert((one, other));
            self.faults.links += 1;
        }
        true
    }

    pub(crate) fn lose_store(&mut self, me: usize) -> bool {
        self.nodes[me].news = News::Silent(self.view(me).clone());
        self.faults.stores += 1;
        true
    }

    pub(crate) fn fall_behind(&mut self, me: usize) -> bool {
        self.nodes[me].news = News::Late(self.view(me).clone());
        self.faults.news += 1;
        true
    }

    pub(crate) fn hear(&mut self, me: usize) -> bool {
        self.nodes[me].news = News::Prompt;
        true
    }

    pub(crate) fn begin(&mut self, me: usize, step: Call) -> bool {
        self.nodes[me].running.push(step);
        self.faults.calls += 1;
        true
    }

    /// Whether the volume is attached to a node that owns it.
    pub(crate) fn is_wanted(&self, me: usize) -> bool {
        self.store.key.attached == me && self.store.key.owner == Some(me)
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
