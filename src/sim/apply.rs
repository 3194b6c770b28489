//! A step, done by a simulated kernel.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::cluster::Cluster;
use super::disk::{Blocks, GARBAGE, Partition};
use super::drives::DriveFault;
use super::fabric::Reach;
use super::kernel::{Array, Export, Map};
use super::stripes::replica_with;
use crate::domain::{Bytes, DriveId, Epoch, NodeName, VolumeName};
use crate::plan::{ConnectionState, Dev, FailureKind, NewMember, Outcome, Step, StepFailure};

/// What a step came to.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Effect {
    /// It is over.
    Over(Result<Outcome, StepFailure>),
    /// The call does not return yet.
    Blocked,
}

impl Effect {
    pub(super) fn done() -> Self {
        Self::Over(Ok(Outcome::Done))
    }

    pub(super) fn compared(bytes: Bytes, mismatched_sectors: u64) -> Self {
        Self::Over(Ok(Outcome::Compared { bytes, mismatched_sectors }))
    }

    pub(super) fn failed(kind: FailureKind, message: &str) -> Self {
        Self::Over(Err(StepFailure { kind, message: message.to_owned() }))
    }

    pub(super) fn retry(message: &str) -> Self {
        Self::failed(FailureKind::Retry, message)
    }
}

impl Cluster {
    /// Does a step on a node, now.
    pub(super) fn apply(&mut self, node: &NodeName, step: &Step) -> Effect {
        self.stir_all();
        if self.hangs(node, step) {
            return Effect::Blocked;
        }
        match step {
            Step::PrepareDrive { .. }
            | Step::RepairTable { .. }
            | Step::ReleaseDrive { .. }
            | Step::Carve { .. }
            | Step::GrowPartition { .. }
            | Step::RemovePartition { .. } => self.apply_drive(node, step),
            Step::Zero { partition, dev } => self.make(node, *partition, *dev),
            Step::Erase { partition, dev } => self.zero(node, *partition, *dev, "erased"),
            Step::ZeroTail { partition, from, to, .. } => self.zero_tail(node, *partition, *from, *to),
            Step::Revalidate { partition, epoch, .. } => self.revalidate(node, (*partition, *epoch)),
            Step::Export { partition, epoch, dev, host_nqn, .. } => {
                self.export(node, (*partition, *epoch), *dev, host_nqn)
            }
            Step::Fence { partition, epoch } => {
                if let Some(machine) = self.nodes.get_mut(node) {
                    machine.kernel.exports.remove(&(*partition, *epoch));
                }
                Effect::done()
            }
            Step::NoteAlone { note } => {
                self.nodes.get_mut(node).map(|machine| machine.alone.insert(*note));
                Effect::done()
            }
            Step::ForgetAlone { note } => {
                self.nodes.get_mut(node).map(|machine| machine.alone.remove(note));
                Effect::done()
            }
            Step::Connect { .. }
            | Step::Disconnect { .. }
            | Step::MapLeg { .. }
            | Step::ReloadLeg { .. }
            | Step::ReinstateLeg { .. }
            | Step::HoldLeg { .. }
            | Step::FailLeg { .. }
            | Step::UnmapLeg { .. } => self.apply_leg(node, step).unwrap_or_else(|| Effect::retry("ENODEV")),
            Step::WriteHeaders { array, slots, size, members, volume, .. } => {
                if self.are_in_use(node, volume, members) {
                    self.violate(format_args!("first superblocks are written on {volume}, which is in use"));
                }
                self.write_first_headers(node, *array, *slots, *size, members)
            }
            Step::ReadHeader { array, partition, dev, .. } => {
                self.read_header(node, *array, *partition, *dev)
            }
            Step::Assemble { array, device, members, .. } => self.assemble(node, *array, device, members),
            Step::SetWritable { array, .. }
            | Step::SetSlots { array, .. }
            | Step::AddMember { array, .. }
            | Step::SetWriteMostly { array, .. }
            | Step::FailMember { array, .. }
            | Step::RemoveMember { array, .. }
            | Step::Compare { array, .. }
            | Step::Check { array, .. }
            | Step::GrowArray { array, .. }
            | Step::Thaw { array, .. }
            | Step::StopArray { array, .. } => self.apply_array(node, array, step),
            Step::MapTop { uid, columns, size, .. } => self.map_top(node, *uid, columns, *size),
            Step::UnmapTop { uid, .. } => self.unmap_top(node, *uid),
            Step::Format { dev, .. } => self.format(node, *dev),
            Step::GrowFs { dev, path, .. } => self.grow_file_system(node, *dev, path),
            Step::Mount { dev, path, read_only, .. } => self.mount(node, *dev, path, *read_only),
            Step::Unmount { path, .. } => self.unmount(node, path),
            Step::Publish { dev, at, path, read_only, .. } => {
                self.publish(node, *dev, at.as_ref(), (path, *read_only))
            }
            Step::Unpublish { path, .. } => self.unpublish(node, path),
            Step::MeasureUse { dev, path, .. } => self.measure_use(node, *dev, path),
            Step::ShutDown { .. }
            | Step::CutMember { .. }
            | Step::FindHolders { .. }
            | Step::EndProcesses { .. } => self.apply_eviction(node, step),
        }
    }

