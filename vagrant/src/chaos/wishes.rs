//! What users ask for, besides where their volumes are: which copy goes where is found out when it is asked.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::schedule::Wish;
use super::world::World;
use super::{BRIEF, Used, VOLUMES};
use crate::daemon::word;

impl World<'_> {
    /// Asks for it; [`Wish::Attach`] is its tenant's.
    pub(super) fn ask_for(&self, wish: &Wish) -> Result<()> {
        let line = match wish {
            Wish::Attach { .. } => return Ok(()),
            Wish::Brief { on } => {
                self.brief(on);
                return Ok(());
            }
            Wish::Grow { volume } => format!("volume grow {} +64MiB --no-wait", used(*volume)?.name),
            Wish::Move { volume, pick } => {
                let (hosts, others) = self.places(*volume)?;
                let (from, to) = (picked(&hosts, *pick)?, picked(&others, *pick >> 8)?);
                format!("volume move {} --from {from} --to {to} --no-wait", used(*volume)?.name)
            }
            Wish::AddCopy { volume, pick } => {
                let (_, others) = self.places(*volume)?;
                format!(
                    "volume edit {} --add-replica {} --no-wait",
                    used(*volume)?.name,
                    picked(&others, *pick)?
                )
            }
            Wish::DropCopy { volume, pick } => {
                let (hosts, _) = self.places(*volume)?;
                format!(
                    "volume edit {} --remove-replica {} --no-wait",
                    used(*volume)?.name,
                    picked(&hosts, *pick)?
                )
            }
        };
        self.wish("", &line);
        Ok(())
    }

    /// Makes the volume that lives briefly and uses it, or lets it go; each verb is refused if it comes too soon.
    fn brief(&self, on: &str) {
        let wish = |line: String| self.wish(on, &line);
        if self.volume(on, BRIEF).is_ok() {
            wish(format!("volume detach {BRIEF} --no-wait"));
            wish(format!("volume rm {BRIEF} --no-wait"));
            return;
        }
        let is_made = wish(format!("volume create {BRIEF} --size 320MiB --fs ext4 --replicas 2 --no-wait"));
        if is_made && wish(format!("volume attach {BRIEF} --node {on} --no-wait")) {
            wish(format!("volume mount {BRIEF} /mnt/{BRIEF} --no-wait"));
        }
    }

    /// The nodes with a copy, and those without one.
    fn places(&self, volume: usize) -> Result<(Vec<String>, Vec<String>)> {
        let record = self.volume("", used(volume)?.name)?;
        let members =
            record.pointer("/status/members").and_then(Value::as_array).cloned().unwrap_or_default();
        let hosts: Vec<String> = members.iter().map(|member| word(member, "/node")).collect();
        let all = self.parties().iter().map(|party| party.node.name().to_owned());
        let others = all.filter(|name| !hosts.contains(name)).collect();
        Ok((hosts, others))
    }
}

fn used(volume: usize) -> Result<&'static Used> {
    VOLUMES.get(volume).context("no such volume")
}

fn picked(names: &[String], pick: u64) -> Result<&String> {
    let index = pick.checked_rem(names.len() as u64).context("there is no such node")?;
    names.get(usize::try_from(index)?).context("there is no such node")
}
