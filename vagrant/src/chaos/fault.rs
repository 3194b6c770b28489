//! What can be wrong.

use std::fmt;

use crate::spec::ETCD;

/// What all kinds are called in the summary.
pub(super) const KINDS: [&str; 14] = [
    "daemon killed",
    "power cut",
    "node paused",
    "network cut",
    "network cut one way",
    "network slow and lossy",
    "drive pulled",
    "drive slow",
    "drive failing",
    "store killed",
    "store paused",
    "store full",
    "node drained",
    "drive evicted",
];

/// One thing that is wrong for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The daemon is killed; its supervisor starts another one when the fault ends.
    DaemonKilled { node: String },
    /// The node loses power, and is switched on when the fault ends.
    PowerCut { node: String },
    /// The node stands still, and knows nothing of it afterwards.
    Paused { node: String },
    /// Nothing passes between two parties.
    Cut { one: String, other: String },
    /// Nothing passes from one party to another.
    CutOneWay { from: String, to: String },
    /// Frames between two parties come late, or not at all.
    Slow { one: String, other: String, delay_ms: u64, loss_percent: u8 },
    /// The drive is not in its node any more.
    DrivePulled { node: String, serial: String },
    /// The drive does few operations a second.
    DriveSlow { node: String, serial: String, operations: u32 },
    /// Every write of the drive fails.
    DriveFailing { node: String, serial: String },
    /// The store is killed.
    StoreKilled,
    /// The store stands still.
    StorePaused,
    /// The store has no space: it can be read, and refuses every write.
    StoreFull,
    /// The node is drained, and uncordoned when the fault ends.
    Drained { node: String },
    /// The drive is emptied, and takes copies again when the fault ends.
    Evicted { node: String, serial: String },
}

impl Fault {
    /// What it is called in the summary.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::DaemonKilled { .. } => "daemon killed",
            Self::PowerCut { .. } => "power cut",
            Self::Paused { .. } => "node paused",
            Self::Cut { .. } => "network cut",
            Self::CutOneWay { .. } => "network cut one way",
            Self::Slow { .. } => "network slow and lossy",
            Self::DrivePulled { .. } => "drive pulled",
            Self::DriveSlow { .. } => "drive slow",
            Self::DriveFailing { .. } => "drive failing",
            Self::StoreKilled => "store killed",
            Self::StorePaused => "store paused",
            Self::StoreFull => "store full",
            Self::Drained { .. } => "node drained",
            Self::Evicted { .. } => "drive evicted",
        }
    }

    /// The node that does nothing while it lasts.
    pub(super) fn takes_away(&self) -> Option<&str> {
        match self {
            Self::PowerCut { node } | Self::Paused { node } => Some(node),
            Self::DaemonKilled { .. }
            | Self::Cut { .. }
            | Self::CutOneWay { .. }
            | Self::Slow { .. }
            | Self::DrivePulled { .. }
            | Self::DriveSlow { .. }
            | Self::DriveFailing { .. }
            | Self::StoreKilled
            | Self::StorePaused
            | Self::StoreFull
            | Self::Drained { .. }
            | Self::Evicted { .. } => None,
        }
    }

    /// The drive that it breaks, and its node: the kernel drops the copies on it of its own accord.
    pub(super) fn broken_drive(&self) -> Option<(&str, &str)> {
        match self {
            Self::DrivePulled { node, serial } | Self::DriveFailing { node, serial } => {
                Some((node.as_str(), serial.as_str()))
            }
            _ => None,
        }
    }

    /// Whether nothing is wrong while it lasts: copies leave a place.
    pub(super) fn empties(&self) -> bool {
        matches!(self, Self::Drained { .. } | Self::Evicted { .. })
    }

    /// Whether the kernel drops a copy for it, of its own accord.
    pub(super) fn breaks_a_medium(&self) -> bool {
        self.broken_drive().is_some()
    }

    /// Whether the other one neither hides it nor undoes it: not the same thing twice, and nothing on a node that is away.
    pub(super) fn is_apart(&self, other: &Self) -> bool {
        let at = |fault: &Self| match fault {
            Self::DaemonKilled { node }
            | Self::PowerCut { node }
            | Self::Paused { node }
            | Self::DrivePulled { node, .. }
            | Self::DriveSlow { node, .. }
            | Self::DriveFailing { node, .. } => vec![node.clone()],
            Self::Cut { one, other } | Self::Slow { one, other, .. } => {
                vec![one.clone() + other, other.clone() + one]
            }
            Self::CutOneWay { from, to } => vec![from.clone() + to, to.clone() + from],
            Self::StoreKilled | Self::StorePaused | Self::StoreFull => vec![ETCD.to_owned()],
            Self::Drained { .. } | Self::Evicted { .. } => Vec::new(),
        };
        !at(self).iter().any(|place| at(other).contains(place))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::DaemonKilled { node }
            | Self::PowerCut { node }
            | Self::Paused { node }
            | Self::Drained { node } => {
                write!(f, "{kind}: {node}")
            }
            Self::Cut { one, other } => write!(f, "{kind}: {one} and {other}"),
            Self::CutOneWay { from, to } => write!(f, "{kind}: {from} to {to}"),
            Self::Slow { one, other, delay_ms, loss_percent } => {
                write!(f, "{kind}: {one} and {other}, {delay_ms} ms each way, {loss_percent} % lost")
            }
            Self::DrivePulled { serial, .. }
            | Self::DriveFailing { serial, .. }
            | Self::Evicted { serial, .. } => {
                write!(f, "{kind}: {serial}")
            }
            Self::DriveSlow { serial, operations, .. } => {
                write!(f, "{kind}: {serial}, {operations} operations/s")
            }
            Self::StoreKilled | Self::StorePaused | Self::StoreFull => f.write_str(kind),
        }
    }
}
