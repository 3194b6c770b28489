//! File systems on a volume's device: made, mounted, measured, made larger, unmounted.

use uuid::Uuid;

use super::apply::Effect;
use super::cluster::Cluster;
use super::disk::{GARBAGE, blocks_in};
use super::fabric::Reach;
use super::kernel::{Array, ArrayMember, Kernel, Write};
use crate::domain::{Bytes, NodeName};
use crate::plan::{Dev, FailureKind, MountSeen, Outcome, Usage};

impl Kernel {
    /// Whether a file system is mounted of a device, or still going.
    pub(super) fn is_mounted(&self, dev: Dev) -> bool {
        self.mounts.values().any(|mount| mount.dev == dev)
            || self.unmounting.values().any(|going| *going == dev)
    }
}

impl Cluster {
    fn columns_below(&self, node: &NodeName, dev: Dev) -> Vec<Array> {
        let kernel = self.nodes.get(node).map(|machine| &machine.kernel);
        let columns = kernel.map(|kernel| kernel.arrays_among(&kernel.columns_below(dev)).cloned().collect());
        columns.unwrap_or_default()
    }

    /// Makes a file system: whatever was there is gone.
    pub(super) fn format(&mut self, node: &NodeName, dev: Dev) -> Effect {
        let columns = self.columns_below(node, dev);
        let Some(first) = columns.first().map(|array| array.uuid) else { return Effect::retry("ENODEV") };
        let kernel = self.nodes.get(node).map(|machine| &machine.kernel);
        let (mounted, size) =
            kernel.map(|kernel| (kernel.is_mounted(dev), kernel.size_of(dev))).unwrap_or_default();
        if mounted || !columns.iter().all(Array::is_writable) {
            return Effect::failed(FailureKind::Busy, "open O_EXCL: EBUSY");
        }
        let members = columns.iter().flat_map(|array| &array.members).filter(|member| member.takes_writes());
        let reached: Vec<Reach> = members.map(|member| self.reach(node, member.dev)).collect();
        if reached.contains(&Reach::Held) {
            return Effect::Blocked;
        }
        if reached.contains(&Reach::Failed) && !self.drop_failing(node, &columns) {
            return Effect::retry("write: EIO");
        }
        self.file_systems.insert(first, size);
        self.next_version += 1;
        for array in &columns {
            let head = if array.uuid == first { self.next_version } else { 0 };
            self.write_all(node, array, head);
        }
        Effect::done()
    }

    /// What cannot be written to is kicked out. `false` where a column has nothing else.
    fn drop_failing(&mut self, node: &NodeName, columns: &[Array]) -> bool {
        columns.iter().all(|column| {
            let dropped = self.with_array(node, column.uuid, |cluster, array| {
                let fails = |member: &&ArrayMember| {
                    member.takes_writes() && cluster.reach(node, member.dev) == Reach::Failed
                };
                let failing: Vec<Uuid> =
                    array.members.iter().filter(fails).map(|member| member.device).collect();
                failing.into_iter().all(|device| cluster.fail_member(node, array, device))
            });
            dropped.unwrap_or(true)
        })
    }

    /// Every block of a column is written: the first with `head`, the others with zeroes.
    fn write_all(&mut self, node: &NodeName, array: &Array, head: u64) {
        let blocks = blocks_in(array.size);
        for member in array.members.iter().filter(|member| member.takes_writes()) {
            let Reach::Partition(provider, guid) = self.reach(node, member.dev) else { continue };
            let Some(partition) = self.partition_mut(&provider, guid) else { continue };
            (1..blocks).for_each(|block| partition.blocks.set(block, 0));
            partition.blocks.set(0, head);
            if let Some(header) = &mut partition.header {
                header.dirty = (0..blocks).collect();
            }
        }
        let kernel = self.nodes.get_mut(node).map(|machine| &mut machine.kernel);
        if let Some(array) = kernel.and_then(|kernel| kernel.arrays.get_mut(&array.uuid)) {
            array.dirty = (0..blocks).collect();
            if array.misses_slot() {
                array.needed = (0..blocks).collect();
            }
        }
    }

    pub(super) fn mount(&mut self, node: &NodeName, dev: Dev, path: &str, read_only: bool) -> Effect {
        let columns = self.columns_below(node, dev);
        let Some(first) = columns.first() else { return Effect::retry("ENODEV") };
        match self.read_good(node, first, 0) {
            None => return self.without_answer(node, first, "mount"),
            Some(0 | GARBAGE) => return Effect::retry("mount: wrong fs type"),
            Some(_) => {}
        }
        let mount = MountSeen { dev, path: path.to_owned(), read_only };
        if let Some(machine) = self.nodes.get_mut(node) {
            machine.kernel.mounts.insert(path.to_owned(), mount);
        }
        Effect::done()
    }

