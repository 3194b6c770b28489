//! What is left to look at afterwards: the flight recorder and the dump.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Needs, Scenario, Stage};
use crate::daemon::{kill, mdfabric, start_and_wait};
use crate::node::Node;
use crate::product::{SMALL, TWO_COPIES, is_settled_on, remove, until, verb};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "dump_reads_like_the_node",
    shows: "a dump answers every reading verb as its node did, without a daemon; the flight recorder tells the steps",
    lab: Needs::Cluster,
    run: dump_reads_like_the_node,
}];

/// Where the node's dump is written.
const DUMP: &str = "/tmp/dump.tar";

fn dump_reads_like_the_node(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let one = lab.node("node-1")?;
    verb(&one, &format!("volume create vol {SMALL} {TWO_COPIES}"))?;
    verb(&one, "volume attach vol")?;
    until(lab, &one, "vol", "both copies in sync", |record| is_settled_on(record, &["node-1", "node-2"]))?;
    verb(&one, &format!("dump -o {DUMP}"))?;
    reads_alike(&one)?;
    let steps = ["zero and read back", "assemble md_", "wrote VolumeStatus/vol", "kernel: array md_"];
    tells(&verb(&one, "recorder --tail 500")?, &steps)?;
    tells(&verb(&one, &format!("recorder {DUMP}"))?, &steps)?;
    changes_nothing(&one)?;
    is_refused_when_cut(&one)?;
    kill(&one)?;
    tells(&verb(&one, "recorder")?, &steps)?;
    is_made_without_a_daemon(&one)?;
    start_and_wait(lab, &one)?;
    until(lab, &one, "vol", "both copies in sync", |record| is_settled_on(record, &["node-1", "node-2"]))?;
    remove(lab, &one, "vol")
}

fn tells(text: &str, all: &[&str]) -> Result<()> {
    all.iter().try_for_each(|words| {
        ensure!(text.contains(words), "{words:?} is not told in\n{text}");
        Ok(())
    })
}

/// Live and dumped answers are the same, but for signs of life and ages.
fn reads_alike(one: &Node) -> Result<()> {
    for line in ["volume ls", "volume show vol", "replica ls", "drive ls", "node ls", "node show node-2"] {
        let verb = format!("{line} -o json");
        let (live, dumped) = (records(one, &verb)?, records(one, &format!("--root {DUMP} {verb}"))?);
        ensure!(live == dumped, "{line}: live\n{live:#}\ndumped\n{dumped:#}");
    }
    for line in
        ["volume ls -o wide", "replica ls", "drive ls", "explain volume/vol", "explain drive/node-1-a"]
    {
        let (live, dumped) = (verb(one, line)?, verb(one, &format!("--root {DUMP} {line}"))?);
        ensure!(without_ages(&live) == without_ages(&dumped), "{line}: live\n{live}\ndumped\n{dumped}");
    }
    Ok(())
}

fn records(one: &Node, line: &str) -> Result<Value> {
    let text = verb(one, line)?;
    let mut value = serde_json::from_str(&text).with_context(|| format!("{line}: {text}"))?;
    forget_heartbeats(&mut value);
    Ok(value)
}

fn forget_heartbeats(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(forget_heartbeats),
        Value::Object(fields) => {
            fields.remove("heartbeatAt");
            fields.values_mut().for_each(forget_heartbeats);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The words of a text; `12s` and `3m` stand for any age.
fn without_ages(text: &str) -> Vec<String> {
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
        let age = bare.strip_suffix(['s', 'm', 'h']).is_some_and(|number| number.parse::<u64>().is_ok());
        if age { word.replace(bare, "AGE") } else { word.to_owned() }
    };
    text.split_whitespace().map(word).collect()
}

fn changes_nothing(one: &Node) -> Result<()> {
    for line in
        ["volume rm vol", "volume create more --size 320MiB", "drive add node-1-b", "node cordon node-1"]
    {
        let line = format!("--root {DUMP} {line}");
        let said = mdfabric(one, &line.split_whitespace().collect::<Vec<_>>())?;
        ensure!(said.status == 1 && said.stderr.contains("only shows what was"), "{said:?}");
    }
    Ok(())
}

fn is_refused_when_cut(one: &Node) -> Result<()> {
    one.sh(&format!("head -c 20000 {DUMP} >/tmp/cut.tar"))?.ok()?;
    let said = mdfabric(one, &["--root", "/tmp/cut.tar", "volume", "ls"])?;
    let named = said.stderr.contains("/tmp/cut.tar");
    let why = said.stderr.contains("truncated") || said.stderr.contains("damaged");
    ensure!(said.status == 1 && named && why, "{said:?}");
    Ok(())
}

fn is_made_without_a_daemon(one: &Node) -> Result<()> {
    let said = mdfabric(one, &["dump", "-o", "/tmp/dead.tar"])?.ok()?;
    tells(&said.stderr, &["no daemon answers", "etcd"])?;
    let listed = one.sh("tar -tf /tmp/dead.tar")?.ok()?;
    tells(&listed.stdout, &["/md/array_state", "nvmet", "proc/mdstat", "/superblock", "recorder/"])
}
