//! What is checked without a guest: format, lints, unit tests, licences and sources of dependencies, the Vagrantfile, the
//! chart, fuzz targets.

mod deny;
mod fuzz;
mod helm_chart;
mod vagrantfile;

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::output;
use crate::setup::cache::Cache;

/// One check.
pub struct Check {
    /// What the command line selects it by.
    pub name: &'static str,
    /// Does it; its output is seen.
    pub run: fn(&Cache) -> Result<()>,
}

/// All of them, the quickest to say no first.
pub const ALL: [Check; 10] = [
    Check { name: "fmt", run: |cache| cargo(cache, &["fmt", "--check"]) },
    Check { name: "vagrantfile", run: vagrantfile::check },
    Check {
        name: "clippy",
        // In the tests' profile: what runs while building is built once.
        run: |cache| cargo(cache, &CLIPPY),
    },
    // By itself, so that the times that are printed tell building from testing: it takes four parts of five.
    Check { name: "build_tests", run: |cache| cargo(cache, &[TESTS.as_slice(), &["--no-run"]].concat()) },
    Check { name: "unit_tests", run: unit_tests },
    Check {
        name: "unit_tests_udev",
        run: |cache| {
            cargo(cache, &["test", "--profile", "checked", "--package", "kernel-abi", "--features", "udev"])
        },
    },
    Check { name: "search", run: search },
    Check { name: "deny", run: deny::check },
    Check { name: "helm_chart", run: helm_chart::check },
    Check { name: "fuzz", run: fuzz::check },
];

/// Whether a check runs while nothing else does: what a search can play in a given time is said of the machine, not of what guests leave it.
#[must_use]
pub fn is_alone(name: &str) -> bool {
    name == "search"
}

/// What [`search`] selects by, and does at its size.
const SEARCHES: [&str; 4] = ["random_faults", "every_guard", "two_copies", "three_copies"];
/// Seeds of the simulation.
const SEEDS: &str = "10000";
const CLIPPY: [&str; 8] =
    ["clippy", "--profile", "checked", "--workspace", "--all-targets", "--", "-D", "warnings"];
/// Everything that is tested is built once: in one profile, with the features that the whole workspace has.
const TESTS: [&str; 4] = ["test", "--profile", "checked", "--workspace"];

fn unit_tests(cache: &Cache) -> Result<()> {
    let skipped = SEARCHES.iter().flat_map(|name| ["--skip", *name]);
    let arguments: Vec<&str> = TESTS.into_iter().chain(["--"]).chain(skipped).collect();
    cargo(cache, &arguments)
}

/// The searches for faults: many seeds of the simulation, every guard turned off in turn, and the model. One after the other, for each
/// takes all processors and says how long it took.
fn search(cache: &Cache) -> Result<()> {
    let mut command = patient_cargo();
    command.args(TESTS).arg("--").args(SEARCHES).args([
        "--include-ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    shown(command.env("SIM_SEEDS", SEEDS).current_dir(cache.workspace()))
}

fn cargo(cache: &Cache, arguments: &[&str]) -> Result<()> {
    shown(patient_cargo().args(arguments).current_dir(cache.workspace()))
}

/// It makes way for the guests of the labs beside it: one that is starved for 0.4 s counts as gone among its peers.
fn patient_cargo() -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "10", "cargo"]);
    command
}

/// Runs `command`, its output passed through.
fn shown(command: &mut Command) -> Result<()> {
    let line = crate::command::shown(command);
    println!("      {line}");
    let status = output::status_of(command).with_context(|| format!("cannot start {line}"))?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}
