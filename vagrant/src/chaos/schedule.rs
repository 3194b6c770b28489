//! What is done when, out of a seed alone: the same seed gives the same row, whatever becomes of it.

use std::time::Duration;

use super::VOLUMES;
use super::fault::Fault;
use super::timeline::WAY;
use crate::guest::pattern::Dice;
use crate::spec::{ETCD, node_name};

/// What a user asks for. `pick` is a number by which one of what there is then is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// The volume goes where it is wanted now, its application with it.
    Attach {
        volume: usize,
        to: String,
    },
    Move {
        volume: usize,
        pick: u64,
    },
    AddCopy {
        volume: usize,
        pick: u64,
    },
    DropCopy {
        volume: usize,
        pick: u64,
    },
    Grow {
        volume: usize,
    },
    /// One volume more is made and used on this node; if it is there, it is deleted.
    Brief {
        on: String,
    },
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Begin(Fault),
    End(Fault),
    Ask(Wish),
}

/// When.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: Duration,
    pub(super) what: What,
}

/// How many faults may overlap, what empties a node or a drive not counted: nothing is wrong while that goes on. Of those there is one
/// at a time: copies have to find a place.
const AT_ONCE: usize = 2;
/// What a node takes to boot, emulated and under load, ms.
const BOOT_MS: u64 = 30_000;
/// A pulled or failing drive has nothing beside it, and this long nothing before and after it, ms. What the kernel drops because a medium
/// failed is recorded after it was dropped: an owner that died together with every good copy in between would leave a
/// copy that still counts. It does not begin while a node or a drive is emptied either: it waits for whole volumes, and copies that are
/// on their way are none.
const CALM_MS: u64 = 20_000;
/// A node that is away longer than this is given up by who uses it, ms.
const PATIENCE_MS: u64 = 6_000;
/// Kinds of fault, by how often they are drawn. There is seldom a moment for what breaks a medium: most of those come to nothing.
const KINDS: [(u64, Kind); 14] = [
    (4, Kind::DaemonKilled),
    (3, Kind::PowerCut),
    (3, Kind::Paused),
    (3, Kind::Cut),
    (2, Kind::CutOneWay),
    (2, Kind::Slow),
    (8, Kind::DrivePulled),
    (2, Kind::DriveSlow),
    (6, Kind::DriveFailing),
    (1, Kind::StoreKilled),
    (1, Kind::StorePaused),
    (1, Kind::StoreFull),
    (1, Kind::Drained),
    (2, Kind::Evicted),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    DaemonKilled,
    PowerCut,
    Paused,
    Cut,
    CutOneWay,
    Slow,
    DrivePulled,
    DriveSlow,
    DriveFailing,
    StoreKilled,
    StorePaused,
    StoreFull,
    Drained,
    Evicted,
}

/// The whole row of `seed`, in its order. Every fault ends within `length`.
pub(super) fn draw(seed: u64, length: Duration, nodes: u8) -> Vec<Event> {
    let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let mut drawing = Drawing::new(seed, length, nodes);
    let mut at = 3_000;
    while at < length {
        if drawing.dice.below(5) < 3 {
            drawing.fault(at);
        } else {
            let wish = drawing.wish();
            drawing.note(at, What::Ask(wish));
        }
        at += 3_000 + drawing.dice.below(6_000);
    }
    drawing.events.sort_by_key(|event| event.at);
    drawing.events
}

/// The last fault of a kind, and for how long it goes on.
pub(super) fn last_of<'e>(events: &'e [Event], kind: &str) -> Option<(&'e Fault, Duration)> {
    let of_kind = |event: &'e Event| match &event.what {
        What::Begin(fault) if fault.kind() == kind => Some((fault, event.at)),
        _ => None,
    };
    let (fault, begun) = events.iter().rev().find_map(of_kind)?;
    let ends =
        |event: &&Event| event.at >= begun && matches!(&event.what, What::End(other) if other == fault);
    Some((fault, events.iter().find(ends)?.at.saturating_sub(begun)))
}

struct Drawing {
    dice: Dice,
    nodes: u8,
    /// When everything ends, ms.
    length: u64,
    events: Vec<Event>,
    /// Faults with when what follows from them is over, ms.
    active: Vec<(u64, Fault)>,
    /// Where each volume is wanted.
    homes: Vec<String>,
    calm_until: u64,
}

impl Drawing {
    fn new(seed: u64, length: u64, nodes: u8) -> Self {
        let homes = VOLUMES.iter().map(|volume| volume.home.to_owned()).collect();
        Self {
            dice: Dice::new(seed),
            nodes,
            length,
            events: Vec::new(),
            active: Vec::new(),
            homes,
            calm_until: 0,
        }
    }

