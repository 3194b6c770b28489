//! `lab test`: everything that shows that the project does what it says.
//!
//! One worker plays scenarios in a lab; another one runs the checks that need no guest, at a low priority, and then plays scenarios
//! too, in a lab of its own, since one lab alone waits for a third of its time. What a neighbour would falsify is played at the end,
//! alone, and last of all the searches for faults.

mod shared;

use std::collections::VecDeque;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::checks::{self, Check};
use crate::output;
use crate::scenarios::{self, Scenario};
use crate::setup::Parts;
use crate::setup::cache::Cache;
use crate::supervisor::disks;
use shared::Shared;

/// With fewer processors than this there is one lab at a time.
const ENOUGH_FOR_TWO: usize = 2;
/// With less memory than this available there is one lab at a time, KiB.
const ENOUGH_FOR_TWO_KIB: u64 = 16 << 20;
/// With fewer scenarios than this a second lab takes longer to boot than it saves.
const WORTH_TWO: usize = 4;
/// How many are named as the slowest.
const SLOWEST: usize = 12;
/// How many lines of what failed are said once more at the end, where whoever looks at a long log looks first: the last ones of
/// what was said, and the first ones of the error, which a long report may follow.
const LINES_AGAIN: usize = 15;

/// What came out.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Tally {
    passed: u32,
    failed: u32,
    /// How long each took, seconds.
    seconds: Vec<(f64, &'static str)>,
    /// What failed, in short.
    failures: Vec<String>,
}

impl Tally {
    /// Whether nothing failed.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.failed == 0
    }

    /// What is printed of it: what was said, then what came out.
    fn count(&mut self, name: &'static str, seconds: f64, said: &str, result: &Result<()>) -> String {
        self.seconds.push((seconds, name));
        match result {
            Ok(()) => {
                self.passed += 1;
                format!("{said}ok    {name} ({seconds:.1} s)")
            }
            Err(err) => {
                self.failed += 1;
                let error = format!("FAIL  {name} ({seconds:.1} s)\n{err:#}");
                self.failures.push(format!("again:\n{}\n{}", last_lines(said), first_lines(&error)));
                format!("{said}{error}")
            }
        }
    }

    /// The slowest, the ends of what failed, and the sum.
    fn lines(&self) -> Vec<String> {
        let mut seconds = self.seconds.clone();
        seconds.sort_by(|one, other| other.0.total_cmp(&one.0));
        let all: f64 = seconds.iter().map(|(seconds, _)| seconds).sum();
        let slowest = seconds.iter().take(SLOWEST).map(|(seconds, name)| format!("{seconds:7.1} s  {name}"));
        let mut lines = vec![format!("one after the other {:.1} min, of them", all / 60.0)];
        lines.extend(slowest);
        lines.extend(self.failures.iter().cloned());
        lines.push(format!("{} passed, {} failed", self.passed, self.failed));
        lines
    }
}

/// Runs what `filter` selects: parts, with commas between them, of the names of scenarios or of
/// [`checks::ALL`].
///
/// # Errors
/// When a part of `filter` selects nothing: nothing that failed would be no sign of anything.
pub fn run(filter: Option<&str>) -> Result<Tally> {
    if let Some(part) = filter.and_then(without_a_name) {
        bail!(
            "no scenario or check has {part:?} in its name; they are: {}",
            names().collect::<Vec<_>>().join(" ")
        );
    }
    let wanted = |name: &str| filter.is_none_or(|filter| filter.split(',').any(|part| name.contains(part)));
    let checks = checks::ALL.iter().filter(|check| wanted(check.name));
    let (last, checks): (Vec<&Check>, Vec<_>) = checks.partition(|check| checks::is_alone(check.name));
    let chosen = scenarios::all().into_iter().filter(|scenario| wanted(scenario.name));
    let (alone, beside): (Vec<_>, Vec<_>) = chosen.partition(|scenario| scenarios::is_alone(scenario.name));
    let is_double = beside.len() >= WORTH_TWO && can_hold_two();
    let run = Run {
        keeps: is_double || !checks.is_empty() && !beside.is_empty(),
        labs: if is_double { 2 } else { 1 },
        tally: Mutex::default(),
        parts: OnceLock::new(),
        waiting: Mutex::new(beside.into()),
    };
    let shared = run.side_by_side(&checks);
    drop(run.play_all(shared, alone.into_iter()));
    run.check_all(&last);
    let tally = run.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.lines().iter().for_each(|line| println!("{line}"));
    Ok(tally)
}

