//! A lab that ends, however it ends, leaves nothing on the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Needs, Scenario, Stage};
use crate::lab::Lab;
use crate::supervisor;
use crate::wait::wait_for;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "lab_leaves_nothing_behind",
    shows: "ended or killed with SIGKILL, a lab takes its processes, mounts and network with it; two labs do not meet",
    lab: Needs::Nothing,
    run: leaves_nothing_behind,
}];

fn leaves_nothing_behind(stage: &mut Stage<'_>) -> Result<()> {
    let before = host();
    let one = Lab::private(stage.parts, 1)?;
    let two = Lab::private(stage.parts, 1)?;
    ensure!(!processes(one.dir()).is_empty(), "where are the lab's processes?");
    ensure!(host() == before, "a running lab shows in the host's network or mounts");
    one.node("node-1")?.run(&["touch", "/root/mine"])?.ok()?;
    ensure!(two.node("node-1")?.run(&["test", "-e", "/root/mine"])?.status == 1, "two labs share a node");

    let dir = one.dir().to_path_buf();
    drop(one);
    ensure!(processes(&dir).is_empty(), "an ended lab left {:?}", processes(&dir));
    ensure!(!dir.exists(), "an ended lab left its files");

    let dir = two.dir().to_path_buf();
    let pid: i32 = fs::read_to_string(dir.join(supervisor::PID))?.trim().parse()?;
    kill(Pid::from_raw(pid), Signal::SIGKILL).context("kill the supervisor")?;
    wait_for("the killed lab's processes to end", Duration::from_secs(10), || {
        Ok(processes(&dir).is_empty().then_some(()))
    })?;
    drop(two);
    ensure!(host() == before, "a killed lab left something in the host's network or mounts");
    Lab::down(&dir)
}

/// What a lab could leave on the host: network devices and mounts.
fn host() -> (Vec<String>, String) {
    let names = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let mut devices: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    devices.sort();
    (devices, fs::read_to_string("/proc/self/mounts").unwrap_or_default())
}

/// Processes that name the lab's directory on their command line or stand in it.
fn processes(lab_dir: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    all.filter(|process| stands_in(process, lab_dir)).collect()
}

fn stands_in(process: &Path, lab_dir: &Path) -> bool {
    let cwd = fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(lab_dir));
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    cwd || String::from_utf8_lossy(&line).contains(&*lab_dir.to_string_lossy())
}
