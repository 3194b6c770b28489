//! What arrays there are, as of now.

use std::fmt::Display;
use std::str::FromStr;

use nix::errno::Errno;
use uuid::Uuid;

use super::{ArrayState, MemberFlags, SyncAction, SyncLimit};
use crate::md::{MemberDir, NodeName};
use crate::{CallError, DevNum, Root};

/// One array. What the kernel does not offer for an array in its state is `None`, and so is what reads like nothing
/// known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayObservation {
    /// Its node.
    pub name: NodeName,
    /// Its device.
    pub dev: Option<DevNum>,
    /// Size of the block device, sectors; 0 while it does not run.
    pub size_sectors: u64,
    /// `array_state`.
    pub state: ArrayState,
    /// `level`: `raid1`.
    pub level: Option<String>,
    /// `raid_disks`: slots, missing ones included.
    pub raid_disks: Option<u32>,
    /// `degraded`: slots without an in-sync member.
    pub degraded: Option<u32>,
    /// What it does just now.
    pub activity: Activity,
    /// `sync_speed`, KiB/s; `None` while nothing runs.
    pub sync_speed_kib: Option<u64>,
    /// `mismatch_cnt`, sectors found different by the last check or repair.
    pub mismatch_sectors: Option<u64>,
    /// `component_size`, KiB.
    pub component_size_kib: Option<u64>,
    /// `uuid`: the superblocks' `set_uuid`.
    pub uuid: Option<Uuid>,
    /// `metadata_version`: `1.2`.
    pub metadata_version: Option<String>,
    /// `resync_start`, sectors; `None` when clean ("none").
    pub resync_start: Option<u64>,
    /// `bitmap/location`: `+8`, or `none`.
    pub bitmap_location: Option<String>,
    /// Its members, by directory name.
    pub members: Vec<MemberObservation>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberObservation {
    /// Its directory.
    pub dir: MemberDir,
    /// Its device; `None` when the device is gone while the array still holds on to it.
    pub dev: Option<DevNum>,
    /// `slot`; `None` for a spare and after a failure.
    pub slot: Option<u32>,
    /// `state`.
    pub flags: MemberFlags,
    /// `recovery_start`, sectors; `None` when there is nothing left to recover ("none").
    pub recovery_start: Option<u64>,
    /// `errors`: read errors that were corrected.
    pub errors: Option<u32>,
    /// `size`, KiB from `offset` on.
    pub size_kib: Option<u64>,
    /// `offset`: first data sector.
    pub offset_sectors: Option<u64>,
}

/// `sync_completed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncCompleted {
    /// Nothing runs.
    None,
    /// Waits for another array on the same devices.
    Delayed,
    /// Runs.
    Sectors {
        /// Behind it, sectors.
        done: u64,
        /// In all, sectors.
        total: u64,
    },
}

impl SyncCompleted {
    /// Reads `none`, `delayed` or `DONE / TOTAL`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "none" => Some(Self::None),
            "delayed" => Some(Self::Delayed),
            progress => {
                let (done, total) = progress.split_once('/')?;
                Some(Self::Sectors { done: done.trim().parse().ok()?, total: total.trim().parse().ok()? })
            }
        }
    }
}

/// What an array does beside serving: what changes all the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// `sync_action`.
    pub sync_action: Option<SyncAction>,
    /// `sync_completed`.
    pub sync_completed: Option<SyncCompleted>,
    /// `sync_max` of a check or repair; it is not read for anything else.
    pub sync_limit: Option<SyncLimit>,
}

/// The activity of the array `name`, for sampling; `None` when there is none.
pub fn activity(root: &Root, name: &NodeName) -> Result<Option<Activity>, CallError> {
    let read = Attributes { root, directory: name.attribute("") };
    let activity = read.activity()?;
    Ok(read.text("array_state")?.map(|_| activity))
}

/// Where the check of the array `name` ends, `Max` too when none runs; `None` when there is no such array.
pub fn sync_limit(root: &Root, name: &NodeName) -> Result<Option<SyncLimit>, CallError> {
    Attributes { root, directory: name.attribute("") }.sync_limit()
}

/// The names of all arrays.
pub fn names(root: &Root) -> Result<Vec<NodeName>, CallError> {
    let blocks = root.list("sys/block")?;
    let nodes = blocks.iter().filter_map(|name| name.parse::<NodeName>().ok());
    Ok(nodes.filter(|name| root.exists(name.attribute("array_state"))).collect())
}

