//! A kernel with no more than the protocol hangs on: where I/O goes, when a call waits, what a stale half does.

use mdfabric::domain::{Endpoint, Epoch};
use mdfabric::plan::{Dev, Join, Step};
use uuid::Uuid;

use super::records::{Setup, number_of};
use super::seen::copy_at;
use super::state::{Array, Call, Map, Pending, Role, State, User};

/// Where I/O to a member goes at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Copy,
    Held,
    Failed,
}

impl State {
    fn talks(&self, one: usize, other: usize) -> bool {
        let link = (one.min(other), one.max(other));
        self.nodes[one].up && self.nodes[other].up && !self.cut.contains(&link)
    }

    /// Whether a connection's two ends still serve each other.
    pub(crate) fn is_through(&self, me: usize, key: (u8, u64)) -> bool {
        let provider = usize::from(key.0);
        let connected = self.nodes[me].legs.get(&key).is_some_and(|leg| leg.connected);
        connected && self.talks(me, provider) && self.nodes[provider].exports.contains(&key)
    }

    pub(crate) fn reach(&self, me: usize, copy: u8, epoch: u64) -> Reach {
        if usize::from(copy) == me {
            return Reach::Copy;
        }
        match self.nodes[me].legs.get(&(copy, epoch)).and_then(|leg| leg.map) {
            Some(map) if map.active && self.is_through(me, (copy, epoch)) => Reach::Copy,
            Some(map) if map.queueing => Reach::Held,
            Some(_) | None => Reach::Failed,
        }
    }

    /// A step that is begun and comes to its end, if the kernel does not hold it.
    pub(crate) fn run(&mut self, setup: &Setup, me: usize, step: Call) -> bool {
        if !self.apply(setup, me, &step) {
            self.nodes[me].running.push(step);
        }
        true
    }

    /// The end of a call; `false` while it does not return.
    pub(crate) fn finish(&mut self, setup: &Setup, me: usize, index: usize) -> bool {
        let step = self.nodes[me].running[index].clone();
        let returns = self.apply(setup, me, &step);
        if returns {
            self.nodes[me].running.remove(index);
        }
        returns
    }

    pub(crate) fn apply(&mut self, setup: &Setup, me: usize, step: &Step) -> bool {
        let key = |partition: &Uuid, epoch: &Epoch| {
            (u8::try_from(setup.copy_of(*partition).unwrap()).unwrap(), number_of(*epoch))
        };
        match step {
            Step::Export { partition, epoch, .. } => {
                self.nodes[me].exports.insert(key(partition, epoch));
            }
            Step::Fence { partition, epoch } => {
                self.nodes[me].exports.remove(&key(partition, epoch));
            }
            Step::Connect { partition, epoch, endpoint, .. } => {
                self.connect(me, key(partition, epoch), endpoint);
            }
            Step::Disconnect { partition, epoch, .. } => {
                self.nodes[me].legs.remove(&key(partition, epoch));
            }
            Step::MapLeg { partition, epoch, .. }
            | Step::ReloadLeg { partition, epoch, .. }
            | Step::ReinstateLeg { partition, epoch, .. } => {
                let leg = self.nodes[me].legs.entry(key(partition, epoch)).or_default();
                leg.map = Some(Map { active: true, queueing: true });
            }
            Step::HoldLeg { partition, epoch, .. } => {
                let leg = self.nodes[me].legs.entry(key(partition, epoch)).or_default();
                leg.map = leg.map.map(|map| Map { active: false, ..map });
            }
            Step::FailLeg { partition, epoch, .. } => {
                let leg = self.nodes[me].legs.entry(key(partition, epoch)).or_default();
                leg.map = leg.map.map(|_| Map { active: false, queueing: false });
            }
            Step::UnmapLeg { partition, epoch } => self.unmap(me, key(partition, epoch)),
            Step::Assemble { members, .. } => return self.assemble(me, members),
            Step::StopArray { .. } => return self.stop(me),
            Step::CutMember { dev, .. } => {
                self.nodes[me].array.iter_mut().for_each(|array| kick(array, copy_at(*dev)));
            }
            Step::FindHolders { .. } => {
                let node = &mut self.nodes[me];
                node.found = Some(node.user);
            }
            Step::EndProcesses { .. } => {
                let node = &mut self.nodes[me];
                if node.is_open() {
                    node.user = User::Ending;
                }
                node.found = None;
            }
            _ => return self.change_array(setup, me, step),
        }
        true
    }

    fn connect(&mut self, me: usize, key: (u8, u64), _: &Endpoint) {
        let provider = usize::from(key.0);
        if self.talks(me, provider) && self.nodes[provider].exports.contains(&key) {
            self.nodes[me].legs.entry(key).or_default().connected = true;
        }
    }

    fn unmap(&mut self, me: usize, key: (u8, u64)) {
        let node = &mut self.nodes[me];
        let bound = |array: &Array| array.epoch == key.1 && array.members.contains_key(&key.0);
        if !node.array.as_ref().is_some_and(bound)
            && let Some(leg) = node.legs.get_mut(&key)
        {
            leg.map = None;
        }
    }

