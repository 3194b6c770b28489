//! A slice of a scrub: the kernel compares all copies for a moment.

use std::time::{Duration, Instant};

use kernel_abi::Root;
use kernel_abi::md::sysfs::SyncVerb;

use super::array::node;
use super::check::Check;
use crate::domain::Bytes;
use crate::kernel::calls::Abandoned;
use crate::plan::{Outcome, StepFailure};

/// Sectors after which a slice looks for the first time whether its time is over: 1 MiB, for a check beside a busy application may be
/// as slow as the kernel's `speed_limit_min`, 1000 KiB a second.
const PIECE_SECTORS: u64 = 2048;
/// Sectors of the largest piece: 64 MiB.
const LARGEST_PIECE_SECTORS: u64 = 64 * PIECE_SECTORS;
/// A piece that took less is followed by one twice as large, for the kernel stands still between them; another one by the smallest.
const SHORT_PIECE: Duration = Duration::from_millis(200);
/// For how long a slice goes on: whatever else the array shall do waits for it.
const SLICE: Duration = Duration::from_secs(5);

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
    let first = from..next(from, PIECE_SECTORS, size);
    let mut check = Check::begin(root, &name, verb, first.clone(), size, abandoned)?;
    let came = pieces(&mut check, first.end, size);
    check.end()?;
    let (to, mismatched_sectors) = came?;
    Ok(Outcome::Checked { to: Bytes(to * 512), mismatched_sectors })
}

/// Lets it go on until its time is over. How far it came, and how many sectors differed up to there.
fn pieces(check: &mut Check<'_>, first: u64, size: u64) -> Result<(u64, u64), StepFailure> {
    let until = Instant::now() + SLICE;
    let (mut to, mut piece) = (first, PIECE_SECTORS);
    loop {
        let begun = Instant::now();
        let mismatched = check.wait(to)?;
        if to == size || Instant::now() >= until {
            return Ok((to, mismatched));
        }
        let was_short = begun.elapsed() < SHORT_PIECE;
        piece = if was_short { (piece * 2).min(LARGEST_PIECE_SECTORS) } else { PIECE_SECTORS };
        to = next(to, piece, size);
        check.extend(to)?;
    }
}

/// The end of the next piece; the last one may be longer.
fn next(from: u64, piece: u64, size: u64) -> u64 {
    let to = from + piece;
    if to + PIECE_SECTORS > size { size } else { to }
}
