//! Process 1 of a lab: the switch, etcd, a control plane where there is one, the guests, and the control socket.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::control::{Net, Power, Reply, Request, Status, socket_path};
use super::disks;
use super::etcd::Etcd;
use super::plane::Plane;
use crate::command::run as run_command;
use crate::spec::{ETCD, ETCD_ADDRESS, LabSpec};
use crate::switch::{Switch, port::Port, tap};
use crate::{qemu, socket};

/// The host's network device in the lab.
const TAP: &str = "lab0";

/// Runs the lab in `dir` until this process is ended.
pub fn run(dir: &Path) -> Result<()> {
    super::hang_on_stdin()?;
    let spec = LabSpec::load(dir)?;
    private_mounts()?;
    disks::prepare(dir)?;
    let switch = start_switch(dir, &spec)?;
    let program = spec.kube.as_ref().map_or(Path::new("etcd"), |kube| kube.etcd.as_path());
    let mut etcd = Etcd::prepare(dir, program)?;
    etcd.power(Power::On)?;
    let plane = Plane::prepare(&spec, dir, TAP)?;
    let lab = Arc::new(Inside {
        dir: dir.to_path_buf(),
        spec,
        switch,
        state: Mutex::default(),
        etcd: Mutex::new(etcd),
        plane: Mutex::new(plane),
    });
    for node in &lab.spec.nodes {
        lab.power(&node.name, Power::On)?;
    }
    lab.serve()
}

fn private_mounts() -> Result<()> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).context("cannot enter a new mount namespace")?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("make mounts private")?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).context("mount /proc")
}

fn start_switch(dir: &Path, spec: &LabSpec) -> Result<Arc<Switch>> {
    let names = spec.nodes.iter().map(|node| node.name.as_str()).chain([ETCD]);
    let ports: Vec<Arc<Port>> = names.map(|name| Arc::new(Port::new(name))).collect();
    let switch = Switch::new(ports.clone());
    for (index, port) in ports.into_iter().enumerate() {
        if port.name() == ETCD {
            port.serve_tap(index, Arc::clone(&switch), &host_device(spec.mtu)?)?;
        } else {
            let path = switch_socket(dir, port.name());
            port.serve(index, Arc::clone(&switch), &path)?;
        }
    }
    Ok(switch)
}

/// The TAP device, up and with etcd's address.
fn host_device(mtu: u32) -> Result<std::fs::File> {
    let tap = tap::open(TAP)?;
    run_command(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    run_command(Command::new("ip").args(["address", "add", &format!("{ETCD_ADDRESS}/24"), "dev", TAP]))?;
    run_command(Command::new("ip").args(["link", "set", TAP, "mtu", &mtu.to_string(), "up"]))?;
    Ok(tap)
}

fn switch_socket(dir: &Path, node: &str) -> PathBuf {
    dir.join(format!("switch-{node}.sock"))
}

struct Inside {
    dir: PathBuf,
    spec: LabSpec,
    switch: Arc<Switch>,
    state: Mutex<HashMap<String, Child>>,
    etcd: Mutex<Etcd>,
    plane: Mutex<Plane>,
}

impl Inside {
    fn serve(self: &Arc<Self>) -> Result<()> {
        let path = socket_path(&self.dir);
        std::fs::remove_file(&path).ok();
        for stream in socket::listen(&path)?.incoming() {
            let (lab, stream) = (Arc::clone(self), stream?);
            std::thread::Builder::new().name("control".into()).spawn(move || lab.converse(stream).ok())?;
        }
        Ok(())
    }

    fn converse(&self, mut stream: UnixStream) -> Result<()> {
        let mut line = String::new();
        BufReader::new(stream.try_clone()?).read_line(&mut line)?;
        let answer = serde_json::from_str(&line).map_err(Into::into).and_then(|request| self.handle(request));
        let reply = answer.unwrap_or_else(|err: anyhow::Error| Reply::Failed(format!("{err:#}")));
        serde_json::to_writer(&mut stream, &reply)?;
        Ok(stream.write_all(b"\n")?)
    }

    fn handle(&self, request: Request) -> Result<Reply> {
        match request {
            Request::Status => return Ok(Reply::Status(self.status())),
            Request::Power { party, action } if party == ETCD => self.etcd().power(action)?,
            Request::Power { party, action } if self.plane().has(&party) => {
                self.plane().power(&party, action)?;
            }
            Request::Power { party, action } => self.power(&party, action)?,
            Request::Net(change) => self.change_network(&change)?,
        }
        Ok(Reply::Done)
    }

    fn status(&self) -> Status {
        let mut guests = self.guests();
        let mut nodes = Vec::new();
        for node in &self.spec.nodes {
            nodes.push((node.name.clone(), guests.get_mut(&node.name).and_then(running)));
        }
        drop(guests);
        let plane = self.plane().status();
        Status { nodes, etcd: Etcd::answers(), plane, network: self.switch.rules().lines() }
    }

    fn power(&self, name: &str, action: Power) -> Result<()> {
        let node = self.spec.node(name)?;
        let mut guests = self.guests();
        match action {
            Power::On => {
                if guests.get_mut(name).and_then(running).is_none() {
                    qemu::prepare_disks(&self.dir, node)?;
                    let child = qemu::start(&self.spec, &self.dir, node, &switch_socket(&self.dir, name))?;
                    guests.insert(name.to_owned(), child);
                }
            }
            Power::Cut => end(guests.remove(name))?,
            Power::Blank => {
                end(guests.remove(name))?;
                qemu::blank_disks(&self.dir, node)?;
            }
            Power::Pause | Power::Resume => bail!("guests are paused through QMP"),
            Power::Fill | Power::Free => bail!("a guest is no store"),
        }
        Ok(())
    }

    fn change_network(&self, change: &Net) -> Result<()> {
        match change {
            Net::Heal => self.switch.rules().heal(),
            Net::Mend { from, to } => self.switch.rules().mend(from, to),
            Net::Cut { from, to } => {
                self.check_parties(&[from, to])?;
                self.switch.rules().cut(from, to);
                self.switch.purge(from, to);
            }
            Net::Slow { from, to, delay_ms, loss_percent } => {
                self.check_parties(&[from, to])?;
                let delay = std::time::Duration::from_millis(*delay_ms);
                self.switch.rules().slow(from, to, delay, loss_percent / 100.0);
            }
        }
        Ok(())
    }

    fn check_parties(&self, names: &[&String]) -> Result<()> {
        let known = self.switch.parties();
        match names.iter().find(|name| !known.contains(name)) {
            Some(stranger) => bail!("nobody called {stranger} in this network: it has {}", known.join(", ")),
            None => Ok(()),
        }
    }

    fn guests(&self) -> MutexGuard<'_, HashMap<String, Child>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn etcd(&self) -> MutexGuard<'_, Etcd> {
        self.etcd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plane(&self) -> MutexGuard<'_, Plane> {
        self.plane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn running(child: &mut Child) -> Option<u32> {
    matches!(child.try_wait(), Ok(None)).then(|| child.id())
}

pub(super) fn end(child: Option<Child>) -> Result<()> {
    if let Some(mut child) = child {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}