    fn note(&mut self, at: u64, what: What) {
        self.events.push(Event { at: Duration::from_millis(at), what });
    }

    /// A fault that may happen beside those there are; none if none was drawn.
    fn fault(&mut self, at: u64) {
        self.active.retain(|(over, _)| *over > at);
        for _ in 0..6 {
            let kind = self.kind();
            let (fault, lasts) = self.make(kind);
            if self.may_begin(at, &fault) {
                return self.begin(at, lasts, fault);
            }
        }
    }

    fn begin(&mut self, at: u64, lasts: u64, fault: Fault) {
        let end = (at + lasts).min(self.length);
        let after = match fault {
            Fault::PowerCut { .. } => BOOT_MS,
            _ if fault.breaks_a_medium() => CALM_MS,
            _ => 0,
        };
        if fault.breaks_a_medium() {
            self.calm_until = end + after;
        }
        self.note(at, What::Begin(fault.clone()));
        self.note(end, What::End(fault.clone()));
        let left = fault.takes_away().filter(|_| lasts > PATIENCE_MS).map(str::to_owned);
        self.active.push((end + after, fault));
        if let Some(node) = left {
            self.leave(at + PATIENCE_MS, &node);
        }
    }

    /// Whoever has a volume on a node that is away wants it elsewhere, or waits.
    fn leave(&mut self, at: u64, node: &str) {
        for volume in 0..self.homes.len() {
            let is_there = self.homes.get(volume).is_some_and(|home| home == node);
            if is_there && self.dice.below(4) > 0 {
                let to = self.standing_node();
                self.set_home(volume, &to);
                self.note(at, What::Ask(Wish::Attach { volume, to }));
            }
        }
    }

    fn set_home(&mut self, volume: usize, to: &str) {
        if let Some(home) = self.homes.get_mut(volume) {
            to.clone_into(home);
        }
    }

    fn may_begin(&self, at: u64, fault: &Fault) -> bool {
        let emptying = self.active.iter().filter(|(_, fault)| fault.empties()).count();
        let faults = self.active.len() - emptying;
        let is_apart = self.active.iter().all(|(_, other)| other.is_apart(fault));
        if fault.empties() {
            emptying == 0
        } else if fault.breaks_a_medium() {
            faults == 0 && emptying == 0 && at >= self.calm_until
        } else {
            faults < AT_ONCE && at >= self.calm_until && is_apart
        }
    }

    fn kind(&mut self) -> Kind {
        let all: u64 = KINDS.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.dice.below(all);
        for (weight, kind) in KINDS {
            if drawn < weight {
                return kind;
            }
            drawn -= weight;
        }
        Kind::DaemonKilled
    }

    /// A fault of this kind, and how long it lasts, ms.
    fn make(&mut self, kind: Kind) -> (Fault, u64) {
        let node = self.node();
        let serial = format!("{node}-{}", if self.dice.below(2) == 0 { "a" } else { "b" });
        let (one, other) = self.pair();
        let brief = 500 + self.dice.below(6_000);
        let long = 500 + self.dice.below(30_000);
        match kind {
            Kind::DaemonKilled => (Fault::DaemonKilled { node }, brief),
            Kind::PowerCut => (Fault::PowerCut { node }, long),
            Kind::Paused => (Fault::Paused { node }, long),
            Kind::Cut => (Fault::Cut { one, other }, long),
            Kind::CutOneWay => (Fault::CutOneWay { from: one, to: other }, long),
            Kind::Slow => {
                let (delay_ms, loss_percent) = (5 + self.dice.below(120), self.percent());
                (Fault::Slow { one, other, delay_ms, loss_percent }, long)
            }
            Kind::DrivePulled => (Fault::DrivePulled { node, serial }, brief + 3_000),
            Kind::DriveSlow => {
                let operations = 10 + u32::try_from(self.dice.below(60)).unwrap_or_default();
                (Fault::DriveSlow { node, serial, operations }, long)
            }
            Kind::DriveFailing => (Fault::DriveFailing { node, serial }, long),
            Kind::StoreKilled => (Fault::StoreKilled, long),
            Kind::StorePaused => (Fault::StorePaused, long),
            Kind::StoreFull => (Fault::StoreFull, long),
            Kind::Drained => (Fault::Drained { node }, 20_000 + long),
            Kind::Evicted => (Fault::Evicted { node, serial }, 20_000 + long),
        }
    }

    fn percent(&mut self) -> u8 {
        u8::try_from(self.dice.below(4)).unwrap_or_default()
    }

