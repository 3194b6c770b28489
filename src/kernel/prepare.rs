//! Getting a kernel ready: modules, configfs; and saying what it has and lacks.

#[cfg(test)]
mod tests;

use std::path::Path;

use kernel_abi::module::{self, ModuleError, Presence};
use kernel_abi::{CallError, Root, fs, seccomp};

use super::{chain, registry, udev};

/// Modules the daemon cannot work without, in any order; what they depend on is loaded first.
const MODULES: [&str; 8] =
    ["dm_mod", "dm_multipath", "dm_round_robin", "md_mod", "raid1", "nvmet", "nvmet_tcp", "nvme_tcp"];
/// Modules some features want.
const OPTIONAL_MODULES: [&str; 5] = ["configfs", "ext4", "xfs", "tcp_diag", "crc32c_generic"];
/// Where configfs is mounted.
const CONFIGFS: &str = "sys/kernel/config";

/// Who sends what is written to a leg: the writer itself, under the queue's lock (N), or a worker only (Y).
///
/// A writer that is preempted while it sends leaves the lock behind, and the worker, which has the highest priority there
/// is, asks for it again and again until the scheduler gets round to the writer: 0.2 to 0.9 s on a node with one
/// processor. (`drivers/nvme/host/tcp.c`: `nvme_tcp_queue_request`, `nvme_tcp_io_work`; the switch since 6.8.) Taken over
/// by each connection when it is made.
const WORKER_SENDS: &str = "sys/module/nvme_tcp/parameters/wq_unbound";

/// One thing a node has or lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: String,
    /// It is there.
    pub ok: bool,
    /// The daemon cannot work without it.
    pub required: bool,
    /// What was found, and what to do about it.
    pub detail: String,
}

/// Loads every module, mounts configfs, marks our connections as ours, and says what this kernel has and lacks then.
#[must_use]
pub fn prepare() -> Vec<Check> {
    let root = Root::live();
    registry::settle(&root);
    checks(&root, &Looks { module: load, configfs: mount_configfs, sends: let_workers_send })
}

/// What this kernel has and lacks, found out without changing anything: what [`prepare`] would load is there.
#[must_use]
pub fn preflight() -> Vec<Check> {
    checks(&Root::live(), &ONLY_LOOKS)
}

/// What was found, or what is wrong and what to do about it.
type Finding = Result<String, String>;

/// How each thing is looked for; may be by making it so.
struct Looks {
    module: fn(&Root, &str) -> Finding,
    configfs: fn(&Root) -> Finding,
    sends: fn(&Root) -> Finding,
}

const ONLY_LOOKS: Looks = Looks { module: look, configfs: look_for_configfs, sends: look_who_sends };

fn checks(root: &Root, looks: &Looks) -> Vec<Check> {
    let modules = |names: &[&str], required| -> Vec<Check> {
        let named = |name| check(&format!("module {name}"), required, (looks.module)(root, name));
        names.iter().copied().map(named).collect()
    };
    let mut checks = modules(&OPTIONAL_MODULES, false);
    checks.extend(modules(&MODULES, true));
    checks.push(check("configfs", true, (looks.configfs)(root)));
    checks.push(check("legs that no preempted writer holds up", false, (looks.sends)(root)));
    checks.push(check("members that udev leaves alone", false, udev::find(root)));
    checks.extend(INTERFACES.iter().map(|interface| check(interface.what, true, interface.find(root))));
    checks
}

fn check(name: &str, required: bool, found: Finding) -> Check {
    let ok = found.is_ok();
    Check { name: name.to_owned(), ok, required, detail: found.unwrap_or_else(|wrong| wrong) }
}

fn load(root: &Root, name: &str) -> Finding {
    match module::load(root, name) {
        Ok(module::Loaded::Done) => Ok("loaded".to_owned()),
        Ok(module::Loaded::AlreadySo) => Ok("there".to_owned()),
        Err(error) => Err(advice(&error)),
    }
}

