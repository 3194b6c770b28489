//! A script's vocabulary. Each word does something and writes down what came of it, in words that both kernels can use.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mdfabric::domain::{
    Bytes, DriveId, Epoch, NodeName, Timestamp, VolumeName, VolumeUid, array_device, array_uuid, host_id,
    host_nqn,
};
use mdfabric::plan::placement::HEADER;
use mdfabric::plan::{
    ArraySeen, ArrayState, ConnectionSeen, ConnectionState, Dev, Join, MemberFlag, NewMember, Observation,
    Outcome, Step, StepFailure, SyncAction,
};
use uuid::Uuid;

use crate::rig::{Rig, Written};

/// What the simulation takes for one block.
pub(crate) const BLOCK: Bytes = Bytes::mib(128);
/// What a volume has.
pub(crate) const BLOCKS: u8 = 2;
/// How often is looked whether something has come to rest.
const LOOK: Duration = Duration::from_millis(200);
/// Looks without a change after which it has, whatever it is.
const CALM: u32 = 8;
/// Looks without a change after which it has, if it is what was expected. What changes later is seen by the step after it, and before an
/// array is stopped nothing is taken for granted.
const SOON: u32 = 2;
/// Looks after which it never will.
const LONGEST: u32 = 600;
const EPOCH: Epoch = Epoch(1);

/// The node that is simulated, and what the real one calls itself.
pub(crate) fn node() -> Result<NodeName> {
    Ok("node-1".parse()?)
}

/// One copy: a partition of a drive, used as it is or through a leg.
#[derive(Debug, Clone)]
struct Copy {
    partition: Uuid,
    drive: DriveId,
    number: u32,
    leg: bool,
}

impl Copy {
    /// Its partition, as the kernel has it.
    fn dev(&self, seen: &Observation) -> Result<Dev> {
        let partition = seen.partition(&self.drive, self.partition).context("a partition is not there")?;
        partition.dev.context("the kernel does not have a partition")
    }
}

/// A script that is played on a rig.
pub(crate) struct Play<'a> {
    rig: &'a mut dyn Rig,
    copies: BTreeMap<char, Copy>,
    uid: VolumeUid,
    volume: VolumeName,
    lines: Vec<String>,
    /// What the other kernel came to, if it was played there before.
    expected: &'a [String],
}

type Applied = Option<Result<Outcome, StepFailure>>;

impl<'a> Play<'a> {
    /// Copies A, B and C, zeroed, each on a drive of its own.
    pub(crate) fn begin(rig: &'a mut dyn Rig, drives: &[DriveId; 3], expected: &'a [String]) -> Result<Self> {
        let copies = ('A'..).zip(0..).zip(drives).map(|((name, number), drive)| {
            let partition = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("conform {name}").as_bytes());
            (name, Copy { partition, drive: drive.clone(), number, leg: false })
        });
        let mut play = Self {
            rig,
            copies: copies.collect(),
            uid: VolumeUid(Uuid::new_v5(&Uuid::NAMESPACE_OID, b"conform")),
            volume: "conform".parse()?,
            lines: Vec::new(),
            expected,
        };
        for copy in play.copies.clone().into_values() {
            play.carve(&copy)?;
        }
        Ok(play)
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    fn carve(&mut self, copy: &Copy) -> Result<()> {
        let (drive, partition) = (copy.drive.clone(), copy.partition);
        let dev = self.drive_dev(&drive)?;
        let disk_guid = Uuid::new_v5(&partition, b"disk");
        self.must(&Step::PrepareDrive { drive: drive.clone(), dev, disk_guid, wipe: true })?;
        let (name, size) = ("conform".to_owned(), partition_size());
        self.must(&Step::Carve { drive, dev, partition, name, size })?;
        let dev = self.partition_dev(copy)?;
        self.rig.blank(partition, dev)
    }

