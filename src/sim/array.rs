//! A running RAID1: writes, failures, recovery. What KERNEL.md and KERNEL2.md say MD does, no more.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::apply::Effect;
use super::clock::TICK;
use super::cluster::Cluster;
use super::disk::{Header, Role, blocks_in};
use super::fabric::Reach;
use super::kernel::{Array, ArrayMember, Write};
use crate::domain::{FsType, NodeName};
use crate::plan::{ArrayState, Dev};

/// Milliseconds recovery takes for a block.
pub(super) const COPY: u64 = 40;
/// `safe_mode_delay`: so many milliseconds after the last write the superblocks say clean.
pub(super) const SAFE_MODE: u64 = 200;
/// Milliseconds until the next bit goes, at most.
const FORGET: u64 = 2000;

impl Array {
    fn header_of(&self, member: &ArrayMember) -> Header {
        Header {
            array: self.uuid,
            device: member.device,
            dev_number: member.dev_number,
            events: self.events,
            events_cleared: self.events_cleared,
            slots: self.slots,
            size: self.size,
            room: member.room,
            roles: self.roles.clone(),
            filling: !member.in_sync,
            dirty: self.dirty.clone(),
            clean: self.clean,
        }
    }

    /// Something about the members changed: every superblock is to be written.
    pub(super) fn bump(&mut self) {
        self.events += 1;
        for member in &self.members {
            let role = match member.slot {
                _ if member.faulty => Role::Faulty,
                Some(slot) => Role::Slot(slot),
                None => Role::Spare,
            };
            self.roles.insert(member.dev_number, role);
        }
        self.members.iter_mut().for_each(|member| member.header_due = true);
    }

    /// A bit that may go.
    pub(super) fn forgettable(&self) -> Option<u8> {
        let busy = |block: &u8| self.pending.iter().any(|write| write.block == *block);
        let idle = self.resync.is_empty();
        self.dirty.difference(&self.needed).copied().find(|block| idle && !busy(block))
    }

    /// What was copied to everybody there is need not be known any more; while a slot is vacant it does (`md_bitmap_start_sync`).
    fn copied(&mut self, block: u8) {
        if !self.misses_slot() {
            self.needed.remove(&block);
        }
    }

    /// The events that every member's superblock has. `events_cleared` is raised when a write ends (`md_bitmap_endwrite`), and none begins
    /// before all superblocks say that the array is written to (`md_write_start`): a leg that holds one holds that up, too.
    fn recorded_by_all(&self) -> u64 {
        let whole = self.members.iter().filter(|member| member.in_sync && !member.faulty);
        whole.map(|member| member.recorded).min().unwrap_or(self.events_cleared)
    }

    /// Some call or write waits for a leg.
    pub(super) fn holds_writes(&self) -> bool {
        self.pending.iter().any(|write| !write.waiting.is_empty() || !write.issued)
    }
}

impl Cluster {
    /// Lends an array to `work`; the rest of the cluster stays usable meanwhile.
    pub(super) fn with_array<T>(
        &mut self,
        node: &NodeName,
        uuid: Uuid,
        work: impl FnOnce(&mut Self, &mut Array) -> T,
    ) -> Option<T> {
        let mut array = self.nodes.get_mut(node)?.kernel.arrays.remove(&uuid)?;
        let result = work(self, &mut array);
        self.nodes.get_mut(node)?.kernel.arrays.insert(uuid, array);
        Some(result)
    }

    pub(super) fn run_arrays(&mut self, node: &NodeName) {
        let Some(machine) = self.nodes.get(node) else { return };
        let uuids: Vec<Uuid> = machine.kernel.arrays.keys().copied().collect();
        for uuid in uuids {
            self.with_array(node, uuid, |cluster, array| cluster.run_array(node, array));
        }
    }

