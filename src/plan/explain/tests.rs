use uuid::Uuid;

use super::*;
use crate::domain::testing::{member, node_status, put, volume_spec};
use crate::domain::{
    Epoch, Event, MemberState, NodeSpec, NodeStatus, Record, VolumePhase, VolumeSpec, VolumeStatus,
};

const NOW: Timestamp = Timestamp(10_000_000);

fn volume(world: &mut World, name: &str) {
    let spec = VolumeSpec { created_at: Timestamp(NOW.0 - 3_600_000), ..volume_spec(name) };
    put(world, name, Record::VolumeSpec(spec));
}

fn status() -> VolumeStatus {
    VolumeStatus {
        phase: VolumePhase::Syncing,
        epoch: Epoch(7),
        owner: Some("n1".parse().unwrap()),
        claimed_at: Timestamp(NOW.0 - 60_000),
        members: vec![member(2, "n2", MemberState::Missing, Timestamp(NOW.0 - 5000))],
        reasons: vec![Reason::warning("Degraded", "1 of 2 copies", "bring n2 back")],
        events: (0..20)
            .map(|number| Event { at: NOW, reason: "E".to_owned(), message: number.to_string() })
            .collect(),
        ..VolumeStatus::default()
    }
}

struct Here {
    me: NodeName,
    running: Vec<(String, Timestamp)>,
    failing: Vec<(String, u32, String)>,
    reasons: Vec<Reason>,
}

impl Here {
    fn quiet() -> Self {
        Self { me: "n1".parse().unwrap(), running: Vec::new(), failing: Vec::new(), reasons: Vec::new() }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            me: &self.me,
            now: NOW,
            running: &self.running,
            failing: &self.failing,
            reasons: &self.reasons,
            store_lost: None,
            leads: false,
            peers: &[],
            foreign: &[],
        }
    }
}

#[test]
fn a_volume_says_owner_copies_reasons_events_and_what_is_done_here() {
    let mut world = World::default();
    volume(&mut world, "a");
    put(&mut world, "a", Record::VolumeStatus(status()));
    let here = Here {
        running: vec![
            ("mount a at /mnt".to_owned(), Timestamp(NOW.0 - 3000)),
            ("mount ab at /x".to_owned(), NOW),
        ],
        failing: vec![(format!("map leg {} over 259:1", Uuid::from_u128(2)), 3, "EBUSY".to_owned())],
        ..Here::quiet()
    };
    let text = explain(&world, &here.facts(), "volume/a").unwrap().join("\n");
    for expected in [
        "Volume a: 1 GiB, 2 copies, xfs, asked for 60m ago.",
        "It is Syncing; no array is running.",
        "n1 has owned it for 60s (epoch 7); nobody asked for it to be attached.",
        "Copy on n2 (drive S2) is Missing for 5s, not in sync; its provider has not answered yet.",
        "Warning: Degraded: 1 of 2 copies. What to do: bring n2 back.",
        "n1 has been doing for 3s: mount a at /mnt.",
        "n1 failed 3 times in a row and tries again: map leg",
        "0s ago: E: 19",
    ] {
        assert!(text.contains(expected), "{expected:?} in\n{text}");
    }
    assert!(!text.contains("mount ab") && !text.contains("E: 11\n"), "{text}");
}

#[test]
fn a_change_of_the_number_of_copies_is_said() {
    let mut world = World::default();
    volume(&mut world, "a");
    let text = |world: &World| explain(world, &Here::quiet().facts(), "volume/a").unwrap().join("\n");
    let spec = world.volume_spec(&"a".parse().unwrap()).unwrap().clone();
    let placed =
        crate::domain::Placed { copies: 3, before: Some(2), ..crate::domain::Placed::carried_out(&spec) };
    let joining = member(3, "n3", MemberState::Syncing, NOW);
    let relocation = crate::domain::Relocation {
        joining: Some(joining.replica),
        leaving: None,
        from: None,
        cause: crate::domain::MoveCause::Placement,
        started_at: Timestamp(NOW.0 - 4000),
        verified: false,
    };
    let mut growing = VolumeStatus { placed: Some(placed), relocation: Some(relocation), ..status() };
    growing.members.push(joining);
    growing.array.sync_permille = Some(431);
    put(&mut world, "a", Record::VolumeStatus(growing));
    for expected in [
        "Volume a: 1 GiB, 3 copies",
        "The number of its copies is being changed from 2 to 3.",
        "A copy has been joining on n3 for 4s, 43.1 % copied.",
    ] {
        assert!(text(&world).contains(expected), "{expected:?} in\n{}", text(&world));
    }
    put(&mut world, "a", Record::VolumeSpec(VolumeSpec { replicas: 1, ..spec }));
    assert!(text(&world).contains("A change of its placement is asked for and has not begun."));
}

