//! The device applications use: the array of a volume with one column, else the stripes over all of its columns.
//!
//! ```text
//! every column runs -> mapped -> used -a column's array is longer-> mapped anew, longer -> used
//!                                 |released, or lost: nobody uses it-> taken away -> the columns stop
//! ```
//! A column is never stopped below its stripes: the map holds the array open.

use super::serving::Serving;
use crate::domain::Bytes;
use crate::plan::{ArraySeen, Dev, Step, TopSeen};

/// The stripes as the kernel has them, whatever they lie over.
pub(super) fn seen<'a>(serving: &Serving<'a>) -> Option<&'a TopSeen> {
    serving.input.seen.tops.get(&serving.spec.uid)
}

/// The device and how long it is, once everything below it runs.
pub(super) fn running(serving: &Serving) -> Option<(Dev, Bytes)> {
    match serving.arrays()?.as_slice() {
        [only] => Some((only.dev, only.size)),
        columns => seen(serving).filter(|top| is_over(top, columns)).map(|top| (top.dev, top.size)),
    }
}

/// The device, once everything below it runs.
pub(super) fn device(serving: &Serving) -> Option<Dev> {
    running(serving).map(|(dev, _)| dev)
}

/// Every device of the volume that somebody could use: the stripes first, then the arrays.
pub(super) fn devices(serving: &Serving) -> Vec<Dev> {
    let arrays = serving.columns().filter_map(|column| serving.array(column)).map(|array| array.dev);
    seen(serving).map(|top| top.dev).into_iter().chain(arrays).collect()
}

/// Lays the stripes over the columns, and again once all of these are longer.
pub(super) fn map(serving: &mut Serving) {
    let columns = serving.arrays().unwrap_or_default();
    if columns.len() < 2 {
        return;
    }
    let size = length(&columns);
    if seen(serving).is_none_or(|top| !is_over(top, &columns) || top.size < size) {
        let (volume, uid) = (serving.spec.name.clone(), serving.spec.uid);
        let columns = columns.iter().map(|array| array.dev).collect();
        serving.step(Step::MapTop { volume, uid, columns, size });
    }
}

fn is_over(top: &TopSeen, columns: &[&ArraySeen]) -> bool {
    !top.suspended && top.columns.iter().eq(columns.iter().map(|array| &array.dev))
}

/// As much of every column as all of them have.
fn length(columns: &[&ArraySeen]) -> Bytes {
    let shortest = columns.iter().map(|array| array.size.0).min().unwrap_or(0);
    Bytes(shortest * columns.len() as u64)
}

/// `true` once no stripes hold the columns any more.
pub(super) fn unmap(serving: &mut Serving) -> bool {
    let there = seen(serving).is_some();
    if there {
        let (volume, uid) = (serving.spec.name.clone(), serving.spec.uid);
        serving.step(Step::UnmapTop { volume, uid });
    }
    !there
}
