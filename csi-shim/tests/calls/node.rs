//! Volumes on a node: staged, published, measured, taken away.

use mdfabric::domain::World;
use mdfabric_csi::node::EPOCH;
use mdfabric_csi::topology;
use mdfabric_csi::wire::csi::volume_capability::AccessType;
use mdfabric_csi::wire::csi::volume_capability::access_mode::Mode;
use mdfabric_csi::wire::csi::{
    CapacityRange, ControllerExpandVolumeRequest, CreateVolumeRequest, NodeExpandVolumeRequest,
    NodeGetCapabilitiesRequest, NodeGetInfoRequest, NodeGetVolumeStatsRequest, NodePublishVolumeRequest,
    NodeStageVolumeRequest, NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest, VolumeCapability,
    VolumeUsage,
};
use tonic::{Code, Status};

use crate::controller::{attach, block, create, detach, mount, name};
use crate::house::House;

const STAGED: &str = "/staged";

pub(crate) fn stage(id: &str, capability: &VolumeCapability) -> NodeStageVolumeRequest {
    NodeStageVolumeRequest {
        volume_id: id.to_owned(),
        staging_target_path: STAGED.to_owned(),
        volume_capability: Some(capability.clone()),
        ..NodeStageVolumeRequest::default()
    }
}

pub(crate) fn publish(id: &str, path: &str, capability: &VolumeCapability) -> NodePublishVolumeRequest {
    NodePublishVolumeRequest {
        volume_id: id.to_owned(),
        staging_target_path: STAGED.to_owned(),
        target_path: path.to_owned(),
        volume_capability: Some(capability.clone()),
        ..NodePublishVolumeRequest::default()
    }
}

pub(crate) fn unpublish(id: &str, path: &str) -> NodeUnpublishVolumeRequest {
    NodeUnpublishVolumeRequest { volume_id: id.to_owned(), target_path: path.to_owned() }
}

pub(crate) fn unstage(id: &str) -> NodeUnstageVolumeRequest {
    NodeUnstageVolumeRequest { volume_id: id.to_owned(), staging_target_path: STAGED.to_owned() }
}

fn stats(id: &str, path: &str) -> NodeGetVolumeStatsRequest {
    NodeGetVolumeStatsRequest { volume_id: id.to_owned(), volume_path: path.to_owned(), ..Default::default() }
}

/// Everything that a node's kernel shows of volumes.
pub(crate) fn shown(house: &House) -> Vec<String> {
    let picture = house.cluster.with(|cluster| cluster.picture());
    let lines =
        picture.lines().map(str::trim).filter(|line| line.starts_with("mount ") || line.starts_with("bind "));
    lines.map(str::to_owned).collect()
}

/// A volume that is attached on node 1.
pub(crate) async fn attached(house: &House, capability: &VolumeCapability) {
    let mut controller = house.on(1).controller.clone();
    let wish = CreateVolumeRequest { volume_capabilities: vec![capability.clone()], ..create("vol", &[]) };
    controller.create_volume(wish).await.unwrap();
    controller.controller_publish_volume(attach("vol", 1, capability)).await.unwrap();
}

