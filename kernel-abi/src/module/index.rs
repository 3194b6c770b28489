//! The lists that `depmod` leaves beside the modules. Lines that make no sense are passed over.

use std::collections::{BTreeMap, BTreeSet};

/// `modules.dep`: each module's file, and the files that it needs, directly or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModulesDep(BTreeMap<String, Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: String,
    /// Last one first to be loaded.
    needs: Vec<String>,
}

impl ModulesDep {
    /// Reads lines of the form `kernel/a.ko.xz: kernel/b.ko.xz kernel/c.ko.xz`, paths relative to the list.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        Self(text.lines().filter_map(parse_line).collect())
    }

    /// The files to load for `name`, in order, its own last. `None`: no such module. `-` and `_` are the same.
    #[must_use]
    pub fn load_order(&self, name: &str) -> Option<Vec<&str>> {
        let entry = self.0.get(&canonical(name))?;
        let needs = entry.needs.iter().rev().map(String::as_str);
        Some(needs.chain([entry.path.as_str()]).collect())
    }

    /// How many modules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn parse_line(line: &str) -> Option<(String, Entry)> {
    let (path, needs) = line.split_once(':')?;
    let path = Some(path.trim()).filter(|path| stays_below(path))?;
    let needs: Vec<String> = needs.split_ascii_whitespace().map(str::to_owned).collect();
    let whole = needs.iter().all(|path| stays_below(path));
    whole.then(|| (name_of(path), Entry { path: path.to_owned(), needs }))
}

/// Only files below the list's directory are loaded. Absolute paths are what `depmod` writes for modules elsewhere; no
/// distribution has them.
fn stays_below(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !part.is_empty() && part != ".." && !part.contains('\0'))
}

/// `modules.builtin`: the modules that are part of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModulesBuiltin(BTreeSet<String>);

impl ModulesBuiltin {
    /// Reads one path per line, `kernel/fs/ext4/ext4.ko`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let paths = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Self(paths.map(name_of).collect())
    }

    /// Whether `name` is one. `-` and `_` are the same.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(&canonical(name))
    }
}

/// The canonical name of the module in the file `path`: `kernel/drivers/nvme-tcp.ko.xz` is `nvme_tcp`.
pub(super) fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    canonical(file.split('.').next().unwrap_or(file))
}

/// The name with `_` for `-`, as `/sys/module` has it.
pub(super) fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// Whether `name` can be the name of a module, and so of a directory.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