    /// Shows what is mounted, or a device, at one more path.
    pub(super) fn publish(
        &mut self,
        node: &NodeName,
        dev: Dev,
        at: Option<&String>,
        (path, read_only): (&str, bool),
    ) -> Effect {
        let Some(kernel) = self.nodes.get_mut(node).map(|machine| &mut machine.kernel) else {
            return Effect::retry("ENODEV");
        };
        let below = match at {
            Some(at) => kernel.mounts.get(at).filter(|mount| mount.dev == dev).map(|mount| mount.read_only),
            None => (!kernel.columns_below(dev).is_empty()).then_some(false),
        };
        let Some(below) = below else { return Effect::retry("open_tree: ENOENT") };
        let places = if at.is_some() { &mut kernel.mounts } else { &mut kernel.device_binds };
        let shown = MountSeen { dev, path: path.to_owned(), read_only: below || read_only };
        places.insert(path.to_owned(), shown);
        Effect::done()
    }

    /// The last mount of a file system ends it; any other one just goes.
    pub(super) fn unpublish(&mut self, node: &NodeName, path: &str) -> Effect {
        let Some(kernel) = self.nodes.get_mut(node).map(|machine| &mut machine.kernel) else {
            return Effect::retry("ENODEV");
        };
        kernel.device_binds.remove(path);
        let dev = kernel.mounts.get(path).map(|mount| mount.dev);
        let all = kernel.mounts.values().filter(|mount| Some(mount.dev) == dev).count();
        if all < 2 {
            return self.unmount(node, path);
        }
        kernel.mounts.remove(path);
        Effect::done()
    }

    /// The columns below what is mounted at a path, if it is this device.
    fn columns_at(&self, node: &NodeName, dev: Dev, path: &str, writable: bool) -> Vec<Array> {
        let mount = self.nodes.get(node).and_then(|machine| machine.kernel.mounts.get(path));
        let is_it = mount.is_some_and(|mount| mount.dev == dev && !(writable && mount.read_only));
        if is_it { self.columns_below(node, dev) } else { Vec::new() }
    }

    fn file_system_size(&self, first: Uuid, node: &NodeName, dev: Dev) -> Bytes {
        let device = || self.nodes.get(node).map(|machine| machine.kernel.size_of(dev)).unwrap_or_default();
        self.file_systems.get(&first).copied().unwrap_or_else(device)
    }

    /// The share of blocks that were ever written, as the first good copy has it. The real call reads no disk; one that
    /// waits as long as a read does is the harder case.
    pub(super) fn measure_use(&mut self, node: &NodeName, dev: Dev, path: &str) -> Effect {
        let columns = self.columns_at(node, dev, path, false);
        let Some(first) = columns.first().map(|array| array.uuid) else { return Effect::retry("ENODEV") };
        let size = self.file_system_size(first, node, dev);
        let column = Bytes(size.0 / columns.len() as u64);
        let (mut written, mut all) = (0, 0);
        for array in &columns {
            for block in 0..blocks_in(column) {
                let Some(version) = self.read_good(node, array, block) else {
                    return self.without_answer(node, array, "statfs");
                };
                written += u64::from(version != 0);
                all += 1;
            }
        }
        let used = Bytes(size.0 * written / all.max(1));
        let left = Bytes(size.0 - used.0);
        Effect::Over(Ok(Outcome::Used(Usage { used, available: left, total: size, ..Usage::default() })))
    }

    pub(super) fn grow_file_system(&mut self, node: &NodeName, dev: Dev, path: &str) -> Effect {
        let columns = self.columns_at(node, dev, path, true);
        let Some(first) = columns.first().map(|array| array.uuid) else { return Effect::retry("ENODEV") };
        let mut members = columns.iter().flat_map(|array| &array.members).filter(|member| !member.faulty);
        if members.any(|member| self.reach(node, member.dev) == Reach::Held) {
            return Effect::Blocked;
        }
        let size = self.nodes.get(node).map(|machine| machine.kernel.size_of(dev)).unwrap_or_default();
        self.file_systems.insert(first, size);
        Effect::done()
    }

    /// A mount that goes is not listed any more; the file system's last write, its superblock, may have to wait.
    pub(super) fn unmount(&mut self, node: &NodeName, path: &str) -> Effect {
        let version = self.next_version + 1;
        let Some(kernel) = self.nodes.get_mut(node).map(|machine| &mut machine.kernel) else {
            return Effect::retry("ENODEV");
        };
        let listed = kernel.mounts.get(path).map(|mount| (mount.dev, mount.read_only));
        let Some(dev) = listed.map(|(dev, _)| dev).or_else(|| kernel.unmounting.get(path).copied()) else {
            return Effect::done();
        };
        let columns = kernel.columns_below(dev);
        if kernel.arrays_among(&columns).any(|array| array.open) {
            return Effect::failed(FailureKind::Busy, "umount: EBUSY");
        }
        if kernel.mounts.remove(path).is_some() {
            kernel.unmounting.insert(path.to_owned(), dev);
        }
        let in_flight = kernel.arrays_among(&columns).any(|array| !array.pending.is_empty());
        match columns.first().and_then(|first| kernel.arrays.get_mut(first)) {
            Some(array)
                if listed.is_some_and(|(_, read_only)| !read_only)
                    && array.is_writable()
                    && array.shut_down.is_none() =>
            {
                array.pending.push(Write::new(0, version));
                self.next_version = version;
                Effect::Blocked
            }
            Some(_) if in_flight => Effect::Blocked,
            Some(_) | None => {
                kernel.unmounting.remove(path);
                Effect::done()
            }
        }
    }
}
