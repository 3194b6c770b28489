use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};

use proptest::prelude::*;

use super::entry::clip;
use super::ring::Ring;
use super::writer::Writer;
use super::*;
use crate::domain::{Bytes, Timestamp};

fn step(number: u64) -> Entry {
    let step = format!("zero and read back {number}");
    Entry { at: Timestamp(number), what: What::StepBegun { step, lane: "partition x".to_owned() } }
}

fn bytes(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    entries.into_iter().flat_map(|entry| frame::encode(&entry).unwrap()).collect()
}

fn scanned(bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    scan(bytes, &mut reading);
    reading
}

/// What the recorder's thread does with these entries.
fn write(dir: &Path, dropped: &Arc<AtomicU64>, entries: impl IntoIterator<Item = Entry>) {
    let (queue, received) = mpsc::sync_channel(1000);
    entries.into_iter().for_each(|entry| queue.send(entry).unwrap());
    drop(queue);
    Writer::new(dir, Bytes::mib(1), Arc::clone(dropped)).run(&received);
}

#[test]
fn entries_come_back_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("recorder");
    write(&place, &Arc::default(), (1..=50).map(step));
    let expected = Reading { entries: (1..=50).map(step).collect(), ..Reading::default() };
    assert_eq!(read(&place).unwrap(), expected);
}

#[test]
fn a_daemon_that_starts_again_goes_on_in_the_same_file_behind_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let whole = bytes([step(1)]);
    let torn = bytes([step(2)]);
    fs::write(dir.path().join("0000000000000007.rec"), [&whole[..], &torn[..torn.len() - 3]].concat())
        .unwrap();
    fs::write(dir.path().join("notes.txt"), "not ours").unwrap();
    write(dir.path(), &Arc::default(), [step(3)]);
    let reading = read(dir.path()).unwrap();
    assert_eq!(reading.entries, [step(1), step(3)]);
    assert_eq!(reading.skipped_bytes, torn.len() as u64 - 3);
    assert_eq!(ring::segments(dir.path()).unwrap(), ["0000000000000007.rec"]);
}

#[test]
fn the_ring_keeps_its_size_and_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let mut ring = Ring::new(dir.path(), 4096);
    for number in 1..=500 {
        ring.append(&bytes([step(number)])).unwrap();
    }
    let files = files(dir.path()).unwrap();
    let total: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(files.len() == 4 && total <= 4096, "{} files, {total} bytes", files.len());
    let reading = read(dir.path()).unwrap();
    assert_eq!(reading.entries.last(), Some(&step(500)));
    assert!(reading.entries.windows(2).all(|pair| pair[0].at.0 + 1 == pair[1].at.0), "there are gaps");
}

#[test]
fn entries_without_room_are_counted_and_the_count_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("recorder");
    fs::write(&place, "a file where the directory should be").unwrap();
    let dropped = Arc::default();
    write(&place, &dropped, [step(1), step(2)]);
    fs::remove_file(&place).unwrap();
    write(&place, &dropped, [step(3)]);
    let told = Entry { at: Timestamp(3), what: What::Dropped { entries: 2 } };
    assert_eq!(read(&place).unwrap().entries, [told, step(3)]);
}

#[test]
fn a_full_queue_makes_nobody_wait() {
    let recorder = Recorder::start(Path::new("/proc/nowhere"), Bytes::mib(1));
    (0..5000).for_each(|number| recorder.note(step(number)));
}

#[test]
fn a_recorder_that_forgets_takes_everything() {
    Recorder::none().note(step(1));
}

#[test]
fn a_line_names_the_time() {
    assert_eq!(
        Entry { at: Timestamp(1_795_262_511_123), what: What::StoreBack }.to_string(),
        "2026-11-21T12:01:51.123Z store is back"
    );
    assert!(
        Entry { at: Timestamp(951_782_400_000), what: What::StoreBack }
            .to_string()
            .starts_with("2000-02-29T00:00:00.000Z")
    );
}

#[test]
fn another_versions_entries_are_counted() {
    let mut foreign = bytes([step(1)]);
    foreign[2] = 9;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&foreign[2..5]), &foreign[9..]);
    foreign[5..9].copy_from_slice(&crc.to_le_bytes());
    let reading = scanned(&[foreign, bytes([step(2)])].concat());
    assert_eq!((reading.entries, reading.foreign, reading.skipped_bytes), (vec![step(2)], 1, 0));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let reading = scanned(&bytes);
        prop_assert!(reading.skipped_bytes <= bytes.len() as u64);
    }

    #[test]
    fn any_text_fits(text in ".{0,3000}") {
        let what = What::StepFailed { step: clip(&text), kind: clip(&text), message: clip(&text) };
        let entry = Entry { at: Timestamp(u64::MAX), what };
        prop_assert_eq!(scanned(&bytes([entry.clone()])).entries, [entry.clone()]);
        prop_assert!(!entry.to_string().is_empty());
    }

    #[test]
    fn damage_costs_only_what_it_covers(at in 0_usize..2000, value in any::<u8>(), garbage in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut all = bytes((0..20).map(step));
        let at = at % all.len();
        all[at] = value;
        all.splice(at..at, garbage);
        let entries = scanned(&all).entries;
        prop_assert!(entries.len() >= 19, "{} left", entries.len());
    }
}
