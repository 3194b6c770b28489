//! kubectl, run on the host in the lab's network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::keys;
use crate::command::output;
use crate::lab::Lab;
use crate::supervisor;

/// kubectl for one lab, as somebody who may do everything.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    /// The lab's network namespace.
    network: PathBuf,
    keys: PathBuf,
}

impl Kubectl {
    /// An error for a lab without Kubernetes.
    pub fn of(lab: &Lab) -> Result<Self> {
        let kube = lab.kube().with_context(|| format!("the lab {} has no Kubernetes", lab.name()))?;
        // The supervisor is in the lab's network itself.
        let pid = fs::read_to_string(lab.dir().join(supervisor::PID))?;
        Ok(Self {
            program: kube.programs.join("kubectl"),
            network: Path::new("/proc").join(pid.trim()).join("ns/net"),
            keys: keys::directory(lab.dir()),
        })
    }

    /// `program` of the host in the lab's network, not started yet.
    #[must_use]
    pub fn beside(&self, program: &Path) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--net={}", self.network.display())).arg(program);
        nsenter
    }

    /// Says where the API server is, and who asks.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.keys.join("admin.kubeconfig")
    }

    /// `kubectl ARGUMENTS`, not started yet.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut kubectl = self.beside(&self.program);
        kubectl.arg("--kubeconfig").arg(self.kubeconfig());
        kubectl.arg("--cache-dir").arg(self.keys.join("cache")).args(arguments);
        kubectl
    }

    /// What it prints. One that fails is an error with what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        output(&mut self.command(arguments))
    }

    /// The objects that `get ARGUMENTS` finds.
    pub fn list(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let text = self.run(&[&["get"], arguments, &["--output=json"]].concat())?;
        let list: Value = serde_json::from_str(&text).context("what kubectl prints")?;
        Ok(list.pointer("/items").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// One object, if it is there.
    pub fn find(&self, kind: &str, name: &str) -> Result<Option<Value>> {
        let text = self.run(&["get", kind, name, "--ignore-not-found", "--output=json"])?;
        if text.trim().is_empty() { Ok(None) } else { Ok(Some(serde_json::from_str(&text)?)) }
    }

    /// Makes these objects, YAML or JSON, what the API server has.
    pub fn apply(&self, name: &str, objects: &str) -> Result<()> {
        let file = self.keys.join(format!("{name}.yaml"));
        fs::write(&file, objects)?;
        self.run(&["apply", "--server-side", "--filename", &file.to_string_lossy()]).map(drop)
    }
}