    /// The first superblocks of these copies.
    pub(crate) fn headers(&mut self, names: &str) -> Result<()> {
        let members: Result<Vec<_>> = names.chars().map(|name| self.new_member(name)).collect();
        let members = members?;
        let (volume, array) = (self.volume.clone(), self.array());
        let slots = u32::try_from(members.len())?;
        let (created_at, size) = (Timestamp(1_000_000_000_000), volume_size());
        self.told(
            &format!("first superblocks on {names}"),
            &Step::WriteHeaders { volume, array, column: 0, created_at, slots, size, members },
        )
    }

    pub(crate) fn assemble(&mut self, names: &str) -> Result<()> {
        let members: Result<Vec<_>> =
            names.chars().map(|name| Ok((self.copy(name)?.partition, self.dev(name)?))).collect();
        let (volume, array, device) = (self.volume.clone(), self.array(), array_device(self.uid, 0));
        let step = Step::Assemble { volume: volume.clone(), array, device, members: members? };
        let applied = self.rig.apply(&step);
        if let Ok(array) = self.seen().map(|array| array.name)
            && self
                .seen()
                .is_ok_and(|array| array.state == ArrayState::ReadAuto || array.state == ArrayState::ReadOnly)
        {
            self.must(&Step::SetWritable { volume, array })?;
        }
        self.settled(&format!("assemble from {names}"), &applied)
    }

    /// An array of these copies that was never written to.
    pub(crate) fn make(&mut self, names: &str) -> Result<()> {
        self.headers(names)?;
        self.assemble(names)
    }

    pub(crate) fn write(&mut self, block: u8, version: u64) -> Result<()> {
        let (uuid, array) = (self.array(), self.seen()?);
        let written = self.rig.write(uuid, &array, block, version)?;
        let how = match written {
            Written::Done => "done",
            Written::Failed => "fails",
            Written::Waits => "waits",
        };
        self.rest(&format!("write {version} to block {block}: {how}"))
    }

    pub(crate) fn fail(&mut self, name: char) -> Result<()> {
        let (volume, array, member) = self.names(name)?;
        self.told(&format!("mark {name} faulty"), &Step::FailMember { volume, array, member })
    }

    pub(crate) fn remove(&mut self, name: char) -> Result<()> {
        let (volume, array, member) = self.names(name)?;
        self.told(&format!("remove {name}"), &Step::RemoveMember { volume, array, member })
    }

    /// `good` is in sync.
    pub(crate) fn add(&mut self, name: char, good: char, join: Join) -> Result<()> {
        let (volume, array) = (self.volume.clone(), self.seen()?.name);
        let (member, good) = (self.new_member(name)?, self.dev(good)?);
        self.told(&format!("add {name} ({join:?})"), &Step::AddMember { volume, array, member, good, join })
    }

    /// As [`Play::add`], and nobody waits until it is filled.
    pub(crate) fn add_at_once(&mut self, name: char, good: char, join: Join) -> Result<()> {
        let (volume, array) = (self.volume.clone(), self.seen()?.name);
        let (member, good) = (self.new_member(name)?, self.dev(good)?);
        self.must(&Step::AddMember { volume, array, member, good, join })
    }

    pub(crate) fn slots(&mut self, slots: u32) -> Result<()> {
        let (volume, array) = (self.volume.clone(), self.seen()?.name);
        self.told(&format!("{slots} slots"), &Step::SetSlots { volume, array, slots })
    }

    pub(crate) fn write_mostly(&mut self, name: char, on: bool) -> Result<()> {
        let (volume, array, member) = self.names(name)?;
        self.told(
            &format!("write-mostly of {name}: {on}"),
            &Step::SetWriteMostly { volume, array, member, on },
        )
    }

    pub(crate) fn stop(&mut self) -> Result<()> {
        self.calm("before it is stopped", CALM)?;
        let (volume, array) = (self.volume.clone(), self.seen()?.name);
        self.told("stop", &Step::StopArray { volume, array })
    }

