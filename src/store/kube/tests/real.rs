//! The conformance suite against a real API server.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams};

use super::*;
use crate::store::kube::crd::definitions;

/// Names the kubeconfig of an API server for tests: all of our objects in it are removed.
const KUBECONFIG: &str = "MDFABRIC_TEST_KUBECONFIG";
/// Nothing here takes longer, whatever the machine.
const DEADLINE: Duration = Duration::from_mins(1);

struct Real(KubeStore);

impl Subject for Real {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    fn plant(&self, key: &str, _: &[u8]) -> PortFuture<'_, ()> {
        let key = codec::parse_key(key);
        Box::pin(async move { plant(&self.0, key).await })
    }

    /// When it forgets is its own affair.
    fn forget(&self) -> PortFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Gives the API server our definitions, and waits until it serves them.
async fn define(store: &KubeStore) {
    let api: Api<CustomResourceDefinition> = Api::all(store.inner.client.clone());
    for definition in definitions().unwrap() {
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&definition)).await.unwrap();
    }
    let served = async {
        while store.list().await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(DEADLINE, served).await.expect("the definitions are not served");
}

async fn clear(store: &KubeStore) {
    for place in Place::ALL {
        let api = store.api(place);
        for object in api.list(&list::selected(place)).await.unwrap() {
            let name = object.metadata.name.unwrap();
            let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
            let _ = api.patch(&name, &PatchParams::default(), &free).await;
            let _ = api.delete(&name, &DeleteParams::default()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_api_server_conforms() {
    let Some(path) = std::env::var_os(KUBECONFIG) else { return };
    let store =
        KubeStore::connect(Some(path.as_ref()), Some("default"), &"n1".parse().unwrap()).await.unwrap();
    define(&store).await;
    clear(&store).await;
    refuses_what_it_does_not_know(&store).await;
    clear(&store).await;
    conformance::run(&Real(store)).await;
}