fn names() -> impl Iterator<Item = &'static str> {
    let checks = checks::ALL.iter().map(|check| check.name);
    checks.chain(scenarios::all().into_iter().map(|scenario| scenario.name))
}

/// The first part of a filter that selects nothing.
fn without_a_name(filter: &str) -> Option<&str> {
    filter.split(',').find(|part| part.is_empty() || !names().any(|name| name.contains(part)))
}

fn can_hold_two() -> bool {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    processors >= ENOUGH_FOR_TWO && disks::available_kib() >= ENOUGH_FOR_TWO_KIB
}

struct Run {
    /// How many labs there are at a time.
    labs: u8,
    /// Whether what is printed is kept until its end: there are two at a time.
    keeps: bool,
    tally: Mutex<Tally>,
    /// What labs are made of; nothing if they cannot be had.
    parts: OnceLock<Option<Parts>>,
    /// The scenarios that nobody has begun, in their order.
    waiting: Mutex<VecDeque<Scenario>>,
}

impl Run {
    /// Everything that may have a neighbour. Gives a lab that can be used again.
    fn side_by_side<'a>(&'a self, checks: &[&Check]) -> Option<Shared<'a>> {
        thread::scope(|scope| {
            let worker = scope.spawn(|| self.play_all(None, self.taken()));
            self.check_all(checks);
            let second = if self.labs > 1 { self.play_all(None, self.taken()) } else { None };
            let first = worker.join().unwrap_or_else(|panic| resume_unwind(panic));
            // The second lab ends here if the first is there.
            first.or(second)
        })
    }

    fn check_all(&self, checks: &[&Check]) {
        for check in checks {
            self.count(check.name, || (check.run)(&Cache::open()?));
        }
    }

    /// The scenarios that are waiting, each to whoever asks first.
    fn taken(&self) -> impl Iterator<Item = Scenario> {
        std::iter::from_fn(|| lock(&self.waiting).pop_front())
    }

    fn play_all<'a>(
        &'a self,
        mut shared: Option<Shared<'a>>,
        scenarios: impl Iterator<Item = Scenario>,
    ) -> Option<Shared<'a>> {
        for scenario in scenarios {
            let parts = self.parts()?;
            let shared = shared.get_or_insert_with(|| Shared::new(parts));
            self.count(scenario.name, || {
                println!("      {}: {}", scenario.name, scenario.shows);
                shared.play(&scenario)
            });
        }
        shared
    }

    fn parts(&self) -> Option<&Parts> {
        let prepare = || {
            let start = Instant::now();
            Parts::prepare().map_err(|err| self.note("lab_setup", start, "", &Err(err))).ok()
        };
        self.parts.get_or_init(prepare).as_ref()
    }

    fn count(&self, name: &'static str, work: impl FnOnce() -> Result<()>) {
        let start = Instant::now();
        let (result, said) = if self.keeps { output::kept(work) } else { (work(), String::new()) };
        self.note(name, start, &said, &result);
    }

    /// Counts, and prints what was said and what came out in one piece.
    fn note(&self, name: &'static str, start: Instant, said: &str, result: &Result<()>) {
        let mut tally = lock(&self.tally);
        println!("{}", tally.count(name, start.elapsed().as_secs_f64(), said, result));
    }
}

fn last_lines(text: &str) -> String {
    let skipped = text.lines().count().saturating_sub(LINES_AGAIN);
    text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}

fn first_lines(text: &str) -> String {
    text.lines().take(LINES_AGAIN).collect::<Vec<_>>().join("\n")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_selects_nothing_is_named() {
        assert_eq!(without_a_name("chaos_for_a_minute,build"), None);
        assert_eq!(without_a_name("chaos_for_a_minute,conformances"), Some("conformances"));
        assert_eq!(without_a_name("chaos,"), Some(""));
    }
}