/// All arrays, by name. One that vanishes while it is read is left out, as is such a member.
pub fn arrays(root: &Root) -> Result<Vec<ArrayObservation>, CallError> {
    names(root)?.iter().filter_map(|name| array(root, name).transpose()).collect()
}

/// The array `name`; `None` when there is none.
pub fn array(root: &Root, name: &NodeName) -> Result<Option<ArrayObservation>, CallError> {
    let read = Attributes { root, directory: name.attribute("") };
    let Some(state) = read.text("array_state")? else {
        return Ok(None);
    };
    let observation = ArrayObservation {
        name: name.clone(),
        dev: read.number("../dev")?,
        size_sectors: read.number("../size")?.unwrap_or(0),
        state: ArrayState::from(state.as_str()),
        level: read.text("level")?.filter(|level| !level.is_empty()),
        raid_disks: read.first_number("raid_disks")?,
        degraded: read.number("degraded")?,
        activity: read.activity()?,
        sync_speed_kib: read.number("sync_speed")?,
        mismatch_sectors: read.number("mismatch_cnt")?,
        component_size_kib: read.number("component_size")?,
        uuid: read.number::<Uuid>("uuid")?.filter(|uuid| !uuid.is_nil()),
        metadata_version: read.text("metadata_version")?,
        resync_start: read.number("resync_start")?,
        bitmap_location: read.text("bitmap/location")?,
        members: members(&read)?,
    };
    Ok(read.text("array_state")?.map(|_| observation))
}

fn members(array: &Attributes<'_>) -> Result<Vec<MemberObservation>, CallError> {
    let names = match array.root.list(&array.directory) {
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        names => names?,
    };
    let dirs = names.iter().filter_map(|name| name.parse::<MemberDir>().ok());
    dirs.filter_map(|dir| member(array, dir).transpose()).collect()
}

fn member(array: &Attributes<'_>, dir: MemberDir) -> Result<Option<MemberObservation>, CallError> {
    let read = Attributes { root: array.root, directory: format!("{}{dir}/", array.directory) };
    let Some(flags) = read.text("state")? else {
        return Ok(None);
    };
    Ok(Some(MemberObservation {
        flags: MemberFlags::parse(&flags),
        dev: read.number("block/dev")?,
        slot: read.number("slot")?,
        recovery_start: read.number("recovery_start")?,
        errors: read.number("errors")?,
        size_kib: read.number("size")?,
        offset_sectors: read.number("offset")?,
        dir,
    }))
}

/// The attributes of one directory, which ends in a slash.
struct Attributes<'a> {
    root: &'a Root,
    directory: String,
}

impl Attributes<'_> {
    fn activity(&self) -> Result<Activity, CallError> {
        let sync_action = self.text("sync_action")?.map(|word| SyncAction::from(word.as_str()));
        let sync_completed = self.text("sync_completed")?.and_then(|text| SyncCompleted::parse(&text));
        let sync_limit = match sync_action {
            Some(SyncAction::Check | SyncAction::Repair) => self.sync_limit()?,
            _ => None,
        };
        Ok(Activity { sync_action, sync_completed, sync_limit })
    }

    fn sync_limit(&self) -> Result<Option<SyncLimit>, CallError> {
        Ok(self.text("sync_max")?.and_then(|text| SyncLimit::parse(&text)))
    }

    /// `None` when the attribute, or what it belongs to, is gone.
    fn text(&self, name: impl Display) -> Result<Option<String>, CallError> {
        match self.root.read_if_there(format!("{}{name}", self.directory)) {
            Err(error) if is_gone(&error) => Ok(None),
            text => text,
        }
    }

    /// `None` also for words like `none`.
    fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, CallError> {
        Ok(self.text(name)?.and_then(|text| text.trim().parse().ok()))
    }

    /// Of `3 (2)`, which is how `raid_disks` reads during a reshape.
    fn first_number<T: FromStr>(&self, name: &str) -> Result<Option<T>, CallError> {
        Ok(self.text(name)?.and_then(|text| text.split_whitespace().next()?.parse().ok()))
    }
}

/// Beyond "does not exist": an array on its way out answers EBUSY to every read (`md_attr_show`), a directory in it
/// ENODEV.
fn is_gone(error: &CallError) -> bool {
    matches!(
        error.errno(),
        Some(Errno::EBUSY | Errno::ENOENT | Errno::ENODEV | Errno::ENXIO | Errno::ENOTDIR)
    )
}
