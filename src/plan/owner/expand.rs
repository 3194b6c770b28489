//! Making a volume larger while it is used.
//!
//! ```text
//! spec.size edited -recorded: growth-> every provider grows and zeroes, or the copy moves to where there is room
//!    -recorded by all of them-> legs longer -> every column's array larger -> stripes longer -recorded: size-> file system larger -> recorded: no growth
//! ```
//! The array grows only while every copy is there and holds every write: what is new is zero on all of them then, so that
//! nothing depends on the kernel's copying it (with a bitmap it may leave that out). A copy that comes back later and has an
//! array of the old size is filled from nothing.

use super::serving::{InKernel, Serving};
use super::{relocate, top};
use crate::domain::{Bytes, FsType, Growth, Member, MemberState, NodeName, Reason, partition_guid};
use crate::plan::placement::{self, HEADER};
use crate::plan::safety::Refusal;
use crate::plan::{ArraySeen, Dev, Step, SyncAction};

/// Nothing of this is done unless the array is `free`: while a leg holds I/O, each superblock that is written would wait for it.
pub(super) fn plan(serving: &mut Serving, dev: Dev, free: Result<(), Refusal>) {
    let (spec, status) = (serving.spec, serving.status);
    match (&status.growth, free) {
        (Some(_), Err(refusal)) => serving.wait(refusal.into()),
        (Some(growth), Ok(())) if status.usable(spec) < growth.to => grow(serving, growth),
        // More is asked for while the file system waits for a mount: the array need not wait, too.
        (Some(_) | None, _) if status.is_to_grow(spec) => take_up(serving),
        (Some(growth), Ok(())) => grow_file_system(serving, growth, dev),
        (None, _) if status.usable(spec) > spec.size => {
            serving.wait(shrink(status.usable(spec), spec.size));
        }
        (None, _) => {}
    }
}

fn shrink(has: Bytes, asked: Bytes) -> Reason {
    Reason::blocked(
        "ShrinkRefused",
        format_args!("the volume has {has} and is never made smaller; {asked} are asked for"),
        format_args!("write {} bytes into the record's size again", has.0),
    )
}

/// What is to become larger is recorded before anything does.
fn take_up(serving: &mut Serving) {
    let (has, to) = (serving.status.usable(serving.spec), serving.spec.size);
    serving.next.growth = Some(Growth { to, started_at: serving.input.now });
    serving.event("VolumeExpanding", format_args!("the volume grows from {has} to {to}"));
}

fn grow(serving: &mut Serving, growth: &Growth) {
    let arrays = serving.arrays().unwrap_or_default();
    let wanted = placement::partition_size(growth.to, serving.spec.stripe_width);
    let size = Bytes(wanted.0 - HEADER.0);
    let Some(array) = arrays.iter().find(|array| array.size < size) else {
        // Stripes follow by themselves: see `top::map`.
        if top::running(serving).is_some_and(|(_, size)| size >= growth.to) {
            serving.next.size = Some(growth.to);
        }
        return;
    };
    if has_room(serving, wanted) && is_calm(serving, &arrays) && legs_are_long(serving, wanted) {
        let (volume, name) = (serving.spec.name.clone(), array.name.clone());
        let members = array.members.iter().map(|member| member.name.clone()).collect();
        serving.step(Step::GrowArray { volume, array: name, members, size });
    }
}

/// The copies that grow: a faulty one does not count, one that leaves has gone before.
fn growing<'a>(serving: &Serving<'a>) -> impl Iterator<Item = &'a Member> + use<'a> {
    serving.status.staying().filter(|member| member.state != MemberState::Faulty)
}

