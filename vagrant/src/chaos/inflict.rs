//! How faults are begun and ended.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::fault::Fault;
use super::world::{Party, World};
use super::{VOLUMES, is_whole};
use crate::daemon::{self, word};
use crate::faults::Faults;
use crate::product::{pull_drive, put_drives_back};
use crate::supervisor::control::Power;
use crate::wait::wait_closely;

/// For how long a wish that ends something is repeated, and how often.
const INSIST: Duration = Duration::from_mins(1);
const AGAIN: Duration = Duration::from_secs(2);
/// For how long a fault that breaks a medium waits for whole volumes, and with it everything after it: copies that were behind
/// are filled in this time, and moves come to their end.
pub(super) const WHOLE_DEADLINE: Duration = Duration::from_secs(30);
/// For how long it does once nothing else goes on.
pub(super) const CALM_DEADLINE: Duration = Duration::from_mins(3);
/// Until it is looked again.
const LOOK: Duration = Duration::from_millis(500);

impl World<'_> {
    /// Whether the node stands that this is done to. One that boots is waited for.
    pub(super) fn ensure_stands(&self, fault: &Fault) -> Result<()> {
        if let Fault::DaemonKilled { node } | Fault::Paused { node } = fault {
            let party = self.party(node)?;
            let _turn = party.turn();
            ensure!(party.answers(), "{node} is away");
        }
        Ok(())
    }

    /// Waits until no volume can lose by it, if it breaks a medium; an error if that takes too long.
    pub(super) fn wait_until_harmless(&self, fault: &Fault, deadline: Duration) -> Result<()> {
        let Some((node, serial)) = fault.broken_drive() else { return Ok(()) };
        let whole = || Ok(self.ensure_whole(node, serial).ok());
        wait_closely("whole volumes", deadline, LOOK, whole).or_else(|_| self.ensure_whole(node, serial))
    }

    pub(super) fn begin(&self, fault: &Fault) -> Result<()> {
        match fault {
            Fault::DaemonKilled { node } => {
                let party = self.party(node)?;
                let _turn = party.turn();
                daemon::kill(&party.node)
            }
            Fault::PowerCut { node } => {
                let party = self.party(node)?;
                let _turn = party.turn();
                party.set_answers(false);
                party.node.power_cut()
            }
            Fault::Paused { node } => {
                let party = self.party(node)?;
                let _turn = party.turn();
                party.set_answers(false);
                party.node.pause()
            }
            Fault::Cut { one, other } => self.lab.cut(one, other),
            Fault::CutOneWay { from, to } => self.lab.cut_one_way(from, to),
            Fault::Slow { one, other, delay_ms, loss_percent } => {
                self.lab.slow(one, other, Duration::from_millis(*delay_ms), f64::from(*loss_percent))
            }
            Fault::DrivePulled { node, serial } => {
                let party = self.party(node)?;
                let _turn = party.turn();
                pull_drive(&party.node, serial)
            }
            Fault::DriveSlow { node, serial, operations } => throttle(self.party(node)?, serial, *operations),
            Fault::DriveFailing { node, serial } => {
                let party = self.party(node)?;
                let _turn = party.turn();
                Faults::of(&party.node, serial).fail_writes()
            }
            Fault::StoreKilled => self.lab.etcd_power(Power::Cut),
            Fault::StorePaused => self.lab.etcd_power(Power::Pause),
            Fault::StoreFull => self.lab.etcd_power(Power::Fill),
            Fault::Drained { node } => {
                ensure!(self.wish(node, &format!("node drain {node} --no-wait")), "not asked for");
                Ok(())
            }
            Fault::Evicted { node, serial } => {
                ensure!(self.wish(node, &format!("drive evict {serial} --no-wait")), "not asked for");
                Ok(())
            }
        }
    }

    pub(super) fn end(&self, fault: &Fault) -> Result<()> {
        match fault {
            Fault::DaemonKilled { node } => {
                let party = self.party(node)?;
                let _turn = party.turn();
                daemon::start(&party.node, &daemon::config(self.lab, &party.node)).map(drop)
            }
            Fault::PowerCut { node } => self.boot(self.party(node)?),
            Fault::Paused { node } => {
                let party = self.party(node)?;
                let _turn = party.turn();
                party.node.resume()?;
                party.set_answers(true);
                Ok(())
            }
            Fault::Cut { one, other }
            | Fault::CutOneWay { from: one, to: other }
            | Fault::Slow { one, other, .. } => self.lab.mend(one, other),
            Fault::DrivePulled { node, .. } => {
                let party = self.party(node)?;
                let _turn = party.turn();
                put_drives_back(&party.node)
            }
            Fault::DriveSlow { node, serial, .. } => throttle(self.party(node)?, serial, 0),
            Fault::DriveFailing { node, serial } => {
                let party = self.party(node)?;
                let _turn = party.turn();
                Faults::of(&party.node, serial).mend()
            }
            Fault::StoreKilled => self.lab.etcd_power(Power::On),
            Fault::StorePaused => self.lab.etcd_power(Power::Resume),
            Fault::StoreFull => self.lab.etcd_power(Power::Free),
            Fault::Drained { node } => {
                self.insist(node, &format!("node uncordon {node}"));
                Ok(())
            }
            Fault::Evicted { node, serial } => {
                self.insist(node, &format!("drive uncordon {serial}"));
                Ok(())
            }
        }
    }

    /// Until somebody does it, or for a minute: copies would find no place for long after a store that was full just then.
    fn insist(&self, node: &str, line: &str) {
        let begun = self.line.now();
        while !self.wish(node, line) && self.line.now() < begun + INSIST {
            sleep(AGAIN);
        }
    }

    /// Only then may the kernel drop a copy before that is recorded. A node that boots for longer than the schedule thinks is away
    /// as well. The copies come first: one that is placed there after them is empty, and no loss.
    fn ensure_whole(&self, node: &str, serial: &str) -> Result<()> {
        for party in self.parties() {
            ensure!(party.answers(), "{} is away", party.node.name());
        }
        let copies = self.records(node, "replica")?;
        for volume in VOLUMES.iter().filter(|volume| has_copy_on(&copies, volume.name, serial)) {
            let record = self.volume(node, volume.name)?;
            ensure!(is_whole(&record), "not all copies of {} are in sync", volume.name);
        }
        Ok(())
    }

    fn boot(&self, party: &Party) -> Result<()> {
        let _turn = party.turn();
        party.node.power_on()?;
        party.node.wait_up()?;
        daemon::start(&party.node, &daemon::config(self.lab, &party.node))?;
        party.set_answers(true);
        self.line.say(&format!("{} is up again", party.node.name()));
        Ok(())
    }
}

