//! What of a new copy is compared with the others before one of those goes: all of it, or both ends, places on which all of a file
//! system hangs, and as many more drawn at random.
//!
//! A window is a MiB of a column's data, the last one perhaps shorter; none comes twice. md takes each for a range of its `check` as it
//! is: it rounds a beginning down to 4 KiB (`min_sync_store`, drivers/md/md.c), and an end has to be whole chunks, which RAID1 does not
//! have (`max_sync_store`).
//!
//! Deliberately absent: what only the file system itself knows, such as bitmaps, inode tables and the journal.

use std::collections::BTreeSet;
use std::iter::successors;
use std::ops::Range;

use uuid::Uuid;

use super::placement::CHUNK;
use crate::domain::{Bytes, FsType, Verify};

/// Sectors of a window: 1 MiB.
const WINDOW: u64 = Bytes::MIB / 512;
/// Windows that are drawn.
const DRAWN: usize = 64;
/// Bytes of a block of every file system that is made here.
const BLOCK: u64 = 4096;

/// One column of a volume, and what was made over all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Bytes of its data.
    pub(crate) size: Bytes,
    /// How many there are.
    pub(crate) columns: u8,
    /// What they carry.
    pub(crate) fs: FsType,
}

/// Ranges of 512-byte sectors of the column's data, by position. The same seed gives the same ones.
pub(crate) fn of(how: Verify, column: Column, seed: Uuid) -> Vec<Range<u64>> {
    let sectors = column.size.sectors();
    match how {
        Verify::Off => Vec::new(),
        Verify::Full => vec![Range { start: 0, end: sectors }],
        Verify::Sampled => {
            let window = |index: u64| index * WINDOW..((index + 1) * WINDOW).min(sectors);
            sampled(column, seed).into_iter().map(window).collect()
        }
    }
}

/// Which windows; all of them where there are not many more than would be chosen.
fn sampled(column: Column, seed: Uuid) -> BTreeSet<u64> {
    let count = column.size.sectors().div_ceil(WINDOW);
    let fixed: BTreeSet<u64> = fixed(column).filter(|index| *index < count).collect();
    let wanted = fixed.len() + DRAWN;
    if count <= wanted as u64 { (0..count).collect() } else { drawn(fixed, wanted, count, seed) }
}

/// More of them, until there are as many as `wanted`.
fn drawn(mut chosen: BTreeSet<u64>, wanted: usize, count: u64, seed: Uuid) -> BTreeSet<u64> {
    let draw = |number: u64| Uuid::new_v5(&seed, &number.to_be_bytes()).as_u64_pair().1 % count;
    let mut numbers = 0..;
    while chosen.len() < wanted {
        chosen.extend(numbers.next().map(draw));
    }
    chosen
}

/// The first MiB, the last, and those in which something of the file system is.
fn fixed(column: Column) -> impl Iterator<Item = u64> {
    let last = column.size.sectors().saturating_sub(1);
    let ends = [0, last.saturating_sub(WINDOW - 1), last].map(|sector| sector / WINDOW);
    let places = metadata(column.fs, column.size.0.saturating_mul(column.columns.into()));
    ends.into_iter().chain(places.into_iter().flat_map(move |place| below(&place, column.columns)))
}

/// The windows of each column in which a range of the volume's bytes is, or is beside: see [`CHUNK`].
fn below(place: &Range<u64>, columns: u8) -> Range<u64> {
    let row = |byte: u64| byte / CHUNK.0 / u64::from(columns.max(1));
    let first = row(place.start) * CHUNK.0;
    let last = (row(place.end - 1) + 1) * CHUNK.0 - 1;
    first / Bytes::MIB..last / Bytes::MIB + 1
}

/// Bytes of a volume of so many bytes in which its file system keeps what all of it hangs on.
fn metadata(fs: FsType, size: u64) -> Vec<Range<u64>> {
    match fs {
        FsType::Raw => Vec::new(),
        FsType::Ext4 => superblocks(size),
        FsType::Xfs => headers(size),
    }
}

/// ext4 has copies of its superblock, with the group descriptors behind them, in groups 1 and 3^n, 5^n, 7^n (`ext4_bg_has_super`,
/// fs/ext4/balloc.c). A group has as many blocks as a block has bits (mke2fs): 128 MiB, however far the file system has grown.
fn superblocks(size: u64) -> Vec<Range<u64>> {
    const GROUP: u64 = 8 * BLOCK * BLOCK;
    let powers = |base: u64| successors(Some(base), move |group| group.checked_mul(base));
    let start = move |group: u64| group.checked_mul(GROUP).filter(|start| *start < size);
    let in_powers = [3, 5, 7].into_iter().flat_map(|base| powers(base).map_while(start));
    start(1).into_iter().chain(in_powers).map(|start| start..start + Bytes::MIB).collect()
}