fn writer() -> VolumeCapability {
    mount("", Mode::SingleNodeMultiWriter)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_where_it_is_and_what_it_can() {
    let house = House::new().await;
    let mut node = house.on(2).node.clone();
    let info = node.node_get_info(NodeGetInfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.node_id.as_str(), info.accessible_topology), ("node-2", Some(topology::of("node-2"))));
    let can = node.node_get_capabilities(NodeGetCapabilitiesRequest {}).await.unwrap().into_inner();
    assert_eq!(can.capabilities.len(), 6);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_system_is_mounted_once_and_seen_at_every_target() {
    let house = House::new().await;
    let mut node = house.on(1).node.clone();
    attached(&house, &writer()).await;
    let early = node.node_publish_volume(publish("vol", "/a", &writer())).await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition, "{early:?}");
    node.node_stage_volume(stage("vol", &writer())).await.unwrap();
    assert_eq!(shown(&house), ["mount /staged"]);
    for path in ["/a", "/b"] {
        let wish = NodePublishVolumeRequest { readonly: path == "/b", ..publish("vol", path, &writer()) };
        node.node_publish_volume(wish).await.unwrap();
    }
    assert_eq!(shown(&house), ["mount /a", "mount /b", "mount /staged"]);
    let other = node.node_publish_volume(publish("vol", "/b", &writer())).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists, "it is there read-only: {other:?}");

    node.node_unpublish_volume(unpublish("vol", "/a")).await.unwrap();
    assert_eq!(shown(&house), ["mount /b", "mount /staged"]);
    // Whoever lost count unstages what is still published.
    node.node_unstage_volume(unstage("vol")).await.unwrap();
    assert_eq!(shown(&house), [""; 0]);
    house.on(1).controller.clone().controller_unpublish_volume(detach("vol", 1)).await.unwrap();
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_and_group_are_those_that_were_asked_for() {
    let house = House::new().await;
    let mut node = house.on(1).node.clone();
    let mut capability = writer();
    let Some(AccessType::Mount(how)) = &mut capability.access_type else { panic!() };
    (how.mount_flags, how.volume_mount_group) = (vec!["noatime".to_owned()], "2000".to_owned());
    attached(&house, &capability).await;
    node.node_stage_volume(stage("vol", &capability)).await.unwrap();
    let spec = house.cluster.with(|cluster| cluster.world().volume_spec(&name("vol")).unwrap().clone());
    let mount = spec.attachment.unwrap().mount.unwrap();
    assert_eq!((mount.options, mount.group), (vec!["noatime".to_owned()], Some(2000)));
    let other = node.node_stage_volume(stage("vol", &writer())).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists, "{other:?}");
    let ext4 = node.node_stage_volume(stage("vol", &mount_of("ext4"))).await.unwrap_err();
    assert_eq!(ext4.code(), Code::InvalidArgument, "{ext4:?}");
    house.close();
}

