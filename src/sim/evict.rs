//! A node that lost its volume: what the kernel does on its way down, and who goes on using it there.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::apply::Effect;
use super::cluster::Cluster;
use super::fabric::Reach;
use super::kernel::{Array, Kernel};
use crate::domain::{FsType, NodeName, VolumeName, VolumeSpec};
use crate::plan::{Dev, FailureKind, Holder, Outcome, Process, Step, Through, Who};

/// An application that lives on where its volume was taken away, or where nobody can tell it that it shall end: it reads and
/// writes until it is told, gets errors, or is ended.
#[derive(Debug, Clone)]
pub(super) struct Ghost {
    /// SIGKILL is pending: it hears nothing any more.
    pub(super) killed: bool,
    /// It keeps its files open although they only give errors.
    stubborn: bool,
}

/// The one ghost a node can have of a volume.
pub(super) type Ghosts = BTreeMap<NodeName, Ghost>;

impl Cluster {
    pub(super) fn apply_eviction(&mut self, node: &NodeName, step: &Step) -> Effect {
        match step {
            Step::ShutDown { volume, dev, .. } => self.shut_down(node, volume, *dev),
            Step::CutMember { array, dev, .. } => self.cut_member(node, array, *dev),
            Step::FindHolders { volume, .. } => {
                Effect::Over(Ok(Outcome::Holders(self.holders(node, volume))))
            }
            Step::EndProcesses { volume, .. } => self.end_processes(node, volume),
            _ => Effect::retry("not a step of an eviction"),
        }
    }

    fn array_of(&mut self, node: &NodeName, is_it: impl Fn(&Array) -> bool) -> Option<Uuid> {
        let kernel: &Kernel = &self.nodes.get(node)?.kernel;
        kernel.arrays.values().find(|array| is_it(array)).map(|array| array.uuid)
    }

    /// The effect is there at once; on ext4 the call waits for a write of the journal's superblock.
    fn shut_down(&mut self, node: &NodeName, volume: &VolumeName, dev: Dev) -> Effect {
        let fs = self.store.world.volume_spec(volume).map(|spec| spec.fs);
        let columns =
            self.nodes.get(node).map(|machine| machine.kernel.columns_below(dev)).unwrap_or_default();
        let waits: Vec<bool> = columns
            .into_iter()
            .filter_map(|uuid| {
                self.with_array(node, uuid, |cluster, array| {
                    array.shut_down = fs;
                    let held = |dev| cluster.reach(node, dev) == Reach::Held;
                    fs != Some(FsType::Xfs) && array.members.iter().any(|m| !m.faulty && held(m.dev))
                })
            })
            .collect();
        match waits.contains(&true) {
            true => Effect::Blocked,
            false if waits.is_empty() => Effect::retry("ENODEV"),
            false => Effect::done(),
        }
    }

    /// `SET_DISK_FAULTY`: takes no lock of the array.
    fn cut_member(&mut self, node: &NodeName, name: &str, dev: Dev) -> Effect {
        let Some(uuid) = self.array_of(node, |array| array.name == name) else {
            return Effect::retry("ENODEV");
        };
        let effect = self.with_array(node, uuid, |cluster, array| {
            let Some(member) = array.members.iter().find(|member| member.dev == dev) else {
                return Effect::retry("SET_DISK_FAULTY: ENODEV");
            };
            let name = member.name.clone();
            array.cut = true;
            cluster.mark_faulty(node, array, &name)
        });
        effect.unwrap_or_else(|| Effect::retry("ENODEV"))
    }

    fn holders(&self, node: &NodeName, volume: &VolumeName) -> Vec<Holder> {
        let Some((app, machine)) = self.apps.get(volume).zip(self.nodes.get(node)) else { return Vec::new() };
        let fs = self.store.world.volume_spec(volume).map(|spec| spec.fs);
        let through = if fs == Some(FsType::Raw) { Through::Device } else { Through::FileSystem };
        let process = Process { pid: 1000, started: u64::from(machine.boots), name: "app".to_owned() };
        let ghost = app.ghosts.get(node).map(|ghost| ghost.killed);
        let ending = ghost.or_else(|| (app.node.as_ref() == Some(node)).then_some(false));
        ending.map(|ending| Holder { who: Who::Process { process, ending }, through }).into_iter().collect()
    }

