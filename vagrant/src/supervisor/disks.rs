//! Where the guests' disks are: in memory where the machine has enough of it.
//!
//! On a file system of the host a drive that zeroes (its image gets holes) makes writes of the other guests' drives wait
//! for a second and more, which no drive of a real machine does to its neighbours: what scenarios measured was the host.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};

use crate::spec::DISKS;

/// With less than this available the disks stay files of the host.
const ENOUGH_KIB: u64 = 12 << 20;

/// Makes the directory, in memory if there is enough. The mount is this namespace's and goes with it.
pub(super) fn prepare(lab_dir: &Path) -> Result<()> {
    let dir = lab_dir.join(DISKS);
    fs::create_dir_all(&dir)?;
    let available_kib = available_kib();
    if available_kib < ENOUGH_KIB {
        return Ok(());
    }
    let size = format!("size={}k", available_kib / 2);
    mount(Some("tmpfs"), &dir, Some("tmpfs"), MsFlags::empty(), Some(size.as_str()))
        .context("mount the disks' tmpfs")
}

/// Memory that can be had without swapping, KiB.
pub(crate) fn available_kib() -> u64 {
    fs::read_to_string("/proc/meminfo").ok().and_then(|text| available_in(&text)).unwrap_or(0)
}

/// As `/proc/meminfo` has it.
fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_read() {
        assert_eq!(
            available_in("MemTotal:       24684076 kB\nMemAvailable:   19513372 kB\n"),
            Some(19_513_372)
        );
        assert_eq!(available_in("MemTotal: 1 kB\n"), None);
    }
}
