//! The driver for the Container Storage Interface, judged by csi-sanity on a real node.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use super::{Needs, Scenario, Stage};
use crate::command::tail;
use crate::daemon;
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{list, nothing_left};
use crate::setup::{Parts, sanity};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "csi_sanity",
    shows: "csi-sanity on mdfabric-csi beside a node's daemon, with mounts and with block devices: nothing fails, only what the \
            driver does not declare is skipped, and nothing is left",
    lab: Needs::Nothing,
    run: sanity,
}];

/// How many nodes share the copies.
const NODES: u8 = 3;
const SOCKET: &str = "/run/csi/csi.sock";
const LOG: &str = "/var/log/mdfabric-csi.log";
/// The directory below which csi-sanity has volumes mounted.
const PLACE: &str = "/mnt/csi";
/// A `StorageClass`' parameters, and those of a `VolumeAttributesClass`.
const CLASSES: [(&str, &str); 2] =
    [("class.yaml", "replicaCount: \"2\"\n"), ("mutable.yaml", "memberMissingTimeout: \"120\"\n")];
/// The smallest volume, bytes, and what it grows to.
const SIZE: u64 = 300 << 20;
const GROWN: u64 = 400 << 20;
/// For one run: about eighty calls of which each may take as long as an attachment of emulated nodes.
const DEADLINE: Duration = Duration::from_mins(30);
/// How long the driver may take to listen, and deleted copies to be erased.
const SOON: Duration = Duration::from_mins(2);
/// With fewer tests passed than this, csi-sanity did not test what it is there for.
const ENOUGH: usize = 60;
/// What csi-sanity says of a test for something that the driver does not declare (`pkg/sanity`, `Skip`).
const UNDECLARED: [&str; 15] = [
    "Snapshot not supported",
    "CreateSnapshot not supported",
    "DeleteSnapshot not supported",
    "GetSnapshot not supported",
    "ListSnapshots not supported",
    "SNAPSHOT_ACCESSIBILITY_CONSTRAINTS not supported",
    "Volume Cloning not supported",
    "GroupControllerService not supported",
    "VolumeGroupSnapshots not supported",
    "ControllerPublishVolume.readonly field not supported",
    "ControllerGetVolumeHealth not supported",
    "ControllerListVolumeHealth not supported",
    "NodeGetVolumeHealth not supported",
    "NodeGetStorageHealth not supported",
    "No MaxVolumesPerNode",
];

fn sanity(stage: &mut Stage<'_>) -> Result<()> {
    let lab = lab_with_judge(stage.parts)?;
    let one = lab.node("node-1")?;
    start_driver(&lab, &one)?;
    for (name, content) in CLASSES {
        one.put_file(&format!("{PLACE}/{name}"), content.as_bytes())?;
    }
    for access in ["mount", "block"] {
        judge(&one, access).map_err(|err| anyhow!("{err:#}\n{}", told(&lab, &one)))?;
        nothing_stays(&lab, &one)?;
    }
    Ok(())
}

/// A cluster of its own: nobody else's guests need a disk with csi-sanity on it.
fn lab_with_judge(parts: &Parts) -> Result<Lab> {
    let programs = [parts.programs.clone(), vec![sanity::program(&parts.cache)?]].concat();
    let lab = Lab::private(&Parts { programs, ..parts.clone() }, NODES)?;
    lab.set_patient(true);
    daemon::start_all(&lab)?;
    daemon::add_drives(&lab)?;
    Ok(lab)
}

fn start_driver(lab: &Lab, node: &Node) -> Result<()> {
    node.sh(&format!("mkdir -p {PLACE} $(dirname {SOCKET})"))?.ok()?;
    let line = format!("exec /opt/mdfabric/mdfabric-csi --endpoint unix://{SOCKET} >>{LOG} 2>&1");
    node.spawn(&["sh", "-c", &line])?;
    lab.wait_for("the driver's socket", SOON, || {
        Ok((node.run(&["test", "-S", SOCKET])?.status == 0).then_some(()))
    })
}

/// Runs csi-sanity with volumes of this kind.
fn judge(node: &Node, access: &str) -> Result<()> {
    let report = format!("/tmp/{access}.json");
    let [class, mutable] = CLASSES.map(|(name, _)| format!("{PLACE}/{name}"));
    let line = format!(
        "/opt/mdfabric/csi-sanity --csi.endpoint=unix://{SOCKET} --csi.testvolumeaccesstype={access} \
         --csi.mountdir={PLACE}/published --csi.stagingdir={PLACE}/staged \
         --csi.testvolumesize={SIZE} --csi.testvolumeexpandsize={GROWN} \
         --csi.testvolumeparameters={class} --csi.testvolumemutableparameters={mutable} \
         --csi.testnodevolumeattachlimit --ginkgo.seed=1 --ginkgo.no-color --ginkgo.timeout={}s \
         --ginkgo.json-report={report}",
        DEADLINE.as_secs()
    );
    let words: Vec<&str> = line.split_whitespace().collect();
    let said = node.run_for(DEADLINE, &words)?;
    let report = node.get_file(&report).with_context(|| tail(&said.stdout, 30))?;
    let verdict = Verdict::read(&serde_json::from_slice(&report)?)?;
    println!("    {access}: {} passed, {} skipped", verdict.passed, verdict.skipped.len());
    verdict.check()?;
    said.ok().map(drop)
}

