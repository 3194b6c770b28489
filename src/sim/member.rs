//! The calls that change an array: assemble, add, fail, remove, slots, stop.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use uuid::Uuid;

use super::apply::Effect;
use super::cluster::Cluster;
use super::disk::{Header, Role, blocks_in, sector_of};
use super::fabric::Reach;
use super::kernel::{Array, ArrayMember};
use crate::domain::{Bytes, NodeName};
use crate::plan::{ArrayState, Dev, FailureKind, Join, NewMember};

fn new_member(device: Uuid, dev: Dev, dev_number: u32, room: Bytes) -> ArrayMember {
    ArrayMember {
        dev,
        name: format!("dev-{}-{}", dev.major, dev.minor),
        device,
        dev_number,
        slot: None,
        faulty: false,
        in_sync: false,
        write_mostly: false,
        left: BTreeSet::new(),
        by_bitmap: false,
        header_due: false,
        recorded: 0,
        room,
    }
}

impl Cluster {
    /// Whether a superblock there says that its array has been started.
    fn has_run(&self, node: &NodeName, dev: Dev) -> bool {
        let Reach::Partition(provider, guid) = self.reach(node, dev) else { return false };
        let partition = self.partition(&provider, guid);
        partition.and_then(|partition| partition.header.as_ref()).is_some_and(|header| header.events > 0)
    }

    /// First superblocks, on partitions that were zeroed.
    pub(super) fn write_first_headers(
        &mut self,
        node: &NodeName,
        array: Uuid,
        slots: u32,
        size: Bytes,
        members: &[NewMember],
    ) -> Effect {
        let roles: BTreeMap<u32, Role> =
            (0u32..).zip(members).map(|(slot, member)| (member.dev_number, Role::Slot(slot))).collect();
        if members.iter().any(|member| self.has_run(node, member.dev)) {
            return Effect::retry("it is a member of an array that has run");
        }
        for member in members {
            let (provider, guid) = match self.reach(node, member.dev) {
                Reach::Partition(provider, guid) => (provider, guid),
                Reach::Held => return Effect::Blocked,
                Reach::Failed => return Effect::retry("write superblock: EIO"),
            };
            let room = self.room_of(node, member.dev);
            if room < size {
                return Effect::retry("write superblock: EINVAL");
            }
            let header = Header {
                size,
                room,
                array,
                device: member.partition,
                dev_number: member.dev_number,
                events: 0,
                events_cleared: 0,
                slots,
                roles: roles.clone(),
                filling: false,
                dirty: BTreeSet::new(),
                clean: true,
            };
            if self
                .partition(&provider, guid)
                .is_some_and(|partition| !partition.blocks.is_zero(0..partition.blocks()))
            {
                self.violate(format_args!("superblocks are written on {guid}, which is not zero"));
            }
            if let Some(partition) = self.partition_mut(&provider, guid) {
                partition.header = Some(header);
            }
        }
        Effect::done()
    }

    /// Assembles from exactly these. MD kicks what is more than one event behind and asks nothing else: a stale half
    /// alone starts happily.
    pub(super) fn assemble(
        &mut self,
        node: &NodeName,
        uuid: Uuid,
        name: &str,
        members: &[(Uuid, Dev)],
    ) -> Effect {
        if self.nodes.get(node).is_some_and(|machine| machine.kernel.arrays.contains_key(&uuid)) {
            return Effect::done();
        }
        let mut headers: Vec<(Dev, Header)> = Vec::new();
        for (guid, dev) in members {
            match self.checked_header(node, uuid, *guid, *dev) {
                Ok(header) => headers.push((*dev, header)),
                Err(effect) => return effect,
            }
        }
        let Some(freshest) =
            headers.iter().map(|(_, header)| header).max_by_key(|header| header.events).cloned()
        else {
            return Effect::retry("assemble: EINVAL");
        };
        let array = self.new_array(node, uuid, name, &freshest, &headers);
        match array {
            Some(array) => {
                if let Some(machine) = self.nodes.get_mut(node) {
                    machine.kernel.arrays.insert(uuid, array);
                }
                Effect::done()
            }
            None => Effect::retry("run array: EIO"),
        }
    }

    pub(super) fn read_header(&self, node: &NodeName, array: Uuid, guid: Uuid, dev: Dev) -> Effect {
        self.checked_header(node, array, guid, dev).map_or_else(|effect| effect, |_| Effect::done())
    }

    fn checked_header(&self, node: &NodeName, array: Uuid, guid: Uuid, dev: Dev) -> Result<Header, Effect> {
        let (provider, partition) = match self.reach(node, dev) {
            Reach::Partition(provider, partition) => (provider, partition),
            Reach::Held => return Err(Effect::Blocked),
            Reach::Failed => {
                return Err(Effect::failed(FailureKind::Unreadable(guid), "read superblock: EIO"));
            }
        };
        let bad = |why: &str| Err(Effect::failed(FailureKind::BadHeader(guid), why));
        match self.partition(&provider, partition).and_then(|partition| partition.header.clone()) {
            None => bad("no superblock"),
            Some(header) if header.array != array => bad("superblock of another array"),
            Some(header) if header.device != guid => bad("superblock of another member"),
            Some(header) => Ok(header),
        }
    }

