//! Getting a kernel ready: modules, configfs; and saying what it has and lacks.

use kernel_abi::module::{self, ModuleError};
use kernel_abi::{CallError, Root, fs, seccomp};

use super::chain;

/// Modules the daemon cannot work without, in any order; what they depend on is loaded first.
const MODULES: [&str; 8] =
    ["dm_mod", "dm_multipath", "dm_round_robin", "md_mod", "raid1", "nvmet", "nvmet_tcp", "nvme_tcp"];
/// Modules some features want.
const OPTIONAL_MODULES: [&str; 5] = ["configfs", "ext4", "xfs", "tcp_diag", "crc32c_generic"];

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

/// Loads every module and mounts configfs. Says what is missing before anything else is tried.
#[must_use]
pub fn load_modules() -> Vec<Check> {
    let root = Root::live();
    let mut checks: Vec<Check> = OPTIONAL_MODULES.iter().map(|name| loaded(&root, name, false)).collect();
    checks.extend(MODULES.iter().map(|name| loaded(&root, name, true)));
    checks.push(configfs(&root));
    checks
}

fn loaded(root: &Root, name: &str, required: bool) -> Check {
    let check = |ok, detail| Check { name: format!("module {name}"), ok, required, detail };
    match module::load(root, name) {
        Ok(module::Loaded::Done) => check(true, "loaded".to_owned()),
        Ok(module::Loaded::AlreadySo) => check(true, "there".to_owned()),
        Err(error @ ModuleError::Missing { .. }) => {
            check(false, format!("{}; install the kernel package that has it", chain(&error)))
        }
        Err(error) => check(false, chain(&error)),
    }
}

fn configfs(root: &Root) -> Check {
    let mounted = fs::ensure_mounted_pseudo(root, "configfs", "sys/kernel/config");
    let (ok, detail) = match mounted {
        Ok(_) => (true, "mounted at /sys/kernel/config".to_owned()),
        Err(error) => (false, chain(&error)),
    };
    Check { name: "configfs".to_owned(), ok, required: true, detail }
}

/// Everything the daemon needs of this kernel.
#[must_use]
pub fn preflight() -> Vec<Check> {
    let root = Root::live();
    let mut checks = load_modules();
    for (path, what) in [
        ("dev/mapper/control", "device-mapper's control node"),
        ("dev/nvme-fabrics", "nvme-fabrics' control node"),
        ("sys/module/md_mod/parameters/new_array", "arrays made by name (CONFIG_MD, 4.12 or later)"),
        ("sys/kernel/config/nvmet", "the NVMe target"),
    ] {
        let ok = root.exists(path);
        let detail = format!("/{path}{}", if ok { "" } else { " is missing" });
        checks.push(Check { name: what.to_owned(), ok, required: true, detail });
    }
    checks
}

/// From here on `execve` fails in this process, for ever.
pub fn forbid_exec() -> Result<(), CallError> {
    seccomp::forbid_exec()
}
