//! What an API server says of itself: how often it was asked for what.

use std::collections::BTreeMap;

use anyhow::Result;

use super::Kubectl;

/// How it counts requests (`k8s.io/apiserver`, `pkg/endpoints/metrics`).
const COUNTER: &str = "apiserver_request_total{";
/// The API groups that say something about the product: its own kinds, and leases, which kubelets and sidecars have too.
const GROUPS: [&str; 2] = ["mdfabric.io", "coordination.k8s.io"];

/// Requests about [`GROUPS`], by verb and kind: `PATCH storagenodes`.
pub type Requests = BTreeMap<String, u64>;

/// Those of `after` that came after `before`.
#[must_use]
pub fn since(before: &Requests, after: &Requests) -> Requests {
    let more = |(what, count): (&String, &u64)| {
        let more = count.saturating_sub(before.get(what).copied().unwrap_or_default());
        (more > 0).then(|| (what.clone(), more))
    };
    after.iter().filter_map(more).collect()
}

/// All of them since the API server was started. It does not count who asked.
pub fn requests(kubectl: &Kubectl) -> Result<Requests> {
    Ok(read(&kubectl.run(&["get", "--raw=/metrics"])?))
}

fn read(metrics: &str) -> Requests {
    let mut requests = Requests::default();
    for (labels, count) in metrics.lines().filter_map(counted) {
        let label = |name| label(labels, name).unwrap_or_default();
        if GROUPS.contains(&label("group")) {
            *requests.entry(format!("{} {}", label("verb"), label("resource"))).or_default() += count;
        }
    }
    requests
}

fn counted(line: &str) -> Option<(&str, u64)> {
    let (labels, count) = line.strip_prefix(COUNTER)?.split_once("} ")?;
    Some((labels, count.parse().ok()?))
}

/// What `name="..."` says among labels.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|label| label.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(patches: u32) -> String {
        let line = |group: &str, kind: &str, verb: &str, count: u32| {
            format!(
                "apiserver_request_total{{code=\"200\",component=\"apiserver\",dry_run=\"\",group=\"{group}\",resource=\"{kind}\",\
                 scope=\"resource\",subresource=\"status\",verb=\"{verb}\",version=\"v1alpha1\"}} {count}\n"
            )
        };
        [
            "# TYPE apiserver_request_total counter\n".to_owned(),
            line("mdfabric.io", "storagenodes", "PATCH", patches),
            line("mdfabric.io", "volumes", "LIST", 3),
            line("", "pods", "LIST", 70),
        ]
        .concat()
    }

    #[test]
    fn requests_are_counted_by_verb_and_kind() {
        let (before, after) = (read(&metrics(5)), read(&metrics(12)));
        assert_eq!(after.len(), 2, "{after:?}");
        assert_eq!(after.get("LIST volumes"), Some(&3));
        assert_eq!(since(&before, &after), BTreeMap::from([("PATCH storagenodes".to_owned(), 7)]));
    }
}
