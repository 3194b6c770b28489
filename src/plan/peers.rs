//! Which daemons are heard over the data network, and for how long each of the others has been silent.
//!
//! ```text
//!            a beat comes            peer-silent-millis        PEER_DEAD_AFTER_MILLIS more
//! Unheard ----------------> Heard --------------------------> Silent --------------------------> Dead
//!                             ^ <----------------- a beat comes ----------------'                 |
//!                             '-------------------------------------------------------------------'
//! ```
//!
//! Silence is counted in time in which this daemon itself was awake: [`Peers::pass`]. A silent daemon proves nothing about its
//! kernel: it may be restarted. What its kernel does, ours can tell: [`Input::is_gone`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use uuid::Uuid;

use super::Input;
use super::timing::{
    ANSWER_MILLIS, BEAT_MILLIS, KEEP_ALIVE_MILLIS, PEER_DEAD_AFTER_MILLIS, PEER_SILENT_MILLIS,
};
use crate::domain::{Endpoint, Key, Kind, NodeName, Timestamp, World};

/// What one heartbeat says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Drawn anew by every start of a daemon.
    pub life: Uuid,
    /// Counts the beats of that life, from 1.
    pub sequence: u64,
    /// The sender wants to hear us.
    pub asks: bool,
    /// The sender's machine goes down.
    pub goes_down: bool,
}

/// How a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Not heard yet since this daemon listens for it.
    Unheard,
    /// Heard a moment ago.
    Heard,
    /// It said that its machine goes down, and no other daemon was heard from it since.
    GoesDown,
    /// Not heard for long enough to ask the kernel what it thinks of it.
    Silent,
    /// Not heard for long enough to be taken for dead, if the store agrees.
    Dead,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unheard => "has not been heard on the data network",
            Self::Heard => "is heard on the data network",
            Self::GoesDown => "said that it goes down",
            Self::Silent | Self::Dead => "is silent on the data network",
        })
    }
}

/// How much silence is borne. Less costs copies where nodes or the network are slow for a moment; more makes writes wait longer
/// when a peer is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Patience {
    silent_millis: u64,
}

impl Patience {
    fn dead_millis(self) -> u64 {
        self.silent_millis + PEER_DEAD_AFTER_MILLIS
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { silent_millis: PEER_SILENT_MILLIS }
    }
}

/// What is known of one node's daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Hearing {
    wanted: bool,
    asks: bool,
    goes_down: bool,
    life: Option<Uuid>,
    /// A beat of it that comes now was late.
    life_before: Option<Uuid>,
    sequence: u64,
    silent_millis: u64,
}

impl Hearing {
    fn standing(&self, patience: Patience) -> Standing {
        match self.silent_millis {
            _ if self.goes_down => Standing::GoesDown,
            _ if self.life.is_none() => Standing::Unheard,
            silent if silent >= patience.dead_millis() => Standing::Dead,
            silent if silent >= patience.silent_millis => Standing::Silent,
            _ => Standing::Heard,
        }
    }

    fn words(&self, patience: Patience) -> String {
        let seconds = self.silent_millis / 1000;
        match self.standing(patience) {
            Standing::Heard => Standing::Heard.to_string(),
            other => format!("{other}; its last beat is {seconds}s old"),
        }
    }

    fn is_late(&self, beat: &Beat) -> bool {
        self.life_before == Some(beat.life) || self.life == Some(beat.life) && beat.sequence <= self.sequence
    }

    fn hear(&mut self, beat: &Beat) {
        if self.life != Some(beat.life) {
            self.life_before = self.life.replace(beat.life);
        }
        self.sequence = beat.sequence;
        self.silent_millis = 0;
        (self.asks, self.goes_down) = (beat.asks, beat.goes_down);
    }
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peers {
    nodes: BTreeMap<NodeName, Hearing>,
    patience: Patience,
}

impl Peers {
    /// Nobody is followed yet; a node is silent after `silent_millis` without a beat.
    #[must_use]
    pub fn patient(silent_millis: u64) -> Self {
        Self { patience: Patience { silent_millis }, ..Self::default() }
    }