    fn end_processes(&mut self, node: &NodeName, volume: &VolumeName) -> Effect {
        self.haunt(volume, node);
        match self.apps.get_mut(volume).and_then(|app| app.ghosts.get_mut(node)) {
            Some(ghost) => ghost.killed = true,
            None => return Effect::failed(FailureKind::Retry, "ESRCH"),
        }
        Effect::done()
    }

    /// A node stands still, or goes on where it stood: its kernel's clock does not count the time in between.
    pub fn set_paused(&mut self, name: &NodeName, paused: bool) {
        let now = self.now;
        if let Some(machine) = self.nodes.get_mut(name).filter(|machine| machine.powered) {
            machine.stirred = true;
            let stood = machine.paused_since.map_or(0, |since| now - since);
            let due =
                machine.kernel.connections.values_mut().filter_map(|connection| connection.due.as_mut());
            due.for_each(|due| *due += stood);
            machine.paused_since = paused.then_some(now);
        }
        self.note(format_args!("{name}: {}", if paused { "paused" } else { "resumed" }));
    }

    /// Whether a node has power and is not paused.
    pub(super) fn runs(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|machine| machine.powered && !machine.is_paused())
    }

    /// A host is shut down in order while its daemon does nothing: processes are ended, nothing queues any more (multipathd leaves
    /// it so: `queue_without_daemon no`), file systems are unmounted, power goes and comes again after `down` milliseconds.
    pub fn shut_down_host(&mut self, node: &NodeName, down: u64) {
        let Some(machine) = self.nodes.get_mut(node) else { return };
        machine.daemon = None;
        machine.daemon_up_at = None;
        machine.kernel.maps.values_mut().for_each(|map| map.queueing = false);
        let mounts: Vec<String> = machine.kernel.mounts.keys().cloned().collect();
        for volume in self.apps.keys().cloned().collect::<Vec<_>>() {
            self.end_processes(node, &volume);
        }
        self.run_for(100);
        for path in mounts {
            self.unmount(node, &path);
        }
        self.run_for(100);
        self.power_cut(node, Some(down));
    }

    /// Whether somebody can tell the applications of a node that they shall end.
    pub(super) fn hears(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|machine| machine.store_reachable)
    }

    /// The application of `node` is not the volume's any more, and does not know it.
    pub(super) fn haunt(&mut self, volume: &VolumeName, node: &NodeName) {
        let ghost = Ghost { killed: false, stubborn: self.rng.one_in(2) };
        let Some(app) = self.apps.get_mut(volume).filter(|app| app.node.as_ref() == Some(node)) else {
            return;
        };
        app.node = None;
        app.ghosts.insert(node.clone(), ghost);
        self.note(format_args!("{node}: the application of {volume} lives on"));
    }

    pub(super) fn run_ghosts(&mut self, volume: &VolumeName) {
        let Some(spec) = self.store.world.spec_as_made(volume) else { return };
        let ghosts = self.apps.get(volume).map(|app| app.ghosts.clone()).unwrap_or_default();
        for (node, ghost) in ghosts {
            if self.runs(&node) {
                self.run_ghost(&spec, &node, &ghost);
            }
        }
    }

    fn run_ghost(&mut self, spec: &VolumeSpec, node: &NodeName, ghost: &Ghost) {
        let status = self.store.world.volume_status(&spec.name);
        let asked = self.hears(node) && status.is_some_and(|status| status.owner.as_ref() == Some(node));
        let failing = self.columns_on(node, spec).any(|array| array.shut_down.is_some());
        let in_flight = self.columns_on(node, spec).any(|array| !array.pending.is_empty());
        let ends = ghost.killed || asked || failing && !ghost.stubborn;
        if ends {
            // A process in D state cannot go.
            self.columns_on(node, spec).for_each(|array| array.open = in_flight);
        }
        if self.columns_on(node, spec).next().is_none() || ends && !in_flight {
            if let Some(app) = self.apps.get_mut(&spec.name) {
                app.ghosts.remove(node);
            }
            self.stir(node);
        } else if !ghost.killed && !asked && !failing {
            self.use_volume(spec, node);
        }
    }
}
