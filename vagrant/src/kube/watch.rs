//! What `kubectl get --watch` prints, from its beginning.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Cluster;

/// How long kubectl may take to show what there is.
const BEGINS: Duration = Duration::from_mins(1);

/// A kubectl that watches until this value is dropped.
#[derive(Debug)]
pub struct Watch {
    kubectl: Child,
    file: PathBuf,
}

impl Watch {
    /// Watches what `get ARGUMENTS` finds, and waits until that is shown. The table goes into the lab's directory, in a file of this name.
    pub fn start(cluster: &Cluster<'_>, name: &str, arguments: &[&str]) -> Result<Self> {
        let file = cluster.lab.dir().join(format!("{name}.watch"));
        let table = File::create(&file)?;
        let mut kubectl = cluster.kubectl.command(&[&["get"], arguments, &["--watch"]].concat());
        kubectl.stdin(Stdio::null()).stderr(table.try_clone()?).stdout(table);
        let watch = Self { kubectl: kubectl.spawn().context("cannot start kubectl")?, file };
        cluster.lab.wait_for("kubectl to show what it watches", BEGINS, || {
            Ok((watch.table()?.lines().count() > 1).then_some(()))
        })?;
        Ok(watch)
    }

    /// Everything that was printed: the titles of the columns, then a line for each change.
    pub fn table(&self) -> Result<String> {
        fs::read_to_string(&self.file).with_context(|| self.file.display().to_string())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.kubectl.kill().ok();
        self.kubectl.wait().ok();
    }
}

/// Which words there were one after the other, each once in a row.
fn changes<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut changes: Vec<String> = words.map(str::to_owned).collect();
    changes.dedup();
    changes
}

/// PHASE in a table of volumes.
#[must_use]
pub fn phases(table: &str) -> Vec<String> {
    changes(table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)))
}

/// STATE in a table of replicas, of those on `node`. USED may be empty.
#[must_use]
pub fn states_on(table: &str, node: &str) -> Vec<String> {
    let on_node = |line: &&str| line.split_whitespace().nth(2) == Some(node);
    changes(table.lines().skip(1).filter(on_node).filter_map(|line| line.split_whitespace().rev().nth(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_told_as_they_change() {
        let table = "NAME  PHASE    MDSTATE  READY  DEGRADED  SYNC  NODE    AGE\n\
                     pvc   Synced   active   2/2    false           node-1  1m\n\
                     pvc   Synced   clean    2/2    false           node-1  1m\n\
                     pvc   Syncing  active   2/3    false     1.5%  node-1  1m\n\
                     pvc   Synced   active   3/3    false           node-1  2m\n";
        assert_eq!(phases(table), ["Synced", "Syncing", "Synced"]);
        assert!(phases("NAME  PHASE\n").is_empty());
    }

    #[test]
    fn states_are_those_of_one_node_with_and_without_use() {
        let table = "NAME  VOLUME  NODE    DRIVE     USED  ALLOCATED  STATE    AGE\n\
                     one   pvc     node-1  node-1-a  9MiB  321MiB     Synced   1m\n\
                     two   pvc     node-3  node-3-a        321MiB     Created  1s\n\
                     two   pvc     node-3  node-3-a        321MiB     Syncing  9s\n\
                     two   pvc     node-3  node-3-a  9MiB  321MiB     Synced   1m\n";
        assert_eq!(states_on(table, "node-3"), ["Created", "Syncing", "Synced"]);
        assert_eq!(states_on(table, "node-1"), ["Synced"]);
    }
}