fn mount_of(fs: &str) -> VolumeCapability {
    mount(fs, Mode::SingleNodeWriter)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_shown_itself() {
    let house = House::new().await;
    let mut node = house.on(1).node.clone();
    attached(&house, &block()).await;
    node.node_stage_volume(stage("vol", &block())).await.unwrap();
    assert_eq!(shown(&house), [""; 0]);
    node.node_publish_volume(publish("vol", "/dev-a", &block())).await.unwrap();
    node.node_publish_volume(publish("vol", "/dev-b", &block())).await.unwrap();
    assert_eq!(shown(&house), ["bind /dev-a", "bind /dev-b"]);
    let mounted = node.node_stage_volume(stage("vol", &writer())).await.unwrap_err();
    assert_eq!(mounted.code(), Code::InvalidArgument, "{mounted:?}");
    let usage = node.node_get_volume_stats(stats("vol", "/dev-a")).await.unwrap().into_inner().usage;
    assert_eq!(usage.iter().map(|usage| usage.total).collect::<Vec<_>>(), [1 << 30]);
    node.node_unpublish_volume(unpublish("vol", "/dev-a")).await.unwrap();
    assert_eq!(shown(&house), ["bind /dev-b"]);
    node.node_unstage_volume(unstage("vol")).await.unwrap();
    assert_eq!(shown(&house), [""; 0]);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_writer_alone_is_one() {
    let house = House::new().await;
    let mut node = house.on(1).node.clone();
    let alone = mount("", Mode::SingleNodeSingleWriter);
    attached(&house, &alone).await;
    node.node_stage_volume(stage("vol", &alone)).await.unwrap();
    let (mut one, mut other) = (node.clone(), node.clone());
    let (one, other) = tokio::join!(
        one.node_publish_volume(publish("vol", "/a", &alone)),
        other.node_publish_volume(publish("vol", "/b", &alone))
    );
    let refused: Vec<Status> = [one, other].into_iter().filter_map(Result::err).collect();
    assert_eq!(
        refused.iter().map(Status::code).collect::<Vec<_>>(),
        [Code::FailedPrecondition],
        "{refused:?}"
    );
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_of_what_is_seen_at_the_path() {
    let house = House::new().await;
    let mut node = house.on(1).node.clone();
    attached(&house, &writer()).await;
    node.node_stage_volume(stage("vol", &writer())).await.unwrap();
    node.node_publish_volume(publish("vol", "/a", &writer())).await.unwrap();
    for path in ["/a", STAGED] {
        let answer = node.node_get_volume_stats(stats("vol", path)).await.unwrap().into_inner();
        assert!(!answer.volume_condition.unwrap().abnormal);
        let [bytes, inodes] = answer.usage.as_slice() else { panic!() };
        assert!(bytes.total == 1 << 30 && bytes.used > 0 && bytes.available < bytes.total, "{bytes:?}");
        assert_eq!(*inodes, VolumeUsage { available: 7, total: 10, used: 3, unit: 2 });
    }
    let elsewhere = node.node_get_volume_stats(stats("vol", "/elsewhere")).await.unwrap_err();
    assert_eq!(elsewhere.code(), Code::NotFound);
    let other = house.on(2).node.clone().node_get_volume_stats(stats("vol", "/a")).await.unwrap_err();
    assert_eq!(other.code(), Code::NotFound);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_system_grows_while_it_is_used() {
    let house = House::new().await;
    let mut node = house.on(1).node.clone();
    attached(&house, &writer()).await;
    node.node_stage_volume(stage("vol", &writer())).await.unwrap();
    let range = Some(CapacityRange { required_bytes: 1100 << 20, limit_bytes: 0 });
    let mut expand = NodeExpandVolumeRequest {
        volume_id: "vol".to_owned(),
        volume_path: STAGED.to_owned(),
        capacity_range: range,
        ..Default::default()
    };
    let early = node.node_expand_volume(expand.clone()).await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition, "{early:?}");
    let wish = ControllerExpandVolumeRequest {
        volume_id: "vol".to_owned(),
        capacity_range: range,
        ..Default::default()
    };
    house.on(1).controller.clone().controller_expand_volume(wish).await.unwrap();
    assert_eq!(
        node.node_expand_volume(expand.clone()).await.unwrap().into_inner().capacity_bytes,
        1100 << 20
    );
    expand.capacity_range = None;
    assert_eq!(node.node_expand_volume(expand).await.unwrap().into_inner().capacity_bytes, 1100 << 20);
    let growth =
        house.cluster.with(|cluster| cluster.world().volume_status(&name("vol")).unwrap().growth.clone());
    assert_eq!(growth, None);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_attached_elsewhere_by_now_is_left_alone() {
    let house = House::new().await;
    let (mut one, mut two) = (house.on(1).node.clone(), house.on(2).node.clone());
    attached(&house, &writer()).await;
    one.node_stage_volume(stage("vol", &writer())).await.unwrap();
    let mut controller = house.on(3).controller.clone();
    controller.controller_unpublish_volume(detach("vol", 1)).await.unwrap();
    let to_two =
        controller.controller_publish_volume(attach("vol", 2, &writer())).await.unwrap().into_inner();
    let staged =
        NodeStageVolumeRequest { publish_context: to_two.publish_context, ..stage("vol", &writer()) };
    two.node_stage_volume(staged).await.unwrap();
    two.node_publish_volume(publish("vol", "/a", &writer())).await.unwrap();
    // The first node comes late with what it still has to do: nothing of that is here any more.
    one.node_unpublish_volume(unpublish("vol", "/a")).await.unwrap();
    one.node_unstage_volume(unstage("vol")).await.unwrap();
    let late = one.node_stage_volume(stage("vol", &writer())).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition, "{late:?}");
    assert_eq!(shown(&house), ["mount /a", "mount /staged"]);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_waits_for_the_ownership_it_was_told_of_until_its_time_is_up() {
    let house = House::new().await;
    let mut node = house.on(1).node.clone();
    attached(&house, &writer()).await;
    let context = |epoch: &str| [(EPOCH.to_owned(), epoch.to_owned())].into();
    let wish = NodeStageVolumeRequest { publish_context: context("99"), ..stage("vol", &writer()) };
    let mut request = tonic::Request::new(wish);
    request.set_timeout(std::time::Duration::from_secs(1));
    let late = node.node_stage_volume(request).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(late.message().contains("ownership 99 of volume vol"), "{late:?}");
    let bad = NodeStageVolumeRequest { publish_context: context("x"), ..stage("vol", &writer()) };
    assert_eq!(node.node_stage_volume(bad).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(shown(&house), [""; 0]);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reboot_ends_with_everything_where_it_was() {
    let house = House::new().await;
    let mut node = house.on(1).node.clone();
    attached(&house, &writer()).await;
    node.node_stage_volume(stage("vol", &writer())).await.unwrap();
    node.node_publish_volume(publish("vol", "/a", &writer())).await.unwrap();
    let boot = |world: &World| world.node_status(&"node-1".parse().unwrap()).unwrap().boot_id.clone();
    let before = house.cluster.with(|cluster| {
        cluster.power_cut(&"node-1".parse().unwrap(), Some(1_000));
        boot(cluster.world())
    });
    house.until("it is started again", |world| boot(world) != before).await;
    let all = ["mount /a", "mount /staged"];
    house.until("everything is there", |_| shown(&house) == all).await;
    node.node_stage_volume(stage("vol", &writer())).await.unwrap();
    node.node_publish_volume(publish("vol", "/a", &writer())).await.unwrap();
    assert_eq!(shown(&house), ["mount /a", "mount /staged"]);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_records_say_of_an_earlier_start_of_the_node_is_told_to_nobody() {
    let house = House::new().await;
    let mut node = house.on(1).node.clone();
    attached(&house, &writer()).await;
    node.node_stage_volume(stage("vol", &writer())).await.unwrap();
    node.node_publish_volume(publish("vol", "/a", &writer())).await.unwrap();
    house.begins_anew().await;
    let staged = node.node_stage_volume(stage("vol", &writer())).await.unwrap_err();
    let published = node.node_publish_volume(publish("vol", "/a", &writer())).await.unwrap_err();
    for early in [staged, published] {
        assert_eq!(early.code(), Code::Unavailable, "{early:?}");
        assert!(early.message().contains("node-1"), "{early:?}");
    }
    house.close();
}

/// The records of such a volume may be of before: nothing is answered by them, and what is to go goes all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_whose_records_the_store_refuses_holds_up_no_other() {
    let house = House::new().await;
    let mut node = house.on(1).node.clone();
    attached(&house, &writer()).await;
    house.freezes(&["other"]).await;
    node.node_stage_volume(stage("vol", &writer())).await.unwrap();
    node.node_publish_volume(publish("vol", "/a", &writer())).await.unwrap();
    house.freezes(&["vol"]).await;
    let info = node.node_get_info(NodeGetInfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.node_id, "node-1");
    let staged = node.node_stage_volume(stage("vol", &writer())).await.unwrap_err();
    let published = node.node_publish_volume(publish("vol", "/a", &writer())).await.unwrap_err();
    let gone = node.node_unpublish_volume(unpublish("vol", "/a")).await.unwrap_err();
    for refused in [staged, published, gone] {
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        assert!(refused.message().contains("volume vol on node-1 cannot be recorded: a rule"), "{refused:?}");
    }
    house.freezes(&[]).await;
    node.node_unpublish_volume(unpublish("vol", "/a")).await.unwrap();
    assert_eq!(shown(&house), ["mount /staged"]);
    house.close();
}