    fn new_array(
        &mut self,
        node: &NodeName,
        uuid: Uuid,
        name: &str,
        freshest: &Header,
        headers: &[(Dev, Header)],
    ) -> Option<Array> {
        let mut members = Vec::new();
        for (dev, header) in headers {
            let role = freshest.roles.get(&header.dev_number).copied().unwrap_or(Role::Spare);
            if header.events + 1 < freshest.events || role == Role::Faulty {
                self.note(format_args!("{node}: {name}: kicking non-fresh {}", header.device));
                continue;
            }
            if header.room < freshest.size {
                return None;
            }
            let mut member = new_member(header.device, *dev, header.dev_number, header.room);
            member.recorded = header.events;
            if let Role::Slot(slot) = role {
                member.slot = Some(slot);
                member.in_sync = !header.filling;
                member.left =
                    if header.filling { (0..blocks_in(freshest.size)).collect() } else { BTreeSet::new() };
            }
            members.push(member);
        }
        if !members.iter().any(|member| member.in_sync) {
            return None;
        }
        let dirty: BTreeSet<u8> =
            headers.iter().flat_map(|(_, header)| header.dirty.iter().copied()).collect();
        let whole = members.iter().filter(|member| member.in_sync).count();
        let resync = if freshest.clean || whole < 2 { BTreeSet::new() } else { dirty.clone() };
        // `md_bitmap_load`: every bit, where somebody is missing or is being filled.
        let degraded = whole < usize::try_from(freshest.slots).unwrap_or(usize::MAX);
        let needed = if degraded { dirty.clone() } else { resync.clone() };
        let dev = self.nodes.get_mut(node)?.kernel.new_dev(9);
        Some(Array {
            uuid,
            name: name.to_owned(),
            dev,
            state: if self.start_read_auto { ArrayState::ReadAuto } else { ArrayState::Clean },
            slots: freshest.slots,
            members,
            events: freshest.events,
            events_cleared: freshest.events_cleared,
            roles: freshest.roles.clone(),
            dirty,
            needed,
            clean: true,
            last_write: 0,
            pending: Vec::new(),
            resync,
            sync_at: self.now,
            io_at: 0,
            forget_at: self.now,
            size: freshest.size,
            open: false,
            frozen: false,
            shut_down: None,
            cut: false,
            held: false,
        })
    }

    pub(super) fn set_slots(&mut self, array: &mut Array, slots: u32) -> Effect {
        if array.holds_writes() && !array.pending.is_empty() && self.is_queueing(array) {
            return Effect::Blocked;
        }
        let used = array.members.iter().filter(|member| member.slot.is_some()).count();
        if used > usize::try_from(slots).unwrap_or(0) {
            return Effect::retry("raid_disks: EBUSY");
        }
        if slots < array.slots {
            let mut order: Vec<_> = array.members.iter_mut().filter(|member| member.slot.is_some()).collect();
            order.sort_by_key(|member| member.slot);
            (0u32..).zip(order).for_each(|(slot, member)| member.slot = Some(slot));
        }
        array.slots = slots;
        array.bump();
        Effect::done()
    }

    fn is_queueing(&self, array: &Array) -> bool {
        let reaches = |node: &NodeName| {
            array.members.iter().any(|member| !member.faulty && self.reach(node, member.dev) == Reach::Held)
        };
        self.nodes.keys().any(|node| {
            self.nodes.get(node).is_some_and(|machine| {
                array.members.iter().any(|member| machine.kernel.map_of(member.dev).is_some())
            }) && reaches(node)
        })
    }

    pub(super) fn add_member(
        &mut self,
        node: &NodeName,
        array: &mut Array,
        new: &NewMember,
        good: Dev,
        join: Join,
    ) -> Effect {
        if array.members.iter().any(|member| member.dev_number == new.dev_number || member.dev == new.dev) {
            return Effect::failed(FailureKind::Busy, "ADD_NEW_DISK: EBUSY");
        }
        if self.reach(node, good) == Reach::Held || self.blocks_array(node, array) {
            return Effect::Blocked;
        }
        let (provider, guid) = match self.reach(node, new.dev) {
            Reach::Partition(provider, guid) => (provider, guid),
            Reach::Held => return Effect::Blocked,
            Reach::Failed => {
                return Effect::failed(FailureKind::Unreadable(new.partition), "pread: EIO");
            }
        };
        let header = self.partition(&provider, guid).and_then(|partition| partition.header.clone());
        let room = self.room_of(node, new.dev);
        if room < array.size {
            return Effect::retry("ADD_NEW_DISK: ENOSPC");
        }
        let mut member = new_member(new.partition, new.dev, new.dev_number, room);
        member.write_mostly = new.write_mostly;
        if join == Join::Bitmap {
            let Some(header) =
                header.filter(|header| header.array == array.uuid && header.device == new.partition)
            else {
                return Effect::failed(FailureKind::BitmapRefused, "ADD_NEW_DISK: EINVAL");
            };
            if header.size != array.size {
                return Effect::failed(
                    FailureKind::BitmapRefused,
                    "the superblock of an array of another size",
                );
            }
            if header.events < array.events_cleared {
                return Effect::failed(FailureKind::BitmapRefused, "ADD_NEW_DISK: EINVAL, behind the bitmap");
            }
            member.by_bitmap = !header.filling;
        }
        array.members.push(member);
        array.bump();
        self.write_headers(node, array);
        Effect::done()
    }