    fn wish(&mut self) -> Wish {
        let volume = usize::try_from(self.dice.below(VOLUMES.len() as u64)).unwrap_or_default();
        let pick = self.dice.throw();
        match self.dice.below(12) {
            0..4 => {
                let to = self.standing_node();
                self.set_home(volume, &to);
                Wish::Attach { volume, to }
            }
            4..7 => Wish::Move { volume, pick },
            7 => Wish::AddCopy { volume, pick },
            8 => Wish::DropCopy { volume, pick },
            9 => Wish::Grow { volume },
            _ => Wish::Brief { on: self.standing_node() },
        }
    }

    fn node(&mut self) -> String {
        node_name(1 + u8::try_from(self.dice.below(u64::from(self.nodes))).unwrap_or_default())
    }

    /// A node that is not away, if there is one.
    fn standing_node(&mut self) -> String {
        let mut node = self.node();
        for _ in 0..8 {
            if !self.active.iter().any(|(_, fault)| fault.takes_away() == Some(&node)) {
                break;
            }
            node = self.node();
        }
        node
    }

    /// Two parties of the network, the store among them.
    fn pair(&mut self) -> (String, String) {
        let one = self.node();
        let other = self.node();
        let other = if other == one { ETCD.to_owned() } else { other };
        if self.dice.below(2) == 0 { (one, other) } else { (other, one) }
    }
}

impl Wish {
    /// What it is called in the summary.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Attach { .. } => WAY,
            Self::Move { .. } => "move",
            Self::AddCopy { .. } => "one more copy",
            Self::DropCopy { .. } => "one copy less",
            Self::Grow { .. } => "growth",
            Self::Brief { .. } => "creation or deletion",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_mins(20);

    #[test]
    fn a_seed_has_one_row_and_every_fault_ends() {
        let row = draw(1, LENGTH, 3);
        assert_eq!(row, draw(1, LENGTH, 3));
        assert_ne!(row, draw(2, LENGTH, 3));
        let count = |wanted: fn(&What) -> bool| row.iter().filter(|event| wanted(&event.what)).count();
        assert!(row.iter().all(|event| event.at <= LENGTH + Duration::from_millis(PATIENCE_MS)));
        assert_eq!(count(|what| matches!(what, What::Begin(_))), count(|what| matches!(what, What::End(_))));
    }

    #[test]
    fn the_last_of_a_kind_is_found_with_its_length() {
        let fault = |serial: &str| Fault::DriveFailing { node: "node-1".into(), serial: serial.into() };
        let event = |seconds, what| Event { at: Duration::from_secs(seconds), what };
        let row = [
            event(1, What::Begin(fault("a"))),
            event(3, What::End(fault("a"))),
            event(5, What::Begin(fault("b"))),
            event(6, What::Begin(Fault::StoreFull)),
            event(9, What::End(fault("b"))),
        ];
        assert_eq!(last_of(&row, fault("a").kind()), Some((&fault("b"), Duration::from_secs(4))));
        assert_eq!(last_of(&row, Fault::StoreFull.kind()), None, "it does not end");
        assert_eq!(last_of(&row, Fault::StoreKilled.kind()), None);
    }

    #[test]
    fn each_of_the_first_three_seeds_has_every_kind() {
        for seed in 1..=3 {
            let row = draw(seed, LENGTH, 3);
            for kind in crate::chaos::fault::KINDS {
                let is_drawn =
                    |event: &Event| matches!(&event.what, What::Begin(fault) if fault.kind() == kind);
                assert!(row.iter().any(is_drawn), "seed {seed}: {kind}");
            }
        }
    }

    #[test]
    fn every_kind_is_drawn_and_no_more_than_two_overlap() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let mut open: Vec<Fault> = Vec::new();
            for event in draw(seed, LENGTH, 4) {
                match event.what {
                    What::Begin(fault) => {
                        let is_emptied = open.iter().any(Fault::empties);
                        assert!(!(fault.breaks_a_medium() && is_emptied), "{fault} beside {open:?}");
                        kinds.insert(fault.kind());
                        open.push(fault);
                    }
                    What::End(fault) => open.retain(|other| *other != fault),
                    What::Ask(_) => {}
                }
                let emptying = open.iter().filter(|fault| fault.empties()).count();
                assert!(open.len() - emptying <= AT_ONCE && emptying <= 1, "{open:?}");
                let broken = open.iter().any(Fault::breaks_a_medium);
                assert!(!broken || open.len() - emptying == 1, "{open:?}");
            }
        }
        assert_eq!(kinds, crate::chaos::fault::KINDS.into_iter().collect::<std::collections::BTreeSet<_>>());
        assert_eq!(kinds.len(), KINDS.len());
    }
}
