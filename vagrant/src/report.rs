//! What the world looked like when something went wrong.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use crate::command::tail;
use crate::lab::Lab;
use crate::node::Node;

/// How every report begins.
pub const TITLE: &str = "---- what the world looked like: lab";

/// What is asked on every node: a title, a script.
const QUESTIONS: &[(&str, &str)] = &[
    (
        "explain",
        "for v in $(timeout 10 mdfabric volume ls 2>/dev/null | awk 'NR > 1 { print $1 }'); do timeout 10 mdfabric explain volume/$v 2>&1; done | tail -n 40",
    ),
    ("mdstat", "cat /proc/mdstat 2>/dev/null"),
    ("dmesg", "dmesg | tail -n 25"),
    ("flight recorder", "timeout 10 mdfabric recorder --tail 40 2>/dev/null"),
    ("daemon log", "tail -n 25 /var/log/mdfabric.log 2>/dev/null"),
    ("kubelet", "grep -v ' I[0-9]' /var/log/kubelet.log 2>/dev/null | tail -n 15"),
    ("containerd", "grep -v level=info /var/log/containerd.log 2>/dev/null | tail -n 10"),
];

/// As much of the console of a node that does not answer: the whole of what a kernel says when it panics.
const CONSOLE_LINES: usize = 120;

/// A node that is asked may be the one that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything about `lab` that helps to understand a failure.
#[must_use]
pub fn of(lab: &Lab) -> String {
    let mut text = format!("{TITLE} {} ----\n", lab.name());
    match lab.status() {
        Ok(status) => {
            writeln!(text, "etcd answers: {}; network: {:?}", status.etcd, status.network).ok();
            let nodes = status.nodes.into_iter().map(|(node, pid)| (node, pid.is_some()));
            for (party, is_on) in nodes.chain(status.plane) {
                writeln!(text, "{party}: {}", if is_on { "on" } else { "off" }).ok();
            }
        }
        Err(err) => {
            writeln!(text, "no status: {err:#}").ok();
        }
    }
    text.push_str(&crate::kube::told(lab));
    lab.nodes().iter().for_each(|node| text.push_str(&of_node(node)));
    text
}

fn of_node(node: &Node) -> String {
    let mut text = String::new();
    for (title, script) in QUESTIONS {
        match node.run_for(PATIENCE, &["sh", "-c", script]) {
            Ok(output) => {
                writeln!(text, "---- {}: {title} ----\n{}", node.name(), output.stdout.trim_end()).ok();
            }
            Err(err) => {
                let console = fs::read_to_string(node.files().console_log()).unwrap_or_default();
                let console = tail(&console, CONSOLE_LINES);
                writeln!(text, "---- {}: {err:#}; console ----\n{console}", node.name()).ok();
                break;
            }
        }
    }
    text
}
