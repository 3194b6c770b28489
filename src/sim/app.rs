//! The application on a volume: writes, and remembers what was acknowledged.

use super::clock::TICK;
use super::cluster::Cluster;
use super::disk::{BLOCKS, Blocks, GARBAGE};
use super::evict::Ghosts;
use super::fabric::Reach;
use super::kernel::{Array, Write};
use super::stripes::{array_of, arrays_of, place, volume_blocks};
use crate::domain::{Bytes, FsType, NodeName, ReplicaId, VolumeName, VolumeSpec};

/// Ticks an application does nothing, at most: its own rest is no stall.
const LONGEST_PAUSE: u64 = 9;

/// A writer and reader that runs where its volume is attached.
#[derive(Debug, Clone, Default)]
pub struct App {
    /// It shall write.
    pub writing: bool,
    /// The newest acknowledged write of each block.
    pub acked: Blocks,
    /// Acknowledged writes in all.
    pub acks: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Longest time between two acknowledgements while it was writing, in milliseconds.
    pub longest_stall: u64,
    pub(super) node: Option<NodeName>,
    pub(super) ghosts: Ghosts,
    pub(super) last_ack: u64,
}

impl App {
    pub(super) fn killed_on(&mut self, node: &NodeName) {
        if self.node.as_ref() == Some(node) {
            self.node = None;
        }
        self.ghosts.remove(node);
    }
}

impl Cluster {
    /// The application of a volume; made on first use.
    pub fn app(&mut self, volume: &VolumeName) -> &mut App {
        self.apps.entry(volume.clone()).or_default()
    }

    /// Writes of a volume that were acknowledged so far.
    #[must_use]
    pub fn acks(&self, volume: &VolumeName) -> u64 {
        self.apps.get(volume).map_or(0, |app| app.acks)
    }

    /// The user accepts that nothing is acknowledged any more but what this copy has.
    pub fn accept_loss(&mut self, volume: &VolumeName, copy: ReplicaId) {
        let partitions = self.nodes.values().flat_map(|machine| machine.disks.values());
        let mut blocks =
            partitions.filter_map(|disk| disk.partitions.get(&copy.0)).map(|there| there.blocks.clone());
        let Some(there) = blocks.next() else { return };
        let acked = &mut self.app(volume).acked;
        for block in 0..BLOCKS {
            let left = Some(there.get(block)).filter(|version| *version != GARBAGE).unwrap_or(0);
            acked.set(block, acked.get(block).min(left));
        }
    }

    pub(super) fn run_apps(&mut self) {
        let names: Vec<VolumeName> = self.apps.keys().cloned().collect();
        for name in names {
            self.run_app(&name);
            self.run_ghosts(&name);
        }
    }

    fn run_app(&mut self, name: &VolumeName) {
        let Some(spec) = self.store.world.spec_as_made(name) else { return };
        let home = spec.attachment.as_ref().map(|attachment| attachment.node.clone());
        let Some(app) = self.apps.get(name) else { return };
        let runs = app.writing && !spec.deleting;
        let owner = self.store.world.volume_status(name).and_then(|status| status.owner.clone());
        match app.node.clone() {
            Some(node) if owner.as_ref() != Some(&node) => self.haunt(name, &node),
            Some(node) if !self.runs(&node) => {}
            Some(node) if runs && Some(&node) != home.as_ref() && !self.hears(&node) => {
                self.haunt(name, &node);
            }
            Some(node) if !runs || Some(&node) != home.as_ref() => self.close(&spec, &node),
            Some(node) => self.work(&spec, &node),
            None => {
                if let Some(node) = home.filter(|node| runs && self.is_usable(node, &spec)) {
                    self.open(&spec, node);
                }
            }
        }
    }

    fn is_usable(&self, node: &NodeName, spec: &VolumeSpec) -> bool {
        let Some(kernel) = self.nodes.get(node).map(|machine| &machine.kernel) else { return false };
        let Some(dev) = kernel.device_of(spec) else { return false };
        let mounted = kernel.mounts.values().any(|mount| mount.dev == dev);
        let told = self.store.world.volume_status(&spec.name).is_some_and(|status| {
            status.owner.as_ref() == Some(node)
                && (mounted && status.array.mounted_at.is_some()
                    || spec.fs == FsType::Raw && status.array.device.is_some())
        });
        let columns = kernel.columns_below(dev);
        told && kernel.arrays_among(&columns).all(Array::is_writable)
    }

