use proptest::prelude::*;

use super::*;

const GIB: u64 = 1 << 21;

fn id() -> Uuid {
    Uuid::from_u128(0x11)
}

#[test]
fn a_clean_bitmap_has_no_bits_and_our_geometry() {
    let bitmap = Bitmap::clean(id(), GIB, 0).unwrap();
    assert_eq!((bitmap.header.chunks(), bitmap.dirty_count()), (1024, 0));
    let bytes = bitmap.encode();
    assert_eq!(bytes.len(), 128 << 10);
    assert_eq!(Bitmap::parse(&bytes), Ok(bitmap));
}

#[test]
fn bits_of_a_bitmap_that_others_wrote() {
    let bytes = include_bytes!("../../../tests/fixtures/md/bitmap.bin");
    let bitmap = Bitmap::parse(bytes).unwrap();
    assert_eq!((bitmap.header.events, bitmap.header.events_cleared), (7, 5));
    assert_eq!((bitmap.header.sectors_reserved, bitmap.header.chunks()), (256, 100));
    // Bits 100..104 of the last byte are set as well, beyond the array.
    assert_eq!(bitmap.dirty_chunks().collect::<Vec<_>>(), [0, 7, 16, 99]);
    assert_eq!(bitmap.dirty_ranges(), [0..=0, 7..=7, 16..=16, 99..=99]);
    assert_eq!(bitmap.header.encode(), bytes[..256]);
}

#[test]
fn chunks_grow_only_when_the_bits_do_not_fit() {
    assert_eq!(chunk_bytes_for(GIB), 1 << 20);
    assert_eq!(chunk_bytes_for(1022 * GIB), 1 << 20);
    assert_eq!(chunk_bytes_for(1022 * GIB + 1), 1 << 21);
    assert_eq!(chunk_bytes_for(u64::MAX), 1 << 31);
    assert_eq!(Bitmap::clean(id(), u64::MAX, 0), None);
    assert_eq!(Bitmap::clean(id(), 16 * 1024 * GIB, 0).unwrap().encode().len(), 128 << 10);
}

#[test]
fn every_broken_rule_has_its_own_answer() {
    let intact = Bitmap::clean(id(), GIB, 0).unwrap().encode();
    let broken = |at: usize, value: &[u8]| {
        let mut bytes = intact.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        Bitmap::parse(&bytes).unwrap_err()
    };
    assert_eq!(broken(0, &[0; 4]), BitmapError::Magic { found: 0 });
    assert_eq!(broken(4, &[5]), BitmapError::Version { found: 5 });
    assert_eq!(broken(52, &[1]), BitmapError::ChunkSize { found: (1 << 20) + 1 });
    assert_eq!(broken(52, &[0; 4]), BitmapError::ChunkSize { found: 0 });
    assert!(matches!(broken(40, &[0xff; 8]), BitmapError::TooLarge { .. }));
    assert_eq!(Bitmap::parse(&intact[..300]), Err(BitmapError::TooShort { have: 300, need: 384 }));
    assert_eq!(Bitmap::parse(&[]), Err(BitmapError::TooShort { have: 0, need: 256 }));
}

#[test]
fn marks_reach_the_disk_and_stop_at_the_end() {
    let mut bitmap = Bitmap::clean(id(), GIB, 3).unwrap();
    assert!([5, 6, 7, 8, 1023].into_iter().all(|chunk| bitmap.mark(chunk)));
    assert!(!bitmap.mark(1024) && !bitmap.mark(u64::MAX));
    let read = Bitmap::parse(&bitmap.encode()).unwrap();
    assert_eq!(read.dirty_ranges(), [5..=8, 1023..=1023]);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..2000), dressed: bool) {
        if dressed && bytes.len() > 256 {
            bytes[..8].copy_from_slice(b"bitm\x04\0\0\0");
            bytes[43..48].fill(0);
            bytes[52..56].copy_from_slice(&512u32.to_le_bytes());
        }
        if let Ok(bitmap) = Bitmap::parse(&bytes) {
            prop_assert!(bitmap.dirty_chunks().all(|chunk| chunk < bitmap.header.chunks()));
            prop_assert_eq!(Bitmap::parse(&bitmap.encode()), Ok(bitmap));
        }
        let _ = BitmapHeader::parse(&bytes).map(|header| dirty_chunks(&header, &bytes).count());
    }

    #[test]
    fn any_marks_are_read_back(marks in prop::collection::btree_set(0u64..4096, 0..200)) {
        let mut bitmap = Bitmap::clean(id(), 4 * GIB, 0).unwrap();
        prop_assert!(marks.iter().all(|&chunk| bitmap.mark(chunk)));
        let read = Bitmap::parse(&bitmap.encode()).unwrap();
        prop_assert_eq!(read.dirty_count(), marks.len() as u64);
        prop_assert_eq!(read.dirty_chunks().collect::<Vec<_>>(), marks.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(read.dirty_ranges().into_iter().flatten().collect::<Vec<_>>(), marks.into_iter().collect::<Vec<_>>());
    }
}
