//! How faults are begun and ended.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::fault::Fault;
use super::world::{Party, World};
use super::{VOLUMES, is_whole};
use crate::daemon;
use crate::faults::Faults;
use crate::product::{pull_drive, put_drives_back};
use crate::supervisor::control::Power;

/// For how long a wish that ends something is repeated, and how often.
const INSIST: Duration = Duration::from_mins(1);
const AGAIN: Duration = Duration::from_secs(2);

impl World<'_> {
    pub(super) fn begin(&self, fault: &Fault) -> Result<()> {
        match fault {
            Fault::DaemonKilled { node } => {
                let party = self.party(node)?;
                let _turn = party.turn();
                ensure!(party.answers(), "{node} is away");
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
                ensure!(party.answers(), "{node} is away");
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
                self.ensure_whole(node)?;
                pull_drive(&party.node, serial)
            }
            Fault::DriveSlow { node, serial, operations } => throttle(self.party(node)?, serial, *operations),
            Fault::DriveFailing { node, serial } => {
                let party = self.party(node)?;
                let _turn = party.turn();
                self.ensure_whole(node)?;
                Faults::of(&party.node, serial).fail_writes()
            }
            Fault::StoreKilled => self.lab.etcd_power(Power::Cut),
            Fault::StorePaused => self.lab.etcd_power(Power::Pause),
            Fault::StoreFull => self.lab.etcd_power(Power::Fill),
            Fault::Drained { node } => {
                self.wish(node, &format!("node drain {node} --no-wait"));
                Ok(())
            }
            Fault::Evicted { node, serial } => {
                self.wish(node, &format!("drive evict {serial} --no-wait"));
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

    /// Only then may the kernel drop a copy before that is recorded.
    fn ensure_whole(&self, node: &str) -> Result<()> {
        for volume in VOLUMES {
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

/// No more operations a second than this; 0 for as many as there are.
fn throttle(party: &Party, serial: &str, operations: u32) -> Result<()> {
    let limits = json!({
        "device": serial, "iops": operations, "iops_rd": 0, "iops_wr": 0, "bps": 0, "bps_rd": 0, "bps_wr": 0,
    });
    let _turn = party.turn();
    party.node.qmp("block_set_io_throttle", &limits).map(drop)
}