fn look(root: &Root, name: &str) -> Finding {
    match module::look(root, name) {
        Ok(Presence::There) => Ok("there".to_owned()),
        Ok(Presence::Loadable) => Ok("not loaded; `mdfabric node` loads it".to_owned()),
        Err(error) => Err(advice(&error)),
    }
}

fn advice(error: &ModuleError) -> String {
    match error {
        ModuleError::Missing { .. } | ModuleError::FileMissing { .. } => {
            format!("{}; install the kernel package that has it", chain(error))
        }
        ModuleError::CannotDecompress { .. } | ModuleError::Refused { .. } | ModuleError::Lists(_) => {
            chain(error)
        }
    }
}

fn mount_configfs(root: &Root) -> Finding {
    let mounted = fs::ensure_mounted_pseudo(root, "configfs", CONFIGFS);
    mounted.map(|_| format!("mounted at /{CONFIGFS}")).map_err(|error| chain(&error))
}

fn look_for_configfs(root: &Root) -> Finding {
    if configfs_is_mounted(root).map_err(|error| chain(&error))? {
        return Ok(format!("mounted at /{CONFIGFS}"));
    }
    look(root, "configfs").map(|_| "not mounted; `mdfabric node` mounts it".to_owned())
}

fn configfs_is_mounted(root: &Root) -> Result<bool, CallError> {
    let at = Path::new("/").join(CONFIGFS);
    let mounts = fs::mountinfo(root)?;
    Ok(mounts.iter().any(|mount| mount.fstype == "configfs" && mount.mount_point == at))
}

fn let_workers_send(root: &Root) -> Finding {
    look_who_sends(root)?;
    root.write(WORKER_SENDS, "Y").map_err(|error| chain(&error))?;
    look_who_sends(root)
}

fn look_who_sends(root: &Root) -> Finding {
    match root.read_if_there(WORKER_SENDS).map_err(|error| chain(&error))? {
        Some(text) if text.trim() == "Y" => Ok(format!("/{WORKER_SENDS} is Y")),
        Some(_) => Ok(format!("/{WORKER_SENDS} is N; `mdfabric node` sets it")),
        None if module::look(root, "nvme_tcp").is_ok_and(|presence| presence == Presence::Loadable) => {
            Ok(format!("/{WORKER_SENDS} comes with module nvme_tcp"))
        }
        None => {
            Err(format!("/{WORKER_SENDS} is missing; writes may stall for a second (6.8 or later has it)"))
        }
    }
}

/// A file through which a module is spoken to.
struct Interface {
    path: &'static str,
    what: &'static str,
    module: &'static str,
}

const INTERFACES: [Interface; 4] = [
    Interface { path: "dev/mapper/control", what: "device-mapper's control node", module: "dm_mod" },
    Interface { path: "dev/nvme-fabrics", what: "nvme-fabrics' control node", module: "nvme_fabrics" },
    Interface {
        path: "sys/module/md_mod/parameters/new_array",
        what: "arrays made by name (CONFIG_MD, 4.12 or later)",
        module: "md_mod",
    },
    Interface { path: "sys/kernel/config/nvmet", what: "the NVMe target", module: "nvmet" },
];

impl Interface {
    fn find(&self, root: &Root) -> Finding {
        let Self { path, module, .. } = self;
        if root.exists(path) {
            return Ok(format!("/{path}"));
        }
        if module::look(root, module).is_ok_and(|presence| presence == Presence::Loadable) {
            return Ok(format!("/{path} comes with module {module}"));
        }
        if path.starts_with(CONFIGFS) && configfs_is_mounted(root).is_ok_and(|mounted| !mounted) {
            return Ok(format!("/{path} comes with configfs"));
        }
        Err(format!("/{path} is missing"))
    }
}

/// From here on `execve` fails in this process, for ever.
pub fn forbid_exec() -> Result<(), CallError> {
    seccomp::forbid_exec()
}
