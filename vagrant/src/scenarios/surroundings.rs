//! What surrounds the daemon fails or is wrong: its store, its socket, its configuration, its right to run programs.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Needs, Scenario, Stage};
use crate::daemon::{CONFIG, config, kill, mdfabric, start, start_and_wait, wait_answering};
use crate::lab::Lab;
use crate::product::{Load, SMALL, TWO_COPIES, is_settled_on, remove, until, verb};
use crate::supervisor::control::Power;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "store_lost_keeps_serving",
        shows: "without etcd writes go on and `volume ls` answers with a warning; when etcd is back verbs work again",
        lab: Needs::Cluster,
        run: store_lost,
    },
    Scenario {
        name: "store_unreachable_at_start",
        shows: "a daemon that starts without etcd leaves what runs alone and says what it waits for; with etcd it takes over",
        lab: Needs::Cluster,
        run: store_unreachable_at_start,
    },
    Scenario {
        name: "socket_in_use",
        shows: "a second daemon ends with a message that names the first, with another socket, store and state too; the first goes on",
        lab: Needs::Cluster,
        run: socket_in_use,
    },
    Scenario {
        name: "execve_is_forbidden",
        shows: "the running daemon lives under a seccomp filter and has no child processes",
        lab: Needs::Cluster,
        run: execve_is_forbidden,
    },
    Scenario {
        name: "legs_are_sent_to_by_workers",
        shows: "a daemon that starts lets nvme_tcp send from workers only, and preflight looks without changing it",
        lab: Needs::Cluster,
        run: workers_send,
    },
    Scenario {
        name: "garbage_in_configuration",
        shows: "a daemon with a wrong configuration ends at once and names file, line and key",
        lab: Needs::Cluster,
        run: garbage_in_configuration,
    },
];

fn store_lost(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let one = lab.node("node-1")?;
    verb(&one, &format!("volume create vol {SMALL} {TWO_COPIES}"))?;
    verb(&one, "volume attach vol")?;
    verb(&one, "volume mount vol /mnt/vol")?;
    let mut load = Load::new(lab, 8);
    load.start(&one, "/mnt/vol/data")?;
    lab.etcd_power(Power::Cut)?;
    load.goes_on(100)?;
    lab.wait_for("a warning that the store does not answer", Duration::from_mins(1), || {
        let listed = mdfabric(&one, &["volume", "ls"])?.ok()?;
        ensure!(listed.stdout.contains("vol"), "the volume is not listed: {}", listed.stdout);
        Ok(listed.stderr.contains("store does not answer").then_some(()))
    })?;
    load.goes_on(100)?;
    let refused = mdfabric(&one, &["volume", "create", "more", "--size", "320MiB"])?;
    ensure!(refused.status == 1 && refused.stderr.contains("store"), "{refused:?}");
    lab.etcd_power(Power::On)?;
    lab.wait_for("the store to answer again", Duration::from_mins(1), || {
        let listed = mdfabric(&one, &["volume", "ls"])?.ok()?;
        Ok(listed.stderr.is_empty().then_some(()))
    })?;
    until(lab, &one, "vol", "both copies in sync", |record| is_settled_on(record, &["node-1", "node-2"]))?;
    load.goes_on(20)?;
    load.stop()?;
    load.verify(&one, "/mnt/vol/data")?;
    remove(lab, &one, "vol")
}

fn store_unreachable_at_start(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let one = lab.node("node-1")?;
    verb(&one, &format!("volume create vol {SMALL} {TWO_COPIES}"))?;
    verb(&one, "volume attach vol")?;
    verb(&one, "volume mount vol /mnt/vol")?;
    let mut load = Load::new(lab, 11);
    load.start(&one, "/mnt/vol/data")?;
    lab.etcd_power(Power::Cut)?;
    kill(&one)?;
    start(&one, &config(lab, &one))?;
    lab.wait_for("the daemon to say that the store does not answer", Duration::from_mins(1), || {
        let listed = mdfabric(&one, &["volume", "ls"])?;
        Ok(listed.stderr.contains("store").then_some(()))
    })?;
    load.goes_on(50)?;
    lab.etcd_power(Power::On)?;
    wait_answering(lab, &one)?;
    until(lab, &one, "vol", "both copies in sync", |record| is_settled_on(record, &["node-1", "node-2"]))?;
    load.goes_on(20)?;
    load.stop()?;
    load.verify(&one, "/mnt/vol/data")?;
    remove(lab, &one, "vol")
}

