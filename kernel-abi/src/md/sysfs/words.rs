//! The words that md's attributes speak, and those that they take.

use std::collections::BTreeSet;
use std::fmt;

/// `array_state` (drivers/md/md.c, `array_states`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ArrayState {
    /// No members, no size: a node just created or about to vanish.
    Clear,
    /// May have members, does not run.
    Inactive,
    /// All I/O blocked.
    Suspended,
    /// No writes.
    ReadOnly,
    /// Becomes active with the first write.
    ReadAuto,
    /// Runs, nothing written lately.
    Clean,
    /// Runs.
    Active,
    /// A write waits for the word of user space (external metadata), or for a superblock write.
    WritePending,
    /// Runs, no write for the safe-mode delay.
    ActiveIdle,
    /// Lost its last in-sync member: every write fails.
    Broken,
    /// A word of another kernel.
    Unknown(String),
}

impl From<&str> for ArrayState {
    fn from(word: &str) -> Self {
        match word {
            "clear" => Self::Clear,
            "inactive" => Self::Inactive,
            "suspended" => Self::Suspended,
            "readonly" => Self::ReadOnly,
            "read-auto" => Self::ReadAuto,
            "clean" => Self::Clean,
            "active" => Self::Active,
            "write-pending" => Self::WritePending,
            "active-idle" => Self::ActiveIdle,
            "broken" => Self::Broken,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

impl fmt::Display for ArrayState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear => "clear",
            Self::Inactive => "inactive",
            Self::Suspended => "suspended",
            Self::ReadOnly => "readonly",
            Self::ReadAuto => "read-auto",
            Self::Clean => "clean",
            Self::Active => "active",
            Self::WritePending => "write-pending",
            Self::ActiveIdle => "active-idle",
            Self::Broken => "broken",
            Self::Unknown(word) => word,
        })
    }
}

/// What may be written to `array_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArrayVerb {
    /// Stop; the node vanishes. EBUSY while open or mounted.
    Clear,
    /// Stop, keep the members bound.
    Inactive,
    /// Start read-only, or make it so. EBUSY while open for writing.
    ReadOnly,
    /// Start; recovery waits for the first write.
    ReadAuto,
    /// Start, or say that nothing is dirty.
    Clean,
    /// Start, or let held writes go on.
    Active,
}

impl ArrayVerb {
    /// The word as the kernel takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Inactive => "inactive",
            Self::ReadOnly => "readonly",
            Self::ReadAuto => "read-auto",
            Self::Clean => "clean",
            Self::Active => "active",
        }
    }
}

/// `sync_action` (drivers/md/md.c, `action_name`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SyncAction {
    /// Nothing.
    Idle,
    /// Nothing, and nothing may start.
    Frozen,
    /// Making members equal after a crash or at creation.
    Resync,
    /// Rebuilding a member.
    Recover,
    /// Comparing.
    Check,
    /// Comparing and making equal.
    Repair,
    /// Changing the geometry.
    Reshape,
    /// A word of another kernel.
    Unknown(String),
}

impl From<&str> for SyncAction {
    fn from(word: &str) -> Self {
        match word {
            "idle" => Self::Idle,
            "frozen" => Self::Frozen,
            "resync" => Self::Resync,
            "recover" => Self::Recover,
            "check" => Self::Check,
            "repair" => Self::Repair,
            "reshape" => Self::Reshape,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

impl fmt::Display for SyncAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Frozen => "frozen",
            Self::Resync => "resync",
            Self::Recover => "recover",
            Self::Check => "check",
            Self::Repair => "repair",
            Self::Reshape => "reshape",
            Self::Unknown(word) => word,
        })
    }
}

/// What may be written to `sync_action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncVerb {
    /// Stop what runs, and let what is needed start again.
    Idle,
    /// Stop what runs, and let nothing start.
    Frozen,
    /// Make members equal.
    Resync,
    /// Rebuild what is missing.
    Recover,
    /// Compare; `mismatch_cnt` tells.
    Check,
    /// Compare and make equal.
    Repair,
}

impl SyncVerb {
    /// The word as the kernel takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Frozen => "frozen",
            Self::Resync => "resync",
            Self::Recover => "recover",
            Self::Check => "check",
            Self::Repair => "repair",
        }
    }
}

/// One word of a member's `state` (drivers/md/md.c, `state_show`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberFlag {
    /// Failed.
    Faulty,
    /// Holds all data.
    InSync,
    /// Write journal.
    Journal,
    /// Reads go elsewhere while they can.
    WriteMostly,
    /// Failed, and the failure is not acknowledged yet: writes wait.
    Blocked,
    /// Neither in sync nor failed: waiting, or being rebuilt.
    Spare,
    /// Saw a write error.
    WriteError,
    /// A spare will be put beside it.
    WantReplacement,
    /// Is that spare.
    Replacement,
    /// User space keeps the bad-block list.
    ExternalBbl,
    /// Fails at the first error.
    FailFast,
    /// A word of another kernel.
    Unknown(String),
}

impl From<&str> for MemberFlag {
    fn from(word: &str) -> Self {
        match word {
            "faulty" => Self::Faulty,
            "in_sync" => Self::InSync,
            "journal" => Self::Journal,
            "write_mostly" => Self::WriteMostly,
            "blocked" => Self::Blocked,
            "spare" => Self::Spare,
            "write_error" => Self::WriteError,
            "want_replacement" => Self::WantReplacement,
            "replacement" => Self::Replacement,
            "external_bbl" => Self::ExternalBbl,
            "failfast" => Self::FailFast,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

/// A member's `state`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberFlags(pub BTreeSet<MemberFlag>);

impl MemberFlags {
    /// Reads `in_sync,write_mostly`; the kernel writes an empty line for a member with no flag.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        Self(words.map(MemberFlag::from).collect())
    }

    /// Whether `flag` is there.
    #[must_use]
    pub fn has(&self, flag: &MemberFlag) -> bool {
        self.0.contains(flag)
    }
}

/// What may be written to a member's `state` (drivers/md/md.c, `state_store`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberVerb {
    /// Fail it. On the last in-sync member that is EBUSY, and a broken array.
    Faulty,
    /// Let go of it; EBUSY while it holds a slot.
    Remove,
    /// Take it back by bitmap: it was faulty, is still bound, and its device answers again.
    ReAdd,
    /// Read elsewhere while possible.
    WriteMostly,
    /// Read from it like from any other.
    NotWriteMostly,
    /// Put a spare beside it and copy.
    WantReplacement,
    /// Take that back.
    NotWantReplacement,
    /// Acknowledge its failure (external metadata).
    NotBlocked,
    /// Call it in sync, without a copy.
    InSync,
}

impl MemberVerb {
    /// The word as the kernel takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Faulty => "faulty",
            Self::Remove => "remove",
            Self::ReAdd => "re-add",
            Self::WriteMostly => "writemostly",
            Self::NotWriteMostly => "-writemostly",
            Self::WantReplacement => "want_replacement",
            Self::NotWantReplacement => "-want_replacement",
            Self::NotBlocked => "-blocked",
            Self::InSync => "insync",
        }
    }
}
