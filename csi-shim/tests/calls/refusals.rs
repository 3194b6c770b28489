//! What is wrong with a request is said before anything is done.

use mdfabric_csi::wire::csi::volume_capability::access_mode::Mode;
use mdfabric_csi::wire::csi::{
    CapacityRange, ControllerExpandVolumeRequest, ControllerGetVolumeRequest, ControllerModifyVolumeRequest,
    ControllerPublishVolumeRequest, ControllerUnpublishVolumeRequest, CreateSnapshotRequest,
    CreateVolumeRequest, DeleteVolumeRequest, ListVolumesRequest, NodeExpandVolumeRequest,
    NodeGetVolumeStatsRequest, NodePublishVolumeRequest, NodeStageVolumeRequest, NodeUnpublishVolumeRequest,
    NodeUnstageVolumeRequest, ValidateVolumeCapabilitiesRequest, VolumeContentSource,
};
use tonic::{Code, Response, Status};

use crate::controller::{create, mount};
use crate::house::House;

fn refused<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, code: Code, words: &[&str]) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    for word in words {
        assert!(status.message().contains(word), "{word:?} is not in {:?}", status.message());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_are_missing_are_named() {
    let house = House::new().await;
    let (mut controller, mut node) = (house.on(1).controller.clone(), house.on(1).node.clone());
    let (id, path) = ("vol".to_owned(), "/p".to_owned());
    let missing = Code::InvalidArgument;
    refused(controller.create_volume(CreateVolumeRequest::default()).await, missing, &["name"]);
    let nameless = CreateVolumeRequest { volume_capabilities: Vec::new(), ..create("vol", &[]) };
    refused(controller.create_volume(nameless).await, missing, &["volume_capabilities"]);
    refused(controller.delete_volume(DeleteVolumeRequest::default()).await, missing, &["volume_id"]);
    let mut publish = ControllerPublishVolumeRequest::default();
    refused(controller.controller_publish_volume(publish.clone()).await, missing, &["volume_id"]);
    publish.volume_id.clone_from(&id);
    refused(controller.controller_publish_volume(publish.clone()).await, missing, &["node_id"]);
    publish.node_id = "node-1".to_owned();
    refused(controller.controller_publish_volume(publish).await, missing, &["volume_capability"]);
    let unpublish = ControllerUnpublishVolumeRequest::default();
    refused(controller.controller_unpublish_volume(unpublish).await, missing, &["volume_id"]);
    let mut validate = ValidateVolumeCapabilitiesRequest::default();
    refused(controller.validate_volume_capabilities(validate.clone()).await, missing, &["volume_id"]);
    validate.volume_id.clone_from(&id);
    refused(controller.validate_volume_capabilities(validate).await, missing, &["volume_capabilities"]);
    let mut expand = ControllerExpandVolumeRequest::default();
    refused(controller.controller_expand_volume(expand.clone()).await, missing, &["volume_id"]);
    expand.volume_id.clone_from(&id);
    refused(controller.controller_expand_volume(expand).await, missing, &["capacity_range"]);

    let mut stage = NodeStageVolumeRequest::default();
    refused(node.node_stage_volume(stage.clone()).await, missing, &["volume_id"]);
    stage.volume_id.clone_from(&id);
    refused(node.node_stage_volume(stage.clone()).await, missing, &["staging_target_path"]);
    stage.staging_target_path.clone_from(&path);
    refused(node.node_stage_volume(stage).await, missing, &["volume_capability"]);
    let mut publish = NodePublishVolumeRequest { volume_id: id.clone(), ..Default::default() };
    refused(node.node_publish_volume(publish.clone()).await, missing, &["target_path"]);
    publish.target_path.clone_from(&path);
    refused(node.node_publish_volume(publish.clone()).await, missing, &["volume_capability"]);
    publish.volume_capability = Some(mount("", Mode::SingleNodeWriter));
    refused(node.node_publish_volume(publish).await, Code::FailedPrecondition, &["staging_target_path"]);
    let unpublish = NodeUnpublishVolumeRequest { volume_id: id.clone(), ..Default::default() };
    refused(node.node_unpublish_volume(unpublish).await, missing, &["target_path"]);
    let unstage = NodeUnstageVolumeRequest { volume_id: id.clone(), ..Default::default() };
    refused(node.node_unstage_volume(unstage).await, missing, &["staging_target_path"]);
    let stats = NodeGetVolumeStatsRequest { volume_id: id.clone(), ..Default::default() };
    refused(node.node_get_volume_stats(stats).await, missing, &["volume_path"]);
    let expand = NodeExpandVolumeRequest { volume_id: id, ..Default::default() };
    refused(node.node_expand_volume(expand).await, missing, &["volume_path"]);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_that_is_not_there_is_not_found() {
    let house = House::new().await;
    let (mut controller, mut node) = (house.on(1).controller.clone(), house.on(1).node.clone());
    for id in ["nothing", "No/Name", "x".repeat(99).as_str()] {
        let (volume_id, path) = (id.to_owned(), "/p".to_owned());
        let capability = Some(mount("", Mode::SingleNodeWriter));
        let publish = ControllerPublishVolumeRequest {
            volume_id: volume_id.clone(),
            node_id: "node-1".to_owned(),
            volume_capability: capability.clone(),
            ..Default::default()
        };
        refused(controller.controller_publish_volume(publish).await, Code::NotFound, &[id]);
        let range = CapacityRange { required_bytes: 1 << 30, limit_bytes: 0 };
        let expand = ControllerExpandVolumeRequest {
            volume_id: volume_id.clone(),
            capacity_range: Some(range),
            ..Default::default()
        };
        refused(controller.controller_expand_volume(expand).await, Code::NotFound, &[id]);
        let modify = ControllerModifyVolumeRequest { volume_id: volume_id.clone(), ..Default::default() };
        refused(controller.controller_modify_volume(modify).await, Code::NotFound, &[id]);
        let get = ControllerGetVolumeRequest { volume_id: volume_id.clone() };
        refused(controller.controller_get_volume(get).await, Code::NotFound, &[id]);
        let stage = NodeStageVolumeRequest {
            volume_id: volume_id.clone(),
            staging_target_path: path.clone(),
            volume_capability: capability.clone(),
            ..Default::default()
        };
        refused(node.node_stage_volume(stage).await, Code::NotFound, &[id]);
        let show = NodePublishVolumeRequest {
            volume_id: volume_id.clone(),
            staging_target_path: path.clone(),
            target_path: path.clone(),
            volume_capability: capability,
            ..Default::default()
        };
        refused(node.node_publish_volume(show).await, Code::NotFound, &[id]);
        let hide = NodeUnpublishVolumeRequest { volume_id: volume_id.clone(), target_path: path.clone() };
        refused(node.node_unpublish_volume(hide).await, Code::NotFound, &[id]);
        let unstage =
            NodeUnstageVolumeRequest { volume_id: volume_id.clone(), staging_target_path: path.clone() };
        refused(node.node_unstage_volume(unstage).await, Code::NotFound, &[id]);
        let stats = NodeGetVolumeStatsRequest {
            volume_id: volume_id.clone(),
            volume_path: path,
            ..Default::default()
        };
        refused(node.node_get_volume_stats(stats).await, Code::NotFound, &[id]);

        // What is to be gone is gone.
        let detach = ControllerUnpublishVolumeRequest { volume_id: volume_id.clone(), ..Default::default() };
        controller.controller_unpublish_volume(detach).await.unwrap();
        controller.delete_volume(DeleteVolumeRequest { volume_id, ..Default::default() }).await.unwrap();
    }
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_had_says_why_and_leaves_nothing_behind() {
    let house = House::new().await;
    let mut controller = house.on(1).controller.clone();
    let sized = |bytes: i64, limit_bytes: i64| CreateVolumeRequest {
        capacity_range: Some(CapacityRange { required_bytes: bytes, limit_bytes }),
        ..create("vol", &[])
    };
    let full = controller.create_volume(sized(64 << 30, 0)).await;
    refused(full, Code::ResourceExhausted, &["node-1", "node-2", "node-3", "free of"]);
    refused(controller.create_volume(sized(5, 10)).await, Code::OutOfRange, &["limit_bytes 10"]);
    refused(controller.create_volume(sized(-5, 0)).await, Code::InvalidArgument, &["-5"]);
    let bad = controller.create_volume(create("vol", &[("replicaCount", "9")])).await;
    refused(bad, Code::InvalidArgument, &["replicaCount", "\"9\"", "1 to 3"]);
    let unknown = controller.create_volume(create("vol", &[("copies", "2")])).await;
    refused(unknown, Code::InvalidArgument, &["copies", "replicaCount"]);
    let many = CreateVolumeRequest {
        volume_capabilities: vec![mount("", Mode::MultiNodeMultiWriter)],
        ..create("vol", &[])
    };
    refused(controller.create_volume(many).await, Code::InvalidArgument, &["MULTI_NODE_MULTI_WRITER"]);
    let contradiction = CreateVolumeRequest {
        volume_capabilities: vec![mount("ext4", Mode::SingleNodeWriter)],
        ..create("vol", &[("fsType", "xfs")])
    };
    refused(controller.create_volume(contradiction).await, Code::InvalidArgument, &["fsType", "fs_type"]);
    let copy = CreateVolumeRequest {
        volume_content_source: Some(VolumeContentSource::default()),
        ..create("vol", &[])
    };
    refused(controller.create_volume(copy).await, Code::InvalidArgument, &["volume_content_source"]);
    let list = ListVolumesRequest { starting_token: "invalid-token".to_owned(), max_entries: 0 };
    refused(controller.list_volumes(list).await, Code::Aborted, &["invalid-token"]);
    let list = ListVolumesRequest { starting_token: String::new(), max_entries: -1 };
    refused(controller.list_volumes(list).await, Code::InvalidArgument, &["-1"]);
    let snapshot = controller.create_snapshot(CreateSnapshotRequest::default()).await;
    refused(snapshot, Code::Unimplemented, &["snapshots"]);
    assert_eq!(house.cluster.with(|cluster| cluster.world().volumes().count()), 0);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_nodes_are_told_before_anything_is_recorded() {
    let house = House::new().await;
    let cordon = mdfabric::plan::verbs::Cordon::On;
    house.cluster.with(|cluster| {
        let node = "node-3".parse().unwrap();
        cluster.request(|world, _| mdfabric::plan::verbs::cordon_node(world, &node, cordon)).unwrap();
    });
    house
        .until("cordoned", |world| {
            world.node_spec(&"node-3".parse().unwrap()).is_some_and(|spec| spec.cordoned)
        })
        .await;
    let three = house.on(1).controller.clone().create_volume(create("vol", &[("replicaCount", "3")])).await;
    refused(three, Code::ResourceExhausted, &["copy 3 of 3", "node-3: cordoned"]);
    house.close();
}