#[test]
fn a_volume_nobody_placed_says_why() {
    let mut world = World::default();
    volume(&mut world, "a");
    let here = Here {
        reasons: vec![Reason::blocked("NoPlace", "no place for copy 1 of volume a: x", "add")],
        ..Here::quiet()
    };
    let text = explain(&world, &here.facts(), "a").unwrap().join("\n");
    assert!(text.contains("It is New") && text.contains("Blocked: NoPlace"), "{text}");
}

#[test]
fn names_resolve_when_they_are_unique_and_near_ones_are_listed() {
    let mut world = World::default();
    volume(&mut world, "alpha");
    volume(&mut world, "node-1");
    put(&mut world, "node-1", Record::NodeSpec(NodeSpec::default()));
    let here = Here::quiet();
    let ask = |object: &str| explain(&world, &here.facts(), object);
    assert_eq!(ask("alpha").unwrap(), ask("volume/alpha").unwrap());
    let both = ask("node-1").unwrap_err();
    assert!(both.message.contains("volume/node-1 or node/node-1"), "{both}");
    assert!(ask("node/node-1").unwrap()[0].contains("has never reported"));
    let near = ask("volume/alpah").unwrap_err();
    assert_eq!(near.next_step, "did you mean volume/alpha?");
    assert!(ask("zzzzzzzzzzzzzz").unwrap_err().next_step.starts_with("name a volume"));
    assert!(ask("").is_err());
}

#[test]
fn without_a_store_the_age_of_the_answer_is_said() {
    let mut world = World::default();
    volume(&mut world, "a");
    let here = Here::quiet();
    let lost = Facts { store_lost: Some("timeout"), ..here.facts() };
    let lines = explain(&world, &lost, "a").unwrap();
    assert!(lines.last().unwrap().starts_with("The store does not answer n1 (timeout)"));
}

#[test]
fn a_node_says_how_it_stands_with_the_one_that_is_asked() {
    let mut world = World::default();
    put(&mut world, "n2", Record::NodeSpec(NodeSpec::default()));
    let here = Here::quiet();
    let peers = [("n2".parse().unwrap(), "said that it goes down".to_owned())];
    let facts = Facts { peers: &peers, ..here.facts() };
    let text = explain(&world, &facts, "node/n2").unwrap().join("\n");
    assert!(text.contains("As n1 has it, n2 said that it goes down."), "{text}");
}

#[test]
fn ages() {
    let cases = [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")];
    for (seconds, expected) in cases {
        assert_eq!(age(Timestamp(seconds * 1000), Timestamp(0)), expected);
    }
    assert_eq!(age(Timestamp(0), Timestamp(5)), "0s");
}

/// Whoever heals a volume is not there to say that it does not.
#[test]
fn that_an_owner_or_a_provider_is_silent_is_said_by_whoever_answers() {
    let mut world = World::default();
    volume(&mut world, "a");
    put(&mut world, "a", Record::VolumeStatus(status()));
    let other = Here { me: "n3".parse().unwrap(), ..Here::quiet() };
    let said = |world: &World| explain(world, &other.facts(), "volume/a").unwrap().join("\n");
    for node in ["n1", "n2"] {
        put(&mut world, node, Record::NodeStatus(node_status(Timestamp(NOW.0 - 1000))));
    }
    assert!(!said(&world).contains("last heard"));
    for node in ["n1", "n2"] {
        put(&mut world, node, Record::NodeStatus(node_status(Timestamp(NOW.0 - 40_000))));
    }
    for expected in [
        "The daemon of its owner n1 was last heard 40s ago",
        "`mdfabric volume attach a --node OTHER` take it over.",
        "not answered yet, and was last heard 40s ago.",
    ] {
        assert!(said(&world).contains(expected), "{expected:?} in\n{}", said(&world));
    }
    let dead_after_millis = 60_000;
    for node in ["n1", "n2"] {
        let sparing = NodeStatus { dead_after_millis, ..node_status(Timestamp(NOW.0 - 40_000)) };
        put(&mut world, node, Record::NodeStatus(sparing));
    }
    assert!(!said(&world).contains("last heard"), "where nodes say less often that they live");
    for node in ["n1", "n2"] {
        put(&mut world, node, Record::NodeStatus(node_status(Timestamp(NOW.0 - 40_000))));
    }
    let lost = Facts { store_lost: Some("no answer"), ..other.facts() };
    let said = explain(&world, &lost, "volume/a").unwrap().join("\n");
    assert!(!said.contains("last heard"), "without a store nobody is heard");
}
