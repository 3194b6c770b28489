//! Volumes of the cluster.

use mdfabric::domain::{VolumeName, World};
use mdfabric_csi::identity::DRIVER;
use mdfabric_csi::node::EPOCH;
use mdfabric_csi::topology;
use mdfabric_csi::wire::csi::volume_capability::access_mode::Mode;
use mdfabric_csi::wire::csi::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use mdfabric_csi::wire::csi::{
    CapacityRange, ControllerExpandVolumeRequest, ControllerGetCapabilitiesRequest,
    ControllerGetVolumeRequest, ControllerModifyVolumeRequest, ControllerPublishVolumeRequest,
    ControllerUnpublishVolumeRequest, CreateVolumeRequest, DeleteVolumeRequest, GetCapacityRequest,
    GetPluginCapabilitiesRequest, GetPluginInfoRequest, ListVolumesRequest, ProbeRequest,
    TopologyRequirement, ValidateVolumeCapabilitiesRequest, VolumeCapability,
};
use tonic::Code;

use crate::house::{Doors, House};

pub(crate) fn mount(fs_type: &str, mode: Mode) -> VolumeCapability {
    let mount = MountVolume { fs_type: fs_type.to_owned(), ..MountVolume::default() };
    VolumeCapability {
        access_type: Some(AccessType::Mount(mount)),
        access_mode: Some(AccessMode { mode: mode.into() }),
    }
}

pub(crate) fn block() -> VolumeCapability {
    let access_type = Some(AccessType::Block(BlockVolume {}));
    VolumeCapability { access_type, ..mount("", Mode::SingleNodeWriter) }
}

/// 1 GiB, mounted.
pub(crate) fn create(name: &str, parameters: &[(&str, &str)]) -> CreateVolumeRequest {
    CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: Some(CapacityRange { required_bytes: 1 << 30, limit_bytes: 0 }),
        volume_capabilities: vec![mount("", Mode::SingleNodeWriter)],
        parameters: parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..CreateVolumeRequest::default()
    }
}

pub(crate) fn attach(id: &str, node: usize, capability: &VolumeCapability) -> ControllerPublishVolumeRequest {
    ControllerPublishVolumeRequest {
        volume_id: id.to_owned(),
        node_id: format!("node-{node}"),
        volume_capability: Some(capability.clone()),
        ..ControllerPublishVolumeRequest::default()
    }
}

pub(crate) fn detach(id: &str, node: usize) -> ControllerUnpublishVolumeRequest {
    let node_id = format!("node-{node}");
    ControllerUnpublishVolumeRequest { volume_id: id.to_owned(), node_id, ..Default::default() }
}

pub(crate) fn delete(id: &str) -> DeleteVolumeRequest {
    DeleteVolumeRequest { volume_id: id.to_owned(), ..Default::default() }
}

pub(crate) fn name(text: &str) -> VolumeName {
    text.parse().unwrap()
}

fn expand(id: &str, required_bytes: i64) -> ControllerExpandVolumeRequest {
    let range = CapacityRange { required_bytes, limit_bytes: 0 };
    ControllerExpandVolumeRequest {
        volume_id: id.to_owned(),
        capacity_range: Some(range),
        ..Default::default()
    }
}

async fn listed(node: &Doors, max_entries: i32, starting_token: &str) -> (Vec<String>, String) {
    let request = ListVolumesRequest { max_entries, starting_token: starting_token.to_owned() };
    let answer = node.controller.clone().list_volumes(request).await.unwrap().into_inner();
    let ids = answer.entries.into_iter().map(|entry| entry.volume.unwrap().volume_id).collect();
    (ids, answer.next_token)
}