    fn run_array(&mut self, node: &NodeName, array: &mut Array) {
        self.write_headers(node, array);
        let mut pending = std::mem::take(&mut array.pending);
        pending.retain_mut(|write| !self.run_write(node, array, write));
        array.pending = pending;
        if array.frozen || !array.is_writable() {
            return;
        }
        self.mark_clean(node, array);
        if !array.held {
            self.change_members(node, array);
        }
        self.forget_dirty(array);
    }

    /// `md_check_recovery`, and what it starts.
    fn change_members(&mut self, node: &NodeName, array: &mut Array) {
        self.drop_slots(node, array);
        self.start_recovery(node, array);
        if array.is_copying() && self.now >= array.sync_at + COPY {
            array.sync_at = self.now;
            self.recover(node, array);
            self.resync(node, array);
        }
    }

    fn mark_clean(&mut self, node: &NodeName, array: &mut Array) {
        let idle =
            array.pending.is_empty() && self.now > array.last_write + SAFE_MODE && array.resync.is_empty();
        if idle && !array.clean {
            array.clean = true;
            array.state = ArrayState::Clean;
            array.bump();
            self.stir(node);
        }
    }

    /// `remove_and_add_spares`: a faulty member loses its slot.
    fn drop_slots(&mut self, node: &NodeName, array: &mut Array) {
        for member in array.members.iter_mut().filter(|member| member.faulty && member.slot.is_some()) {
            member.slot = None;
            self.nodes.get_mut(node).into_iter().for_each(|machine| machine.stirred = true);
        }
    }

    /// A write: its bit on every member first, then its data. `true` once it is over.
    fn run_write(&mut self, node: &NodeName, array: &mut Array, write: &mut Write) -> bool {
        if !write.issued && !self.issue(node, array, write) {
            return false;
        }
        for device in write.waiting.clone() {
            let Some((dev, counts)) = array
                .member(device)
                .filter(|member| !member.faulty)
                .map(|member| (member.dev, member.in_sync))
            else {
                write.missed = true;
                write.waiting.remove(&device);
                continue;
            };
            match self.land(node, dev, write.block, write.version) {
                Reach::Partition(..) => {
                    write.landed |= counts;
                    write.waiting.remove(&device);
                }
                Reach::Held => {}
                Reach::Failed => {
                    self.fail_member(node, array, device);
                    write.missed = true;
                    write.waiting.remove(&device);
                }
            }
        }
        self.write_headers(node, array);
        let settled = array.members.iter().all(|member| member.faulty || !member.header_due);
        if !write.waiting.is_empty() || !settled {
            return false;
        }
        if write.missed {
            array.needed.insert(write.block);
        } else if !array.is_degraded() {
            array.events_cleared = array.events_cleared.max(array.recorded_by_all());
        }
        // An XFS that is shut down says EIO whatever the device said (`xfs_dio_write_end_io`); ext4 and the bare device do not.
        if write.landed && array.shut_down != Some(FsType::Xfs) {
            self.acknowledge(node, array.uuid, write.block, write.version);
        }
        true
    }

    fn issue(&mut self, node: &NodeName, array: &mut Array, write: &mut Write) -> bool {
        if array.frozen {
            return false;
        }
        let targets: Vec<(Uuid, Dev)> = array
            .members
            .iter()
            .filter(|member| member.takes_writes())
            .map(|member| (member.device, member.dev))
            .collect();
        if array.clean {
            array.clean = false;
            array.state = ArrayState::Active;
            array.bump();
        }
        if !array.dirty.contains(&write.block) && !self.mark_dirty(node, array, &targets, write.block) {
            return false;
        }
        array.last_write = self.now;
        write.missed = array.misses_slot();
        write.waiting = targets.into_iter().map(|(device, _)| device).collect();
        write.issued = true;
        true
    }