    /// The arrays of a volume that a node runs.
    pub(super) fn columns_on<'a>(
        &'a mut self,
        node: &NodeName,
        spec: &VolumeSpec,
    ) -> impl Iterator<Item = &'a mut Array> + use<'a> {
        let uuids = arrays_of(spec);
        let arrays =
            self.nodes.get_mut(node).into_iter().flat_map(|machine| machine.kernel.arrays.values_mut());
        arrays.filter(move |array| uuids.contains(&array.uuid))
    }

    /// From here on the clock knows by the arrays when they are used.
    fn open(&mut self, spec: &VolumeSpec, node: NodeName) {
        self.columns_on(&node, spec).for_each(|array| array.open = true);
        let app = self.apps.entry(spec.name.clone()).or_default();
        app.last_ack = self.now;
        app.ghosts.remove(&node);
        app.node = Some(node);
    }

    /// Closes once nothing of it is in flight: a process in D state cannot go.
    fn close(&mut self, spec: &VolumeSpec, node: &NodeName) {
        if self.columns_on(node, spec).any(|array| !array.pending.is_empty()) {
            return;
        }
        self.columns_on(node, spec).for_each(|array| array.open = false);
        self.stir(node);
        if let Some(app) = self.apps.get_mut(&spec.name) {
            app.node = None;
        }
    }

    fn work(&mut self, spec: &VolumeSpec, node: &NodeName) {
        if !self.use_volume(spec, node) {
            self.apps.entry(spec.name.clone()).or_default().node = None;
        }
    }

    /// A write and a read, now and then. `false` when there is no device.
    pub(super) fn use_volume(&mut self, spec: &VolumeSpec, node: &NodeName) -> bool {
        let Some(kernel) = self.nodes.get(node).map(|machine| &machine.kernel) else { return false };
        let suspended = kernel.tops.get(&spec.uid).is_some_and(|top| top.suspended);
        let gone = spec.stripe_width > 1 && !suspended && kernel.device_of(spec).is_none();
        let columns = self.columns_on(node, spec).map(|array| array.open = true).count();
        if gone || columns < usize::from(spec.stripe_width) {
            return false;
        }
        if !self.is_time_to_use(spec, node) {
            return true;
        }
        let blocks = volume_blocks(self.usable(node, spec), spec.stripe_width);
        let block = 1 + u8::try_from(self.rng.below(u64::from(blocks) - 1)).unwrap_or(0);
        let version = self.next_version + 1;
        let (column, at) = place(block, spec.stripe_width);
        let uuid = array_of(spec.uid, column);
        let Some(array) = self.columns_on(node, spec).find(|array| array.uuid == uuid) else { return false };
        if suspended
            || array.frozen
            || !array.is_writable()
            || array.shut_down.is_some()
            || array.pending.iter().any(|write| write.block == at)
        {
            return true;
        }
        if array.pending.len() < 2 {
            array.pending.push(Write::new(at, version));
            self.next_version = version;
        }
        self.read(spec, node, block);
        true
    }

    /// Whether it uses its device in this tick: in about one of three. When it does so next stands with the arrays.
    fn is_time_to_use(&mut self, spec: &VolumeSpec, node: &NodeName) -> bool {
        let now = self.now;
        if self.columns_on(node, spec).any(|array| array.io_at > now) {
            return false;
        }
        let pause = (0..LONGEST_PAUSE).take_while(|_| !self.rng.one_in(3)).count() as u64;
        let next = now + TICK * (1 + pause);
        self.columns_on(node, spec).for_each(|array| array.io_at = next);
        true
    }

    /// What an application sees: its file system, else the device.
    fn usable(&mut self, node: &NodeName, spec: &VolumeSpec) -> Bytes {
        let kernel = self.nodes.get(node).map(|machine| &machine.kernel);
        let device = kernel.and_then(|kernel| Some(kernel.size_of(kernel.device_of(spec)?)));
        let fs = self.file_systems.get(&array_of(spec.uid, 0)).copied();
        let Some(device) = device else {
            return fs.unwrap_or(Bytes::mib(256 * u64::from(spec.stripe_width)));
        };
        let fs = fs.unwrap_or(device);
        if fs > device {
            self.violate(format_args!("{node}: a file system of {fs} is on a device of {device}"));
        }
        fs
    }

    /// Reads a block as RAID1 does: from a copy that is not write-mostly, if there is one.
    fn read(&mut self, spec: &VolumeSpec, node: &NodeName, block: u8) {
        let (column, at) = place(block, spec.stripe_width);
        let (uuid, name) = (array_of(spec.uid, column), &spec.name);
        let Some(array) = self.nodes.get(node).and_then(|machine| machine.kernel.arrays.get(&uuid)) else {
            return;
        };
        let good = array.members.iter().filter(|member| member.in_sync && !member.faulty);
        let Some(dev) = good.min_by_key(|member| (member.write_mostly, member.slot)).map(|member| member.dev)
        else {
            return;
        };
        // One that lost it may give old data until it has begun to go: nothing in the kernel ends that earlier.
        let is_owner =
            self.store.world.volume_status(name).is_some_and(|status| status.owner.as_ref() == Some(node));
        let binds = is_owner || array.cut;
        let Reach::Partition(provider, guid) = self.reach(node, dev) else { return self.touch(node, dev) };
        let there = self.partition(&provider, guid).map_or(0, |partition| partition.blocks.get(at));
        let acked = self.apps.get_mut(name).map_or(0, |app| {
            app.reads += 1;
            app.acked.get(block)
        });
        if binds && there < acked {
            self.violate(format_args!(
                "a read of block {block} of {name} on {node} gives {there}, {acked} was acknowledged"
            ));
        }
    }

    /// The kernel has finished a write of `node`'s array: what the application there learns.
    pub(super) fn acknowledge(&mut self, node: &NodeName, array: uuid::Uuid, block: u8, version: u64) {
        let now = self.now;
        let world = &self.store.world;
        let of_array = |name: &VolumeName| {
            let spec = world.volume_spec(name)?;
            let columns = world.volume_status(name)?.columns(spec);
            let column = (0..columns).find(|column| array_of(spec.uid, *column) == array)?;
            Some(block * columns + column)
        };
        let app = self.apps.iter_mut().find_map(|(name, app)| Some((of_array(name)?, app)));
        let Some((block, app)) = app else { return };
        let is_own = app.node.as_ref() == Some(node);
        self.checked.due = true;
        if is_own || app.ghosts.get(node).is_some_and(|ghost| !ghost.killed) {
            app.acked.set(block, version.max(app.acked.get(block)));
        }
        if !is_own {
            return;
        }
        app.acks += 1;
        app.longest_stall = app.longest_stall.max(now - app.last_ack);
        app.last_ack = now;
    }
}