fn spec(house: &House, id: &str) -> mdfabric::domain::VolumeSpec {
    house.cluster.with(|cluster| cluster.world().volume_spec(&name(id)).unwrap().clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_who_it_is_and_what_it_can() {
    let house = House::new().await;
    let (mut identity, mut controller) = (house.on(1).identity.clone(), house.on(1).controller.clone());
    let info = identity.get_plugin_info(GetPluginInfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.name.as_str(), info.vendor_version.is_empty()), (DRIVER, false));
    assert_eq!(identity.probe(ProbeRequest {}).await.unwrap().into_inner().ready, Some(true));
    let can = identity.get_plugin_capabilities(GetPluginCapabilitiesRequest {}).await.unwrap().into_inner();
    assert_eq!(can.capabilities.len(), 3);
    let can = controller.controller_get_capabilities(ControllerGetCapabilitiesRequest {}).await.unwrap();
    assert_eq!(can.into_inner().capabilities.len(), 10);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_is_made_as_its_class_says_where_it_is_wanted() {
    let house = House::new().await;
    let mut controller = house.on(1).controller.clone();
    let parameters =
        [("replicaCount", "2"), ("memberMissingTimeout", "120"), ("fsType", "ext4"), ("locality", "fixed")];
    let wish = CreateVolumeRequest {
        accessibility_requirements: Some(TopologyRequirement {
            requisite: ["node-1", "node-2", "node-3"].map(topology::of).into(),
            preferred: vec![topology::of("node-3")],
        }),
        mutable_parameters: [("replicaCount".to_owned(), "1".to_owned())].into(),
        ..create("vol", &parameters)
    };
    let made = controller.create_volume(wish).await.unwrap().into_inner().volume.unwrap();
    assert_eq!((made.volume_id.as_str(), made.capacity_bytes), ("vol", 1 << 30));
    let spec = spec(&house, "vol");
    assert_eq!((spec.replicas, spec.member_missing_timeout_seconds), (1, 120));
    assert_eq!((spec.fs, spec.locality), (mdfabric::domain::FsType::Ext4, mdfabric::domain::Locality::Fixed));
    let on = house.cluster.with(|cluster| {
        cluster
            .world()
            .volume_status(&name("vol"))
            .unwrap()
            .members
            .iter()
            .map(|member| member.node.to_string())
            .collect::<Vec<_>>()
    });
    assert_eq!(on, ["node-3"]);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_goes_from_node_to_node_and_away() {
    let house = House::new().await;
    let mut controller = house.on(1).controller.clone();
    controller.create_volume(create("vol", &[])).await.unwrap();
    let capability = mount("", Mode::SingleNodeWriter);
    let epoch = async |node: usize| {
        let answer =
            house.on(2).controller.clone().controller_publish_volume(attach("vol", node, &capability)).await;
        answer.map(|answer| answer.into_inner().publish_context[EPOCH].parse::<u64>().unwrap())
    };
    let first = epoch(1).await.unwrap();
    assert_eq!(epoch(2).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(controller.delete_volume(delete("vol")).await.unwrap_err().code(), Code::FailedPrecondition);
    controller.controller_unpublish_volume(detach("vol", 2)).await.unwrap();
    assert_eq!(epoch(1).await.unwrap(), first, "what another node gives back is not taken from this one");
    controller.controller_unpublish_volume(detach("vol", 1)).await.unwrap();
    assert!(epoch(2).await.unwrap() > first);
    controller
        .controller_unpublish_volume(ControllerUnpublishVolumeRequest {
            node_id: String::new(),
            ..detach("vol", 0)
        })
        .await
        .unwrap();
    controller.delete_volume(delete("vol")).await.unwrap();
    house.until("deleted", |world| world.volumes().count() == 0 && world.replicas().count() == 0).await;
    assert_eq!(house.cluster.with(|cluster| cluster.leftovers()), [""; 0]);
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_dead_is_fenced_off_by_whoever_gets_its_volume() {
    let house = House::new().await;
    let mut controller = house.on(1).controller.clone();
    controller.create_volume(create("vol", &[])).await.unwrap();
    let capability = mount("", Mode::SingleNodeWriter);
    controller.controller_publish_volume(attach("vol", 3, &capability)).await.unwrap();
    house.on(3).node.clone().node_stage_volume(crate::node::stage("vol", &capability)).await.unwrap();
    house.cluster.with(|cluster| cluster.power_cut(&"node-3".parse().unwrap(), None));
    controller.controller_unpublish_volume(detach("vol", 3)).await.unwrap();
    controller.controller_publish_volume(attach("vol", 1, &capability)).await.unwrap();
    house
        .until("running", |world: &World| {
            world.volume_status(&name("vol")).is_some_and(|status| status.array.device.is_some())
        })
        .await;
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_are_listed_in_pieces_with_where_they_are_and_how() {
    let house = House::new().await;
    let mut controller = house.on(1).controller.clone();
    for id in ["c", "a", "b"] {
        let small = CapacityRange { required_bytes: 300 << 20, limit_bytes: 0 };
        let wish =
            CreateVolumeRequest { capacity_range: Some(small), ..create(id, &[("replicaCount", "1")]) };
        controller.create_volume(wish).await.unwrap();
    }
    house.until("all are seen", |world| world.volumes().count() == 3).await;
    assert_eq!(listed(house.on(1), 0, "").await, (["a", "b", "c"].map(str::to_owned).into(), String::new()));
    let (first, token) = listed(house.on(1), 2, "").await;
    assert_eq!(first, ["a", "b"]);
    assert_eq!(listed(house.on(1), 2, &token).await, (vec!["c".to_owned()], String::new()));

    controller.controller_publish_volume(attach("b", 2, &mount("", Mode::SingleNodeWriter))).await.unwrap();
    let get = |id: &str| ControllerGetVolumeRequest { volume_id: id.to_owned() };
    let one = controller.controller_get_volume(get("b")).await.unwrap().into_inner();
    let status = one.status.unwrap();
    assert_eq!(status.published_node_ids, ["node-2"]);
    let condition = status.volume_condition.unwrap();
    assert!(!condition.abnormal && condition.message.contains("1 of 1 copies"), "{condition:?}");
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_copy_makes_the_condition_abnormal() {
    let house = House::new().await;
    let mut controller = house.on(1).controller.clone();
    controller.create_volume(create("vol", &[("replicaCount", "3")])).await.unwrap();
    controller.controller_publish_volume(attach("vol", 1, &mount("", Mode::SingleNodeWriter))).await.unwrap();
    house
        .until("running", |world| world.volume_status(&name("vol")).is_some_and(|status| status.formatted))
        .await;
    house.cluster.with(|cluster| cluster.power_cut(&"node-3".parse().unwrap(), None));
    house
        .until("lost", |world| {
            world.volume_status(&name("vol")).is_some_and(|status| status.in_sync.len() == 2)
        })
        .await;
    let get = ControllerGetVolumeRequest { volume_id: "vol".to_owned() };
    let one = controller.controller_get_volume(get).await.unwrap().into_inner();
    let condition = one.status.unwrap().volume_condition.unwrap();
    assert!(condition.abnormal && condition.message.contains("2 of 3 copies"), "{condition:?}");
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_grows_detached_and_attached() {
    let house = House::new().await;
    let mut controller = house.on(1).controller.clone();
    controller.create_volume(create("vol", &[])).await.unwrap();
    house
        .until("made", |world| {
            let status = world.volume_status(&name("vol"));
            status.is_some_and(|status| status.phase == mdfabric::domain::VolumePhase::Synced)
        })
        .await;
    let grown = controller.controller_expand_volume(expand("vol", (1 << 30) + 1)).await.unwrap().into_inner();
    assert_eq!((grown.capacity_bytes, grown.node_expansion_required), (1025 << 20, true));
    controller.controller_publish_volume(attach("vol", 1, &mount("", Mode::SingleNodeWriter))).await.unwrap();
    for _ in 0..2 {
        let grown =
            controller.controller_expand_volume(expand("vol", 1100 << 20)).await.unwrap().into_inner();
        assert_eq!(grown.capacity_bytes, 1100 << 20);
    }
    let smaller = controller.controller_expand_volume(expand("vol", 1 << 30)).await.unwrap().into_inner();
    assert_eq!(smaller.capacity_bytes, 1100 << 20, "what it has is enough");
    let full = controller.controller_expand_volume(expand("vol", 64 << 30)).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted, "{full:?}");
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_and_times_are_changed_of_a_volume_that_there_is() {
    let house = House::new().await;
    let mut controller = house.on(1).controller.clone();
    controller.create_volume(create("vol", &[])).await.unwrap();
    let modify = |pairs: &[(&str, &str)]| ControllerModifyVolumeRequest {
        volume_id: "vol".to_owned(),
        mutable_parameters: pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..Default::default()
    };
    for _ in 0..2 {
        let wish = modify(&[("replicaCount", "3"), ("memberMissingTimeout", "61")]);
        controller.controller_modify_volume(wish).await.unwrap();
    }
    let spec = spec(&house, "vol");
    assert_eq!((spec.replicas, spec.member_missing_timeout_seconds), (3, 61));
    house
        .until("three copies", |world| {
            world.volume_status(&name("vol")).is_some_and(|status| status.in_sync.len() == 3)
        })
        .await;
    let fixed = controller.controller_modify_volume(modify(&[("stripeWidth", "2")])).await.unwrap_err();
    assert_eq!(fixed.code(), Code::InvalidArgument);
    controller.controller_modify_volume(modify(&[])).await.unwrap();
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capacity_counts_the_room_for_every_copy() {
    let house = House::new().await;
    let mut controller = house.on(1).controller.clone();
    let mut asked = async |copies: &str, node: Option<&str>| {
        let request = GetCapacityRequest {
            parameters: [("replicaCount".to_owned(), copies.to_owned())].into(),
            accessible_topology: node.map(topology::of),
            ..Default::default()
        };
        let answer = controller.get_capacity(request).await.unwrap().into_inner();
        (answer.available_capacity, answer.maximum_volume_size.unwrap())
    };
    let (one, three) = (asked("1", None).await, asked("3", None).await);
    assert!(one.1 > (3 << 30) && one.1 == three.1 && one.0 == 3 * three.0, "{one:?} {three:?}");
    assert_eq!(asked("2", Some("node-1")).await, (three.0, three.1));
    assert_eq!(asked("2", Some("elsewhere")).await, (0, 0));
    house.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capabilities_are_confirmed_or_it_is_said_why_not() {
    let house = House::new().await;
    let mut controller = house.on(1).controller.clone();
    controller.create_volume(create("vol", &[])).await.unwrap();
    let mut asked = async |capability: VolumeCapability| {
        let request = ValidateVolumeCapabilitiesRequest {
            volume_id: "vol".to_owned(),
            volume_capabilities: vec![capability],
            ..Default::default()
        };
        let answer = controller.validate_volume_capabilities(request).await.unwrap().into_inner();
        (answer.confirmed.is_some(), answer.message)
    };
    assert_eq!(asked(mount("xfs", Mode::SingleNodeMultiWriter)).await, (true, String::new()));
    for (capability, why) in [
        (block(), "no block device"),
        (mount("ext4", Mode::SingleNodeWriter), "xfs, and not ext4"),
        (mount("", Mode::MultiNodeSingleWriter), "MULTI_NODE_SINGLE_WRITER"),
    ] {
        let (confirmed, message) = asked(capability).await;
        assert!(!confirmed && message.contains(why), "{message}");
    }
    house.close();
}
