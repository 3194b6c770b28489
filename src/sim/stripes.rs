//! Stripes over the columns of a volume: its block `b` is block `b / columns` of column `b % columns`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use uuid::Uuid;

use super::apply::Effect;
use super::cluster::Cluster;
use super::disk::{BLOCKS, blocks_in};
use super::kernel::{Array, Kernel};
use crate::domain::{Bytes, NodeName, ReplicaId, VolumeSpec, VolumeUid, World, array_uuid, partition_guid};
use crate::plan::{Dev, FailureKind, TopSeen};

#[derive(Debug, Clone)]
pub(super) struct Top {
    pub(super) dev: Dev,
    pub(super) columns: Vec<Dev>,
    pub(super) size: Bytes,
    /// Another table is to be put in force: what is sent to it waits.
    pub(super) suspended: bool,
}

impl Top {
    pub(super) fn seen(&self) -> TopSeen {
        let Self { dev, columns, size, suspended } = self.clone();
        TopSeen { dev, columns, size, suspended }
    }
}

/// Blocks of a volume of so many usable bytes.
pub(super) fn volume_blocks(size: Bytes, columns: u8) -> u8 {
    let columns = columns.max(1);
    blocks_in(Bytes(size.0 / u64::from(columns))).saturating_mul(columns).min(BLOCKS)
}

/// Where a block of a volume is: its column, and the block there.
pub(super) const fn place(block: u8, columns: u8) -> (u8, u8) {
    if columns < 2 { (0, block) } else { (block % columns, block / columns) }
}

thread_local! {
    static ARRAYS: RefCell<BTreeMap<(VolumeUid, u8), Uuid>> = const { RefCell::new(BTreeMap::new()) };
}

/// [`array_uuid`], which is asked for in every tick: computed once.
pub(super) fn array_of(volume: VolumeUid, column: u8) -> Uuid {
    let uuid = || array_uuid(volume, column);
    ARRAYS.with_borrow_mut(|known| *known.entry((volume, column)).or_insert_with(uuid))
}

/// The arrays of a volume, by column.
pub(super) fn arrays_of(spec: &VolumeSpec) -> Vec<Uuid> {
    (0..spec.stripe_width).map(|column| array_of(spec.uid, column)).collect()
}

/// The partition of a copy that has a block of a volume, and the block there.
pub(super) fn block_of(replica: ReplicaId, block: u8, columns: u8) -> (Uuid, u8) {
    let (column, block) = place(block, columns);
    (partition_guid(replica, column), block)
}

/// The copy that a partition is a column of.
pub(super) fn replica_with(world: &World, partition: Uuid) -> ReplicaId {
    let first = ReplicaId(partition);
    if world.replica_spec(&first).is_some() {
        return first;
    }
    let holds =
        |replica: &crate::domain::Replica| replica.spec.partitions().any(|(guid, _)| guid == partition);
    world.replicas().find(holds).map_or(first, |replica| replica.spec.id)
}

impl Kernel {
    /// The arrays a device stands on, by column: itself, or those below stripes. None while one of them is missing.
    pub(super) fn columns_below(&self, dev: Dev) -> Vec<Uuid> {
        let array = |dev: &Dev| self.arrays.values().find(|array| array.dev == *dev).map(|array| array.uuid);
        let columns = match self.tops.values().find(|top| top.dev == dev) {
            Some(top) => top.columns.iter().map(array).collect::<Option<Vec<_>>>(),
            None => array(&dev).map(|array| vec![array]),
        };
        columns.unwrap_or_default()
    }

    /// How long a device is.
    pub(super) fn size_of(&self, dev: Dev) -> Bytes {
        let top = self.tops.values().find(|top| top.dev == dev).map(|top| top.size);
        let array = || self.arrays.values().find(|array| array.dev == dev).map(|array| array.size);
        top.or_else(array).unwrap_or_default()
    }

    /// What applications of a volume use, once it is there and takes what is sent to it.
    pub(super) fn device_of(&self, spec: &VolumeSpec) -> Option<Dev> {
        if spec.stripe_width > 1 {
            return self
                .tops
                .get(&spec.uid)
                .filter(|top| !top.suspended && top.size > Bytes(0))
                .map(|top| top.dev);
        }
        self.arrays.get(&array_of(spec.uid, 0)).map(|array| array.dev)
    }

    /// Whether stripes lie over an array.
    pub(super) fn carries_stripes(&self, array: Dev) -> bool {
        self.tops.values().any(|top| top.columns.contains(&array))
    }

    pub(super) fn arrays_among<'a>(&'a self, uuids: &[Uuid]) -> impl Iterator<Item = &'a Array> + use<'a> {
        let found: Vec<&Array> = uuids.iter().filter_map(|uuid| self.arrays.get(uuid)).collect();
        found.into_iter()
    }
}

impl Cluster {
    /// What is in flight comes to its end before another table is put in force (dm.c `__dm_suspend`).
    pub(super) fn map_top(
        &mut self,
        node: &NodeName,
        uid: VolumeUid,
        columns: &[Dev],
        size: Bytes,
    ) -> Effect {
        let Some(kernel) = self.nodes.get_mut(node).map(|machine| &mut machine.kernel) else {
            return Effect::retry("ENODEV");
        };
        let below = |dev: &Dev| kernel.arrays.values().find(|array| array.dev == *dev);
        let Some(arrays) = columns.iter().map(below).collect::<Option<Vec<&Array>>>() else {
            return Effect::retry("DM_TABLE_LOAD: ENXIO");
        };
        let room = arrays.iter().map(|array| array.size.0).min().unwrap_or(0) * columns.len() as u64;
        if room < size.0 {
            return Effect::retry("DM_TABLE_LOAD: EINVAL");
        }
        let in_flight = arrays.iter().any(|array| !array.pending.is_empty());
        let dev = kernel.tops.get(&uid).map(|top| top.dev);
        let in_use = dev.is_some();
        let dev = dev.unwrap_or_else(|| kernel.new_dev(253));
        let waits = in_use && in_flight;
        let top = kernel.tops.entry(uid).or_insert_with(|| Top {
            dev,
            columns: columns.to_vec(),
            size,
            suspended: false,
        });
        top.suspended = waits;
        if waits {
            return Effect::Blocked;
        }
        (top.columns, top.size) = (columns.to_vec(), size);
        Effect::done()
    }

    pub(super) fn unmap_top(&mut self, node: &NodeName, uid: VolumeUid) -> Effect {
        let Some(kernel) = self.nodes.get_mut(node).map(|machine| &mut machine.kernel) else {
            return Effect::retry("ENODEV");
        };
        let Some(dev) = kernel.tops.get(&uid).map(|top| top.dev) else { return Effect::done() };
        let columns = kernel.columns_below(dev);
        let in_use = kernel.arrays_among(&columns).any(|array| array.open || !array.pending.is_empty());
        if in_use || kernel.is_mounted(dev) {
            return Effect::failed(FailureKind::Busy, "DM_DEV_REMOVE: EBUSY");
        }
        kernel.tops.remove(&uid);
        Effect::done()
    }
}
