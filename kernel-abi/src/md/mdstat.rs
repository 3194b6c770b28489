//! `/proc/mdstat` (drivers/md/md.c, `md_seq_show`).
//!
//! Made for people, kept for us because it is one consistent reading of all arrays, and because polling it tells of
//! every change. What a line says that is not known here is skipped; only a broken head line of an array is an error.

mod parse;

#[cfg(test)]
mod tests;

pub use parse::parse;

use crate::{CallError, ParseError, Root};

/// The file, below the root.
pub const PATH: &str = "proc/mdstat";

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mdstat {
    /// Levels the kernel has loaded: `raid1`.
    pub personalities: Vec<String>,
    /// In the kernel's order, the youngest first.
    pub arrays: Vec<MdstatArray>,
}

/// One array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MdstatArray {
    /// Its node.
    pub name: String,
    /// First word.
    pub state: RunState,
    /// Second word, in parentheses.
    pub access: Access,
    /// `raid1`; `None` while it does not run.
    pub level: Option<String>,
    /// In the kernel's order.
    pub members: Vec<MdstatMember>,
    /// Array size, KiB; while it does not run, that of all members together.
    pub blocks_kib: Option<u64>,
    /// After `super`: `1.2`, `external:…`, `non-persistent`.
    pub metadata: Option<String>,
    /// `[n/m]` and `[UU_]`.
    pub slots: Option<SlotSummary>,
    /// The line with the bar.
    pub sync: Option<SyncLine>,
    /// `bitmap: …`.
    pub bitmap: Option<BitmapLine>,
}

/// Whether it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// Runs.
    Active,
    /// Runs, every write fails.
    Broken,
    /// Members are bound, nothing runs.
    Inactive,
    /// A word of another kernel.
    Unknown(String),
}

/// Whether it can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Yes.
    ReadWrite,
    /// `(read-only)`.
    ReadOnly,
    /// `(auto-read-only)`: from the first write on.
    AutoReadOnly,
}

/// `sda1[2](W)(F)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MdstatMember {
    /// Device name.
    pub device: String,
    /// `dev_number`; the kernel calls it role number, and it is not the slot.
    pub number: i32,
    /// Letters in parentheses.
    pub flags: MdstatFlags,
}

/// `(W)(J)(F)(S)(R)`, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MdstatFlags(u8);

impl MdstatFlags {
    /// `(W)`.
    pub const WRITE_MOSTLY: Self = Self(1);
    /// `(J)`.
    pub const JOURNAL: Self = Self(2);
    /// `(F)`.
    pub const FAULTY: Self = Self(4);
    /// `(S)`.
    pub const SPARE: Self = Self(8);
    /// `(R)`.
    pub const REPLACEMENT: Self = Self(16);

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those of either.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// `[3/2] [UU_]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotSummary {
    /// Slots.
    pub total: u32,
    /// Slots with an in-sync member.
    pub in_sync: u32,
    /// By slot, whether it is in sync.
    pub up: Vec<bool>,
}

/// What runs, or waits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncLine {
    /// `resync=DELAYED`: another array on the same devices first.
    Delayed,
    /// `resync=PENDING`: waits for the first write.
    Pending,
    /// `resync=REMOTE`: another node of a cluster does it.
    Remote,
    /// Runs.
    Running(SyncProgress),
}

/// `recovery = 12.6% (37043392/292945152) finish=127.5min speed=33440K/sec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncProgress {
    /// `resync` (a repair too), `recovery`, `check`, `reshape`.
    pub action: String,
    /// Tenths of a percent.
    pub permille: u32,
    /// Behind it, KiB.
    pub done_kib: u64,
    /// In all, KiB.
    pub total_kib: u64,
    /// Left by the kernel's guess, tenths of a minute.
    pub finish_deciminutes: Option<u64>,
    /// KiB/s.
    pub speed_kib: Option<u64>,
}

/// `bitmap: 0/8 pages [0KB], 65536KB chunk`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitmapLine {
    /// Pages of counters in memory.
    pub pages_used: u64,
    /// Pages there could be.
    pub pages_total: u64,
    /// Data of one bit, bytes.
    pub chunk_bytes: u64,
}

/// Why `/proc/mdstat` could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadMdstatError {
    /// It could not be read.
    #[error("cannot read mdstat")]
    Call(#[from] CallError),
    /// It could not be understood.
    #[error("cannot understand mdstat")]
    Parse(#[from] ParseError),
}

/// Reads the file; without the md module there are no arrays.
pub fn read(root: &Root) -> Result<Mdstat, ReadMdstatError> {
    match root.read_if_there(PATH)? {
        Some(text) => Ok(parse(&text)?),
        None => Ok(Mdstat::default()),
    }
}
