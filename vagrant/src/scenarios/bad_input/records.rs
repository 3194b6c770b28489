//! Records that are lost while what they tell of is there.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::daemon::{restart_all, word};
use crate::node::Node;
use crate::product::{
    Copy, FILE, TWO_COPIES, copies, copies_are_equal, is_clean, is_explained, is_settled_on, list, remove,
    until, verb, written_volume,
};
use crate::scenarios::Stage;

/// The statuses of a volume and of its copies are taken out of etcd, as a restore that leaves statuses out does.
pub(super) fn statuses(stage: &mut Stage<'_>) -> Result<()> {
    let lab = stage.lab()?;
    let (one, mut load) = written_volume(lab, 11, TWO_COPIES)?;
    load.goes_on(100)?;
    load.stop()?;
    verb(&one, "volume detach vol")?;
    let there = copies(lab, &one, "vol")?;
    let before = sums(&there)?;
    let ids: Vec<String> = list(&one, "replica")?.iter().map(|replica| word(replica, "/spec/id")).collect();
    // Those that have made them would remember it.
    restart_all(lab)?;
    let etcd = Etcd { endpoint: lab.etcd_endpoint(), node: &one };

    let of_volume = etcd.take("volume-status/vol")?;
    until(lab, &one, "vol", "a place, as if it were new", |record| {
        record.pointer("/status/members").and_then(Value::as_array).is_some_and(|members| members.len() == 2)
    })?;
    verb(&one, "volume attach vol --node node-1 --no-wait")?;
    is_explained(lab, &one, "volume/vol", &["gets no first superblock"])?;
    ensure!(sums(&there)? == before, "a copy has changed for want of its volume's status");
    let of_copies: Vec<Record> =
        ids.iter().map(|id| etcd.take(&format!("replica-status/{id}"))).collect::<Result<_>>()?;
    for id in &ids {
        is_explained(lab, &one, &format!("replica/{id}"), &["is not zeroed"])?;
    }
    ensure!(sums(&there)? == before, "a copy has changed for want of its status");

    of_copies.iter().chain([&of_volume]).try_for_each(|record| etcd.put_back(record))?;
    verb(&one, "volume mount vol /mnt/vol")?;
    load.verify(&one, FILE)?;
    until(lab, &one, "vol", "both copies", |record| is_settled_on(record, &["node-1", "node-2"]))?;
    copies_are_equal(lab, &one, "vol", 0)?;
    verb(&one, "volume unmount vol")?;
    is_clean(&one, "vol")?;
    remove(lab, &one, "vol")
}

/// What the first MiB of each copy's data says.
fn sums(copies: &[Copy]) -> Result<Vec<String>> {
    copies.iter().map(|copy| copy.sum(0)).collect()
}

/// etcd as its JSON gateway gives it, asked from a guest.
struct Etcd<'a> {
    endpoint: String,
    node: &'a Node,
}

/// A key and what it had, as they are on the wire.
struct Record {
    key: String,
    value: String,
}

impl Etcd<'_> {
    /// Takes a record away that is there.
    fn take(&self, name: &str) -> Result<Record> {
        let key = BASE64_STANDARD.encode(format!("/mdfabric/v1/{name}"));
        let gone = self.ask("deleterange", &json!({ "key": key, "prev_kv": true }))?;
        let value = word(&gone, "/prev_kvs/0/value");
        ensure!(!value.is_empty(), "etcd has no {name}: {gone}");
        Ok(Record { key, value })
    }

    fn put_back(&self, Record { key, value }: &Record) -> Result<()> {
        self.ask("put", &json!({ "key": key, "value": value })).map(drop)
    }

    fn ask(&self, verb: &str, request: &Value) -> Result<Value> {
        let url = format!("{}/v3/kv/{verb}", self.endpoint);
        let post = ["busybox", "wget", "-q", "-O", "-", "--post-data", &request.to_string(), &url];
        let said = self.node.run(&post)?.ok()?;
        serde_json::from_str(said.text()).with_context(|| format!("{url}: {}", said.stdout))
    }
}
