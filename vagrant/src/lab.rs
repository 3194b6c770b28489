//! A lab, as scenarios see it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::command::tail;
use crate::kube::keys;
use crate::node::Node;
use crate::setup::cache::{Cache, remove_tree, try_lock};
use crate::setup::{Parts, payload};
use crate::spec::{Accel, ETCD, ETCD_ADDRESS, ETCD_PORT, KubeSpec, LabSpec, MTU, NodeSpec};
use crate::supervisor::control::{self, Net, Power, Request, Status};
use crate::supervisor::{self, Life};
use crate::wait::{Missed, wait_for};

/// How long the supervisor may take to have switch, etcd and guests started.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// How the names of private labs begin; the process id of their owner follows.
const PRIVATE: &str = "private-";

/// A running lab. A private one ends when this value is dropped.
pub struct Lab {
    dir: PathBuf,
    spec: LabSpec,
    supervisor: Option<Child>,
    is_patient: AtomicBool,
}

impl Lab {
    /// Starts a private lab of `count` usual nodes and waits until they are up.
    pub fn private(parts: &Parts, count: u8) -> Result<Self> {
        Self::private_with(parts, usual_nodes(parts, count))
    }

    /// Starts a private lab of these nodes and waits until they are up.
    pub fn private_with(parts: &Parts, nodes: Vec<NodeSpec>) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{PRIVATE}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self::start(parts, &name, nodes, Life::Private)
    }

    /// Starts the lab `name`, which goes on after this process.
    pub fn detached(parts: &Parts, name: &str, count: u8) -> Result<Self> {
        Self::start(parts, name, usual_nodes(parts, count), Life::Detached)
    }

    fn start(parts: &Parts, name: &str, nodes: Vec<NodeSpec>, life: Life) -> Result<Self> {
        let dir = parts.cache.run_dir(name);
        if is_running(&dir)? {
            bail!("the lab {name} runs already");
        }
        remove_tree(&dir)?;
        remove_orphans(&parts.cache)?;
        fs::create_dir_all(&dir)?;
        let spec = spec(parts, name, nodes, &dir)?;
        spec.save(&dir)?;
        if spec.kube.is_some() {
            keys::write(&dir, &spec.nodes)?;
        }
        payload::build(&dir, &parts.programs)?;
        let supervisor = supervisor::spawn(&dir, life)?;
        let mut lab = Self { dir, spec, supervisor: Some(supervisor), is_patient: AtomicBool::new(false) };
        lab.wait_started()?;
        if life == Life::Detached {
            lab.supervisor = None;
        }
        lab.wait_up()?;
        Ok(lab)
    }

    /// The running lab in `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        if !is_running(dir)? {
            bail!("no lab runs in {}: start one with `lab up`", dir.display());
        }
        let is_patient = AtomicBool::new(false);
        Ok(Self { dir: dir.to_path_buf(), spec: LabSpec::load(dir)?, supervisor: None, is_patient })
    }

    fn wait_started(&mut self) -> Result<()> {
        let dir = self.dir.clone();
        let log = dir.join("supervisor.log");
        let supervisor = &mut self.supervisor;
        wait_for("the lab's supervisor", START_DEADLINE, || {
            if let Some(status) = supervisor.as_mut().map(Child::try_wait).transpose()?.flatten() {
                let said = fs::read_to_string(&log).unwrap_or_default();
                bail!("the lab's supervisor ended: {status}\n{}", tail(&said, 20));
            }
            Ok(control::status(&dir).ok().filter(|status| status.etcd))
        })
        .map(drop)
    }

    /// Waits until every node's agent and etcd answer.
    pub fn wait_up(&self) -> Result<()> {
        for node in self.nodes() {
            node.wait_up()?;
        }
        wait_for("etcd", START_DEADLINE, || Ok(self.status()?.etcd.then_some(())))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its directory on the host.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether daemons that are started from now on bear more silence of each other than they do by default: where it is not
    /// shown how long writes wait, a guest that is starved for a moment by its neighbours shall not count as gone.
    pub fn set_patient(&self, patient: bool) {
        self.is_patient.store(patient, Ordering::Release);
    }

    /// See [`Self::set_patient`].
    #[must_use]
    pub fn is_patient(&self) -> bool {
        self.is_patient.load(Ordering::Acquire)
    }

    /// How its guests run.
    #[must_use]
    pub fn accel(&self) -> &Accel {
        &self.spec.accel
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.spec.nodes.iter().map(|node| Node::new(&self.dir, node.clone())).collect()
    }

    /// The node called `name`.
    pub fn node(&self, name: &str) -> Result<Node> {
        Ok(Node::new(&self.dir, self.spec.node(name)?.clone()))
    }

    /// Where the guests find etcd.
    #[must_use]
    pub fn etcd_endpoint(&self) -> String {
        format!("http://{ETCD_ADDRESS}:{ETCD_PORT}")
    }

    /// What runs.
    pub fn status(&self) -> Result<Status> {
        control::status(&self.dir)
    }

    /// What makes it a lab with Kubernetes.
    #[must_use]
    pub fn kube(&self) -> Option<&KubeSpec> {
        self.spec.kube.as_ref()
    }

    /// Changes the power of etcd.
    pub fn etcd_power(&self, action: Power) -> Result<()> {
        self.power(ETCD, action)
    }

    /// Changes the power of a node, of `etcd`, or of a program of the control plane.
    pub fn power(&self, party: &str, action: Power) -> Result<()> {
        match self.node(party) {
            Ok(node) => node.power(action),
            Err(_) => control::ask(&self.dir, &Request::Power { party: party.to_owned(), action }).map(drop),
        }
    }

    /// Cuts the network between two parties, both ways.
    pub fn cut(&self, one: &str, other: &str) -> Result<()> {
        self.cut_one_way(one, other)?;
        self.cut_one_way(other, one)
    }

    /// Lets nothing from `from` reach `to` any more.
    pub fn cut_one_way(&self, from: &str, to: &str) -> Result<()> {
        self.net(Net::Cut { from: from.to_owned(), to: to.to_owned() })
    }

    /// Makes frames between two parties late and lossy, both ways.
    pub fn slow(&self, one: &str, other: &str, delay: Duration, loss_percent: f64) -> Result<()> {
        for (from, to) in [(one, other), (other, one)] {
            let delay_ms = u64::try_from(delay.as_millis())?;
            self.net(Net::Slow { from: from.to_owned(), to: to.to_owned(), delay_ms, loss_percent })?;
        }
        Ok(())
    }

    /// Cuts `party` off from everybody.
    pub fn isolate(&self, party: &str) -> Result<()> {
        let others = self.spec.nodes.iter().map(|node| node.name.as_str()).chain([ETCD]);
        others.filter(|other| *other != party).try_for_each(|other| self.cut(party, other))
    }

    /// Makes the link between two parties whole again, both ways.
    pub fn mend(&self, one: &str, other: &str) -> Result<()> {
        [(one, other), (other, one)]
            .into_iter()
            .try_for_each(|(from, to)| self.net(Net::Mend { from: from.to_owned(), to: to.to_owned() }))
    }

    /// Makes all links whole again.
    pub fn heal(&self) -> Result<()> {
        self.net(Net::Heal)
    }

    fn net(&self, change: Net) -> Result<()> {
        control::ask(&self.dir, &Request::Net(change)).map(drop)
    }

    /// Back to the beginning: whole network, empty etcd, blank drives and state disks, freshly booted nodes.
    pub fn reset(&self) -> Result<()> {
        self.heal()?;
        self.etcd_power(Power::Blank)?;
        self.etcd_power(Power::On)?;
        for node in self.nodes() {
            node.blank()?;
            node.power_on()?;
        }
        self.wait_up()
    }

    /// Waits for a condition; when the deadline passes, the error shows what the world looked like.
    pub fn wait_for<T>(
        &self,
        what: &str,
        deadline: Duration,
        probe: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        wait_for(what, deadline, probe).map_err(|err| match err.downcast_ref::<Missed>() {
            Some(missed) => anyhow!("{missed}\n{}", self.report()),
            None => err,
        })
    }

    /// What the world looks like, for a person who was not there.
    #[must_use]
    pub fn report(&self) -> String {
        crate::report::of(self)
    }

    /// Ends the lab and removes its directory.
    pub fn down(dir: &Path) -> Result<()> {
        if is_running(dir)? {
            let pid: i32 = fs::read_to_string(dir.join(supervisor::PID))?.trim().parse()?;
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)?;
            wait_for("the lab's end", START_DEADLINE, || Ok((!is_running(dir)?).then_some(())))?;
        }
        remove_tree(dir)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            drop(supervisor.stdin.take());
            supervisor.wait().ok();
        }
    }
}