    pub(crate) fn set_open(&mut self, open: bool) -> Result<()> {
        let (uuid, array) = (self.array(), self.seen()?);
        self.rig.set_open(uuid, &array, open)?;
        self.rest(if open { "somebody opens it" } else { "and closes it" })
    }

    pub(crate) fn pass(&mut self, time: Duration) -> Result<()> {
        self.rig.pass(time);
        self.rest(&format!("{} s later", time.as_secs()))
    }

    /// From now on a copy is used through a leg of this node to itself.
    pub(crate) fn lay_leg(&mut self, name: char) -> Result<()> {
        self.export(name)?;
        let (partition, endpoint) = (self.copy(name)?.partition, self.rig.endpoint());
        let (host_nqn, host_id) = (host_nqn(&node()?), host_id(&node()?));
        self.must(&Step::Connect { partition, epoch: EPOCH, endpoint, host_nqn, host_id })?;
        let path = self.wait_live(partition)?;
        let size = partition_size();
        self.must(&Step::MapLeg { partition, epoch: EPOCH, path, size })?;
        if let Some(copy) = self.copies.get_mut(&name) {
            copy.leg = true;
        }
        Ok(())
    }

    fn export(&mut self, name: char) -> Result<()> {
        let copy = self.copy(name)?;
        let (dev, endpoint) = (self.partition_dev(&copy)?, self.rig.endpoint());
        let (partition, host_nqn) = (copy.partition, host_nqn(&node()?));
        self.must(&Step::Export { partition, epoch: EPOCH, dev, host_nqn, endpoint })
    }

    /// The namespace that a controller leads to, once that is live.
    fn wait_live(&mut self, partition: Uuid) -> Result<Dev> {
        for _ in 0..LONGEST {
            if let Some(dev) = self.live(partition)?.and_then(|connection| connection.dev) {
                return Ok(dev);
            }
            self.rig.pass(LOOK);
        }
        bail!("no live controller leads to {partition}")
    }

    /// Until the controller that leads there is not live any more.
    fn wait_lost(&mut self, partition: Uuid) -> Result<()> {
        for _ in 0..LONGEST {
            if self.live(partition)?.is_none() {
                return Ok(());
            }
            self.rig.pass(LOOK);
        }
        bail!("the controller that leads to {partition} is live though it was fenced")
    }

    fn live(&mut self, partition: Uuid) -> Result<Option<ConnectionSeen>> {
        let seen = self.rig.look()?.connections.get(&(partition, EPOCH)).cloned();
        Ok(seen.filter(|connection| connection.state == ConnectionState::Live))
    }

    /// Its provider fences it, and its owner has noticed.
    pub(crate) fn cut(&mut self, name: char) -> Result<()> {
        let partition = self.copy(name)?.partition;
        let applied = self.rig.apply(&Step::Fence { partition, epoch: EPOCH });
        self.wait_lost(partition)?;
        self.settled(&format!("fence {name}"), &applied)
    }

    /// It is served again, and the leg told so once its controller is back.
    pub(crate) fn mend(&mut self, name: char) -> Result<()> {
        self.export(name)?;
        let partition = self.copy(name)?.partition;
        let path = self.wait_live(partition)?;
        self.must(&Step::ReinstateLeg { partition, epoch: EPOCH, path })?;
        self.rest(&format!("{name} is served again"))
    }

    /// It is served again, but the leg was told before that its path is gone.
    pub(crate) fn comes_back_unasked(&mut self, name: char) -> Result<()> {
        self.export(name)?;
        let partition = self.copy(name)?.partition;
        self.wait_live(partition)?;
        self.rest(&format!("{name} could be served again"))
    }

    /// The leg holds, whatever becomes of its controller.
    pub(crate) fn hold(&mut self, name: char) -> Result<()> {
        let partition = self.copy(name)?.partition;
        let path = self.rig.look()?.maps.get(&(partition, EPOCH)).and_then(|map| map.path);
        let path = path.with_context(|| format!("the leg of {name} has no path"))?;
        self.told(&format!("hold the leg of {name}"), &Step::HoldLeg { partition, epoch: EPOCH, path })
    }

