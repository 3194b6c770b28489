//! Bad input is refused with the object, what was tried, why not and what to do; nothing changes.

use super::Scenario;

pub(super) const SCENARIOS: &[Scenario] = &[];
