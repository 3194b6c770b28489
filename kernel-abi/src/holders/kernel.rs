//! What the kernel itself has on top of a device or of a file: nobody can end that with a signal.

use std::collections::BTreeSet;

use super::Through;
use crate::fs::mountinfo;
use crate::{CallError, DevNum, Root, nvmet};

/// Something of the kernel's own that uses one of the devices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelHolder {
    /// In words: `loop0`, `dm-3`, `swap`, `the NVMe target (nqn…)`.
    pub what: String,
    /// What of.
    pub through: Through,
}

/// What of the kernel uses one of `devices`, or a file on them: devices stacked on top, loop devices, swap, namespaces of
/// the NVMe target, exports of the NFS server.
///
/// Caveats: all but the first are known by their path, as the mount namespace of this process has it.
pub fn in_kernel(root: &Root, devices: &BTreeSet<DevNum>) -> Result<Vec<KernelHolder>, CallError> {
    let mut found = stacked(root, devices)?;
    let places = Places::of(root, devices)?;
    for (what, path) in by_path(root)? {
        found.extend(places.through(&path).map(|through| KernelHolder { what, through }));
    }
    found.sort();
    Ok(found)
}

/// `holders/` in sysfs (`block/holder.c`): device-mapper and MD. One of `devices` itself is no user of another one of them.
fn stacked(root: &Root, devices: &BTreeSet<DevNum>) -> Result<Vec<KernelHolder>, CallError> {
    let mut found = Vec::new();
    for dev in devices {
        let holders = format!("sys/dev/block/{dev}/holders");
        for what in root.list(&holders)? {
            let number = root.read_if_there(format!("{holders}/{what}/dev"))?;
            let number = number.and_then(|text| text.trim().parse::<DevNum>().ok());
            if number.is_none_or(|number| !devices.contains(&number)) {
                found.push(KernelHolder { what, through: Through::Device });
            }
        }
    }
    Ok(found)
}

/// Who uses which path.
fn by_path(root: &Root) -> Result<Vec<(String, String)>, CallError> {
    let mut all = Vec::new();
    for name in root.list("sys/block")?.into_iter().filter(|name| name.starts_with("loop")) {
        let path = root.read_if_there(format!("sys/block/{name}/loop/backing_file"))?;
        all.extend(path.map(|path| (name, path)));
    }
    for subsystem in nvmet::observe(root)?.subsystems {
        let what = format!("the NVMe target ({})", subsystem.nqn);
        let paths = subsystem.namespaces.into_iter().filter_map(|space| space.device_path);
        all.extend(paths.map(|path| (what.clone(), path.display().to_string())));
    }
    let first_words = |file: &str, what: &str| -> Result<Vec<(String, String)>, CallError> {
        let text = root.read_if_there(file)?.unwrap_or_default();
        let words = text.lines().filter_map(|line| line.split_whitespace().next());
        let paths = words.filter(|word| word.starts_with('/'));
        Ok(paths.map(|path| (what.to_owned(), path.to_owned())).collect())
    };
    all.extend(first_words("proc/swaps", "swap")?);
    all.extend(first_words("proc/fs/nfsd/exports", "the NFS server")?);
    Ok(all)
}

/// Where the devices and what is mounted of them are to be found.
struct Places {
    nodes: Vec<String>,
    mounts: Vec<String>,
}

impl Places {
    fn of(root: &Root, devices: &BTreeSet<DevNum>) -> Result<Self, CallError> {
        let name = |dev: &DevNum| root.link_name(format!("sys/dev/block/{dev}"));
        let nodes = devices.iter().filter_map(name).map(|name| format!("/dev/{}", name.replace('!', "/")));
        let mounts = mountinfo(root)?.into_iter().filter(|mount| devices.contains(&mount.dev));
        Ok(Self {
            nodes: nodes.collect(),
            mounts: mounts.map(|mount| mount.mount_point.display().to_string()).collect(),
        })
    }

    fn through(&self, path: &str) -> Option<Through> {
        let below = |mount: &String| {
            path.strip_prefix(mount.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.nodes.iter().any(|node| node == path) {
            Some(Through::Device)
        } else {
            self.mounts.iter().any(below).then_some(Through::FileSystem)
        }
    }
}