    pub(crate) fn let_go(&mut self, name: char) -> Result<()> {
        let partition = self.copy(name)?.partition;
        let path = self.rig.look()?.maps.get(&(partition, EPOCH)).and_then(|map| map.path);
        self.told(
            &format!("let the leg of {name} go"),
            &Step::FailLeg { partition, epoch: EPOCH, path, cut: None },
        )
    }

    /// Everything goes, whatever state it is in.
    pub(crate) fn end(mut self) -> Result<()> {
        if let Ok(array) = self.seen() {
            self.must(&Step::StopArray { volume: self.volume.clone(), array: array.name })?;
        }
        for copy in self.copies.clone().into_values() {
            self.take_leg(&copy)?;
            let dev = self.partition_dev(&copy)?;
            let (drive, partition) = (copy.drive.clone(), copy.partition);
            self.rig.blank(partition, dev)?;
            let dev = self.drive_dev(&drive)?;
            self.must(&Step::RemovePartition { drive: drive.clone(), dev, partition })?;
            self.must(&Step::ReleaseDrive { drive, dev, disk_guid: Uuid::new_v5(&partition, b"disk") })?;
        }
        Ok(())
    }

    fn take_leg(&mut self, copy: &Copy) -> Result<()> {
        let (partition, epoch) = (copy.partition, EPOCH);
        if !copy.leg {
            return Ok(());
        }
        self.must(&Step::UnmapLeg { partition, epoch })?;
        let controller =
            self.rig.look()?.connections.get(&(partition, EPOCH)).map(|seen| seen.controller.clone());
        if let Some(controller) = controller {
            self.must(&Step::Disconnect { partition, epoch, controller })?;
        }
        self.must(&Step::Fence { partition, epoch })
    }

    fn array(&self) -> Uuid {
        array_uuid(self.uid, 0)
    }

    fn copy(&self, name: char) -> Result<Copy> {
        self.copies.get(&name).cloned().with_context(|| format!("there is no copy {name}"))
    }

    fn seen(&mut self) -> Result<ArraySeen> {
        let uuid = self.array();
        self.rig.look()?.arrays.get(&uuid).cloned().context("there is no array")
    }

    fn drive_dev(&mut self, drive: &DriveId) -> Result<Dev> {
        Ok(self.rig.look()?.drives.get(drive).with_context(|| format!("there is no drive {drive}"))?.dev)
    }

    fn partition_dev(&mut self, copy: &Copy) -> Result<Dev> {
        copy.dev(&self.rig.look()?)
    }

    /// What the array has as its member.
    fn dev(&mut self, name: char) -> Result<Dev> {
        let copy = self.copy(name)?;
        if !copy.leg {
            return self.partition_dev(&copy);
        }
        let seen = self.rig.look()?;
        Ok(seen.maps.get(&(copy.partition, EPOCH)).with_context(|| format!("{name} has no leg"))?.dev)
    }

    fn new_member(&mut self, name: char) -> Result<NewMember> {
        let (copy, dev) = (self.copy(name)?, self.dev(name)?);
        Ok(NewMember { partition: copy.partition, dev, dev_number: copy.number, write_mostly: false })
    }

    fn names(&mut self, name: char) -> Result<(VolumeName, String, String)> {
        let (dev, array) = (self.dev(name)?, self.seen()?);
        let member = array.members.iter().find(|member| member.dev == dev);
        let member = member.with_context(|| format!("{name} is no member"))?.name.clone();
        Ok((self.volume.clone(), array.name, member))
    }

    fn must(&mut self, step: &Step) -> Result<()> {
        match self.rig.apply(step) {
            Some(Ok(_)) => Ok(()),
            Some(Err(failure)) => bail!("{step}: {}", failure.message),
            None => bail!("{step} does not return"),
        }
    }

