//! A slice of a scrub: the kernel compares all copies for a moment.

use std::time::{Duration, Instant};

use kernel_abi::Root;
use kernel_abi::md::sysfs::SyncVerb;

use super::array::node;
use super::check::Check;
use crate::domain::Bytes;
use crate::kernel::calls::Abandoned;
use crate::plan::{Outcome, StepFailure};

/// Sectors after which a slice looks whether its time is over: 1 MiB, for a check beside a busy application may be as slow as the
/// kernel's `speed_limit_min`, 1000 KiB a second.
const PIECE_SECTORS: u64 = 2048;
/// For how long a slice goes on: whatever else the array shall do waits for it.
const SLICE: Duration = Duration::from_secs(1);

/// Compares all copies from `from` on for about [`SLICE`], at least [`PIECE_SECTORS`], and makes them equal if `repair`.
pub(super) fn slice(
    root: &Root,
    array: &str,
    (from, size): (Bytes, Bytes),
    repair: bool,
    abandoned: &Abandoned,
) -> Result<Outcome, StepFailure> {
    let (name, size) = (node(array)?, size.sectors());
    let verb = if repair { SyncVerb::Repair } else { SyncVerb::Check };
    let from = from.sectors();
    let first = from..next(from, size);
    let check = Check::begin(root, &name, verb, first.clone(), size, abandoned)?;
    let came = pieces(&check, first.end, size);
    check.end()?;
    let (to, mismatched_sectors) = came?;
    Ok(Outcome::Checked { to: Bytes(to * 512), mismatched_sectors })
}

/// Lets it go on until its time is over. How far it came, and how many sectors differed up to there.
fn pieces(check: &Check, first: u64, size: u64) -> Result<(u64, u64), StepFailure> {
    let until = Instant::now() + SLICE;
    let mut to = first;
    loop {
        let mismatched = check.wait(to)?;
        if to == size || Instant::now() >= until {
            return Ok((to, mismatched));
        }
        to = next(to, size);
        check.extend(to)?;
    }
}

/// The end of the next piece; the last one may be longer.
fn next(from: u64, size: u64) -> u64 {
    let to = from + PIECE_SECTORS;
    if to + PIECE_SECTORS > size { size } else { to }
}
