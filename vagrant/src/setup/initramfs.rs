//! The initramfs: busybox, the modules that a root disk needs, and one script.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::output;

/// The script that runs in it.
pub const INIT: &str = include_str!("../../guest/initramfs-init");

/// What mounting the root disk needs; virtio's bus is built into the stock kernel.
const MODULES: &[&str] = &["virtio_blk", "ext4"];

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const PLAIN: u32 = 0o100_644;

/// Writes the archive for kernel `version`, whose modules are in `tree`.
pub fn build(tree: &Path, version: &str, archive: &Path) -> Result<()> {
    let mut cpio = Cpio::default();
    for dir in ["bin", "proc", "sys", "dev", "root", "modules"] {
        cpio.add(dir, DIRECTORY, &[])?;
    }
    let busybox = tree.join("usr/bin/busybox");
    cpio.add("bin/busybox", PROGRAM, &fs::read(busybox).context("busybox")?)?;
    cpio.add("bin/sh", PROGRAM, b"#!/bin/busybox sh\nexec /bin/busybox sh \"$@\"\n")?;
    cpio.add("init", PROGRAM, INIT.as_bytes())?;
    let mut order = String::new();
    for module in load_order(tree, version)? {
        let name = file_stem(&module);
        cpio.add(&format!("modules/{name}"), PLAIN, &decompressed(Path::new(&module))?)?;
        order.push_str(&name);
        order.push('\n');
    }
    cpio.add("modules/order", PLAIN, order.as_bytes())?;
    fs::write(archive, cpio.finish()?)?;
    Ok(())
}

/// The module files in the order in which they must be loaded.
fn load_order(tree: &Path, version: &str) -> Result<Vec<String>> {
    let (mut seen, mut files) = (BTreeSet::new(), Vec::new());
    for module in MODULES {
        let mut show = Command::new("modprobe");
        show.arg("-d").arg(tree).args(["-S", version, "--show-depends", module]);
        for line in output(&mut show)?.lines() {
            let Some(file) = line.strip_prefix("insmod ").and_then(|rest| rest.split_whitespace().next())
            else {
                continue;
            };
            if seen.insert(file.to_owned()) {
                files.push(file.to_owned());
            }
        }
    }
    Ok(files)
}

fn file_stem(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).trim_end_matches(".xz").to_owned()
}

fn decompressed(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_none_or(|ext| ext != "xz") {
        return Ok(fs::read(path)?);
    }
    let out = Command::new("xz").arg("-dc").arg(path).output()?;
    anyhow::ensure!(out.status.success(), "xz -dc {}: {}", path.display(), out.status);
    Ok(out.stdout)
}

/// An archive in the "newc" form (kernel: Documentation/driver-api/early-userspace/buffer-format.rst).
#[derive(Default)]
struct Cpio {
    bytes: Vec<u8>,
    entries: u32,
}

impl Cpio {
    fn add(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()> {
        self.entries += 1;
        let (ino, size, name_size) = (self.entries, u32::try_from(data.len())?, name.len() + 1);
        write!(self.bytes, "070701{ino:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{size:08x}", 0, 0, 1, 0)?;
        write!(self.bytes, "{:08x}{:08x}{:08x}{:08x}{name_size:08x}{:08x}", 0, 0, 0, 0, 0)?;
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        self.add("TRAILER!!!", 0, &[])?;
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_has_aligned_headers_and_a_trailer() {
        let mut cpio = Cpio::default();
        cpio.add("init", PROGRAM, b"abc").unwrap();
        let bytes = cpio.finish().unwrap();
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[54..62], b"00000003", "file size");
        assert_eq!(&bytes[94..102], b"00000005", "name size with its zero");
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(&bytes[120..126], b"070701", "110 header + 5 name, padded to 116, 3 data padded to 4");
    }
}