fn socket_in_use(stage: &mut Stage<'_>) -> Result<()> {
    let one = stage.lab()?.node("node-1")?;
    let first = one.run(&["pgrep", "-x", "mdfabric"])?.ok()?;
    let named = format!("mdfabric with pid {} runs on this machine already", first.text());
    let other = "--socket /tmp/other.sock --state-dir /tmp/other --store-local /tmp/other/store --name other";
    for more in ["", other] {
        let second = one.sh(&format!("timeout 20 mdfabric node --config {CONFIG} {more}"))?;
        ensure!(second.status == 1 && second.stderr.contains(&named), "{named:?} is not said by {second:?}");
    }
    verb(&one, "node ls").map(drop)
}

fn execve_is_forbidden(stage: &mut Stage<'_>) -> Result<()> {
    for node in stage.lab()?.nodes() {
        let status = node.sh("cat /proc/$(pgrep -x mdfabric)/status")?.ok()?;
        let seccomp = status.stdout.lines().find(|line| line.starts_with("Seccomp:")).unwrap_or_default();
        ensure!(seccomp.split_whitespace().nth(1) == Some("2"), "{}: {seccomp:?}", node.name());
        let children = node.sh("cat /proc/$(pgrep -x mdfabric)/task/*/children")?.ok()?;
        ensure!(children.text().is_empty(), "{} has children {}", node.name(), children.text());
    }
    Ok(())
}

fn workers_send(stage: &mut Stage<'_>) -> Result<()> {
    const SWITCH: &str = "/sys/module/nvme_tcp/parameters/wq_unbound";
    let lab = stage.lab()?;
    let one = lab.node("node-1")?;
    kill(&one)?;
    one.sh(&format!("echo N > {SWITCH}"))?.ok()?;
    start_and_wait(lab, &one)?;
    ensure!(one.sh(&format!("cat {SWITCH}"))?.ok()?.text() == "Y", "writers still send themselves");
    one.sh(&format!("echo N > {SWITCH}"))?.ok()?;
    let said = verb(&one, "node preflight")?;
    ensure!(said.contains("is N; `mdfabric node` sets it"), "{said}");
    ensure!(one.sh(&format!("cat {SWITCH}"))?.ok()?.text() == "N", "preflight changed it");
    one.sh(&format!("echo Y > {SWITCH}"))?.ok().map(drop)
}

fn garbage_in_configuration(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let good = config(lab, &lab.node("node-1")?);
    let cases = [
        ("data-address = \"not an address\"\n".to_owned(), "line 1", "data-address"),
        ("\n\nno-such-key = 1\n".to_owned(), "line 3", "no-such-key"),
        (format!("{good}forbid-exec = maybe\n"), "line", "forbid-exec"),
        ("\u{0}\u{1}garbage".to_owned(), "line 1", "wrong.toml"),
    ];
    cases.iter().try_for_each(|(text, line, key)| is_refused(lab, text, line, key))
}

fn is_refused(lab: &Lab, text: &str, line: &str, key: &str) -> Result<()> {
    const PATH: &str = "/tmp/wrong.toml";
    let one = lab.node("node-1")?;
    one.put_file(PATH, text.as_bytes())?;
    let said = one.run(&["timeout", "20", "mdfabric", "node", "--config", PATH])?;
    ensure!(said.status == 1, "exit status {}: {}", said.status, said.stderr);
    for words in [PATH, line, key] {
        ensure!(said.stderr.contains(words), "{words:?} is not in {}", said.stderr);
    }
    Ok(())
}
