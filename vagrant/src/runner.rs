//! `lab test`: everything that shows that the project does what it says.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};

use crate::daemon;
use crate::lab::Lab;
use crate::report;
use crate::scenarios::{self, Needs, Scenario, Stage};
use crate::setup::Parts;
use crate::setup::cache::Cache;

/// Nodes of the shared lab.
const NODES: u8 = 3;

/// What cargo is asked, in this order.
const CARGO: &[(&str, &[&str])] = &[
    ("fmt", &["fmt", "--check"]),
    ("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    ("unit_tests", &["test", "--workspace"]),
    ("unit_tests_udev", &["test", "--package", "kernel-abi", "--features", "udev"]),
];

/// What came out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    passed: u32,
    failed: u32,
}

impl Tally {
    /// Whether nothing failed.
    #[must_use]
    pub fn is_green(self) -> bool {
        self.failed == 0
    }

    fn count(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        let start = Instant::now();
        let result = work();
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("ok    {name} ({seconds:.1} s)");
            }
            Err(err) => {
                self.failed += 1;
                println!("FAIL  {name} ({seconds:.1} s)\n{err:#}");
            }
        }
    }
}

/// Runs what `filter` selects: parts, with commas between them, of the names of scenarios or of `fmt`, `clippy`,
/// `unit_tests`.
pub fn run(filter: Option<&str>) -> Result<Tally> {
    let wanted = |name: &str| filter.is_none_or(|filter| filter.split(',').any(|part| name.contains(part)));
    let mut tally = Tally::default();
    for (name, arguments) in CARGO.iter().filter(|(name, _)| wanted(name)) {
        tally.count(name, || cargo(arguments));
    }
    let chosen: Vec<Scenario> =
        scenarios::all().into_iter().filter(|scenario| wanted(scenario.name)).collect();
    if !chosen.is_empty() {
        run_scenarios(&chosen, &mut tally);
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(tally)
}

fn cargo(arguments: &[&str]) -> Result<()> {
    println!("      cargo {}", arguments.join(" "));
    let workspace = Cache::open()?.workspace();
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(workspace)
        .status()
        .context("cannot start cargo")?;
    if status.success() { Ok(()) } else { Err(anyhow!("cargo {}: {status}", arguments.join(" "))) }
}

fn run_scenarios(chosen: &[Scenario], tally: &mut Tally) {
    let parts = match Parts::prepare() {
        Ok(parts) => parts,
        Err(err) => return tally.count("lab_setup", || Err(err)),
    };
    let mut shared = Shared { parts: &parts, lab: None, fresh: false, cluster: false };
    for scenario in chosen {
        println!("      {}: {}", scenario.name, scenario.shows);
        tally.count(scenario.name, || shared.play(scenario));
    }
}

/// The lab that scenarios share, booted when first needed and thrown away after a failure.
struct Shared<'a> {
    parts: &'a Parts,
    lab: Option<Lab>,
    /// Whether nobody has played in it since its nodes were booted with blank drives.
    fresh: bool,
    /// Whether the last player was given a cluster and left it.
    cluster: bool,
}

impl Shared<'_> {
    fn play(&mut self, scenario: &Scenario) -> Result<()> {
        let result = self.prepare(scenario.lab).and_then(|()| {
            let lab = if scenario.lab == Needs::Nothing { None } else { self.lab.as_mut() };
            (scenario.run)(&mut Stage::new(self.parts, lab))
        });
        result.map_err(|err| self.explained(scenario, &err))
    }

    /// The error with a look at the lab it happened in, which is not used again.
    fn explained(&mut self, scenario: &Scenario, err: &anyhow::Error) -> anyhow::Error {
        let mut text = format!("{err:#}");
        let lab = self.lab.take().filter(|_| scenario.lab != Needs::Nothing && !text.contains(report::TITLE));
        if let Some(lab) = lab {
            text.push('\n');
            text.push_str(&lab.report());
        }
        anyhow!(text)
    }

    fn prepare(&mut self, needs: Needs) -> Result<()> {
        if needs == Needs::Cluster {
            return self.prepare_cluster();
        }
        if needs == Needs::Blank {
            self.cluster = false;
        }
        match (needs, &self.lab) {
            (Needs::Nothing, _) => self.lab = None,
            (_, None) => {
                self.lab = Some(Lab::private(self.parts, NODES)?);
                self.fresh = true;
            }
            (Needs::Blank, Some(lab)) if !self.fresh => {
                lab.reset()?;
                self.fresh = true;
            }
            (Needs::Blank | Needs::AsIs | Needs::Cluster, Some(_)) => {}
        }
        if needs == Needs::Blank {
            self.fresh = false;
        }
        Ok(())
    }

    /// A cluster whose last player left no volume is good for the next one.
    fn prepare_cluster(&mut self) -> Result<()> {
        if self.cluster && self.lab.as_ref().is_some_and(daemon::is_empty_cluster) {
            return Ok(());
        }
        self.prepare(Needs::Blank)?;
        let lab = self.lab.as_ref().context("no lab")?;
        daemon::start_all(lab)?;
        daemon::add_drives(lab)?;
        self.cluster = true;
        Ok(())
    }
}
