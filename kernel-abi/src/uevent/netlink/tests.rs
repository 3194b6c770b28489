//! Against the running kernel, with events that a write to a loop device's `uevent` file provokes (needs root).

use std::fs;

use uuid::Uuid;

use super::Reader;
use crate::uevent::{Action, Received, Uevent};

const POKED: &str = "/sys/block/loop0/uevent";

fn poke(times: usize) -> bool {
    poke_as(Uuid::nil(), times)
}

/// The machine is everybody's: events carry the name of who asked for them (`SYNTH_UUID`).
fn poke_as(who: Uuid, times: usize) -> bool {
    (0..times).all(|_| fs::write(POKED, format!("change {who}")).is_ok())
}

/// Everything that is there, `Lost` as `None`.
fn drain(reader: &mut Reader) -> Vec<Option<Uevent>> {
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
    let who = Uuid::new_v4();
    if !poke_as(who, 3) {
        return println!("skipped: {POKED} cannot be written");
    }
    let ours = |event: &Uevent| event.property("SYNTH_UUID") == Some(who.to_string().as_str());
    let events: Vec<_> = drain(&mut reader).into_iter().flatten().filter(ours).collect();
    assert_eq!(events.len(), 3, "{events:?}");
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
