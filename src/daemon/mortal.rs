//! A kernel whose daemon dies where a test wants it: the machines and their steps are the real ones.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::config::Death;
use crate::domain::Endpoint;
use crate::plan::{Lane, Observation, Outcome, Sample, Step, StepFailure};
use crate::ports::{InCalls, Kernel};

/// Wraps a kernel; its process dies at `death`. A step that fails is none to die after: it is tried again. Routine is none
/// to die at: it comes when a test believes that all is done.
pub struct MortalKernel {
    kernel: Arc<dyn Kernel>,
    death: Death,
    die: fn(),
}

impl MortalKernel {
    /// Around `kernel`.
    #[must_use]
    pub fn new(kernel: Arc<dyn Kernel>, death: Death) -> Self {
        Self { kernel, death, die }
    }

    fn die_once_at(&self, step: &Step, deaths: &Path) {
        if step.is_routine() {
            return;
        }
        match is_new(&step.to_string(), deaths) {
            Ok(true) => (self.die)(),
            Ok(false) => {}
            Err(error) => tracing::error!(%step, deaths = %deaths.display(), %error, "cannot die here"),
        }
    }
}

/// Whether nobody died at this step before; from now on somebody did.
fn is_new(step: &str, deaths: &Path) -> io::Result<bool> {
    let mut file = File::options().create(true).append(true).open(deaths)?;
    if fs::read_to_string(deaths)?.lines().any(|line| line == step) {
        return Ok(false);
    }
    file.write_all(format!("{step}\n").as_bytes())?;
    Ok(true)
}

/// SIGKILL to the own process: nothing is put down, nobody is told.
fn die() {
    if let Err(error) = kill(Pid::this(), Signal::SIGKILL) {
        tracing::error!(%error, "could not die");
    }
}

impl Kernel for MortalKernel {
    fn observe(&self) -> Result<Observation, String> {
        self.kernel.observe()
    }

    fn sample(&self, seen: &Observation) -> Result<Sample, String> {
        self.kernel.sample(seen)
    }

    fn unanswered(&self, target: &Endpoint) -> Result<u64, String> {
        self.kernel.unanswered(target)
    }

    fn in_calls(&self) -> InCalls {
        self.kernel.in_calls()
    }

    fn abandon(&self, lane: &Lane) {
        self.kernel.abandon(lane);
    }

    fn apply(&self, step: &Step) -> Result<Outcome, StepFailure> {
        if let Death::Before(deaths) = &self.death {
            self.die_once_at(step, deaths);
        }
        let result = self.kernel.apply(step);
        if let (Death::After(deaths), Ok(_)) = (&self.death, &result) {
            self.die_once_at(step, deaths);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::plan::{Dev, FailureKind, Usage};

    static DEATHS: AtomicU32 = AtomicU32::new(0);

    /// Unmounting and measuring works, everything else fails.
    struct Unmounts;

    impl Kernel for Unmounts {
        fn sample(&self, _: &Observation) -> Result<Sample, String> {
            Ok(Sample::default())
        }

        fn observe(&self) -> Result<Observation, String> {
            Ok(Observation::default())
        }

        fn unanswered(&self, _: &Endpoint) -> Result<u64, String> {
            Ok(0)
        }

        fn in_calls(&self) -> InCalls {
            InCalls::default()
        }

        fn abandon(&self, _: &Lane) {}

        fn apply(&self, step: &Step) -> Result<Outcome, StepFailure> {
            match step {
                Step::Unmount { .. } => Ok(Outcome::Done),
                Step::MeasureUse { .. } => Ok(Outcome::Used(Usage::default())),
                other => Err(StepFailure { kind: FailureKind::Retry, message: other.to_string() }),
            }
        }
    }

    fn deaths(death: Death, steps: &[Step]) -> Vec<u32> {
        DEATHS.store(0, Ordering::SeqCst);
        let die = || {
            DEATHS.fetch_add(1, Ordering::SeqCst);
        };
        let kernel = MortalKernel { die, ..MortalKernel::new(Arc::new(Unmounts), death) };
        let after = |step| {
            drop(kernel.apply(step));
            DEATHS.load(Ordering::SeqCst)
        };
        steps.iter().map(after).collect()
    }

    #[test]
    fn every_step_is_died_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let [after, before] = ["a", "b"].map(|name| dir.path().join(name));
        let volume: crate::domain::VolumeName = "v".parse().unwrap();
        let unmount = |path: &str| Step::Unmount { volume: volume.clone(), path: path.to_owned() };
        let (dev, path) = (Dev { major: 9, minor: 0 }, "/a".to_owned());
        let routine = Step::MeasureUse { volume: volume.clone(), dev, path };
        let fails = Step::StopArray { volume: volume.clone(), array: "md_0".to_owned() };
        let steps = [fails.clone(), unmount("/a"), unmount("/a"), routine, fails, unmount("/b")];
        assert_eq!(deaths(Death::After(after.clone()), &steps), [0, 1, 1, 1, 1, 2]);
        assert_eq!(deaths(Death::Before(before), &steps), [1, 2, 2, 2, 2, 3]);
        let known = fs::read_to_string(after).unwrap();
        assert_eq!(known, "unmount v from /a\nunmount v from /b\n");
    }
}