    fn told(&mut self, what: &str, step: &Step) -> Result<()> {
        let applied = self.rig.apply(step);
        self.settled(what, &applied)
    }

    fn settled(&mut self, what: &str, applied: &Applied) -> Result<()> {
        let how = match applied {
            Some(Ok(_)) => "done".to_owned(),
            Some(Err(failure)) => format!("{:?}", failure.kind),
            None => "waits".to_owned(),
        };
        self.rest(&format!("{what}: {how}"))
    }

    /// Waits until nothing changes any more and writes down how everything is.
    fn rest(&mut self, what: &str) -> Result<()> {
        self.calm(what, SOON)
    }

    /// As [`Play::rest`], where so many looks without a change are enough for what was expected.
    fn calm(&mut self, what: &str, expected: u32) -> Result<()> {
        let (mut calm, mut last) = (0, String::new());
        for _ in 0..LONGEST {
            let (state, is_dirty) = self.state()?;
            let now = format!("{what}; {state}");
            calm = if now == last { calm + 1 } else { 0 };
            last = now;
            let is_expected = !is_dirty && self.expected.get(self.lines.len()) == Some(&last);
            if calm >= if is_expected { expected } else { CALM } {
                self.lines.push(last);
                return Ok(());
            }
            self.rig.pass(LOOK);
        }
        bail!("it does not come to rest: {last}")
    }

    /// How everything is, and whether the array has yet to write down that all of its members are alike.
    fn state(&mut self) -> Result<(String, bool)> {
        let seen = self.rig.look()?;
        let array = seen.arrays.get(&self.array());
        let is_dirty = array.is_some_and(|array| array.state == ArrayState::Active);
        let mut text = match array {
            None => "no array".to_owned(),
            Some(array) => self.members(array, &seen),
        };
        for (name, copy) in self.copies.clone() {
            let dev = copy.dev(&seen)?;
            let blocks: Result<Vec<_>> =
                (0..BLOCKS).map(|block| self.rig.read(copy.partition, dev, block)).collect();
            write!(text, " {name}{:?}", blocks?)?;
        }
        Ok((text, is_dirty))
    }

    fn members(&self, array: &ArraySeen, seen: &Observation) -> String {
        let mut text = format!("{} of {} slots:", word(&array.state), array.slots);
        for (name, copy) in &self.copies {
            let dev = if copy.leg {
                seen.maps.get(&(copy.partition, EPOCH)).map(|map| map.dev)
            } else {
                seen.partition(&copy.drive, copy.partition).and_then(|partition| partition.dev)
            };
            let Some(member) = array.members.iter().find(|member| Some(member.dev) == dev) else { continue };
            let flags = [MemberFlag::InSync, MemberFlag::Faulty, MemberFlag::Spare, MemberFlag::WriteMostly];
            let set: Vec<_> =
                flags.iter().filter(|flag| member.is(**flag)).map(|flag| format!("{flag:?}")).collect();
            let slot = member.slot.map_or_else(|| "-".to_owned(), |slot| slot.to_string());
            text.extend([" ", &name.to_string(), " ", &slot, " ", &set.join("+"), ","]);
        }
        if array.sync.action != SyncAction::Idle {
            text.extend([" ".to_owned(), format!("{:?}", array.sync.action)]);
        }
        text
    }
}

/// Whether it was written a moment ago makes no difference.
fn word(state: &ArrayState) -> String {
    match state {
        ArrayState::Clean | ArrayState::Active => "writable".to_owned(),
        ArrayState::Inactive
        | ArrayState::ReadOnly
        | ArrayState::ReadAuto
        | ArrayState::Broken
        | ArrayState::Other(_) => format!("{state:?}"),
    }
}

fn volume_size() -> Bytes {
    Bytes(u64::from(BLOCKS) * BLOCK.0)
}

fn partition_size() -> Bytes {
    Bytes(HEADER.0 + volume_size().0)
}
