//! Whoever uses a lost volume: found, and ended.

use kernel_abi::{Root, holders};

use super::{Done, retry};
use crate::kernel::device;
use crate::plan::{Dev, Holder, Outcome, Process, StepFailure, Through, Who};

/// This daemon is not among them: it may have the mount point open to shut it down.
pub(super) fn find(root: &Root, devs: &[Dev]) -> Result<Outcome, StepFailure> {
    let devices = devs.iter().map(|dev| device::number(*dev)).collect();
    let processes = holders::processes(root, &devices).map_err(|error| retry(&error))?;
    let kernel = holders::in_kernel(root, &devices).map_err(|error| retry(&error))?;
    let others = processes.into_iter().filter(|process| process.pid != std::process::id());
    let found = others.map(process).chain(kernel.into_iter().map(in_kernel));
    Ok(Outcome::Holders(found.collect()))
}

fn process(found: holders::Process) -> Holder {
    let holders::Process { pid, started, name, ending, through } = found;
    Holder { who: Who::Process { process: Process { pid, started, name }, ending }, through: part(through) }
}

fn in_kernel(found: holders::KernelHolder) -> Holder {
    Holder { who: Who::Kernel(found.what), through: part(found.through) }
}

const fn part(through: holders::Through) -> Through {
    match through {
        holders::Through::FileSystem => Through::FileSystem,
        holders::Through::Device => Through::Device,
    }
}

/// All of them, whatever becomes of one; the first refusal is told.
pub(super) fn end(root: &Root, processes: &[Process]) -> Done {
    let refused: Vec<_> = processes
        .iter()
        .filter_map(|process| holders::kill(root, process.pid, process.started).err())
        .collect();
    refused.first().map_or(Ok(()), |error| Err(retry(error)))
}
