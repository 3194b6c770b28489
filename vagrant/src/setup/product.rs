//! The product's binary and what is laid beside it, fully static so that any guest can run them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::cache::Cache;

/// The target of static builds. Naming it keeps build scripts and macros out of the static flags.
pub(crate) const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// What is built: packages, each with a program of its name.
const PROGRAMS: [&str; 3] = ["mdfabric", "mdfabric-csi", "conform"];

/// Builds the programs and gives their paths. Cargo decides whether there is anything to do.
pub fn build(cache: &Cache) -> Result<Vec<PathBuf>> {
    let target = cache.target();
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--profile", "lab", "--target", TRIPLE])
        .args(PROGRAMS.iter().flat_map(|program| ["--package", *program]))
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(cache.workspace())
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "{} do not build", PROGRAMS.join(", "));
    Ok(PROGRAMS.iter().map(|program| target.join(TRIPLE).join("lab").join(program)).collect())
}

/// Type of the ELF program header that names a dynamic linker.
const PT_INTERP: u32 = 3;

/// Whether a 64-bit little-endian ELF program asks for no dynamic linker; nothing when it is no such program.
/// elf(5): `e_phoff` at byte 32, `e_phentsize` at 54, `e_phnum` at 56; `p_type` begins a header.
#[must_use]
pub fn is_static(program: &[u8]) -> Option<bool> {
    let short = |at: usize| Some(usize::from(u16::from_le_bytes(*program.get(at..)?.first_chunk()?)));
    let word = |at: usize| Some(u32::from_le_bytes(*program.get(at..)?.first_chunk()?));
    if program.first_chunk() != Some(b"\x7fELF\x02\x01") {
        return None;
    }
    let headers = usize::try_from(u64::from_le_bytes(*program.get(32..)?.first_chunk()?)).ok()?;
    let (size, count) = (short(54)?, short(56)?);
    let kinds: Option<Vec<u32>> = (0..count).map(|index| word(headers.checked_add(index * size)?)).collect();
    Some(!kinds?.contains(&PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program with headers of these types.
    fn elf(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes.splice(..6, *b"\x7fELF\x02\x01");
        bytes.splice(32..40, 64_u64.to_le_bytes());
        bytes.splice(54..56, 56_u16.to_le_bytes());
        bytes.splice(56..58, u16::try_from(kinds.len()).unwrap().to_le_bytes());
        for kind in kinds {
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 52]);
        }
        bytes
    }

    #[test]
    fn a_program_with_an_interpreter_is_dynamic() {
        assert_eq!(is_static(&elf(&[1, 1, 7])), Some(true));
        assert_eq!(is_static(&elf(&[6, 3, 1])), Some(false));
        assert_eq!(is_static(b"#!/bin/sh"), None);
        assert_eq!(is_static(&elf(&[1, 1])[..100]), None);
    }
}