/// Whether every copy's partition is long enough, zeroed, and known to be. One that cannot be where it lies moves.
fn has_room(serving: &mut Serving, wanted: Bytes) -> bool {
    let world = serving.input.world;
    let short = |member: &&Member| {
        world.replica_status(&member.replica).is_none_or(|status| status.made_to() < wanted)
    };
    let short: Vec<&Member> = growing(serving).filter(short).collect();
    let crowded = |member: &&&Member| {
        world
            .replica_status(&member.replica)
            .is_some_and(|status| status.partitions.iter().any(|partition| partition.is_crowded(wanted)))
    };
    match short.iter().find(crowded) {
        Some(member) if serving.status.relocation.is_none() => relocate::make_room(serving, member),
        Some(_) | None => {}
    }
    if !short.is_empty() {
        serving.wait(short_of_room(&short, wanted));
    }
    short.is_empty()
}

fn short_of_room(short: &[&Member], wanted: Bytes) -> Reason {
    let nodes: Vec<&str> = short.iter().map(|member| member.node.as_str()).collect();
    Reason::waiting(
        "GrowingCopies",
        format_args!("waiting for {} to make room of {wanted} and to zero it", nodes.join(", ")),
    )
}

/// Whether every copy holds every write and nothing else is being done to any column.
fn is_calm(serving: &mut Serving, arrays: &[&ArraySeen]) -> bool {
    let good = |member: &Member| {
        serving.status.in_sync.contains(&member.replica)
            && serving.in_kernel(member) == InKernel::InSync
            && !serving.is_lost(member)
    };
    let bad: Option<NodeName> =
        growing(serving).find(|member| !good(member)).map(|member| member.node.clone());
    if let Some(node) = &bad {
        serving.wait(Reason::waiting(
            "CopyNotInSync",
            format_args!("the volume grows once the copy on {node} holds every write, or was dropped"),
        ));
    }
    let copies = growing(serving).count();
    let calm = |array: &&ArraySeen| {
        array.members.len() == copies && array.is_writable() && array.sync.action == SyncAction::Idle
    };
    bad.is_none() && serving.status.relocation.is_none() && arrays.iter().all(calm)
}

/// Whether this node knows how long its legs have become: the kernel says so by itself.
fn legs_are_long(serving: &mut Serving, wanted: Bytes) -> bool {
    let (me, maps, epoch) = (serving.input.me, &serving.input.seen.maps, serving.status.epoch);
    let long = |member: &Member| {
        serving.columns().all(|column| {
            let key = (partition_guid(member.replica, column), epoch);
            maps.get(&key).is_some_and(|map| map.size >= wanted)
        })
    };
    let short = growing(serving).find(|member| member.node != *me && !long(member));
    let short = short.map(|member| member.node.clone());
    if let Some(node) = &short {
        serving.wait(Reason::waiting(
            "LegGrows",
            format_args!("waiting for the connection to {node} to show {wanted}"),
        ));
    }
    short.is_none()
}

/// The array is as large as it shall be, and recorded to be.
fn grow_file_system(serving: &mut Serving, growth: &Growth, dev: Dev) {
    let (spec, to) = (serving.spec, growth.to);
    let grown = serving.input.memory.grown.get(&spec.uid.0).is_some_and(|grown| *grown >= to);
    let mount = serving.input.seen.mounts.iter().find(|mount| mount.dev == dev && !mount.read_only);
    match mount {
        _ if spec.fs == FsType::Raw || grown => finish(serving, growth),
        Some(mount) => {
            let (volume, uuid, path) = (spec.name.clone(), spec.uid.0, mount.path.clone());
            serving.step(Step::GrowFs { volume, uuid, dev, path, size: to });
        }
        None => serving.wait(grows_when_mounted(to)),
    }
}

/// What an attached volume says, and a detached one too.
pub(in crate::plan) fn grows_when_mounted(to: Bytes) -> Reason {
    Reason::waiting(
        "FileSystemGrowsMounted",
        format_args!("the device has {to}; its file system grows when it is mounted for writing"),
    )
}

fn finish(serving: &mut Serving, growth: &Growth) {
    let millis = serving.input.now.since(growth.started_at);
    serving.next.growth = None;
    serving.event(
        "VolumeExpanded",
        format_args!("the volume has {} after {}.{} s", growth.to, millis / 1000, millis % 1000 / 100),
    );
}