    fn apply_drive(&mut self, node: &NodeName, step: &Step) -> Effect {
        match step {
            Step::PrepareDrive { drive, disk_guid, wipe, .. } => {
                let Some(disk) = self.disk(node, drive) else { return Effect::retry("ENODEV") };
                if !disk.found.is_empty() && !wipe {
                    return Effect::failed(FailureKind::Busy, "something is on it");
                }
                disk.found.clear();
                disk.partitions.clear();
                disk.guid = Some(*disk_guid);
            }
            Step::ReleaseDrive { drive, .. } => {
                let Some(disk) = self.disk(node, drive) else { return Effect::retry("ENODEV") };
                disk.guid = None;
            }
            Step::Carve { drive, partition, size, .. } => return self.carve(node, drive, *partition, *size),
            Step::GrowPartition { drive, partition, size, .. } => {
                return self.grow_partition(node, drive, *partition, *size);
            }
            Step::RemovePartition { drive, partition, .. } => {
                return self.remove_partition(node, drive, *partition);
            }
            _ => {}
        }
        Effect::done()
    }

    pub(super) fn disk(&mut self, node: &NodeName, drive: &DriveId) -> Option<&mut super::disk::Disk> {
        self.nodes.get_mut(node)?.disks.get_mut(drive).filter(|disk| disk.fault == DriveFault::None)
    }

    fn carve(&mut self, node: &NodeName, drive: &DriveId, guid: Uuid, size: Bytes) -> Effect {
        let Some(dev) = self.nodes.get_mut(node).map(|machine| machine.kernel.new_dev(259)) else {
            return Effect::retry("ENODEV");
        };
        let Some(disk) = self.disk(node, drive) else { return Effect::retry("ENODEV") };
        if disk.partitions.contains_key(&guid) {
            return Effect::done();
        }
        let Some(start) = disk.first_fit(size) else { return Effect::retry("ENOSPC") };
        let blocks = Blocks::filled(GARBAGE);
        disk.partitions.insert(guid, Partition { start, size, known: size, dev, blocks, header: None });
        Effect::done()
    }

    fn remove_partition(&mut self, node: &NodeName, drive: &DriveId, guid: Uuid) -> Effect {
        if self.is_busy(node, guid) {
            return Effect::failed(FailureKind::Busy, "BLKPG_DEL_PARTITION: EBUSY");
        }
        let Some(disk) = self.disk(node, drive) else { return Effect::retry("ENODEV") };
        let was = disk.partitions.remove(&guid);
        if was.is_some_and(|partition| !partition.blocks.is_zero(0..partition.blocks())) {
            self.violate(format_args!("{node}: the space of {guid} is given back with its data in it"));
        }
        Effect::done()
    }

    /// Held by an array, or exported.
    fn is_busy(&self, node: &NodeName, guid: Uuid) -> bool {
        let Some(machine) = self.nodes.get(node) else { return false };
        self.partition(node, guid).is_some_and(|partition| machine.kernel.holds(partition.dev))
            || machine.kernel.exports.values().any(|export| export.partition == guid)
    }

    fn make(&mut self, node: &NodeName, guid: Uuid, dev: Dev) -> Effect {
        let header = self.partition(node, guid).and_then(|partition| partition.header.as_ref());
        if header.is_some_and(|header| header.device == guid) {
            return Effect::retry("it is a member of an array");
        }
        self.zero(node, guid, dev, "zeroed")
    }

