//! Finding the API server: from within the cluster, or by a kubeconfig.

use std::path::Path;
use std::time::Duration;

use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::KubeStore;
use crate::domain::NodeName;
use crate::ports::StoreError;

/// A connection is made within this time or given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

impl KubeStore {
    /// Uses the API server that `kubeconfig` names, else the one of the cluster this process is a pod of. Leases are in
    /// `namespace`, else in the one of that configuration. Fails where the configuration cannot be used: connections are made
    /// as they are needed. `me` is the node of this daemon. Has to be called within the runtime.
    pub async fn connect(
        kubeconfig: Option<&Path>,
        namespace: Option<&str>,
        me: &NodeName,
    ) -> Result<Self, StoreError> {
        let mut config = match kubeconfig {
            Some(path) => from_file(path).await.map_err(|why| unusable(&path.display().to_string(), why))?,
            None => Config::incluster().map_err(|error| unusable("Kubernetes", error.to_string()))?,
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.default_retry = false;
        let namespace = namespace.unwrap_or(&config.default_namespace).to_owned();
        let name = format!("Kubernetes {}", config.cluster_url);
        let client = Client::try_from(config).map_err(|error| unusable(&name, error.to_string()))?;
        Ok(Self::new(client, &namespace, &name, me))
    }
}

async fn from_file(path: &Path) -> Result<Config, String> {
    let kubeconfig = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
    starts_nothing(&kubeconfig)?;
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| error.to_string())
}

/// The daemon never runs a program: a credential that is a program's output cannot be had.
fn starts_nothing(kubeconfig: &Kubeconfig) -> Result<(), String> {
    let runs = |auth: &AuthInfo| auth.exec.is_some() || auth.auth_provider.is_some();
    let bad = kubeconfig.auth_infos.iter().find(|named| named.auth_info.as_ref().is_some_and(runs));
    match bad {
        None => Ok(()),
        Some(named) => Err(format!(
            "user {:?} gets its credential from a program, and the daemon runs none: give it a token or a certificate",
            named.name
        )),
    }
}

fn unusable(store: &str, why: String) -> StoreError {
    StoreError::Unavailable { store: store.to_owned(), call: "connect", why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Store;

    fn kubeconfig(user: &str) -> Kubeconfig {
        let text = format!("apiVersion: v1\nkind: Config\nusers:\n- name: me\n  user:\n{user}");
        Kubeconfig::from_yaml(&text).unwrap()
    }

    const BEHIND_TLS: &str = "\
apiVersion: v1
kind: Config
current-context: c
clusters: [{ name: c, cluster: { server: 'https://SERVER', insecure-skip-tls-verify: true } }]
users: [{ name: me, user: { token: t } }]
contexts: [{ name: c, context: { cluster: c, user: me } }]
";

    fn me() -> NodeName {
        "n1".parse().unwrap()
    }

    /// Nothing has to be set up for TLS before.
    #[tokio::test]
    async fn an_api_server_behind_tls_can_be_asked() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), BEHIND_TLS.replace("SERVER", &nobody.to_string())).unwrap();
        let store = KubeStore::connect(Some(file.path()), None, &me()).await.unwrap();
        let error = store.list().await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { call: "list", .. }), "{error}");
        assert!(error.to_string().contains(&nobody.to_string()), "{error}");
    }

    #[test]
    fn a_credential_that_a_program_makes_is_refused_by_name() {
        assert_eq!(starts_nothing(&kubeconfig("    token: t\n")), Ok(()));
        let exec = "    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: get-token\n";
        let why = starts_nothing(&kubeconfig(exec)).unwrap_err();
        assert!(why.contains("\"me\"") && why.contains("token or a certificate"), "{why}");
    }

    #[tokio::test]
    async fn a_configuration_that_is_not_there_is_named() {
        let error = KubeStore::connect(Some(Path::new("/nowhere")), None, &me()).await.err().unwrap();
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }
}
