//! The store against an API server in memory; the conformance suite also against a real one.

mod copies;
mod faults;
mod policy;
mod real;
mod rights;
mod writes;

use serde_json::json;

use super::form::{FINALIZER, LABEL};
use super::server::Server;
use super::*;
use crate::domain::testing::{UID, volume_spec};
use crate::domain::{Bytes, ReplicaId, ReplicaSpec, VolumeStatus, Wanted};
use crate::store::codec::{self, KeyError};
use crate::store::conformance::{self, Subject};

/// A server and the store on it.
struct Bench {
    server: Server,
    store: KubeStore,
}

fn bench() -> Bench {
    let server = Server::default();
    let me = "n1".parse().unwrap();
    Bench { store: KubeStore::new(server.client(), "mdfabric-system", "in memory", &me), server }
}

impl Subject for Bench {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    fn plant(&self, key: &str, _: &[u8]) -> PortFuture<'_, ()> {
        let key = codec::parse_key(key);
        Box::pin(async move { plant(&self.store, key).await })
    }

    fn forget(&self) -> PortFuture<'_, ()> {
        self.server.with(server::Objects::forget_events);
        Box::pin(async {})
    }
}

/// Makes a lease that cannot be read: its name is not the one it claims, or its holder is none.
async fn plant(store: &KubeStore, key: Result<Key, KeyError>) {
    let (name, claims) = match &key {
        Ok(key) => (key.name.as_str(), None),
        Err(KeyError::BadName { name, .. }) => ("corrupt-elsewhere", Some(name.as_str())),
        Err(KeyError::Stranger { .. }) => return,
    };
    let mut lease = json!({
        "metadata": { "name": name, "labels": { LABEL.0: LABEL.1 } },
        "spec": { "holderIdentity": "No Node", "leaseDurationSeconds": 1 },
    });
    if let Some(claims) = claims {
        lease["metadata"]["annotations"] = json!({ names::NAME: claims });
    }
    create(store, Place::Lease, lease).await;
}

/// What a provider is to do for a copy of volume `v`.
fn copy(id: ReplicaId, node: &str, wanted: Wanted) -> ReplicaSpec {
    ReplicaSpec {
        id,
        volume: "v".parse().unwrap(),
        volume_uid: UID,
        node: node.parse().unwrap(),
        drives: vec!["S1".parse().unwrap()],
        partition_size: Bytes::gib(1),
        export: None,
        wanted,
    }
}

/// What somebody makes with another tool.
async fn create(store: &KubeStore, place: Place, mut object: serde_json::Value) -> DynamicObject {
    let resource = place.resource();
    object["apiVersion"] = json!(resource.api_version);
    object["kind"] = json!(resource.kind);
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    store.api(place).create(&kube::api::PostParams::default(), &object).await.unwrap()
}

/// What somebody changes with another tool.
async fn edit(
    store: &KubeStore,
    place: Place,
    name: &str,
    status: bool,
    patch: serde_json::Value,
) -> DynamicObject {
    let params =
        kube::api::PatchParams { field_manager: Some("kubectl-edit".to_owned()), ..Default::default() };
    let (api, patch) = (store.api(place), kube::api::Patch::Merge(patch));
    let edited = if status {
        api.patch_status(name, &params, &patch).await
    } else {
        api.patch(name, &params, &patch).await
    };
    edited.unwrap()
}

/// A field that no definition declares, written in either way: it is refused, and the API server is not thought to be out of order.
async fn refuses_what_it_does_not_know(store: &KubeStore) {
    let [spec_key, status_key] =
        [Kind::VolumeSpec, Kind::VolumeStatus].map(|kind| Key::new(kind, "undeclared"));
    let spec = Record::VolumeSpec(volume_spec("undeclared"));
    let at = store.put(&spec_key, Some(&spec), Revision(0)).await.unwrap();
    let status = Record::VolumeStatus(VolumeStatus::default());
    let mut half = form::write(&status_key, &status).unwrap();
    form::set(&mut half, &["ofANewerVersion"], json!(1));
    for applied in [true, false] {
        let failed = store.patch(&store.target(&status_key), &half, at, applied).await.unwrap_err();
        assert!(failed.is_undeclared(), "{failed:?}");
        let told = failed.of_write("k", "put", &status_key);
        assert!(matches!(told, StoreError::Refused { .. }), "{told}");
        assert!(told.to_string().contains("ofANewerVersion"), "{told}");
    }
    assert!(store.get(&status_key).await.unwrap().is_none(), "nothing of it is stored");
}

#[tokio::test]
async fn what_no_definition_declares_is_refused() {
    refuses_what_it_does_not_know(&bench().store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    conformance::run(&bench()).await;
}