    /// `mddev_suspend`: while a write is held, everything of this array waits, reads too.
    fn blocks_array(&self, node: &NodeName, array: &mut Array) -> bool {
        let held =
            array.members.iter().any(|member| !member.faulty && self.reach(node, member.dev) == Reach::Held);
        array.frozen = held && array.holds_writes();
        array.frozen
    }

    pub(super) fn set_write_mostly(
        &mut self,
        node: &NodeName,
        array: &mut Array,
        member: &str,
        on: bool,
    ) -> Effect {
        if self.blocks_array(node, array) {
            return Effect::Blocked;
        }
        match array.members.iter_mut().find(|known| known.name == member) {
            Some(member) => member.write_mostly = on,
            None => return Effect::retry("state: ENOENT"),
        }
        Effect::done()
    }

    /// Writing `faulty`. On the last member in sync the kernel says EBUSY and breaks the array all the same.
    pub(super) fn mark_faulty(&mut self, node: &NodeName, array: &mut Array, member: &str) -> Effect {
        let Some(device) =
            array.members.iter().find(|known| known.name == member).map(|member| member.device)
        else {
            return Effect::retry("state: ENOENT");
        };
        if self.fail_member(node, array, device) {
            return Effect::done();
        }
        array.state = ArrayState::Broken;
        self.violate(format_args!("{node}: {} is broken: its last member was marked faulty", array.name));
        Effect::retry("state: EBUSY")
    }

    pub(super) fn remove_member(&mut self, node: &NodeName, array: &mut Array, member: &str) -> Effect {
        if self.blocks_array(node, array) {
            return Effect::Blocked;
        }
        match array.members.iter().position(|known| known.name == member) {
            None => Effect::retry("state: ENOENT"),
            Some(index) if array.members.get(index).is_some_and(|member| member.slot.is_some()) => {
                Effect::retry("state: EBUSY")
            }
            Some(index) => {
                array.members.remove(index);
                Effect::done()
            }
        }
    }

    /// Both copies are compared block by block in these windows, without those that are being written.
    pub(super) fn compare(
        &mut self,
        node: &NodeName,
        array: &Array,
        device: Uuid,
        windows: &[Range<u64>],
    ) -> Effect {
        let Some(dev) = array.member(device).filter(|member| member.in_sync).map(|member| member.dev) else {
            return Effect::retry("compare: not an in-sync member");
        };
        let mut differ = 0;
        let is_in = |block: &u8| windows.iter().any(|window| window.contains(&sector_of(*block)));
        for block in (0..blocks_in(array.size))
            .filter(is_in)
            .filter(|block| !array.pending.iter().any(|write| write.block == *block))
        {
            let Some(version) = self.read_good(node, array, block) else {
                return self.without_answer(node, array, "compare");
            };
            let Reach::Partition(provider, guid) = self.reach(node, dev) else {
                return self.without_answer(node, array, "compare");
            };
            let there = self.partition(&provider, guid).map(|partition| partition.blocks.get(block));
            differ += u64::from(there != Some(version));
        }
        let sectors: u64 = windows.iter().map(|window| window.end - window.start).sum();
        Effect::compared(Bytes(sectors * 512), differ * 8)
    }

    pub(super) fn stop_array(&mut self, node: &NodeName, array: &mut Array) -> Effect {
        let in_use = self.nodes.get(node).is_some_and(|machine| {
            machine.kernel.mounts.values().any(|mount| mount.dev == array.dev)
                || machine.kernel.carries_stripes(array.dev)
        });
        if in_use || array.open {
            return Effect::failed(FailureKind::Busy, "STOP_ARRAY: EBUSY");
        }
        let held =
            array.members.iter().any(|member| !member.faulty && self.reach(node, member.dev) == Reach::Held);
        if held || !array.pending.is_empty() {
            return Effect::Blocked;
        }
        if !array.clean {
            array.clean = true;
            array.bump();
            self.write_headers(node, array);
        }
        Effect::done()
    }
}
