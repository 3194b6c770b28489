//! The unit and the udev rule that are shipped, under a real systemd.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Needs, Scenario, Stage, refused};
use crate::daemon::wait_answering;
use crate::lab::Lab;
use crate::node::Node;
use crate::product::{Load, device, remove, verb};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "systemd_unit_runs_the_daemon",
    shows: "the shipped unit: ready, watched, logged with fields, without execve; stopped, restarted or hung, volumes stay up",
    lab: Needs::Nothing,
    run: unit_runs_the_daemon,
}];

/// What a package would install: path and content.
const FILES: [(&str, &str); 3] = [
    ("/usr/lib/systemd/system/mdfabric.service", include_str!("../../../deploy/systemd/mdfabric.service")),
    ("/usr/lib/udev/rules.d/59-mdfabric.rules", include_str!("../../../deploy/udev/59-mdfabric.rules")),
    // What the rule's head asks for on hosts with mdadm.
    ("/etc/mdadm/mdadm.conf", "AUTO -all\n"),
];
/// A watchdog that bites sooner than the unit's own, so that a hung daemon need not be waited for a minute.
const IMPATIENT: &str = "[Service]\nWatchdogSec=15\n";
const FILE: &str = "/mnt/vol/data";
const UNIT: &str = "mdfabric";

fn unit_runs_the_daemon(stage: &mut Stage<'_>) -> Result<()> {
    let (lab, node) = super::boot::systemd_lab(stage)?;
    // The guest's network is not networkd's to wait for; network-online.target is what the unit waits for.
    node.run(&["systemctl", "mask", "--runtime", "--now", "systemd-networkd-wait-online.service"])?.ok()?;
    FILES.iter().try_for_each(|(path, text)| install(&node, path, text))?;
    play(&lab, &node).map_err(|err| err.context(journal_tail(&node)))
}

/// `/usr/lib` may lack the directory of a package that is not there.
fn install(node: &Node, path: &str, text: &str) -> Result<()> {
    node.sh(&format!("mkdir -p $(dirname {path})"))?.ok()?;
    node.put_file(path, text.as_bytes())
}

fn journal_tail(node: &Node) -> String {
    let said = node.sh("systemctl status mdfabric --no-pager -n 0; systemctl list-jobs --after --no-pager; \
                        journalctl -u mdfabric --no-pager -n 30");
    said.map_or_else(|err| format!("{err:#}"), |output| output.stdout)
}

fn play(lab: &Lab, node: &Node) -> Result<()> {
    node.sh("systemctl daemon-reload && udevadm control --reload && systemctl start --no-block mdfabric")?
        .ok()?;
    lab.wait_for("the unit to be active", Duration::from_mins(1), || {
        Ok((property(node, "ActiveState")? == "active").then_some(()))
    })?;
    is_ready_and_watched(lab, node)?;
    is_confined(node)?;
    wait_answering(lab, node)?;
    verb(node, "drive add node-1-a")?;
    refused(node, "volume create vol --size 320MiB --replicas 2", 1, &["2 replicas", "there are 1"])?;
    verb(node, "volume create vol --size 320MiB --replicas 1")?;
    verb(node, "volume attach vol")?;
    verb(node, "volume mount vol /mnt/vol")?;
    logs_have_fields(node)?;
    let made = arrays(node)?;
    let mut load = Load::new(lab, 13);
    load.start(node, FILE)?;
    install(node, "/etc/systemd/system/mdfabric.service.d/impatient.conf", IMPATIENT)?;
    node.sh("systemctl daemon-reload && systemctl restart mdfabric")?.ok()?;
    load.goes_on(20)?;
    wait_answering(lab, node)?;
    hung_daemon_is_replaced(lab, node)?;
    load.goes_on(20)?;
    node.run(&["systemctl", "stop", UNIT])?.ok()?;
    ensure!(property(node, "ActiveState")? == "inactive", "it did not stop: {}", property(node, "Result")?);
    ensure!(property(node, "Result")? == "success", "it stopped with {}", property(node, "Result")?);
    load.goes_on(20)?;
    node.run(&["systemctl", "start", UNIT])?.ok()?;
    wait_answering(lab, node)?;
    load.goes_on(20)?;
    load.stop()?;
    load.verify(node, FILE)?;
    ensure!(arrays(node)? == made, "an array was made anew: {made} before, {} after", arrays(node)?);
    verb(node, "volume unmount vol")?;
    node.run(&["xfs_repair", "-n", &device(node, "vol")?])?.ok()?;
    remove(lab, node, "vol")
}

