use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;
const ON: ControlFlow<()> = ControlFlow::Continue(());

/// A file full of ones that goes away with the test; `None` where the file system has no `O_DIRECT`.
struct Image(PathBuf);

impl Image {
    fn new(test: &str, bytes: u64) -> Option<Self> {
        let path = std::env::temp_dir().join(format!("kernel-abi-zero-{}-{test}", std::process::id()));
        fs::write(&path, vec![1; usize::try_from(bytes).unwrap()]).unwrap();
        let image = Self(path);
        match open_direct(&image.0, true) {
            Ok(_) => Some(image),
            Err(error) => {
                println!("skipped: {error}");
                None
            }
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_range_becomes_zero_and_nothing_else_does() {
    let Some(image) = Image::new("range", 3 * MIB) else { return };
    let range = 4096..2 * MIB + 4096;
    let found = verify_zero(&image.0, range.clone(), Thoroughness::Full, |_| ON).unwrap();
    assert_eq!(found, Verified::NonZero { offset: 4096 });
    assert_eq!(wipe(&image.0, range, Thoroughness::Full, |_, _| ON).unwrap(), Verified::Zero);
    let bytes = fs::read(&image.0).unwrap();
    assert_eq!(bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>(), MIB);
    assert_eq!((bytes[4095], bytes[4096], bytes[2 * 1_048_576 + 4096]), (1, 0, 1));
}

#[test]
fn a_callback_stops_a_run_and_hears_how_far_it_came() {
    let Some(image) = Image::new("stop", 4 * MIB) else { return };
    zero_out(&image.0, 0..4 * MIB, |_| ON).unwrap();
    let mut heard = Vec::new();
    let stopped = verify_zero(&image.0, 0..4 * MIB, Thoroughness::Full, |done| {
        heard.push(done);
        if done < 2 * MIB { ON } else { ControlFlow::Break(()) }
    });
    assert_eq!(stopped.unwrap(), Verified::Stopped { done_bytes: 2 * MIB });
    assert_eq!(heard, [MIB, 2 * MIB]);
}

#[test]
fn unaligned_ranges_are_the_kernels_einval() {
    let Some(image) = Image::new("unaligned", MIB) else { return };
    let error = verify_zero(&image.0, 1..4096, Thoroughness::Full, |_| ON).unwrap_err();
    assert!(error.is(Errno::EINVAL), "{error}");
}

#[test]
fn samples_hit_both_ends() {
    let range = 4096..100 * MIB + 8192;
    let sampled: Vec<_> = windows(&range, Thoroughness::Sampled { windows: 5 }).collect();
    assert_eq!(sampled.len(), 5);
    assert_eq!(sampled[0], 4096..4096 + MIB);
    assert_eq!(sampled[4], 100 * MIB + 4096..100 * MIB + 8192);
    assert_eq!(windows(&(0..2 * MIB), Thoroughness::Sampled { windows: 9 }).count(), 2);
    assert_eq!(windows(&(5..5), Thoroughness::Full).count(), 0);
}

proptest! {
    #[test]
    fn full_windows_tile_the_range(start in 0..1u64 << 40, length in 0..1u64 << 28) {
        let range = start..start + length;
        let mut at = start;
        for window in windows(&range, Thoroughness::Full) {
            prop_assert_eq!(window.start, at);
            prop_assert!(window.end - window.start <= DIRECT_CHUNK_BYTES);
            at = window.end;
        }
        prop_assert_eq!(at, range.end);
    }

    #[test]
    fn the_first_non_zero_byte_is_found(length in 1..20_000usize, at in 0..20_000usize) {
        let mut bytes = vec![0; length];
        prop_assert_eq!(position_of_non_zero(&bytes), None);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = 0x80;
            prop_assert_eq!(position_of_non_zero(&bytes), Some(at));
        }
    }
}