    /// From exactly these, whatever they hold; what was being filled goes on being filled.
    fn assemble(&mut self, me: usize, members: &[(Uuid, Dev)]) -> bool {
        let copies: Vec<u8> = members.iter().map(|(_, dev)| copy_at(*dev)).collect();
        let epoch =
            members.iter().map(|(_, dev)| dev).find(|dev| dev.major == 253).map(|dev| dev.minor % 1000);
        let epoch = epoch.map_or(self.view(me).key.epoch, u64::from);
        let reached: Vec<Reach> = copies.iter().map(|copy| self.reach(me, *copy, epoch)).collect();
        if reached.contains(&Reach::Held) {
            return false;
        }
        let filling = |copy: &u8| self.copies[usize::from(*copy)].filling;
        if reached.contains(&Reach::Failed) || copies.iter().all(filling) || self.nodes[me].array.is_some() {
            return true;
        }
        let role = |copy: &u8| if filling(copy) { Role::Filling { by_bitmap: false } } else { Role::InSync };
        let dirty = copies.iter().any(|copy| self.copies[usize::from(*copy)].dirty);
        self.nodes[me].array = Some(Array {
            epoch,
            members: copies.iter().map(|copy| (*copy, role(copy))).collect(),
            slots: u32::try_from(self.copies.len()).unwrap(),
            dirty,
            resync: dirty && copies.len() > 1,
            pending: None,
        });
        true
    }

    fn stop(&mut self, me: usize) -> bool {
        let node = &self.nodes[me];
        let Some(array) = &node.array else { return true };
        if node.is_open() {
            return true;
        }
        let works = |(copy, role): (&u8, &Role)| {
            *role == Role::Faulty || self.reach(me, *copy, array.epoch) != Reach::Held
        };
        let returns = array.pending.is_none() && array.members.iter().all(works);
        if returns {
            self.nodes[me].array = None;
        }
        returns
    }

    fn change_array(&mut self, setup: &Setup, me: usize, step: &Step) -> bool {
        let Some(mut array) = self.nodes[me].array.clone() else { return true };
        let held = array
            .members
            .iter()
            .any(|(copy, role)| *role != Role::Faulty && self.reach(me, *copy, array.epoch) == Reach::Held);
        if held {
            return false;
        }
        let named = |name: &str| name.parse::<u8>().unwrap();
        match step {
            Step::SetSlots { slots, .. } => array.slots = *slots,
            Step::AddMember { member, join, .. } => {
                let copy = setup.copy_of(member.partition).unwrap();
                if self.reach(me, u8::try_from(copy).unwrap(), array.epoch) == Reach::Copy {
                    let by_bitmap = *join == Join::Bitmap;
                    array.members.insert(u8::try_from(copy).unwrap(), Role::Spare { by_bitmap });
                    self.copies[copy].filling = true;
                    self.copies[copy].dirty = array.dirty;
                }
            }
            Step::FailMember { member, .. } => kick(&mut array, named(member)),
            Step::RemoveMember { member, .. } => {
                // Not while anything is under way to it (`md_kick_rdev_from_array` waits for `nr_pending`).
                if !array.pending.as_ref().is_some_and(|pending| pending.waiting.contains(&named(member))) {
                    array.members.remove(&named(member));
                }
            }
            other => panic!("the model does not know {other}"),
        }
        fill_slots(&mut array);
        self.nodes[me].array = Some(array);
        true
    }

    /// The list of who uses it is of this moment when something follows from it: nobody came since.
    pub(crate) fn open(&mut self, me: usize) {
        self.nodes[me].user = User::Process;
        self.nodes[me].found = None;
    }

    /// One that waits for the kernel cannot go.
    pub(crate) fn close(&mut self, me: usize) -> bool {
        let node = &mut self.nodes[me];
        let goes = node.is_open() && node.array.as_ref().is_none_or(|array| array.pending.is_none());
        if goes {
            node.user = User::Nobody;
        }
        goes
    }

    /// Before its bit is anywhere a write is nowhere: it is as well issued when the bit can be set.
    pub(crate) fn issue(&mut self, me: usize) -> bool {
        self.written += 1;
        let version = self.written;
        let pending = Pending { version, marked: false, waiting: [].into(), landed: false };
        self.nodes[me].array.as_mut().unwrap().pending = Some(pending);
        self.mark(me);
        true
    }

    /// The bit reaches every member before the data reaches any.
    pub(crate) fn mark(&mut self, me: usize) -> bool {
        let Some(mut array) = self.nodes[me].array.clone() else { return false };
        for copy in targets(&array) {
            match self.reach(me, copy, array.epoch) {
                Reach::Copy => {}
                Reach::Held => return false,
                Reach::Failed => kick(&mut array, copy),
            }
        }
        fill_slots(&mut array);
        array.dirty = true;
        let waiting = targets(&array);
        for copy in &waiting {
            self.copies[usize::from(*copy)].dirty = true;
        }
        let Some(pending) = &mut array.pending else { return false };
        pending.marked = true;
        pending.waiting = waiting.into_iter().collect();
        self.nodes[me].array = Some(array);
        true
    }

