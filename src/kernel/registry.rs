//! Our connections in the registry of controllers, so that `nvme disconnect-all` and other daemons leave them alone.

use std::sync::{Mutex, PoisonError};

use kernel_abi::nvme::{self, ControllerName, registry};
use kernel_abi::{CallError, Root};

use super::{chain, observe};

/// How we sign.
const OWNER: &str = "mdfabric";

/// Lanes connect at the same time; each makes the whole registry right.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Every connection of ours has an entry, and nothing else has one in our name. Nobody depends on it: what goes wrong is logged.
pub(super) fn settle(root: &Root) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = settled(root) {
        let why = chain(&error);
        tracing::warn!(why, "connections could not be marked as ours: `nvme disconnect-all` would cut them");
    }
}

fn settled(root: &Root) -> Result<(), CallError> {
    let ours: Vec<(ControllerName, String)> = nvme::controllers(root)?
        .iter()
        .filter_map(|controller| Some((controller.name, observe::key_of(controller)?)))
        .map(|(name, (partition, epoch))| (name, format!("copy {partition}, epoch {epoch}")))
        .collect();
    let entries = registry::owned_by(root, OWNER)?;
    for gone in entries.iter().filter(|name| !ours.iter().any(|(our, _)| our == *name)) {
        registry::release(root, *gone)?;
    }
    for (name, note) in ours.iter().filter(|(name, _)| !entries.contains(name)) {
        registry::claim(root, *name, OWNER, note)?;
    }
    Ok(())
}
