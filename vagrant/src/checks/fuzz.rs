//! Every fuzz target of kernel-abi for a short while: a fixed number of inputs from a fixed seed. A new build takes other
//! ways all the same, so a find may be older than the change that shows it; the input is kept below `target/fuzz/found`.
//! Coverage leads the way; there is no address sanitizer, which needs a nightly compiler: `cargo fuzz run TARGET` in
//! `kernel-abi/` has it, and runs for as long as it is let.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::command::tail;
use crate::setup::cache::{Cache, remove_tree};
use crate::setup::product::TRIPLE;

/// Inputs per target.
const RUNS: u32 = 100_000;
/// Long inputs from the start, and an input that takes 10 s is a find.
const ALWAYS_SO: [&str; 3] = ["-seed=1", "-len_control=0", "-timeout=10"];
/// Inputs to begin with: what was recorded from real kernels and tools.
const RECORDED: &str = "../tests/fixtures/md";
/// Lines of a failure that are shown: libFuzzer prints the input and the stack below the panic.
const SAID_LINES: usize = 60;
/// Longest input, bytes: the start of a device up to its superblocks.
const MAX_LEN: u32 = 4096;

/// What cargo-fuzz passes for coverage (its `src/project.rs`), without the sanitizer.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// Builds all targets and runs one after the other; all are run, whatever one finds.
pub(super) fn check(cache: &Cache) -> Result<()> {
    let house = cache.workspace().join("kernel-abi/fuzz");
    let builds = cache.target().join("fuzz");
    build(&house, &builds)?;
    let mut wrong = Vec::new();
    for name in names(&house.join("fuzz_targets"))? {
        match (Target { name: &name, house: &house, builds: &builds }).run() {
            Ok(ran) => println!("      {name:20} {ran}"),
            Err(error) => wrong.push(format!("{name}: {error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn build(house: &Path, target: &Path) -> Result<()> {
    let mut cargo = super::patient_cargo();
    cargo.args(["build", "--quiet", "--locked", "--release", "--bins", "--target", TRIPLE]);
    super::shown(cargo.current_dir(house).env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", target))
}

/// The targets there are, in order.
fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    ensure!(!names.is_empty(), "{} has no targets", directory.display());
    names.sort();
    Ok(names)
}

struct Target<'a> {
    name: &'a str,
    house: &'a Path,
    builds: &'a Path,
}

impl Target<'_> {
    /// Runs it with nothing left over from before.
    fn run(&self) -> Result<Ran> {
        let found = self.builds.join("found").join(self.name);
        remove_tree(&found)?;
        fs::create_dir_all(&found)?;
        let mut program = Command::new(self.builds.join(TRIPLE).join("release").join(self.name));
        program.arg(format!("-runs={RUNS}")).arg(format!("-max_len={MAX_LEN}")).args(ALWAYS_SO);
        program.arg(format!("-artifact_prefix={}/", found.display()));
        program.arg(&found).arg(self.house.join(RECORDED)).current_dir(self.house).stdin(Stdio::null());
        let out = program.output().with_context(|| format!("cannot start {}", self.name))?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "{}\n{}", out.status, tail(&said, SAID_LINES));
        Ran::read(&said).with_context(|| format!("no end of the run in\n{}", tail(&said, SAID_LINES)))
    }
}

/// What libFuzzer says of a run at its end.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    inputs: u64,
    /// Edges of the program that were reached.
    edges: u64,
}

impl Ran {
    /// Reads `#20000  DONE   cov: 42 ft: 42 corp: 4/93b lim: 4096 exec/s: 0 rss: 27Mb`.
    fn read(said: &str) -> Option<Self> {
        let line = said.lines().rev().find(|line| line.contains("DONE"))?;
        let mut words = line.split_whitespace();
        let inputs = words.next()?.trim_start_matches('#').parse().ok()?;
        let edges = words.skip_while(|word| *word != "cov:").nth(1)?.parse().ok()?;
        Some(Self { inputs, edges })
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} inputs, {} edges reached", self.inputs, self.edges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_run_is_read() {
        let said =
            "#0\tREAD units: 1\n#20000\tDONE   cov: 42 ft: 45 corp: 4/93b lim: 4096 exec/s: 0 rss: 27Mb\n";
        assert_eq!(Ran::read(said), Some(Ran { inputs: 20_000, edges: 42 }));
        assert_eq!(Ran::read("#3\tNEW    cov: 42\n"), None);
    }
}