/// What would be different if an array had been stopped meanwhile.
fn arrays(node: &Node) -> Result<String> {
    Ok(node.sh("stat -c '%n %i' /sys/block/md*; dmesg | grep -c md/raid1")?.ok()?.text().to_owned())
}

fn property(node: &Node, name: &str) -> Result<String> {
    Ok(node.run(&["systemctl", "show", UNIT, "--value", "-p", name])?.ok()?.text().to_owned())
}

fn is_ready_and_watched(lab: &Lab, node: &Node) -> Result<()> {
    let state = [property(node, "ActiveState")?, property(node, "SubState")?];
    ensure!(state == ["active", "running"], "the unit is {state:?}");
    let status = property(node, "StatusText")?;
    ensure!(status.starts_with("running"), "its status is {status:?}");
    ensure!(property(node, "WatchdogUSec")? == "1min", "watchdog {}", property(node, "WatchdogUSec")?);
    let fed = property(node, "WatchdogTimestampMonotonic")?;
    lab.wait_for("the watchdog to be fed", Duration::from_secs(30), || {
        Ok((property(node, "WatchdogTimestampMonotonic")? != fed).then_some(()))
    })
}

/// No execve, no more capabilities than the unit names, and the host's mount namespace.
fn is_confined(node: &Node) -> Result<()> {
    let pid = property(node, "MainPID")?;
    let status = node.run(&["cat", &format!("/proc/{pid}/status")])?.ok()?.stdout;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    ensure!(field("Seccomp") == "2" && field("NoNewPrivs") == "1", "{status}");
    ensure!(property(node, "NoNewPrivileges")? == "yes", "the unit allows new privileges");
    ensure!(
        u64::from_str_radix(&field("CapBnd"), 16)?.count_ones() == 10,
        "capabilities {}",
        field("CapBnd")
    );
    let namespaces = node.sh(&format!("readlink /proc/{pid}/ns/mnt /proc/1/ns/mnt | uniq | wc -l"))?.ok()?;
    ensure!(namespaces.text() == "1", "it has a mount namespace of its own");
    Ok(())
}

/// The journal holds what was done with the step as a field of its own.
fn logs_have_fields(node: &Node) -> Result<()> {
    let text = node.run(&["journalctl", "-u", UNIT, "-o", "json", "--no-pager"])?.ok()?.stdout;
    let entries: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let word =
        |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let carved = entries.iter().find(|entry| word(entry, "F_STEP").starts_with("carve 321 MiB"));
    let carved = carved.with_context(|| format!("no step as a field among {} entries", entries.len()))?;
    ensure!(word(carved, "SYSLOG_IDENTIFIER") == "mdfabric", "{carved}");
    ensure!(word(carved, "TARGET").starts_with("mdfabric::daemon"), "{carved}");
    ensure!(word(carved, "PRIORITY") == "5" || word(carved, "PRIORITY") == "6", "{carved}");
    println!(
        "    {} journal entries; one: {} {}",
        entries.len(),
        word(carved, "MESSAGE"),
        word(carved, "F_STEP")
    );
    Ok(())
}

/// A daemon that hangs is ended by the watchdog and started again.
fn hung_daemon_is_replaced(lab: &Lab, node: &Node) -> Result<()> {
    let (start, hung) = (Instant::now(), property(node, "MainPID")?);
    node.run(&["kill", "-STOP", &hung])?.ok()?;
    lab.wait_for("the watchdog to replace the hung daemon", Duration::from_secs(90), || {
        let state = [property(node, "ActiveState")?, property(node, "NRestarts")?];
        Ok((state == ["active", "1"] && property(node, "MainPID")? != hung).then_some(()))
    })?;
    println!("    a hung daemon was replaced after {:.0} s", start.elapsed().as_secs_f64());
    wait_answering(lab, node)
}