    /// Listens to these nodes and no other. Those that are wanted are missed when they are silent.
    pub fn follow<'a>(&mut self, nodes: impl Iterator<Item = (&'a NodeName, bool)>) {
        let mut old = std::mem::take(&mut self.nodes);
        for (node, wanted) in nodes {
            let mut hearing = old.remove(node).unwrap_or_default();
            if wanted && !hearing.wanted {
                hearing.silent_millis = 0;
            }
            hearing.wanted = wanted;
            self.nodes.insert(node.clone(), hearing);
        }
    }

    /// A beat came. One of a node nobody listens to, or that is older than another one that came, says nothing.
    pub fn hear(&mut self, node: &NodeName, beat: &Beat) {
        if let Some(hearing) = self.nodes.get_mut(node).filter(|hearing| !hearing.is_late(beat)) {
            hearing.hear(beat);
        }
    }

    /// Time passes. Whoever listens calls this at least every [`BEAT_MILLIS`]; if it comes later, it was not awake, and most
    /// of that time proves nothing.
    pub fn pass(&mut self, millis: u64) {
        let counted = millis.min(2 * BEAT_MILLIS);
        for hearing in self.nodes.values_mut() {
            hearing.silent_millis = hearing.silent_millis.saturating_add(counted);
        }
    }

    /// To whom the next beats go, and whether they ask for an answer: nodes that are wanted, and those that want us.
    pub fn targets(&self) -> impl Iterator<Item = (&NodeName, bool)> {
        let wants_us =
            |hearing: &Hearing| hearing.asks && hearing.silent_millis < self.patience.dead_millis();
        self.nodes
            .iter()
            .filter(move |(_, hearing)| hearing.wanted || wants_us(hearing))
            .map(|(node, hearing)| (node, hearing.wanted))
    }

    /// How every wanted node stands.
    #[must_use]
    pub fn standings(&self) -> BTreeMap<&NodeName, Standing> {
        let wanted = self.nodes.iter().filter(|(_, hearing)| hearing.wanted);
        wanted.map(|(node, hearing)| (node, hearing.standing(self.patience))).collect()
    }

    /// How a wanted node stands, and for how many milliseconds it has been silent.
    #[must_use]
    pub fn of(&self, node: &NodeName) -> Option<(Standing, u64)> {
        let hearing = self.nodes.get(node).filter(|hearing| hearing.wanted)?;
        Some((hearing.standing(self.patience), hearing.silent_millis))
    }

    /// Every wanted node and how it stands, in words.
    #[must_use]
    pub fn words(&self) -> Vec<(NodeName, String)> {
        let wanted = self.nodes.iter().filter(|(_, hearing)| hearing.wanted);
        wanted.map(|(node, hearing)| (node.clone(), hearing.words(self.patience))).collect()
    }

    /// Milliseconds of silence until the standing of a node changes.
    #[must_use]
    pub fn next_change_in(&self) -> Option<u64> {
        let next = |hearing: &Hearing| match hearing.standing(self.patience) {
            Standing::Heard => Some(self.patience.silent_millis - hearing.silent_millis),
            Standing::Silent => Some(self.patience.dead_millis() - hearing.silent_millis),
            Standing::Unheard | Standing::GoesDown | Standing::Dead => None,
        };
        self.nodes.values().filter(|hearing| hearing.wanted).filter_map(next).min()
    }

    /// Wanted nodes that are silent, heard before or not, and for how long.
    pub fn silent(&self) -> impl Iterator<Item = (&NodeName, u64)> {
        let limit = self.patience.silent_millis;
        let silent = move |hearing: &Hearing| hearing.wanted && hearing.silent_millis >= limit;
        let nodes = self.nodes.iter().filter(move |(_, hearing)| silent(hearing));
        nodes.map(|(node, hearing)| (node, hearing.silent_millis))
    }

    fn is_silent(&self, node: &NodeName) -> bool {
        self.silent().any(|(silent, _)| silent == node)
    }

    /// Whether a node's daemon is at work, whatever the store knows of it.
    fn is_heard(&self, node: &NodeName) -> bool {
        match self.of(node) {
            Some((Standing::Heard | Standing::Silent, _)) => true,
            Some((Standing::GoesDown, silent)) => silent < self.patience.dead_millis(),
            Some((Standing::Unheard | Standing::Dead, _)) | None => false,
        }
    }

    /// Whether a node was heard, and is not any more.
    fn fell_silent(&self, node: &NodeName) -> bool {
        match self.of(node) {
            Some((Standing::Dead, _)) => true,
            Some((Standing::GoesDown, silent)) => silent >= self.patience.dead_millis(),
            Some((Standing::Unheard | Standing::Heard | Standing::Silent, _)) | None => false,
        }
    }
}

