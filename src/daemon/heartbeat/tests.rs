use super::*;

fn node(index: u8) -> NodeName {
    format!("node-{index}").parse().unwrap()
}

fn endpoint(index: u8) -> Endpoint {
    Endpoint {
        address: format!("127.0.0.{index}"),
        port: 44_200 + u16::try_from(std::process::id() % 1000).unwrap(),
    }
}

fn others(of: u8, wanted: bool) -> BTreeMap<NodeName, (Endpoint, bool)> {
    (1..=2).filter(|index| *index != of).map(|index| (node(index), (endpoint(index), wanted))).collect()
}

async fn until(network: &PeerNetwork, woken: &mut mpsc::Receiver<()>, of: u8, standing: Standing) {
    let reached = async {
        while network.heard().of(&node(of)).map(|(standing, _)| standing) != Some(standing) {
            woken.recv().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reached).await.unwrap();
}

#[tokio::test]
async fn two_daemons_hear_each_other_say_goodbye_and_fall_silent() {
    let (one, mut woken) = start(node(1), &endpoint(1), Peers::default());
    let (two, heard_by_two) = start(node(2), &endpoint(2), Peers::default());
    one.follow(others(1, true));
    // It does not know that the other one wants to hear it, but answers.
    two.follow(others(2, false));
    until(&one, &mut woken, 2, Standing::Heard).await;
    two.say_goodbye();
    until(&one, &mut woken, 2, Standing::GoesDown).await;
    drop((two, heard_by_two));
    let (_again, _woken) = {
        let (two, woken) = start(node(2), &endpoint(2), Peers::default());
        two.follow(others(2, false));
        (two, woken)
    };
    until(&one, &mut woken, 2, Standing::Heard).await;
}

#[tokio::test]
async fn whoever_is_heard_no_more_is_silent_and_then_dead() {
    let me = Endpoint { address: "127.0.0.3".to_owned(), ..endpoint(1) };
    let (one, mut woken) = start(node(1), &me, Peers::default());
    let elsewhere = Endpoint { address: "127.0.0.4".to_owned(), ..endpoint(2) };
    let (two, heard_by_two) = start(node(2), &elsewhere, Peers::default());
    let at = |address: &str| Endpoint { address: address.to_owned(), ..endpoint(1) };
    one.follow([(node(2), (at("127.0.0.4"), true))].into());
    two.follow([(node(1), (at("127.0.0.3"), false))].into());
    until(&one, &mut woken, 2, Standing::Heard).await;
    drop((two, heard_by_two));
    until(&one, &mut woken, 2, Standing::Dead).await;
}
