//! How guests run on this host, found out by running one.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;

use super::cache::{Cache, Key};
use super::image::{Image, qemu_version};
use crate::qemu::PROGRAM;
use crate::spec::Accel;
use crate::wait::wait_for;

/// What the initramfs prints when it was booted only to see whether it can be.
const PROOF: &str = "lab-trial-passed";

/// A real processor is there within two seconds; a broken one never.
const PATIENCE: Duration = Duration::from_secs(15);

/// KVM if a guest truly boots under it, else emulation. The answer is kept for this kernel, processor and QEMU.
pub fn find(cache: &Cache, image: &Image) -> Result<Accel> {
    if File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(Accel::tcg());
    }
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let model: String =
        text("/proc/cpuinfo").lines().filter(|line| line.starts_with("model name")).take(1).collect();
    let key = Key::of(&[&text("/proc/version"), &model, &qemu_version()?]);
    let entry = cache.entry("accel", &key, |dir| {
        let works = boots(&Accel::kvm(), image, dir)?;
        eprintln!("lab: KVM {}", if works { "works" } else { "does not work here: guests are emulated" });
        Ok(fs::write(dir.join("kvm"), if works { "yes" } else { "no" })?)
    })?;
    Ok(if text(&entry.join("kvm").to_string_lossy()) == "yes" { Accel::kvm() } else { Accel::tcg() })
}

fn boots(accel: &Accel, image: &Image, dir: &Path) -> Result<bool> {
    let (console, said) = (dir.join("console"), dir.join("qemu"));
    let mut qemu = Command::new(PROGRAM)
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-machine",
            "q35",
            "-m",
            "256M",
            "-no-reboot",
        ])
        .args([
            "-accel",
            &accel.accel,
            "-cpu",
            &accel.cpu,
            "-append",
            "console=ttyS0 quiet lab.trial panic=-1",
        ])
        .arg("-kernel")
        .arg(&image.kernel)
        .arg("-initrd")
        .arg(&image.initramfs)
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said)?)
        .spawn()?;
    let holds = |path: &Path, words: &str| fs::read_to_string(path).is_ok_and(|text| text.contains(words));
    let verdict = wait_for("a guest under KVM", PATIENCE, || {
        if holds(&console, PROOF) {
            return Ok(Some(true));
        }
        let failed = holds(&said, "KVM internal error") || qemu.try_wait()?.is_some();
        Ok(failed.then_some(false))
    });
    qemu.kill().ok();
    qemu.wait()?;
    Ok(verdict.unwrap_or(false))
}
