//! Nodes as a scheduler sees them: every node is a place of its own, and every volume can be used on all of them.

use crate::wire::csi::{Topology, TopologyRequirement};

/// The label of a node that its daemon runs on.
pub const NODE: &str = "topology.mdfabric.io/node";

/// Where a node is.
#[must_use]
pub fn of(node: &str) -> Topology {
    Topology { segments: [(NODE.to_owned(), node.to_owned())].into() }
}

/// The node that a place names.
#[must_use]
pub fn node(place: &Topology) -> Option<&str> {
    place.segments.get(NODE).map(String::as_str)
}

/// The nodes that shall have copies, the most wanted first: what is preferred, and then what would do.
#[must_use]
pub fn wanted(requirement: Option<&TopologyRequirement>) -> Vec<String> {
    let mut nodes: Vec<String> = Vec::new();
    let places = requirement.into_iter().flat_map(|wish| wish.preferred.iter().chain(&wish.requisite));
    for name in places.filter_map(node) {
        if !nodes.iter().any(|known| known == name) {
            nodes.push(name.to_owned());
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferred_places_come_first_and_none_twice() {
        let places = |names: &[&str]| names.iter().map(|name| of(name)).collect();
        let wish =
            TopologyRequirement { requisite: places(&["c", "a", "b"]), preferred: places(&["b", "a"]) };
        assert_eq!(wanted(Some(&wish)), ["b", "a", "c"]);
        assert_eq!(wanted(None), [""; 0]);
        let elsewhere = Topology { segments: [("zone".to_owned(), "z".to_owned())].into() };
        assert_eq!(node(&elsewhere), None);
    }
}
