//! The control plane of Kubernetes, on the host's side of the lab network: programs that are started and killed like guests.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use super::control::Power;
use super::service::Service;
use crate::command::run;
use crate::kube::plane::{self, Program};
use crate::spec::{API_SERVICE_ADDRESS, LabSpec};

/// Nothing of it runs in a lab without Kubernetes.
pub(super) struct Plane {
    programs: Vec<(Program, Service)>,
}

impl Plane {
    /// Its network is there; no program runs yet: whoever started the lab knows when one can follow the other.
    pub(super) fn prepare(spec: &LabSpec, lab_dir: &Path, device: &str) -> Result<Self> {
        let Some(kube) = &spec.kube else { return Ok(Self { programs: Vec::new() }) };
        run(Command::new("ip").args([
            "address",
            "add",
            &format!("{API_SERVICE_ADDRESS}/32"),
            "dev",
            device,
        ]))?;
        for node in &spec.nodes {
            run(Command::new("ip").args(["route", "add", &node.pods(), "via", &node.address()]))?;
        }
        let service = |program: Program| (program.clone(), Service::new(program.name, lab_dir));
        Ok(Self { programs: plane::programs(kube, lab_dir).into_iter().map(service).collect() })
    }

    pub(super) fn has(&self, party: &str) -> bool {
        self.programs.iter().any(|(program, _)| program.name == party)
    }

    pub(super) fn power(&mut self, party: &str, action: Power) -> Result<()> {
        let mut programs = self.programs.iter_mut();
        let (program, service) =
            programs.find(|(program, _)| program.name == party).context("no such program")?;
        match action {
            Power::On => service.start(Command::new(&program.file).args(&program.arguments)),
            Power::Cut => service.cut(),
            Power::Pause => service.signal(Signal::SIGSTOP),
            Power::Resume => service.signal(Signal::SIGCONT),
            Power::Blank | Power::Fill | Power::Free => bail!("{party} keeps nothing"),
        }
    }

    pub(super) fn status(&mut self) -> Vec<(String, bool)> {
        self.programs.iter_mut().map(|(_, service)| (service.name().to_owned(), service.runs())).collect()
    }
}