/// Whether a column of a copy of `volume` is on the drive, of one that is being filled or wiped, too.
fn has_copy_on(copies: &[Value], volume: &str, serial: &str) -> bool {
    let is_on = |copy: &Value| {
        let drives = copy.pointer("/spec/drives").and_then(Value::as_array);
        drives.is_some_and(|drives| drives.iter().any(|drive| drive == serial))
    };
    copies.iter().any(|copy| word(copy, "/spec/volume") == volume && is_on(copy))
}

/// No more operations a second than this; 0 for as many as there are.
fn throttle(party: &Party, serial: &str, operations: u32) -> Result<()> {
    let limits = json!({
        "device": serial, "iops": operations, "iops_rd": 0, "iops_wr": 0, "bps": 0, "bps_rd": 0, "bps_wr": 0,
    });
    let _turn = party.turn();
    party.node.qmp("block_set_io_throttle", &limits).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_has_the_copies_with_a_column_on_it() {
        let copy = |volume: &str, drives: &[&str]| json!({"spec": {"volume": volume, "drives": drives}});
        let copies = [copy("raw", &["node-1-a"]), copy("wide", &["node-1-a", "node-1-b"])];
        assert!(has_copy_on(&copies, "raw", "node-1-a"));
        assert!(!has_copy_on(&copies, "raw", "node-1-b"));
        assert!(has_copy_on(&copies, "wide", "node-1-b"));
        assert!(!has_copy_on(&copies, "xfs", "node-1-a"));
    }
}
