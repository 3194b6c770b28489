//! The main job, shown: `vagrant/lab demo`.

use anyhow::{Result, bail};

use crate::setup::Parts;

/// Runs the demo on a private lab.
pub fn run(_parts: &Parts) -> Result<()> {
    bail!("the demo is not written yet")
}