/// Whether a supervisor holds the lab in `dir`.
pub fn is_running(dir: &Path) -> Result<bool> {
    if !dir.is_dir() {
        return Ok(false);
    }
    Ok(try_lock(&dir.join(supervisor::LOCK)).with_context(|| dir.display().to_string())?.is_none())
}

/// Removes the directories of private labs whose supervisor and owner were both killed: only SIGKILL to both gets there.
fn remove_orphans(cache: &Cache) -> Result<()> {
    for dir in cache.run_dirs()? {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PRIVATE).and_then(|rest| rest.split('-').next());
        let is_orphan = owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if is_orphan && !is_running(&dir)? {
            remove_tree(&dir)?;
        }
    }
    Ok(())
}

/// Nodes as labs of these parts have them.
fn usual_nodes(parts: &Parts, count: u8) -> Vec<NodeSpec> {
    let node = if parts.kube.is_some() { NodeSpec::of_kubernetes } else { NodeSpec::usual };
    (1..=count).map(node).collect()
}

fn spec(parts: &Parts, name: &str, nodes: Vec<NodeSpec>, dir: &Path) -> Result<LabSpec> {
    let kube = parts.kube.as_ref().map(|kube| own_disk(kube, dir)).transpose()?;
    Ok(LabSpec {
        name: name.to_owned(),
        nodes,
        accel: parts.accel.clone(),
        kernel: parts.image.kernel.clone(),
        initramfs: parts.image.initramfs.clone(),
        root: parts.image.root.clone(),
        payload: dir.join("payload.img"),
        mtu: MTU,
        kube,
    })
}

/// A lab has a name of its own for the disk: the cache keeps the newest one only.
fn own_disk(kube: &KubeSpec, dir: &Path) -> Result<KubeSpec> {
    let disk = dir.join("kube.img");
    fs::hard_link(&kube.disk, &disk).with_context(|| kube.disk.display().to_string())?;
    Ok(KubeSpec { disk, ..kube.clone() })
}