/// XFS has headers and the roots of its btrees in front of each allocation group. mkfs.xfs makes four of these, and groups of 1 TiB less
/// one block from 4 TiB on (`calc_default_ag_geometry`). One that has grown keeps the groups it was made with, of which no record
/// knows: there these are places like any other.
fn headers(size: u64) -> Vec<Range<u64>> {
    const LARGEST: u64 = (1 << 40) / BLOCK - 1;
    /// Four sectors, five roots and what is kept for the free list, in blocks of 4 KiB, rounded up.
    const HEADERS: u64 = 64 << 10;
    let blocks = size / BLOCK;
    let group = if blocks < 4 * (LARGEST + 1) { blocks.div_ceil(4).max(1) } else { LARGEST } * BLOCK;
    let starts = successors(Some(0), |start: &u64| start.checked_add(group));
    starts.take_while(|start| *start < size).map(|start| start..start + HEADERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Uuid = Uuid::from_u128(7);
    const TIB: u64 = 1 << 40;

    fn column(fs: FsType, size: Bytes) -> Column {
        Column { size, columns: 1, fs }
    }

    /// Windows by their number; each is whole but for the last.
    fn chosen(column: Column, seed: u128) -> BTreeSet<u64> {
        let windows = of(Verify::Sampled, column, Uuid::from_u128(seed));
        let (last, rest) = windows.split_last().unwrap();
        assert!(rest.iter().all(|window| window.start % WINDOW == 0 && window.end == window.start + WINDOW));
        assert!((last.start + 1..=column.size.sectors()).contains(&last.end), "{last:?}");
        assert!(windows.is_sorted_by(|one, next| one.end <= next.start), "none twice: {windows:?}");
        windows.into_iter().map(|window| window.start / WINDOW).collect()
    }

    #[test]
    fn both_ends_and_64_more_are_chosen_and_others_by_another_seed() {
        for size in [Bytes::gib(1), Bytes(64 * TIB)] {
            let last = size.0 / Bytes::MIB - 1;
            let (one, other) = (chosen(column(FsType::Raw, size), 1), chosen(column(FsType::Raw, size), 2));
            assert!(
                [&one, &other].iter().all(|set| set.len() == 66 && set.contains(&0) && set.contains(&last))
            );
            assert_eq!(one, chosen(column(FsType::Raw, size), 1));
            assert!(one.intersection(&other).count() < 20, "{one:?} and {other:?}");
        }
    }

    #[test]
    fn draws_fall_everywhere() {
        let drawn: BTreeSet<u64> =
            (0..100).flat_map(|seed| chosen(column(FsType::Raw, Bytes::gib(1)), seed)).collect();
        assert!(drawn.len() > 1000, "{} of 1024", drawn.len());
    }

    #[test]
    fn a_small_column_is_compared_as_a_whole() {
        for mib in [1, 64, 66] {
            let all = chosen(column(FsType::Raw, Bytes::mib(mib)), 1);
            assert!(all.into_iter().eq(0..mib));
        }
        assert_eq!(chosen(column(FsType::Raw, Bytes::mib(67)), 1).len(), 66);
        assert_eq!(of(Verify::Sampled, column(FsType::Xfs, Bytes(0)), SEED), []);
    }

    #[test]
    fn the_last_mib_is_compared_where_it_is_no_whole_window() {
        let size = Bytes(Bytes::gib(1).0 + 4096);
        let windows = of(Verify::Sampled, column(FsType::Raw, size), SEED);
        assert_eq!(
            windows[windows.len() - 2..],
            [1023 * WINDOW..1024 * WINDOW, 1024 * WINDOW..1024 * WINDOW + 8]
        );
    }

    #[test]
    fn all_or_nothing_is_what_was_asked_for() {
        let column = column(FsType::Xfs, Bytes::gib(1));
        assert_eq!(of(Verify::Full, column, SEED), [Range { start: 0, end: Bytes::gib(1).sectors() }]);
        assert_eq!(of(Verify::Off, column, SEED), []);
    }

    #[test]
    fn copies_of_an_ext4_superblock_are_in_their_groups() {
        let groups: Vec<u64> =
            superblocks(Bytes::gib(8).0).iter().map(|place| place.start / Bytes::mib(128).0).collect();
        assert_eq!(groups, [1, 3, 9, 27, 5, 25, 7, 49]);
        assert_eq!(superblocks(Bytes::mib(128).0), []);
    }

    #[test]
    fn xfs_has_four_groups_or_groups_of_a_tib() {
        let starts = |size| headers(size).iter().map(|place| place.start).collect::<Vec<_>>();
        assert_eq!(starts(Bytes::gib(4).0), [0, Bytes::gib(1).0, Bytes::gib(2).0, Bytes::gib(3).0]);
        assert_eq!(starts(4 * TIB)[..2], [0, TIB - BLOCK]);
        assert_eq!(starts(1), [0]);
    }

    /// 128 KiB lie in each column in turn: a MiB of the volume is in 512 KiB of both of two columns, and in one window.
    #[test]
    fn a_place_is_looked_for_below_the_stripes() {
        assert_eq!(below(&(Bytes::mib(256).0..Bytes::mib(257).0), 1), 256..257);
        assert_eq!(below(&(Bytes::mib(256).0..Bytes::mib(257).0), 2), 128..129);
        assert_eq!(below(&(Bytes::mib(256).0..Bytes::mib(257).0), 3), 85..86);
        // Its two bytes are in rows 63 and 64, and these in two windows.
        assert_eq!(below(&(Bytes::mib(24).0 - 1..Bytes::mib(24).0 + 1), 3), 7..9);
        let striped = Column { columns: 2, ..column(FsType::Ext4, Bytes::gib(1)) };
        let chosen = chosen(striped, 1);
        assert!([64, 192, 320, 448, 576].iter().all(|window| chosen.contains(window)), "{chosen:?}");
    }
}
