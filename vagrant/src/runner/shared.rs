//! The lab in which one worker plays one scenario after the other.

use anyhow::{Context as _, Result, anyhow};

use crate::daemon;
use crate::kube::Cluster;
use crate::lab::Lab;
use crate::report;
use crate::scenarios::{self, Needs, Scenario, Stage};
use crate::setup::Parts;

/// Nodes of a shared lab.
const NODES: u8 = 3;

/// The lab that scenarios share, booted when first needed and thrown away after a failure.
pub(super) struct Shared<'a> {
    parts: &'a Parts,
    lab: Option<Lab>,
    /// Whether nobody has played in it since its nodes were booted with blank drives.
    fresh: bool,
    /// Whether the last player was given a cluster and left it, and whether that is a patient one.
    cluster: Option<bool>,
}

impl<'a> Shared<'a> {
    pub(super) fn new(parts: &'a Parts) -> Self {
        Self { parts, lab: None, fresh: false, cluster: None }
    }

    pub(super) fn play(&mut self, scenario: &Scenario) -> Result<()> {
        let result = self.prepare(scenario.lab, !scenarios::is_strict(scenario.name)).and_then(|()| {
            let lab = if scenario.lab == Needs::Nothing { None } else { self.lab.as_mut() };
            (scenario.run)(&mut Stage::new(self.parts, lab))
        });
        result.map_err(|err| self.explained(scenario, &err))
    }

    /// The error with a look at the lab it happened in, which is not used again.
    fn explained(&mut self, scenario: &Scenario, err: &anyhow::Error) -> anyhow::Error {
        let mut text = format!("{err:#}");
        let lab = self.lab.take().filter(|_| scenario.lab != Needs::Nothing && !text.contains(report::TITLE));
        if let Some(lab) = lab {
            text.push('\n');
            text.push_str(&lab.report());
        }
        anyhow!(text)
    }

    fn prepare(&mut self, needs: Needs, patient: bool) -> Result<()> {
        if needs == Needs::Kube {
            return self.prepare_kube();
        }
        if self.lab.as_ref().is_some_and(|lab| lab.kube().is_some()) {
            self.lab = None;
        }
        if needs == Needs::Cluster {
            return self.prepare_cluster(patient);
        }
        if needs == Needs::Blank {
            self.cluster = None;
        }
        match (needs, &self.lab) {
            (Needs::Nothing, _) => self.lab = None,
            (_, None) => {
                self.lab = Some(Lab::private(self.parts, NODES)?);
                self.fresh = true;
            }
            (Needs::Blank, Some(lab)) if !self.fresh => {
                lab.reset()?;
                self.fresh = true;
            }
            (Needs::Blank | Needs::AsIs | Needs::Cluster | Needs::Kube, Some(_)) => {}
        }
        if needs == Needs::Blank {
            self.fresh = false;
        }
        if let Some(lab) = &self.lab {
            lab.set_patient(patient);
        }
        Ok(())
    }

    /// One whose last player came to its end has neither claims nor pods.
    fn prepare_kube(&mut self) -> Result<()> {
        if self.lab.as_ref().is_some_and(|lab| lab.kube().is_some()) {
            return Ok(());
        }
        // First: two labs at a time would take more memory than there is.
        self.lab = None;
        let parts = self.parts.with_kube()?;
        let lab = self.lab.insert(Lab::private(&parts, NODES)?);
        self.cluster = None;
        Cluster::start(&parts, lab).map(drop)
    }

    /// A cluster whose last player left no volume is good for the next one.
    fn prepare_cluster(&mut self, patient: bool) -> Result<()> {
        if let (Some(was), Some(lab)) =
            (self.cluster, self.lab.as_ref().filter(|lab| daemon::is_empty_cluster(lab)))
        {
            if was != patient {
                lab.set_patient(patient);
                daemon::restart_all(lab)?;
            }
        } else {
            self.prepare(Needs::Blank, patient)?;
            let lab = self.lab.as_ref().context("no lab")?;
            daemon::start_all(lab)?;
            daemon::add_drives(lab)?;
        }
        self.cluster = Some(patient);
        Ok(())
    }
}
