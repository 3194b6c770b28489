//! `cargo deny` over `deny.toml`, with a cargo-deny of our own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::shown;
use crate::command;
use crate::setup::cache::{Cache, Key, remove_tree};

/// Of cargo-deny.
const VERSION: &str = "0.20.2";

/// How it is built: it runs for a second, so nothing is spent on optimising it.
const QUICK_BUILD: [(&str, &str); 4] = [
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
];

/// What needs nothing but the crates.
const ALWAYS: [&str; 3] = ["bans", "licenses", "sources"];

/// Checks bans, licences and sources, and advisories where their database can be had.
pub(super) fn check(cache: &Cache) -> Result<()> {
    let program = cache.entry("cargo-deny", &Key::of(&[VERSION]), install)?.join("bin/cargo-deny");
    let deny = || {
        let mut deny = Command::new(&program);
        deny.args(["--log-level", "error"]).current_dir(cache.workspace());
        deny
    };
    let advisories = command::run(deny().args(["fetch", "db"]));
    if let Err(why) = &advisories {
        println!("      advisories are left out, their database cannot be had: {why:#}");
    }
    shown(deny().arg("check").args(ALWAYS).args(advisories.is_ok().then_some("advisories")))
}

fn install(draft: &Path) -> Result<()> {
    println!("      building cargo-deny {VERSION}, once");
    let build: PathBuf = draft.join("build");
    let mut cargo = super::patient_cargo();
    cargo.args([
        "install",
        "--quiet",
        "--locked",
        "--no-track",
        "--version",
        VERSION,
        "cargo-deny",
        "--root",
    ]);
    command::run(cargo.arg(draft).env("CARGO_TARGET_DIR", &build).envs(QUICK_BUILD))?;
    remove_tree(&build)
}