    fn zero(&mut self, node: &NodeName, guid: Uuid, dev: Dev, what: &str) -> Effect {
        if self.partition(node, guid).is_none_or(|partition| partition.dev != dev) {
            return Effect::retry("ENXIO");
        }
        if !self.works(node, guid) {
            return Effect::retry("EIO");
        }
        if self.nodes.get(node).is_some_and(|machine| machine.kernel.holds(dev)) {
            return Effect::failed(FailureKind::Busy, "open O_EXCL: EBUSY");
        }
        let replica = replica_with(&self.store.world, guid);
        let needed = self.store.world.volumes().any(|volume| {
            !volume.spec.deleting
                && volume.status.is_some_and(|status| status.created && status.in_sync.contains(&replica))
        });
        if needed {
            self.violate(format_args!("{node}: {guid} is {what}, but it is in the in-sync set"));
        }
        if let Some(partition) = self.partition_mut(node, guid) {
            (0..partition.blocks()).for_each(|block| partition.blocks.set(block, 0));
            partition.header = None;
        }
        Effect::done()
    }

    fn export(&mut self, node: &NodeName, key: (Uuid, Epoch), dev: Dev, host: &str) -> Effect {
        let Some(size) = self
            .partition(node, key.0)
            .filter(|partition| partition.dev == dev && !self.is_pulled(node, key.0))
            .map(|partition| partition.known)
        else {
            return Effect::retry("ENXIO");
        };
        let export = Export {
            hosts: BTreeSet::from([host.to_owned()]),
            linked: true,
            enabled: true,
            partition: key.0,
            dev: Some(dev),
            size,
        };
        if let Some(machine) = self.nodes.get_mut(node) {
            machine.kernel.exports.insert(key, export);
        }
        Effect::done()
    }

    fn apply_leg(&mut self, node: &NodeName, step: &Step) -> Option<Effect> {
        match step {
            Step::Connect { partition, epoch, endpoint, .. } => {
                let provider = self.listener(&endpoint.address)?;
                return Some(match self.connect(node, (*partition, *epoch), &provider) {
                    Ok(()) => Effect::done(),
                    Err(errno) => Effect::retry(errno),
                });
            }
            Step::MapLeg { partition, epoch, path, size } => {
                let kernel = &mut self.nodes.get_mut(node)?.kernel;
                kernel.connection_of(*path).filter(|(_, connection)| connection.size >= *size)?;
                let dev = kernel.new_dev(253);
                let map = Map { dev, path: Some(*path), active: true, queueing: true, size: *size };
                kernel.maps.entry((*partition, *epoch)).or_insert(map);
            }
            Step::UnmapLeg { partition, epoch } => return self.unmap(node, (*partition, *epoch)),
            Step::Disconnect { partition, epoch, .. } => {
                return Some(self.disconnect(node, &(*partition, *epoch)));
            }
            Step::ReloadLeg { partition, epoch, path, .. }
            | Step::ReinstateLeg { partition, epoch, path } => {
                let kernel = &mut self.nodes.get_mut(node)?.kernel;
                kernel.connection_of(*path)?;
                let map = kernel.maps.get_mut(&(*partition, *epoch))?;
                if matches!(step, Step::ReinstateLeg { .. }) && map.path != Some(*path) {
                    return Some(Effect::retry("reinstate_path: EINVAL"));
                }
                if let Step::ReloadLeg { size, .. } = step {
                    map.size = *size;
                }
                map.path = Some(*path);
                map.active = true;
                map.queueing = true;
            }
            Step::HoldLeg { partition, epoch, path } => {
                let map = self.nodes.get_mut(node)?.kernel.maps.get_mut(&(*partition, *epoch))?;
                if map.path != Some(*path) {
                    return Some(Effect::retry("fail_path: EINVAL"));
                }
                map.active = false;
            }
            Step::FailLeg { partition, epoch, cut, .. } => {
                self.fail_leg(node, (*partition, *epoch), cut.is_some())?;
            }
            _ => {}
        }
        Some(Effect::done())
    }

    fn listener(&self, address: &str) -> Option<NodeName> {
        self.nodes.keys().find(|name| super::daemon::address(name) == address).cloned()
    }

