use super::*;

fn node(index: u8) -> NodeName {
    format!("node-{index}").parse().unwrap()
}

fn beat(life: u128, sequence: u64) -> Beat {
    Beat { life: Uuid::from_u128(life), sequence, asks: true, goes_down: false }
}

fn following() -> Peers {
    let mut peers = Peers::default();
    peers.follow([(&node(2), true), (&node(3), false)].into_iter());
    peers
}

fn standing(peers: &Peers) -> Standing {
    peers.of(&node(2)).unwrap().0
}

fn pass(peers: &mut Peers, millis: u64) {
    (0..millis / BEAT_MILLIS).for_each(|_| peers.pass(BEAT_MILLIS));
}

#[test]
fn a_node_goes_through_all_standings_and_back() {
    let mut peers = following();
    pass(&mut peers, 60_000);
    assert_eq!(standing(&peers), Standing::Unheard);
    peers.hear(&node(2), &beat(1, 1));
    assert_eq!((standing(&peers), peers.next_change_in()), (Standing::Heard, Some(PEER_SILENT_MILLIS)));
    pass(&mut peers, PEER_SILENT_MILLIS + BEAT_MILLIS);
    assert_eq!(standing(&peers), Standing::Silent);
    pass(&mut peers, PEER_SILENT_MILLIS + PEER_DEAD_AFTER_MILLIS);
    assert_eq!((standing(&peers), peers.next_change_in()), (Standing::Dead, None));
    peers.hear(&node(2), &beat(1, 2));
    assert_eq!(standing(&peers), Standing::Heard);
}

#[test]
fn who_is_told_to_be_patient_bears_more_silence() {
    let mut peers = Peers::patient(2_000);
    peers.follow([(&node(2), true)].into_iter());
    peers.hear(&node(2), &beat(1, 1));
    pass(&mut peers, 1_900);
    assert_eq!((standing(&peers), peers.next_change_in()), (Standing::Heard, Some(100)));
    pass(&mut peers, BEAT_MILLIS);
    assert_eq!((standing(&peers), peers.next_change_in()), (Standing::Silent, Some(PEER_DEAD_AFTER_MILLIS)));
}

#[test]
fn a_listener_that_was_paused_counts_little_of_it() {
    let mut peers = following();
    peers.hear(&node(2), &beat(1, 1));
    peers.pass(3_600_000);
    assert_eq!(peers.of(&node(2)), Some((Standing::Heard, 2 * BEAT_MILLIS)));
}

#[test]
fn what_comes_late_says_nothing() {
    let mut peers = following();
    let goodbye = Beat { goes_down: true, ..beat(1, 5) };
    peers.hear(&node(2), &goodbye);
    peers.hear(&node(2), &beat(1, 4));
    assert_eq!(standing(&peers), Standing::GoesDown, "an earlier beat takes nothing back");
    pass(&mut peers, 60_000);
    assert_eq!(standing(&peers), Standing::GoesDown, "it is off");
    peers.hear(&node(2), &beat(2, 1));
    assert_eq!(standing(&peers), Standing::Heard, "it was started again");
    peers.hear(&node(2), &goodbye);
    assert_eq!(standing(&peers), Standing::Heard, "that was an earlier life's");
}

#[test]
fn who_is_not_wanted_is_answered_and_never_missed() {
    let mut peers = following();
    let targets =
        |peers: &Peers| peers.targets().map(|(node, asks)| (node.clone(), asks)).collect::<Vec<_>>();
    peers.hear(&node(3), &beat(1, 1));
    peers.hear(&node(4), &beat(1, 1));
    assert_eq!(targets(&peers), [(node(2), true), (node(3), false)]);
    pass(&mut peers, PEER_SILENT_MILLIS + PEER_DEAD_AFTER_MILLIS);
    assert_eq!(targets(&peers), [(node(2), true)]);
    assert_eq!(peers.silent().map(|(node, _)| node.clone()).collect::<Vec<_>>(), [node(2)]);
    assert_eq!(peers.of(&node(3)), None);
}

#[test]
fn silence_before_somebody_was_wanted_does_not_count() {
    let mut peers = following();
    pass(&mut peers, 5_000);
    peers.follow([(&node(3), true)].into_iter());
    assert_eq!((peers.of(&node(2)), peers.of(&node(3))), (None, Some((Standing::Unheard, 0))));
}