    /// The data reaches a member; after the last one the write is acknowledged.
    pub(crate) fn land(&mut self, me: usize, copy: u8) -> bool {
        let Some(mut array) = self.nodes[me].array.clone() else { return false };
        let Some(mut pending) = array.pending.take() else { return false };
        match (array.members.get(&copy).copied(), self.reach(me, copy, array.epoch)) {
            // What was under way when it was kicked still comes there; it counts for nothing.
            (Some(Role::Faulty), Reach::Copy) => {
                self.copies[usize::from(copy)].version = pending.version;
            }
            // A leg holds it whatever has become of the member: the answer waits for it (`raid1_end_write_request`).
            (Some(_), Reach::Held) => return false,
            (None | Some(Role::Faulty), _) => {}
            (Some(role), Reach::Copy) => {
                self.copies[usize::from(copy)].version = pending.version;
                pending.landed |= role == Role::InSync;
            }
            (Some(_), Reach::Failed) => kick(&mut array, copy),
        }
        pending.waiting.remove(&copy);
        if !pending.waiting.is_empty() {
            array.pending = Some(pending);
        } else if pending.landed && self.nodes[me].user == User::Process {
            self.acked = self.acked.max(pending.version);
            self.acked_by_another |= me != 0;
        }
        self.nodes[me].array = Some(array);
        true
    }

    /// A resync or a recovery is done, if everybody it needs is there.
    pub(crate) fn sync(&mut self, me: usize) -> bool {
        let Some(mut array) = self.nodes[me].array.clone() else { return false };
        let in_sync = |(copy, role): (&u8, &Role)| (*role == Role::InSync).then_some(*copy);
        let good: Vec<u8> = array.members.iter().filter_map(in_sync).collect();
        let filling = array.members.iter().find_map(|(copy, role)| match role {
            Role::Filling { by_bitmap } => Some((*copy, *by_bitmap)),
            Role::InSync | Role::Spare { .. } | Role::Faulty => None,
        });
        let source = good.iter().copied().find(|copy| usize::from(*copy) == me).or(good.first().copied());
        let Some(source) = source.filter(|_| array.pending.is_none()) else { return false };
        let all = good.iter().copied().chain(filling.map(|(copy, _)| copy));
        if all.clone().any(|copy| self.reach(me, copy, array.epoch) != Reach::Copy) {
            return false;
        }
        let version = self.copies[usize::from(source)].version;
        if array.resync {
            for copy in &good {
                self.copies[usize::from(*copy)].version = version;
            }
            array.resync = false;
        } else if let Some((copy, by_bitmap)) = filling {
            let target = &mut self.copies[usize::from(copy)];
            if !by_bitmap || array.dirty {
                target.version = version;
            }
            target.filling = false;
            array.members.insert(copy, Role::InSync);
        } else {
            return false;
        }
        self.nodes[me].array = Some(array);
        true
    }

    /// The bit goes some time after the write, never while a member is missing.
    pub(crate) fn forget(&mut self, me: usize) -> bool {
        let Some(array) = self.nodes[me].array.clone() else { return false };
        let whole = array.members.values().filter(|role| **role == Role::InSync).count();
        let degraded = whole < usize::try_from(array.slots).unwrap();
        let reached = array.members.keys().all(|copy| self.reach(me, *copy, array.epoch) == Reach::Copy);
        if !array.dirty || degraded || array.resync || array.pending.is_some() || !reached {
            return false;
        }
        array.members.keys().for_each(|copy| self.copies[usize::from(*copy)].dirty = false);
        self.nodes[me].array = Some(Array { dirty: false, ..array });
        true
    }
}

fn targets(array: &Array) -> Vec<u8> {
    let has_slot = |role: &Role| matches!(role, Role::InSync | Role::Filling { .. });
    array.members.iter().filter(|(_, role)| has_slot(role)).map(|(copy, _)| *copy).collect()
}

/// `raid1_error`: the last one in sync stays.
fn kick(array: &mut Array, copy: u8) {
    let others = array.members.iter().any(|(other, role)| *other != copy && *role == Role::InSync);
    if let Some(role) = array.members.get_mut(&copy).filter(|role| others || **role != Role::InSync) {
        *role = Role::Faulty;
    }
}

/// A spare and a free slot: recovery starts by itself.
fn fill_slots(array: &mut Array) {
    let used = targets(array).len();
    let free = usize::try_from(array.slots).unwrap() > used;
    if let Some(role) = array.members.values_mut().find(|role| free && matches!(role, Role::Spare { .. }))
        && let Role::Spare { by_bitmap } = *role
    {
        *role = Role::Filling { by_bitmap };
    }
}
