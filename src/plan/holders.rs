//! Who uses a volume that has to be taken down.

use super::timing;
use crate::domain::Timestamp;

/// How many processes are named one by one.
const NAMED: usize = 8;

/// What somebody uses of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// The mounted file system.
    FileSystem,
    /// The block device itself.
    Device,
}

/// A process, named for good: numbers are used again, never with the same start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in the kernel's own count.
    pub started: u64,
    /// What it calls itself.
    pub name: String,
}

/// Who.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A process. One that is `ending` hears no answer of the kernel any more.
    Process {
        /// Which.
        process: Process,
        /// SIGKILL is pending in every thread of it, or it is on its way out.
        ending: bool,
    },
    /// Something of the kernel's own: nobody can end that with a signal.
    Kernel(String),
}

/// One user of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub who: Who,
    /// Of what.
    pub through: Through,
}

impl Holder {
    /// A process that goes on.
    #[must_use]
    pub fn living(&self) -> Option<&Process> {
        match &self.who {
            Who::Process { process, ending: false } => Some(process),
            Who::Process { ending: true, .. } | Who::Kernel(_) => None,
        }
    }

    /// Whether the kernel's answers still reach somebody through it.
    #[must_use]
    pub fn hears(&self) -> bool {
        match &self.who {
            Who::Process { ending, .. } => !ending,
            Who::Kernel(_) => true,
        }
    }

    /// `postgres (pid 412)`, `loop3`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.who {
            Who::Process { process, .. } => process.to_string(),
            Who::Kernel(what) => what.clone(),
        }
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// The users of a volume at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// All of them.
    pub holders: Vec<Holder>,
    /// When they were looked for.
    pub at: Timestamp,
}

impl Held {
    /// Until when something may be decided by it.
    #[must_use]
    pub fn good_until(&self) -> Timestamp {
        self.at.plus(timing::HOLDERS_MILLIS)
    }
}

/// The first few by name, the others counted.
pub(super) fn names(all: &[impl ToString]) -> String {
    let named: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}
