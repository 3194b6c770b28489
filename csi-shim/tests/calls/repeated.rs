//! Every call twice, many at once, and cut off in between.

use std::time::Duration;

use mdfabric_csi::wire::csi::volume_capability::access_mode::Mode;
use mdfabric_csi::wire::csi::{CapacityRange, CreateVolumeRequest};
use tonic::{Code, Request, Response, Status};

use crate::controller::{attach, create, delete, detach, mount, name};
use crate::house::House;
use crate::node::{publish, shown, stage, unpublish, unstage};

/// The call is made five times at once, and once more: all of them succeed, with one answer.
macro_rules! many {
    ($client:expr, $call:ident, $request:expr) => {{
        let calls = (0..5).map(|_| {
            let (mut client, request) = ($client.clone(), $request.clone());
            tokio::spawn(async move { client.$call(request).await.map(Response::into_inner) })
        });
        let mut answers = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            answers.push(call.await.unwrap().unwrap());
        }
        answers.push($client.clone().$call($request.clone()).await.unwrap().into_inner());
        let first = answers.remove(0);
        assert!(answers.iter().all(|answer| *answer == first), "{first:?} {answers:?}");
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_a_life_may_be_made_many_times_at_once() {
    let house = House::new().await;
    let (controller, node) = (&house.on(1).controller, &house.on(1).node);
    let capability = mount("", Mode::SingleNodeMultiWriter);
    many!(controller, create_volume, create("vol", &[]));
    many!(controller, controller_publish_volume, attach("vol", 1, &capability));
    many!(node, node_stage_volume, stage("vol", &capability));
    many!(node, node_publish_volume, publish("vol", "/a", &capability));
    assert_eq!(shown(&house), ["mount /a", "mount /staged"]);
    many!(node, node_unpublish_volume, unpublish("vol", "/a"));
    many!(node, node_unstage_volume, unstage("vol"));
    many!(controller, controller_unpublish_volume, detach("vol", 1));
    many!(controller, delete_volume, delete("vol"));
    house.until("deleted", |world| world.volumes().count() == 0).await;
    assert_eq!(house.cluster.with(|cluster| cluster.leftovers()), [""; 0]);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_does_not_hear_of_is_found_done_or_goes_on() {
    let house = House::new().await;
    let (mut controller, mut node) = (house.on(1).controller.clone(), house.on(1).node.clone());
    let capability = mount("", Mode::SingleNodeMultiWriter);
    /// Too short a time to be done in, then as long as it takes.
    macro_rules! cut_off {
        ($client:expr, $call:ident, $request:expr) => {{
            let mut hasty = Request::new($request);
            hasty.set_timeout(Duration::from_millis(1));
            drop($client.$call(hasty).await);
            $client.$call($request).await.unwrap();
        }};
    }
    cut_off!(controller, create_volume, create("vol", &[]));
    cut_off!(controller, controller_publish_volume, attach("vol", 1, &capability));
    cut_off!(node, node_stage_volume, stage("vol", &capability));
    cut_off!(node, node_publish_volume, publish("vol", "/a", &capability));
    house.cluster.with(|cluster| cluster.kill_daemon(&"node-1".parse().unwrap(), 500));
    cut_off!(node, node_unpublish_volume, unpublish("vol", "/a"));
    house.cluster.with(|cluster| cluster.kill_daemon(&"node-1".parse().unwrap(), 500));
    cut_off!(node, node_unstage_volume, unstage("vol"));
    cut_off!(controller, controller_unpublish_volume, detach("vol", 1));
    cut_off!(controller, delete_volume, delete("vol"));
    house.until("deleted", |world| world.volumes().count() == 0).await;
    assert_eq!(house.cluster.with(|cluster| cluster.leftovers()), [""; 0]);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_stands_for_one_volume() {
    let house = House::new().await;
    let mut controller = house.on(1).controller.clone();
    let sized = |required_bytes: i64, limit_bytes: i64| CreateVolumeRequest {
        capacity_range: Some(CapacityRange { required_bytes, limit_bytes }),
        ..create("vol", &[])
    };
    controller.create_volume(sized(1 << 30, 0)).await.unwrap();
    let within = controller.create_volume(sized(1, 2 << 30)).await.unwrap().into_inner();
    assert_eq!(within.volume.unwrap().capacity_bytes, 1 << 30);
    let other = controller.create_volume(sized(2 << 30, 0)).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists, "{other:?}");
    let other = controller.create_volume(create("vol", &[("replicaCount", "1")])).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists, "{other:?}");
    // A name that the daemon would not take stands for one volume, too.
    let strange = |name: &str| create(name, &[("replicaCount", "1")]);
    let id = async |name: &str| -> Result<String, Status> {
        let made = house.on(2).controller.clone().create_volume(strange(name)).await?;
        Ok(made.into_inner().volume.unwrap().volume_id)
    };
    let first = id("Ä/1").await.unwrap();
    assert_eq!(id("Ä/1").await.unwrap(), first);
    assert_ne!(id("Ä/2").await.unwrap(), first);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_volumes_at_once_find_their_places_or_leave_nothing() {
    let house = House::new().await;
    let calls = (0..20).map(|index| {
        let mut controller = house.on(1 + index % 3).controller.clone();
        tokio::spawn(async move { controller.create_volume(create(&format!("v{index}"), &[])).await })
    });
    let mut made = 0;
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(_) => made += 1,
            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}"),
        }
    }
    // 24 GiB in six drives, of which each has room for three copies.
    assert!(made >= 8, "{made}");
    house.until("only those are left", |world| world.volumes().count() == made).await;
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_is_not_released_yet_is_deleted_when_it_is() {
    let house = House::new().await;
    let (mut controller, mut node) = (house.on(1).controller.clone(), house.on(1).node.clone());
    let capability = mount("", Mode::SingleNodeWriter);
    controller.create_volume(create("vol", &[])).await.unwrap();
    controller.controller_publish_volume(attach("vol", 1, &capability)).await.unwrap();
    node.node_stage_volume(stage("vol", &capability)).await.unwrap();
    house.cluster.with(|cluster| {
        cluster.request(|world, _| mdfabric::plan::verbs::detach(world, &name("vol"))).unwrap();
    });
    house
        .until("detached", |world| {
            world.volume_spec(&name("vol")).is_some_and(|spec| spec.attachment.is_none())
        })
        .await;
    controller.delete_volume(delete("vol")).await.unwrap();
    house.until("deleted", |world| world.volumes().count() == 0).await;
    house.close();
}
