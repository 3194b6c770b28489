//! `/sys/block/*/md`: what arrays there are and what may be told to them (Documentation/admin-guide/md.rst).
//!
//! Reading never blocks. Many of the writes wait for I/O of the array and so hang while a leg queues: callers use a
//! worker with a deadline.

mod observe;
mod set;
mod words;

#[cfg(test)]
mod tests;

pub use observe::{
    Activity, ArrayObservation, MemberObservation, SyncCompleted, activity, array, arrays, names, sync_limit,
};
pub use set::{
    BitmapLocation, Made, SpeedLimit, SyncLimit, bitmap_set_bits, create_node, new_dev, set_array_state,
    set_bitmap_location, set_component_size_kib, set_member_size_max, set_member_state,
    set_metadata_version_1_2, set_raid_disks, set_resync_start_none, set_safe_mode_delay, set_start_ro,
    set_sync_action, set_sync_max, set_sync_min, set_sync_speed_max, set_sync_speed_min,
};
pub use words::{ArrayState, ArrayVerb, MemberFlag, MemberFlags, MemberVerb, SyncAction, SyncVerb};