/// Every node that has said where it is, and whether this one wants to hear it: they have a volume in common, as owner, as host
/// of a copy, or as the place where it shall be attached.
#[must_use]
pub fn wanted(world: &World, me: &NodeName) -> BTreeMap<NodeName, (Endpoint, bool)> {
    let mut common = BTreeSet::new();
    for volume in world.volumes() {
        let attached = volume.spec.attachment.as_ref().map(|attachment| &attachment.node);
        let owner = volume.status.as_ref().and_then(|status| status.owner.as_ref());
        let members = volume.status.iter().flat_map(|status| &status.members).map(|member| &member.node);
        let nodes: BTreeSet<&NodeName> = members.chain(attached).chain(owner).collect();
        if nodes.contains(me) {
            common.extend(nodes.into_iter().cloned());
        }
    }
    let others = world.nodes().filter(|(name, _)| name != me);
    let known = others.filter_map(|(name, node)| Some((name, node.status?.endpoint)));
    known
        .map(|(name, endpoint)| {
            let is_wanted = common.contains(&name);
            (name, (endpoint, is_wanted))
        })
        .collect()
}

impl Input<'_> {
    /// Whether a node and its kernel are out of reach: its daemon is silent, and its kernel does not acknowledge what ours sends.
    #[must_use]
    pub fn is_gone(&self, node: &NodeName) -> bool {
        self.memory.is_gone(node)
    }

    /// Whether a node said that its machine goes down.
    #[must_use]
    pub fn goes_down(&self, node: &NodeName) -> bool {
        matches!(self.memory.peers.of(node), Some((Standing::GoesDown, _)))
    }

    /// Until when a controller that is live may belong to a kernel that is not there any more: then to remove it would take a
    /// minute. Our kernel notices by itself, but late. `None`: it is safe.
    #[must_use]
    pub fn undecided_until(&self, node: &NodeName) -> Option<Timestamp> {
        let (_, silent) = self.memory.peers.of(node).filter(|_| self.memory.peers.is_silent(node))?;
        (silent < KEEP_ALIVE_MILLIS).then(|| self.now.plus(KEEP_ALIVE_MILLIS - silent))
    }

    /// Whether a node was heard of lately. This one always is.
    #[must_use]
    pub fn is_alive(&self, node: &NodeName) -> bool {
        let key = Key::new(Kind::NodeStatus, node);
        let age = self.memory.liveness.age(&key, self.now);
        node == self.me || age.is_some_and(|age| age < self.dead_after(node))
    }

    /// Whether an owner may still be at work: the store has heard of it lately, or we hear it ourselves.
    #[must_use]
    pub fn owner_lives(&self, node: &NodeName) -> bool {
        self.is_alive(node) || self.memory.peers.is_heard(node)
    }

    /// When a node that is alive will be taken for dead if nothing is heard of it any more.
    #[must_use]
    pub fn dead_at(&self, node: &NodeName) -> Timestamp {
        let age = self.memory.liveness.age(&Key::new(Kind::NodeStatus, node), self.now);
        let left = age.map_or(0, |age| self.dead_after(node).saturating_sub(age));
        self.now.plus(left)
    }

    /// How long the store may hear nothing of a node: not as long if we heard it ourselves, and do not any more.
    fn dead_after(&self, node: &NodeName) -> u64 {
        let pace = self.memory.liveness.pace();
        if self.memory.peers.fell_silent(node) { pace.silent_node_dead_millis } else { pace.node_dead_millis }
    }
}

impl super::Memory {
    pub(super) fn is_gone(&self, node: &NodeName) -> bool {
        self.peers.is_silent(node) && self.unanswered.get(node).is_some_and(|millis| *millis >= ANSWER_MILLIS)
    }

    /// Every node that is gone: [`Input::is_gone`].
    #[must_use]
    pub fn gone(&self) -> BTreeSet<NodeName> {
        self.unanswered.keys().filter(|node| self.is_gone(node)).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
