//! Every time-out of the machines, with its unit in its name.

use crate::domain::Bytes;

/// A node whose heartbeat did not change for this long, while the store answered, is taken for dead.
pub const NODE_DEAD_MILLIS: u64 = 15_000;
/// The same for a node whose daemon was heard over the data network and is not any more.
pub const SILENT_NODE_DEAD_MILLIS: u64 = 6_000;
/// How often a node writes its heartbeat into the store.
pub const HEARTBEAT_MILLIS: u64 = 2_000;

/// How often a node says through the store that it lives, and when others take it for dead. What the store can bear decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How often its heartbeat is written, ms.
    pub heartbeat_millis: u64,
    /// A node whose heartbeat did not change for this long, while the store answered, is taken for dead, ms.
    pub node_dead_millis: u64,
    /// The same for a node whose daemon was heard over the data network and is not any more, ms.
    pub silent_node_dead_millis: u64,
}

impl Pace {
    /// For a store of our own: thirty beats a minute.
    pub const FREQUENT: Self = Self {
        heartbeat_millis: HEARTBEAT_MILLIS,
        node_dead_millis: NODE_DEAD_MILLIS,
        silent_node_dead_millis: SILENT_NODE_DEAD_MILLIS,
    };
    /// For a store that others use, too: twelve. Two of them may be lost.
    pub const SPARING: Self =
        Self { heartbeat_millis: 5_000, node_dead_millis: 20_000, silent_node_dead_millis: 12_000 };

    /// A store that said nothing for this long did not answer: one's own heartbeat would have made it say something, ms.
    #[must_use]
    pub const fn store_silent_millis(self) -> u64 {
        self.heartbeat_millis + 2_500
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::FREQUENT
    }
}

