//! Carrying out one step. Nothing is decided here; a step done before, wholly or half, can be done again.

mod array;
mod check;
mod drive;
mod filesystem;
mod grow;
mod holders;
mod leg;
mod member;
mod publish;
mod replica;
mod scrub;
#[cfg(test)]
mod testing;
mod top;
mod verify;

use std::error::Error;
use std::path::Path;

use kernel_abi::Root;

use super::calls::Abandoned;
use super::chain;
use super::notes::{NoteError, Notes};
use super::tables::Tables;
use crate::plan::{FailureKind, Outcome, Step, StepFailure};

/// Whatever went wrong, with its causes on one line; the machines retry it.
fn retry(error: &(dyn Error + 'static)) -> StepFailure {
    StepFailure { kind: FailureKind::Retry, message: chain(error) }
}

/// A member's superblock cannot be read or written.
fn unreadable(partition: uuid::Uuid, error: &(dyn Error + 'static)) -> StepFailure {
    failure(FailureKind::Unreadable(partition), chain(error))
}

fn failure(kind: FailureKind, message: impl std::fmt::Display) -> StepFailure {
    StepFailure { kind, message: message.to_string() }
}

fn noted(result: Result<(), NoteError>) -> Done {
    result.map_err(|error| retry(&error))
}

type Done = Result<(), StepFailure>;

pub(super) fn step(
    root: &Root,
    tables: &Tables,
    notes: &Notes,
    step: &Step,
    abandoned: &Abandoned,
) -> Result<Outcome, StepFailure> {
    let done: Done = match step {
        Step::Compare { array, dev, good, size, windows, how, .. } => {
            return verify::compare(
                root,
                &verify::Pair::new(root, array, *good, *dev)?,
                *size,
                windows,
                *how,
                abandoned,
            );
        }
        Step::Check { array, from, size, repair, .. } => {
            return scrub::slice(root, array, (*from, *size), *repair, abandoned);
        }
        Step::MeasureUse { dev, path, .. } => return filesystem::measure_use(*dev, Path::new(path)),
        Step::FindHolders { devs, .. } => return holders::find(root, devs),
        Step::NoteAlone { note } => noted(notes.add(note)),
        Step::ForgetAlone { note } => noted(notes.remove(note)),
        Step::PrepareDrive { dev, disk_guid, wipe, .. } => {
            drive::prepare(root, tables, *dev, *disk_guid, *wipe)
        }
        Step::RepairTable { dev, .. } => drive::repair(root, tables, *dev),
        Step::ReleaseDrive { dev, disk_guid, .. } => drive::release(root, tables, *dev, *disk_guid),
        Step::Carve { dev, partition, name, size, .. } => {
            drive::carve(root, tables, *dev, *partition, name, *size)
        }
        Step::GrowPartition { dev, partition, size, .. } => {
            drive::grow(root, tables, *dev, *partition, *size)
        }
        Step::ZeroTail { dev, from, to, .. } => grow::zero_tail(root, *dev, *from, *to),
        Step::Revalidate { partition, epoch, .. } => grow::revalidate(root, *partition, *epoch),
        Step::GrowArray { array, members, size, .. } => grow::array(root, array, members, *size),
        Step::Thaw { array, .. } => grow::thaw(root, array),
        Step::GrowFs { dev, path, size, .. } => grow::file_system(*dev, Path::new(path), *size),
        Step::RemovePartition { dev, partition, .. } => drive::remove(root, tables, *dev, *partition),
        Step::Zero { partition, dev } => replica::make(root, *partition, *dev),
        Step::Erase { dev, .. } => replica::zero(root, *dev),
        Step::Export { partition, epoch, dev, host_nqn, endpoint } => {
            replica::export(root, *partition, *epoch, *dev, host_nqn, endpoint)
        }
        Step::Fence { partition, epoch } => replica::fence(root, *partition, *epoch),
        Step::Connect { .. }
        | Step::Disconnect { .. }
        | Step::MapLeg { .. }
        | Step::ReloadLeg { .. }
        | Step::ReinstateLeg { .. }
        | Step::HoldLeg { .. }
        | Step::FailLeg { .. }
        | Step::UnmapLeg { .. } => leg::apply(root, step),
        Step::MapTop { .. } | Step::UnmapTop { .. } => top::apply(root, step),
        Step::Format { .. } | Step::Mount { .. } | Step::Unmount { .. } | Step::ShutDown { .. } => {
            filesystem::apply(root, step)
        }
        Step::Publish { dev, at, path, read_only, .. } => {
            publish::show(root, *dev, at.as_deref(), Path::new(path), *read_only)
        }
        Step::Unpublish { path, .. } => publish::withdraw(Path::new(path)),
        Step::EndProcesses { processes, .. } => holders::end(root, processes),
        Step::AddMember { .. }
        | Step::SetWriteMostly { .. }
        | Step::FailMember { .. }
        | Step::CutMember { .. }
        | Step::RemoveMember { .. } => member::apply(root, step),
        Step::WriteHeaders { .. }
        | Step::ReadHeader { .. }
        | Step::Assemble { .. }
        | Step::SetWritable { .. }
        | Step::SetSlots { .. }
        | Step::StopArray { .. } => array::apply(root, step),
    };
    done.map(|()| Outcome::Done)
}
