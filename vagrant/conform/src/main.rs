//! Plays every script on the simulated kernel and on the one this program runs on. What happened must be the same, line by line.
//!
//! `conform DRIVE DRIVE DRIVE`: serial numbers of three drives of this machine that may be overwritten.

mod play;
mod real;
mod rig;
mod scripts;
mod simulated;

use anyhow::{Context as _, Result, bail, ensure};
use mdfabric::domain::DriveId;

use play::Play;
use real::Real;
use rig::Rig;
use scripts::{SCRIPTS, Script};
use simulated::Simulated;

fn main() -> Result<()> {
    let names: Vec<DriveId> = std::env::args().skip(1).map(|name| name.parse()).collect::<Result<_, _>>()?;
    let drives: [DriveId; 3] =
        names.try_into().ok().context("three drives are needed: their serial numbers")?;
    let mut real = Real::new(&drives)?;
    let mut differing = Vec::new();
    for script in SCRIPTS {
        println!("{}", script.name);
        let model = played(script, &mut Simulated::new(&drives)?, &drives, &[])?;
        let kernel = played(script, &mut real, &drives, &model)?;
        if !is_same(&model, &kernel) {
            differing.push(script.name);
        }
    }
    ensure!(differing.is_empty(), "the simulated kernel does otherwise: {}", differing.join("; "));
    println!("{} scripts, and both kernels did the same", SCRIPTS.len());
    Ok(())
}

/// What came of a script, line by line; `expected` is what it came to elsewhere.
fn played(
    script: &Script,
    rig: &mut dyn Rig,
    drives: &[DriveId; 3],
    expected: &[String],
) -> Result<Vec<String>> {
    let mut play = Play::begin(rig, drives, expected)?;
    let done = (script.run)(&mut play);
    let lines = play.lines().to_vec();
    match done.and_then(|()| play.end()) {
        Ok(()) => Ok(lines),
        Err(err) => bail!("{}: {err:#}\nafter\n  {}", script.name, lines.join("\n  ")),
    }
}

/// Prints what was the same once, and what was not twice.
fn is_same(model: &[String], kernel: &[String]) -> bool {
    for (expected, found) in model.iter().zip(kernel) {
        if expected == found {
            println!("  {found}");
        } else {
            println!("! simulated: {expected}\n! real:      {found}");
        }
    }
    model == kernel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_can_be_played_to_its_end_on_the_simulated_kernel() {
        let drives = ["a", "b", "c"].map(|name| name.parse().unwrap());
        for script in SCRIPTS {
            let play = |expected: &[String]| {
                played(script, &mut Simulated::new(&drives).unwrap(), &drives, expected).unwrap()
            };
            let lines = play(&[]);
            let other: Vec<String> = lines.iter().map(|line| format!("not {line}")).collect();
            for expected in [&lines, &other] {
                assert_eq!(play(expected), lines, "{}: what is expected changes what is seen", script.name);
            }
        }
    }
}
