//! Where things lie on a member of ours. All offsets are from the start of the member device.
//!
//! ```text
//! byte 0      4 KiB        8 KiB                 136 KiB      1 MiB
//!  | unused    | superblock | bitmap + reserve     | unused     | data ...
//! ```
//!
//! Any 1.2 array can be read; only what we create has this geometry. There is no bad-block log: with one, a dying
//! member is retried block by block instead of being failed.

/// Bytes in the sector that every MD number counts in, whatever the device's own block size.
pub const SECTOR_BYTES: u64 = 512;
/// Unit in which headers are read and written, bytes: serves devices of 512- and of 4096-byte blocks.
pub const BLOCK_BYTES: usize = 4096;
/// Superblock of metadata 1.2, sectors.
pub const SUPER_OFFSET: u64 = 8;
/// Bitmap, sectors after the superblock.
pub const BITMAP_OFFSET: i32 = 8;
/// Room kept for the bitmap, its 256-byte header included, sectors. The kernel coarsens the chunk of a growing array
/// only when it would need more than this (`md_bitmap_resize`).
pub const BITMAP_RESERVED: u32 = 256;
/// Data of one bit, bytes.
pub const BITMAP_CHUNK_BYTES: u32 = 1 << 20;
/// First data sector.
pub const DATA_OFFSET: u64 = 2048;
/// Component sizes are multiples of this many sectors (64 KiB).
pub const COMPONENT_ROUNDING: u64 = 128;

const _: () = {
    let bitmap_start = SUPER_OFFSET + BITMAP_OFFSET as u64;
    assert!(SUPER_OFFSET * SECTOR_BYTES + BLOCK_BYTES as u64 <= bitmap_start * SECTOR_BYTES);
    assert!(bitmap_start + BITMAP_RESERVED as u64 <= DATA_OFFSET);
    assert!(DATA_OFFSET.is_multiple_of(COMPONENT_ROUNDING));
};

/// The component size, in sectors, that a device of `device_sectors` can carry; `None` when it cannot hold even one
/// rounding unit of data.
#[must_use]
pub const fn component_size(device_sectors: u64) -> Option<u64> {
    let room = device_sectors.saturating_sub(DATA_OFFSET);
    match room - room % COMPONENT_ROUNDING {
        0 => None,
        size => Some(size),
    }
}

/// The device size, in sectors, that a component of `component_sectors` needs.
#[must_use]
pub const fn device_size(component_sectors: u64) -> u64 {
    component_sectors.next_multiple_of(COMPONENT_ROUNDING).saturating_add(DATA_OFFSET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn component_is_what_is_left_in_64_kib_steps() {
        assert_eq!(component_size(2048), None);
        assert_eq!(component_size(2048 + 127), None);
        assert_eq!(component_size(2048 + 128), Some(128));
        assert_eq!(component_size((1 << 21) + 77), Some((1 << 21) - 2048));
    }

    #[test]
    fn a_device_of_the_needed_size_carries_the_component() {
        for component in [128, 1 << 11, 1 << 31] {
            assert_eq!(component_size(device_size(component)), Some(component));
        }
    }
}
