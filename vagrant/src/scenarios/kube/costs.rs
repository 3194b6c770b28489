//! What daemons and drivers take of their nodes.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::lab::Lab;
use crate::node::Node;
use crate::scenarios::footprint::TICKS;

/// Prints, for each process of a daemon or a driver, its name with its id, KiB resident, clock ticks. One that ends meanwhile has less to say.
const LOOK: &str = "for name in mdfabric mdfabric-csi; do for pid in $(pgrep -x $name); do \
                    echo $name-$pid $(awk '/^VmRSS/ { print $2 }' /proc/$pid/status) \
                    $(awk '{ print $14 + $15 }' /proc/$pid/stat); done; done";

/// What one process has and had.
#[derive(Debug, Clone, Copy)]
struct Cost {
    resident_kib: f64,
    /// User and system time since its start.
    ticks: f64,
}

type ByProcess = BTreeMap<String, Cost>;

/// A moment of all nodes.
pub(super) struct Costs {
    at: Instant,
    nodes: Vec<(Node, ByProcess)>,
}

impl Costs {
    pub(super) fn now(lab: &Lab) -> Result<Self> {
        let at = Instant::now();
        let look = |node: Node| -> Result<(Node, ByProcess)> {
            let costs = read(&node.sh(LOOK)?.ok()?.stdout);
            Ok((node, costs))
        };
        Ok(Self { at, nodes: lab.nodes().into_iter().map(look).collect::<Result<_>>()? })
    }

    /// Prints memory now, and processor time since then. Who was there all the time counts: probes come and go.
    pub(super) fn print_until_now(&self, lab: &Lab) -> Result<()> {
        let now = Self::now(lab)?;
        let seconds = self.at.elapsed().as_secs_f64();
        for ((node, before), (_, after)) in self.nodes.iter().zip(&now.nodes) {
            let told: Vec<String> = stayed(before, after)
                .map(|(process, ticks, resident_kib)| {
                    let percent = ticks / TICKS / seconds * 100.0;
                    format!("{process} {:.1} MiB, {percent:.2} %", resident_kib / 1024.0)
                })
                .collect();
            ensure!(told.len() > 1, "{}: daemon and driver did not run all the time: {told:?}", node.name());
            println!("    {}: resident, of an emulated processor: {}", node.name(), told.join("; "));
        }
        Ok(())
    }
}

/// Process, ticks meanwhile, KiB afterwards.
fn stayed<'a>(before: &'a ByProcess, after: &'a ByProcess) -> impl Iterator<Item = (&'a str, f64, f64)> {
    after.iter().filter_map(move |(process, now)| {
        Some((process.as_str(), now.ticks - before.get(process)?.ticks, now.resident_kib))
    })
}

fn read(said: &str) -> ByProcess {
    let process = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next()?.to_owned();
        let mut figure = || words.next()?.parse().ok();
        Some((name, Cost { resident_kib: figure()?, ticks: figure()? }))
    };
    said.lines().filter_map(process).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stayed_is_compared_and_who_came_or_went_is_not() {
        let before = read("mdfabric-7 20480 100\nmdfabric-9 4096 3\nmdfabric-csi-8 8192 50\n");
        let after = read("mdfabric-7 20992 112\nmdfabric-11 4096 3\nmdfabric-csi-8 8192 51\nmdfabric-13\n");
        let stayed: Vec<_> = stayed(&before, &after).collect();
        assert_eq!(stayed, [("mdfabric-7", 12.0, 20992.0), ("mdfabric-csi-8", 1.0, 8192.0)]);
    }
}