/// What csi-sanity found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    passed: usize,
    /// Why tests were left out.
    skipped: Vec<String>,
    /// Tests that did not end well, with what was said.
    failed: Vec<String>,
}

impl Verdict {
    /// Reads the report that Ginkgo writes (`types.Report`): of every test its state, and what was said of it.
    fn read(report: &Value) -> Result<Self> {
        let tests =
            report.pointer("/0/SpecReports").and_then(Value::as_array).context("no tests in a report")?;
        let mut verdict = Self::default();
        for test in tests {
            let message = daemon::word(test, "/Failure/Message");
            match daemon::word(test, "/State").as_str() {
                "passed" => verdict.passed += 1,
                "skipped" => verdict.skipped.push(message),
                // Written down in csi-sanity's source as one that is not to be run.
                "pending" => {}
                state => verdict.failed.push(format!("{}: {state}: {message}", name(test))),
            }
        }
        Ok(verdict)
    }

    fn check(&self) -> Result<()> {
        ensure!(
            self.failed.is_empty(),
            "csi-sanity: {} failed\n{}",
            self.failed.len(),
            self.failed.join("\n")
        );
        let declared = self.skipped.iter().find(|why| !UNDECLARED.contains(&why.as_str()));
        ensure!(declared.is_none(), "csi-sanity left something out: {declared:?}");
        ensure!(self.passed >= ENOUGH, "csi-sanity: only {} passed", self.passed);
        Ok(())
    }
}

/// What a test is called, after those that hold it.
fn name(test: &Value) -> String {
    let holders =
        test.pointer("/ContainerHierarchyTexts").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut words: Vec<String> = holders.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    words.push(daemon::word(test, "/LeafNodeText"));
    words.join(" ")
}

/// What the driver told of its calls, and what the world looks like.
fn told(lab: &Lab, node: &Node) -> String {
    let log = node.get_file(LOG).unwrap_or_default();
    format!("{}\n{}", tail(&String::from_utf8_lossy(&log), 60), lab.report())
}

/// Deleted volumes go by themselves; no mount was left where they were shown, nor what it was shown over.
fn nothing_stays(lab: &Lab, node: &Node) -> Result<()> {
    lab.wait_for("all volumes to be gone", SOON, || {
        Ok((list(node, "volume")?.is_empty() && list(node, "replica")?.is_empty()).then_some(()))
    })?;
    let left =
        node.sh(&format!("grep ' {PLACE}/' /proc/self/mounts; find {PLACE} -mindepth 1 ! -name '*.yaml'"))?;
    ensure!(left.text().is_empty(), "left on {}:\n{}", node.name(), left.text());
    nothing_left(lab)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(tests: &[(&str, &str)]) -> Verdict {
        let test = |(state, message): &(&str, &str)| {
            json!({"State": state, "Failure": {"Message": message}, "LeafNodeText": "should work",
                   "ContainerHierarchyTexts": ["Node Service"]})
        };
        let tests: Vec<Value> = tests.iter().map(test).collect();
        Verdict::read(&json!([{ "SpecReports": tests }])).unwrap()
    }

    #[test]
    fn every_state_that_is_no_success_is_a_failure() {
        for state in ["failed", "panicked", "timedout", "interrupted", "aborted", "whatever"] {
            let verdict = report(&[("passed", ""), (state, "because"), ("pending", "")]);
            assert_eq!((verdict.passed, verdict.failed.len()), (1, 1), "{state}");
            let said = verdict.check().unwrap_err().to_string();
            assert!(said.contains("Node Service should work") && said.contains("because"), "{said}");
        }
        assert!(Verdict::read(&json!([])).is_err());
    }

    #[test]
    fn only_what_is_not_declared_may_be_left_out_and_most_is_not() {
        let mut tests = vec![("passed", ""); ENOUGH];
        report(&tests).check().unwrap();
        tests.push(("skipped", UNDECLARED[0]));
        report(&tests).check().unwrap();
        tests.push(("skipped", "NodeStageVolume not supported"));
        assert!(report(&tests).check().unwrap_err().to_string().contains("NodeStageVolume"));
        assert!(report(&tests[1..ENOUGH]).check().is_err());
    }
}