    /// The bit reaches every member before the data reaches any.
    fn mark_dirty(&mut self, node: &NodeName, array: &mut Array, targets: &[(Uuid, Dev)], block: u8) -> bool {
        let mut all = true;
        for (device, dev) in targets {
            match self.reach(node, *dev) {
                Reach::Partition(..) => {}
                Reach::Held => {
                    self.touch(node, *dev);
                    all = false;
                }
                // The last one stays a member; what goes to it fails.
                Reach::Failed => {
                    self.touch(node, *dev);
                    self.fail_member(node, array, *device);
                }
            }
        }
        if all {
            array.dirty.insert(block);
            for (_, dev) in targets {
                if let Reach::Partition(provider, guid) = self.reach(node, *dev)
                    && let Some(partition) = self.partition_mut(&provider, guid)
                    && let Some(header) = &mut partition.header
                {
                    header.dirty.insert(block);
                }
            }
        }
        all
    }

    fn land(&mut self, node: &NodeName, dev: Dev, block: u8, version: u64) -> Reach {
        let reach = self.reach(node, dev);
        let there = match &reach {
            Reach::Partition(provider, guid) => Some((provider.clone(), *guid)),
            Reach::Held | Reach::Failed => {
                self.touch(node, dev);
                self.lands_unheard(node, dev)
            }
        };
        if let Some((provider, guid)) = there {
            self.check_landing(node, &provider, guid);
            if let Some(partition) = self.partition_mut(&provider, guid) {
                partition.blocks.set(block, version);
            }
        }
        reach
    }

    /// `raid1_error`: kicks a member out. `false` for the last one that is in sync, which stays.
    pub(super) fn fail_member(&mut self, node: &NodeName, array: &mut Array, device: Uuid) -> bool {
        let others =
            array.members.iter().any(|member| member.in_sync && !member.faulty && member.device != device);
        let Some(member) = array.member_mut(device) else { return true };
        if member.in_sync && !others {
            return false;
        }
        member.faulty = true;
        member.in_sync = false;
        member.left = BTreeSet::new();
        array.bump();
        self.note(format_args!("{node}: {} has lost {device}", array.name));
        self.stir(node);
        true
    }

    /// Brings superblocks up to date where that is possible.
    pub(super) fn write_headers(&mut self, node: &NodeName, array: &mut Array) {
        let due: Vec<(Uuid, Dev, Header)> = array
            .members
            .iter()
            .filter(|member| member.header_due && !member.faulty)
            .map(|member| (member.device, member.dev, array.header_of(member)))
            .collect();
        for (device, dev, header) in due {
            match self.reach(node, dev) {
                Reach::Partition(provider, guid) => {
                    if let Some(member) = array.member_mut(device) {
                        member.header_due = false;
                        member.recorded = header.events;
                    }
                    if let Some(partition) = self.partition_mut(&provider, guid) {
                        partition.header = Some(header);
                    }
                }
                Reach::Held => self.touch(node, dev),
                Reach::Failed => {
                    self.touch(node, dev);
                    if !self.fail_member(node, array, device)
                        && let Some(member) = array.member_mut(device)
                    {
                        member.header_due = false;
                    }
                }
            }
        }
    }

    /// A spare and a free slot: recovery starts by itself, whole or by bitmap.
    fn start_recovery(&mut self, node: &NodeName, array: &mut Array) {
        let Some(slot) = array.free_slot() else { return };
        let (dirty, size) = (array.dirty.clone(), array.size);
        let Some(spare) = array
            .members
            .iter_mut()
            .find(|member| !member.faulty && member.slot.is_none() && !member.in_sync)
        else {
            return;
        };
        spare.slot = Some(slot);
        spare.left = if spare.by_bitmap { dirty } else { (0..blocks_in(size)).collect() };
        array.bump();
        array.sync_at = self.now;
        self.stir(node);
    }