    fn unmap(&mut self, node: &NodeName, key: (Uuid, Epoch)) -> Option<Effect> {
        let kernel = &mut self.nodes.get_mut(node)?.kernel;
        let dev = kernel.maps.get(&key)?.dev;
        if kernel.holds(dev) {
            return Some(Effect::failed(FailureKind::Busy, "DM_DEV_REMOVE: EBUSY"));
        }
        kernel.maps.remove(&key);
        Some(Effect::done())
    }

    /// `fail_if_no_path`, `fail_path`; sockets destroyed where `cut` says so.
    fn fail_leg(&mut self, node: &NodeName, key: (Uuid, Epoch), cut: bool) -> Option<()> {
        let now = self.now;
        let kernel = &mut self.nodes.get_mut(node)?.kernel;
        let map = kernel.maps.get_mut(&key)?;
        map.queueing = false;
        map.active = false;
        let provider = kernel.connections.get(&key).map(|connection| connection.provider.clone());
        for connection in kernel.connections.values_mut().filter(|_| cut) {
            if Some(&connection.provider) == provider.as_ref() && connection.state == ConnectionState::Live {
                connection.state = ConnectionState::Connecting;
                connection.due = Some(now + 1000);
            }
        }
        Some(())
    }

    /// A live controller says goodbye to its peer first, and waits for the answer (KERNEL.md finding 5).
    fn disconnect(&mut self, node: &NodeName, key: &(Uuid, Epoch)) -> Effect {
        let Some(machine) = self.nodes.get(node) else { return Effect::retry("ENODEV") };
        let waits = machine.kernel.connections.get(key).is_some_and(|connection| {
            connection.state == ConnectionState::Live && !self.can_talk(node, &connection.provider)
        });
        if waits {
            return Effect::Blocked;
        }
        if let Some(machine) = self.nodes.get_mut(node) {
            machine.kernel.connections.remove(key);
        }
        Effect::done()
    }

    fn apply_array(&mut self, node: &NodeName, name: &str, step: &Step) -> Effect {
        let Some(uuid) = self.nodes.get(node).and_then(|machine| machine.kernel.array_named(name)) else {
            return Effect::retry("ENODEV");
        };
        let effect = self.with_array(node, uuid, |cluster, array| cluster.on_array(node, array, step));
        let effect = effect.unwrap_or_else(|| Effect::retry("ENODEV"));
        if effect == Effect::done()
            && matches!(step, Step::StopArray { .. })
            && let Some(machine) = self.nodes.get_mut(node)
        {
            machine.kernel.arrays.remove(&uuid);
        }
        effect
    }

    fn on_array(&mut self, node: &NodeName, array: &mut Array, step: &Step) -> Effect {
        let effect = match step {
            Step::SetWritable { .. } => {
                array.state = crate::plan::ArrayState::Clean;
                Effect::done()
            }
            Step::SetSlots { slots, .. } => self.set_slots(array, *slots),
            Step::AddMember { member, good, join, .. } => self.add_member(node, array, member, *good, *join),
            Step::SetWriteMostly { member, on, .. } => self.set_write_mostly(node, array, member, *on),
            Step::FailMember { member, .. } => self.mark_faulty(node, array, member),
            Step::RemoveMember { member, .. } => self.remove_member(node, array, member),
            Step::Compare { partition, windows, .. } => self.compare(node, array, *partition, windows),
            Step::Check { from, size, repair, .. } => self.check_slice(node, array, (*from, *size), *repair),
            Step::GrowArray { size, .. } => self.grow_array(node, array, *size),
            Step::Thaw { .. } => {
                array.held = false;
                Effect::done()
            }
            _ => self.stop_array(node, array),
        };
        if effect != Effect::Blocked {
            array.frozen = false;
        }
        effect
    }

    /// Whether one of these devices leads to a copy that counts. A node that was paused in the call and deposed reaches but its own.
    fn are_in_use(&self, node: &NodeName, volume: &VolumeName, members: &[NewMember]) -> bool {
        let status = self.store.world.volume_status(volume).filter(|status| status.created);
        let world = &self.store.world;
        let counts = |guid| status.is_some_and(|status| status.in_sync.contains(&replica_with(world, guid)));
        let reached = |member: &NewMember| match self.reach(node, member.dev) {
            Reach::Partition(_, guid) => counts(guid),
            Reach::Held | Reach::Failed => false,
        };
        members.iter().any(reached)
    }
}
