//! Kernel modules, loaded by this process (`kernel/module/main.c`): what `modprobe` does for a plain name.
//!
//! Deliberately absent: aliases, `modprobe.d` (options, blacklists, soft dependencies). The kernel may still ask its own
//! helper for more modules while one starts (crypto algorithms, for example).

mod index;
#[cfg(test)]
mod tests;

use std::ffi::CStr;
use std::fs::File;
use std::path::Path;

use nix::errno::Errno;

pub use index::{ModulesBuiltin, ModulesDep};

use crate::{CallError, Root, call};

const LOADED: &str = "sys/module";
const MODULES: &str = "lib/modules";

/// `MODULE_INIT_COMPRESSED_FILE` (`include/uapi/linux/module.h`)
const COMPRESSED_FILE: i32 = 4;

/// What loading a module came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// It was loaded now.
    Done,
    /// It was loaded before, or is part of the kernel.
    AlreadySo,
}

/// Whether [`load`] would have anything to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is loaded, or part of the kernel.
    There,
    /// Its file, and those of all it needs, are there; the kernel has not been asked.
    Loadable,
}

/// Why a module is not there.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// This kernel's modules do not include it.
    #[error("kernel {release} has no module {module}")]
    Missing {
        /// The module, as it was asked for.
        module: String,
        /// The kernel's release.
        release: String,
    },
    /// Its file is listed but not there: the modules of this kernel are not (all) installed.
    #[error("file of module {module} is not there")]
    FileMissing {
        /// The module whose file it is; may be one that the wanted one needs.
        module: String,
        /// The failed open.
        #[source]
        source: CallError,
    },
    /// The file is compressed and this kernel cannot decompress it (`CONFIG_MODULE_DECOMPRESS`, EOPNOTSUPP).
    #[error("kernel cannot decompress module {module}")]
    CannotDecompress {
        /// The module.
        module: String,
        /// The kernel's answer.
        #[source]
        source: CallError,
    },
    /// The kernel refused it. ENOENT: a symbol it needs is not there; ENOEXEC: made for another kernel; EPERM:
    /// `CAP_SYS_MODULE` is missing or loading is switched off; EKEYREJECTED: not signed with a known key.
    #[error("kernel refused module {module}")]
    Refused {
        /// The module; may be one that the wanted one needs.
        module: String,
        /// The kernel's answer.
        #[source]
        source: CallError,
    },
    /// The lists of modules could not be read.
    #[error("lists of modules cannot be read")]
    Lists(#[from] CallError),
}

/// Release of the running kernel (`6.12.107+deb13-amd64`), the name of its modules' directory.
pub fn kernel_release(root: &Root) -> Result<String, CallError> {
    root.read("proc/sys/kernel/osrelease").map(|text| text.trim().to_owned())
}

/// Whether the module is loaded and has started. `-` and `_` are the same in names. One that is part of the kernel
/// shows here only if it has parameters: see [`loaded_or_builtin`].
pub fn is_loaded(root: &Root, name: &str) -> Result<bool, CallError> {
    let directory = format!("{LOADED}/{}", index::canonical(name));
    if !index::is_plain(name) || !root.exists(&directory) {
        return Ok(false);
    }
    // Parts of the kernel have no `initstate`; modules are `coming`, `live` or `going` (`show_initstate`).
    let state = root.read_if_there(format!("{directory}/initstate"))?;
    Ok(state.is_none_or(|state| state.trim() == "live"))
}

/// Whether what the module offers is there: loaded, or part of the kernel.
pub fn loaded_or_builtin(root: &Root, name: &str) -> Result<bool, CallError> {
    Ok(is_loaded(root, name)? || is_builtin(root, &kernel_release(root)?, name)?)
}

fn is_builtin(root: &Root, release: &str, name: &str) -> Result<bool, CallError> {
    let text = root.read_if_there(format!("{MODULES}/{release}/modules.builtin"))?;
    Ok(text.is_some_and(|text| ModulesBuiltin::parse(text.as_bytes()).contains(name)))
}

/// Loads the module after everything it needs.
#[doc(alias = "finit_module")]
#[doc(alias = "modprobe")]
pub fn load(root: &Root, name: &str) -> Result<Loaded, ModuleError> {
    load_with(root, name, c"")
}

/// Loads the module with `parameters` (`multipath=Y`), after everything it needs, which gets none.
#[doc(alias = "finit_module")]
pub fn load_with(root: &Root, name: &str, parameters: &CStr) -> Result<Loaded, ModuleError> {
    let files = files_to_load(root, name)?;
    let mut loaded = Loaded::AlreadySo;
    for (position, path) in files.iter().enumerate() {
        let parameters = if position + 1 == files.len() { parameters } else { c"" };
        loaded = load_file(root, path, parameters)?;
    }
    Ok(loaded)
}

/// Whether the module is there or could be loaded, found out without loading anything. What the kernel would say to
/// its files is not known: [`ModuleError::CannotDecompress`] and [`ModuleError::Refused`] come from [`load`] only.
pub fn look(root: &Root, name: &str) -> Result<Presence, ModuleError> {
    let files = files_to_load(root, name)?;
    for path in &files {
        open(root, path)?;
    }
    Ok(if files.is_empty() { Presence::There } else { Presence::Loadable })
}

/// The module's file after those of everything it needs, relative to `root`; none if it is there.
fn files_to_load(root: &Root, name: &str) -> Result<Vec<String>, ModuleError> {
    let release = kernel_release(root)?;
    if is_loaded(root, name)? || is_builtin(root, &release, name)? {
        return Ok(Vec::new());
    }
    let directory = format!("{MODULES}/{release}");
    let list = root.read_if_there(format!("{directory}/modules.dep"))?.unwrap_or_default();
    let list = ModulesDep::parse(list.as_bytes());
    let missing = || ModuleError::Missing { module: name.to_owned(), release: release.clone() };
    let order = list.load_order(name).ok_or_else(missing)?;
    Ok(order.into_iter().map(|path| format!("{directory}/{path}")).collect())
}

fn open(root: &Root, path: &str) -> Result<File, ModuleError> {
    let real = root.path(path);
    File::open(&real).map_err(|source| {
        let source = CallError::new("open", real.display(), source);
        ModuleError::FileMissing { module: index::name_of(path), source }
    })
}

fn load_file(root: &Root, path: &str, parameters: &CStr) -> Result<Loaded, ModuleError> {
    let file = open(root, path)?;
    let real = root.path(path);
    let _in_call = call::enter("finit_module", real.display());
    match rustix::system::finit_module(&file, parameters, flags(&real)) {
        Ok(()) => Ok(Loaded::Done),
        Err(rustix::io::Errno::EXIST) => Ok(Loaded::AlreadySo),
        Err(errno) => {
            let source = CallError::new("finit_module", real.display(), std::io::Error::from(errno));
            Err(refusal(index::name_of(path), source))
        }
    }
}

fn refusal(module: String, source: CallError) -> ModuleError {
    if source.is(Errno::EOPNOTSUPP) {
        ModuleError::CannotDecompress { module, source }
    } else {
        ModuleError::Refused { module, source }
    }
}

fn flags(path: &Path) -> i32 {
    let packed = path.extension().is_some_and(|end| ["xz", "zst", "gz"].iter().any(|known| end == *known));
    if packed { COMPRESSED_FILE } else { 0 }
}
