//! Sector 0: what it says, and the protective entry that keeps MBR tools and the kernel honest.

use crate::block::field;

const ENTRIES_AT: usize = 446;
const ENTRY_BYTES: usize = 16;
const SIGNATURE_AT: usize = 510;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
const PROTECTIVE: u8 = 0xee;

/// What sector 0 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mbr {
    /// No boot signature, entries that are none, or no used entry.
    None,
    /// Has a protective entry; hybrids too.
    Protective,
    /// Only partitions of its own: how many.
    Own(usize),
}

/// Judges sector 0. A FAT or NTFS boot sector has the same signature, so all four entries must have a valid status byte,
/// and every used one a start and a length.
pub(super) fn classify(sector: &[u8]) -> Mbr {
    if field::array(sector, SIGNATURE_AT) != Some(SIGNATURE) {
        return Mbr::None;
    }
    let entries: Vec<&[u8]> = entries(sector).collect();
    let used = entries.iter().filter(|entry| kind(entry) != 0).count();
    if entries.iter().any(|entry| kind(entry) == PROTECTIVE && starts_at(entry) == Some(1)) {
        return Mbr::Protective;
    }
    if used == 0 || !entries.iter().all(|entry| is_plausible(entry)) { Mbr::None } else { Mbr::Own(used) }
}

/// Gives `sector` a protective entry over the whole disk of `sectors` sectors. Boot code stays; a hybrid MBR, whose other
/// entries somebody maintains, stays altogether.
pub(super) fn protect(sector: &mut [u8], sectors: u64) {
    let hybrid = entries(sector).filter(|entry| !matches!(kind(entry), 0 | PROTECTIVE)).count() > 0;
    if hybrid && classify(sector) == Mbr::Protective {
        return;
    }
    let size = u32::try_from(sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    let mut table = [0; 4 * ENTRY_BYTES + 2];
    if let Some((entry, _)) = table.split_first_chunk_mut() {
        *entry = protective_entry(size);
    }
    if let Some(end) = table.last_chunk_mut() {
        *end = SIGNATURE;
    }
    if let Some(place) = sector.get_mut(ENTRIES_AT..ENTRIES_AT + table.len()) {
        place.copy_from_slice(&table);
    }
}

/// Status 0, CHS 0/0/2 to the CHS limit, type 0xee, from LBA 1.
fn protective_entry(size: u32) -> [u8; ENTRY_BYTES] {
    let [a, b, c, d] = size.to_le_bytes();
    [0, 0, 2, 0, PROTECTIVE, 0xff, 0xff, 0xff, 1, 0, 0, 0, a, b, c, d]
}

fn entries(sector: &[u8]) -> impl Iterator<Item = &[u8]> {
    sector.get(ENTRIES_AT..SIGNATURE_AT).unwrap_or_default().chunks_exact(ENTRY_BYTES)
}

fn kind(entry: &[u8]) -> u8 {
    entry.get(4).copied().unwrap_or(0)
}

fn starts_at(entry: &[u8]) -> Option<u32> {
    field::le32(entry, 8)
}

fn is_plausible(entry: &[u8]) -> bool {
    let status_known = matches!(entry.first(), Some(0 | 0x80));
    let has_place = starts_at(entry).is_some_and(|start| start > 0)
        && field::le32(entry, 12).is_some_and(|size| size > 0);
    status_known && (kind(entry) == 0 || has_place)
}
