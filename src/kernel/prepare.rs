//! Getting a kernel ready: modules, configfs; and saying what it has and lacks.

#[cfg(test)]
mod tests;

use std::path::Path;

use kernel_abi::module::{self, ModuleError, Presence};
use kernel_abi::{CallError, Root, fs, seccomp};

use super::chain;

/// Modules the daemon cannot work without, in any order; what they depend on is loaded first.
const MODULES: [&str; 8] =
    ["dm_mod", "dm_multipath", "dm_round_robin", "md_mod", "raid1", "nvmet", "nvmet_tcp", "nvme_tcp"];
/// Modules some features want.
const OPTIONAL_MODULES: [&str; 5] = ["configfs", "ext4", "xfs", "tcp_diag", "crc32c_generic"];
/// Where configfs is mounted.
const CONFIGFS: &str = "sys/kernel/config";

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

/// Loads every module, mounts configfs, and says what this kernel has and lacks then.
#[must_use]
pub fn prepare() -> Vec<Check> {
    checks(&Root::live(), load, mount_configfs)
}

/// What this kernel has and lacks, found out without changing anything: what [`prepare`] would load is there.
#[must_use]
pub fn preflight() -> Vec<Check> {
    checks(&Root::live(), look, look_for_configfs)
}

/// What was found, or what is wrong and what to do about it.
type Finding = Result<String, String>;

fn checks(root: &Root, module: fn(&Root, &str) -> Finding, configfs: fn(&Root) -> Finding) -> Vec<Check> {
    let modules = |names: &[&str], required| -> Vec<Check> {
        names.iter().map(|name| check(&format!("module {name}"), required, module(root, name))).collect()
    };
    let mut checks = modules(&OPTIONAL_MODULES, false);
    checks.extend(modules(&MODULES, true));
    checks.push(check("configfs", true, configfs(root)));
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
