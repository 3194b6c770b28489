//! Whatever is killed at random while a claim comes, grows and goes: all of it ends right.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{CLAIM, FILE, POD, REPLICATED, SIZE, WORDS};
use crate::daemon::word;
use crate::guest::pattern::Dice;
use crate::kube::Cluster;
use crate::kube::objects::{self, is_ready};
use crate::kube::plane::API_SERVER;
use crate::lab::Lab;
use crate::node::Node;
use crate::product::nothing_left;
use crate::scenarios::Stage;
use crate::supervisor::control::Power;

const SEED: u64 = 5;
const ROUNDS: usize = 10;
/// What a claim grows to.
const GROWN: &str = "384Mi";
/// Within so many milliseconds of what was asked for somebody dies.
const SOON: u64 = 8000;
/// For what was asked for, although somebody dies and has to be started again.
const DEADLINE: Duration = Duration::from_mins(6);
/// Programs that may die, by name: the daemon, the driver, and the sidecars of the controller.
const PROGRAMS: [&str; 5] = ["mdfabric", "mdfabric-csi", "csi-provisioner", "csi-attacher", "csi-resizer"];
/// Of these there is one on every node, and one of them dies.
const EVERYWHERE: usize = 2;

/// Five deaths in each round.
pub(super) fn at_random(stage: &mut Stage<'_>) -> Result<()> {
    let cluster = Cluster::of(stage.lab()?)?;
    let mut deaths = Deaths { cluster: &cluster, dice: Dice::new(SEED), told: Vec::new() };
    for round in 1..=ROUNDS {
        let start = Instant::now();
        deaths.told.clear();
        one_life(&cluster, &mut deaths).with_context(|| {
            format!("round {round} of {ROUNDS}, seed {SEED}, killed were {}", deaths.told.join(", "))
        })?;
        println!("    {:.0} s: {}", start.elapsed().as_secs_f64(), deaths.told.join(", "));
    }
    Ok(())
}

fn one_life(cluster: &Cluster<'_>, deaths: &mut Deaths<'_>) -> Result<()> {
    cluster.make(&objects::claim(CLAIM, REPLICATED, SIZE))?;
    deaths.one()?;
    cluster.make(&objects::pod(POD, CLAIM, &format!("echo {WORDS} >{FILE} && sync")))?;
    deaths.one()?;
    in_time(cluster.lab, "the pod to be ready", || {
        Ok(cluster.kubectl.find("pod", POD)?.is_some_and(|pod| is_ready(&pod)))
    })?;
    let spec = json!({"spec": {"resources": {"requests": {"storage": GROWN}}}}).to_string();
    cluster.kubectl.run(&["patch", "persistentvolumeclaim", CLAIM, "--patch", &spec])?;
    deaths.one()?;
    in_time(cluster.lab, "the claim to have grown", || {
        let claim = cluster.kubectl.find("persistentvolumeclaim", CLAIM)?.unwrap_or_default();
        Ok(word(&claim, "/status/capacity/storage") == GROWN)
    })?;
    in_time(cluster.lab, "what the pod wrote", || {
        let said = cluster.kubectl.run(&["exec", POD, "--", "cat", FILE]).unwrap_or_default();
        Ok(said.starts_with(WORDS))
    })?;
    cluster.kubectl.run(&["delete", "pod", POD, "--wait=false"])?;
    deaths.one()?;
    cluster.kubectl.run(&["delete", "persistentvolumeclaim", CLAIM, "--wait=false"])?;
    deaths.one()?;
    for kind in ["pods", "volumeattachments", "persistentvolumeclaims", "persistentvolumes", "mdvol", "mdrep"]
    {
        in_time(cluster.lab, &format!("no {kind}"), || Ok(cluster.kubectl.list(&[kind])?.is_empty()))?;
    }
    cluster.wait_whole()?;
    nothing_left(cluster.lab)?;
    cluster.lab.nodes().iter().try_for_each(Node::has_kernel)
}

/// An API server that was just started may not know every kind yet: what it refuses is asked again.
fn in_time(lab: &Lab, what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    lab.wait_for(what, DEADLINE, || Ok(is_so().unwrap_or(false).then_some(())))
}

/// Who died, in this round.
struct Deaths<'a> {
    cluster: &'a Cluster<'a>,
    dice: Dice,
    told: Vec<String>,
}

impl Deaths<'_> {
    /// In a moment somebody dies. Kubernetes starts it again; who it is that asks the API server for us waits for that one.
    fn one(&mut self) -> Result<()> {
        let (lab, start) = (self.cluster.lab, Instant::now());
        let moment = Duration::from_millis(self.dice.below(SOON));
        lab.wait_for("somebody's end", moment * 2, || Ok((start.elapsed() >= moment).then_some(())))?;
        let all = lab.nodes();
        let (victim, at) = (self.throw(PROGRAMS.len() + 1), self.throw(all.len()));
        let Some(program) = PROGRAMS.get(victim) else {
            self.told.push(API_SERVER.to_owned());
            lab.power(API_SERVER, Power::Cut)?;
            return self.cluster.start_plane();
        };
        let nodes = all.iter().skip(if victim < EVERYWHERE { at } else { 0 });
        let nodes = nodes.take(if victim < EVERYWHERE { 1 } else { all.len() });
        let killed = nodes.map(|node| Ok(node.kill_process(program, "KILL")?.then(|| node.name())));
        let on: Vec<&str> = killed.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        self.told
            .push(format!("{program} of {}", if on.is_empty() { "nobody".into() } else { on.join(" and ") }));
        Ok(())
    }

    fn throw(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        usize::try_from(self.dice.below(limit)).unwrap_or_default()
    }
}
