//! Against the running kernel, with events that a write to a loop device's `uevent` file provokes (needs root).

use std::fs;

use super::Reader;
use crate::uevent::{Action, Received};

const POKED: &str = "/sys/block/loop0/uevent";

fn poke(times: usize) -> bool {
    (0..times).all(|_| fs::write(POKED, "change").is_ok())
}

/// Everything that is there, `Lost` as `None`.
fn drain(reader: &mut Reader) -> Vec<Option<crate::uevent::Uevent>> {
    let mut all = Vec::new();
    loop {
        match reader.receive().unwrap() {
            Received::Event(event) => all.push(Some(event)),
            Received::Lost => all.push(None),
            Received::WouldBlock => return all,
        }
    }
}

#[test]
fn events_of_the_kernel_arrive_in_order() {
    let mut reader = Reader::open(1 << 20).unwrap();
    if !poke(3) {
        return println!("skipped: {POKED} cannot be written");
    }
    let events: Vec<_> =
        drain(&mut reader).into_iter().flatten().filter(|event| event.devpath.ends_with("/loop0")).collect();
    assert!(events.len() >= 3, "{events:?}");
    assert!(events.iter().all(|event| event.action == Action::Change && event.subsystem == "block"));
    assert!(events.is_sorted_by(|a, b| a.seqnum < b.seqnum));
}

#[test]
fn an_overrun_is_told_and_reading_goes_on() {
    let mut reader = Reader::open(4096).unwrap();
    if !poke(200) {
        return println!("skipped: {POKED} cannot be written");
    }
    assert!(drain(&mut reader).contains(&None));
    poke(1);
    assert!(drain(&mut reader).iter().any(Option::is_some));
}