/// How often a daemon says to those it has a volume in common with that it is there.
pub const BEAT_MILLIS: u64 = 100;
/// Silence after which the kernel is asked whether a peer's kernel still acknowledges, unless `peer-silent-millis` says otherwise:
/// three beats are missing.
pub const PEER_SILENT_MILLIS: u64 = 400;
/// Further silence after which a peer's daemon is not at work any more: it is dead if the store agrees.
pub const PEER_DEAD_AFTER_MILLIS: u64 = 600;
/// A kernel that acknowledges nothing of what was sent to it for this long, while its daemon is silent, is out of reach. TCP
/// tries again after 200 ms and a little (`TCP_RTO_MIN`), so one lost segment is no silence.
pub const ANSWER_MILLIS: u64 = 300;
/// After this long a controller whose peer is not there is not live any more: 2.6 times its keep-alive, and a little.
pub const KEEP_ALIVE_MILLIS: u64 = 10_000;
/// How long the controller's lease is valid without renewal.
pub const LEASE_TERM_MILLIS: u64 = 15_000;
/// How often the controller renews its lease.
pub const LEASE_RENEW_MILLIS: u64 = 5_000;
/// How long a new owner waits for a live provider to acknowledge its epoch before it goes on without that replica.
pub const ACKNOWLEDGE_MILLIS: u64 = 60_000;
/// How long an acknowledging provider may be unreachable at attach before its replica leaves the in-sync set.
pub const CONNECT_MILLIS: u64 = 20_000;
/// How long a lost leg holds writes before the smaller in-sync set is recorded and the leg is let go. A blip that is
/// shorter costs no resync; writes wait that long.
pub const LEG_LOSS_MILLIS: u64 = 600;
/// For how long a copy has been missing is recorded in steps of this.
pub const WAITED_STEP_MILLIS: u64 = 30_000;
/// How long after a copy failed its provider may still say that its drive was pulled: such a one is waited for.
pub const FAILED_MILLIS: u64 = 5_000;
/// How many lost copies one owner replaces at a time.
pub const HEALS_PER_NODE: usize = 2;
/// For how long on end a provider may object to making a new copy before another drive is tried.
pub const CANDIDATE_MILLIS: u64 = 60_000;
/// How often in a row a copy's superblock may fail to be read or written until its drive counts as failing: some seconds of tries.
pub const SUPERBLOCK_FAILURES: u32 = 3;
/// How often in a row the kernel may refuse to take a new copy into the array before that: some 30 s of tries.
pub const CANDIDATE_FAILURES: u32 = 8;
/// After how long a file system that is being shut down gives nothing away any more, whether the call has returned or not:
/// on ext4 it waits for what the legs hold.
pub const SHUT_DOWN_MILLIS: u64 = 300;
/// How old the list of a lost volume's users may be when something is decided by it.
pub const HOLDERS_MILLIS: u64 = 500;
/// A call into the kernel that is not back by then is shown as stuck. Nothing ends it: it is only not waited for in silence.
pub const CALL_MILLIS: u64 = 20_000;
/// The same for connecting and disconnecting: the kernel itself gives up after 60 s (`admin_timeout`).
pub const CONTROLLER_CALL_MILLIS: u64 = 70_000;
/// The same for what writes back or replays a whole file system.
pub const FILE_SYSTEM_CALL_MILLIS: u64 = 120_000;
/// A drive that has not answered a read for this long is shown as stuck.
pub const DRIVE_ANSWER_MILLIS: u64 = 10_000;
/// How long one look waits for the drives it asked, together. Who has not answered by then is looked at without.
pub const DRIVE_LOOK_MILLIS: u64 = 1_500;
/// How old a busy drive's last answer may be before it is asked whether it is still there.
pub const DRIVE_ASK_MILLIS: u64 = 5_000;
/// How long a look at the kernel may take before the daemon goes on with what it saw before.
pub const LOOK_CALL_MILLIS: u64 = 5_000;
/// First wait after a failed step; doubles up to [`RETRY_MAX_MILLIS`].
pub const RETRY_FIRST_MILLIS: u64 = 250;
/// Longest wait between two tries of a failing step.
pub const RETRY_MAX_MILLIS: u64 = 15_000;
/// How long a failed step that is not planned any more is remembered.
pub const FAILURES_KEPT_MILLIS: u64 = 600_000;
/// How many events a volume keeps.
pub const EVENTS_KEPT: usize = 24;
/// Sync progress is recorded when it moved by this many tenths of a percent.
pub const PROGRESS_STEP_PERMILLE: u16 = 10;
/// How old a figure of a mounted file system's use gets before it is measured again, in the next turn there is anyhow: every
/// heartbeat brings one.
pub const USE_MILLIS: u64 = 60_000;
/// A file system's use is recorded when it moved by more than this many tenths of a percent of the volume's size.
pub const USE_STEP_PERMILLE: u64 = 10;
/// How often the state of controllers and the progress of a recovery are sampled while there are any: the kernel sends
/// no event for them.
pub const SAMPLE_MILLIS: u64 = 500;
/// The same while a leg has just been lost or a peer has just fallen silent: what is learnt late, writes wait for.
pub const SAMPLE_CLOSELY_MILLIS: u64 = 20;
/// For how long after such a thing it is looked at closely.
pub const CLOSELY_FOR_MILLIS: u64 = 5_000;
/// How often everything is looked at although no event came: events can be lost.
pub const LOOK_MILLIS: u64 = 30_000;
/// Shortest wait between two turns of the daemon that nothing but its own timer asked for.
pub const TURN_MIN_MILLIS: u64 = 20;
/// How long a store that did not answer is left alone before the next write is tried.
pub const STORE_RETRY_MILLIS: u64 = 2_000;
/// How long nothing is written after a write that was overtaken by what is known already, or is not to be read: the same would be overtaken again.
pub const OVERTAKEN_MILLIS: u64 = 250;
/// How long a record that the store refused is not offered to it again as it is.
pub const REFUSED_MILLIS: u64 = 30_000;
/// How long after that it is not offered, whatever it says: statuses say what time it is, and would be another one in every turn.
pub const REFUSED_ANEW_MILLIS: u64 = 1_000;

/// How long the store is asked in vain before an owner that may (`onStoreLoss: continue`) lets a lost copy go without it. Longer
/// than etcd needs to elect another leader.
pub const STORE_LOST_MILLIS: u64 = 5_000;

/// Two tries in vain that are further apart than this have nothing to do with each other: the machine slept in between. Longer than
/// a request's time-out, the pause after it and a heartbeat.
pub const STORE_TRIES_MILLIS: u64 = 12_000;
/// How long a scrub leaves the array alone between two slices.
pub const SCRUB_PAUSE_MILLIS: u64 = 500;
/// How far a scrub gets before its position is recorded anew.
pub const SCRUB_STEP: Bytes = Bytes::gib(1);