    fn recover(&mut self, node: &NodeName, array: &mut Array) {
        let Some(target) =
            array.members.iter().find(|member| member.slot.is_some() && !member.in_sync && !member.faulty)
        else {
            return;
        };
        let (device, dev) = (target.device, target.dev);
        let busy = |block: &u8| array.pending.iter().any(|write| write.block == *block);
        let Some(block) = target.left.iter().copied().find(|block| !busy(block)) else {
            if target.left.is_empty() && array.pending.iter().all(|write| !write.issued) {
                self.finish_recovery(node, array, device);
            }
            return;
        };
        let Some(version) = self.read_good(node, array, block) else { return };
        match self.land(node, dev, block, version) {
            Reach::Partition(..) => {
                if let Some(member) = array.member_mut(device) {
                    member.left.remove(&block);
                }
                array.copied(block);
                self.stir(node);
            }
            Reach::Held => {}
            Reach::Failed => drop(self.fail_member(node, array, device)),
        }
    }

    fn finish_recovery(&mut self, node: &NodeName, array: &mut Array, device: Uuid) {
        if let Some(member) = array.member_mut(device) {
            member.in_sync = true;
        }
        // From now on bits go: a spare that came back with its bitmap and waits for a slot is filled whole
        // (`md_reap_sync_thread`, drivers/md/md.c, scraps `saved_raid_disk`).
        if !array.is_degraded() {
            array.members.iter_mut().for_each(|member| member.by_bitmap = false);
        }
        array.bump();
        self.note(format_args!("{node}: {} has recovered {device}", array.name));
        self.stir(node);
    }

    /// From a copy that is not write-mostly if there is one; where that fails, from the next (`raid1_end_read_request`).
    pub(super) fn read_good(&mut self, node: &NodeName, array: &Array, block: u8) -> Option<u64> {
        let mut good: Vec<_> =
            array.members.iter().filter(|member| member.in_sync && !member.faulty).collect();
        good.sort_by_key(|member| (member.write_mostly, member.slot));
        for source in good {
            match self.reach(node, source.dev) {
                Reach::Partition(provider, guid) => {
                    return self.partition(&provider, guid).map(|partition| partition.blocks.get(block));
                }
                Reach::Failed => self.touch(node, source.dev),
                Reach::Held => {
                    self.touch(node, source.dev);
                    return None;
                }
            }
        }
        None
    }

    /// What a call comes to that found nothing to read: it waits for a copy that holds, else it fails.
    pub(super) fn without_answer(&self, node: &NodeName, array: &Array, call: &str) -> Effect {
        let mut good = array.members.iter().filter(|member| member.in_sync && !member.faulty);
        if good.any(|member| self.reach(node, member.dev) == Reach::Held) {
            Effect::Blocked
        } else {
            Effect::retry(&format!("{call}: EIO"))
        }
    }

    /// After an unclean stop: what is marked is made equal.
    fn resync(&mut self, node: &NodeName, array: &mut Array) {
        let busy = |block: &u8| array.pending.iter().any(|write| write.block == *block);
        let Some(block) = array.resync.iter().copied().find(|block| !busy(block)) else { return };
        let Some(version) = self.read_good(node, array, block) else { return };
        let targets: Vec<(Uuid, Dev)> =
            array.members.iter().filter(|m| m.in_sync && !m.faulty).map(|m| (m.device, m.dev)).collect();
        for (device, dev) in targets {
            match self.land(node, dev, block, version) {
                Reach::Partition(..) => {}
                Reach::Held => return,
                Reach::Failed => drop(self.fail_member(node, array, device)),
            }
        }
        array.resync.remove(&block);
        array.copied(block);
        self.stir(node);
    }

    /// Bits go some time after their write, if it missed no slot. One that is being filled holds its slot: so did kernels before 6.14 and what of
    /// that 6.12 has taken over, which keep bits while anybody is being filled.
    fn forget_dirty(&mut self, array: &mut Array) {
        let Some(block) = array.forgettable().filter(|_| self.now >= array.forget_at) else { return };
        array.forget_at = self.now + self.rng.between(TICK, FORGET);
        array.dirty.remove(&block);
        array.members.iter_mut().for_each(|member| member.header_due = true);
    }
}
