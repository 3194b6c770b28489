//! The programs of the control plane, and what each is told.

use std::path::{Path, PathBuf};

use super::keys;
use crate::spec::{ETCD_ADDRESS, ETCD_PORT, KubeSpec, SERVICES};

/// The party that everybody asks.
pub const API_SERVER: &str = "apiserver";
/// Those that only ask it, and start once it answers.
pub const FOLLOWERS: [&str; 2] = ["controller-manager", "scheduler"];

/// A program of the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What the lab calls it.
    pub name: &'static str,
    /// Its file.
    pub file: PathBuf,
    /// What it is told.
    pub arguments: Vec<String>,
}

/// All of them, for the lab in `lab_dir`.
#[must_use]
pub fn programs(kube: &KubeSpec, lab_dir: &Path) -> Vec<Program> {
    let keys = keys::directory(lab_dir);
    let program = |name: &'static str, arguments| Program {
        name,
        file: kube.programs.join(format!("kube-{name}")),
        arguments,
    };
    let [controllers, scheduler] = FOLLOWERS;
    vec![
        program(API_SERVER, api_server(&keys)),
        program(controllers, controller_manager(&keys)),
        program(scheduler, client("scheduler", &keys)),
    ]
}

fn api_server(keys: &Path) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", keys.join(name).display());
    vec![
        format!("--etcd-servers=http://{ETCD_ADDRESS}:{ETCD_PORT}"),
        "--secure-port=443".to_owned(),
        format!("--advertise-address={ETCD_ADDRESS}"),
        format!("--service-cluster-ip-range={SERVICES}"),
        file("tls-cert-file", "apiserver.crt"),
        file("tls-private-key-file", "apiserver.key"),
        file("client-ca-file", "ca.crt"),
        file("kubelet-certificate-authority", "ca.crt"),
        file("kubelet-client-certificate", "apiserver.crt"),
        file("kubelet-client-key", "apiserver.key"),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        file("service-account-key-file", "accounts.pub"),
        file("service-account-signing-key-file", "accounts.key"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
    ]
}

fn controller_manager(keys: &Path) -> Vec<String> {
    let own = [
        format!("--service-account-private-key-file={}", keys.join("accounts.key").display()),
        format!("--root-ca-file={}", keys.join("ca.crt").display()),
        "--use-service-account-credentials=true".to_owned(),
        "--allocate-node-cidrs=false".to_owned(),
    ];
    client("controller-manager", keys).into_iter().chain(own).collect()
}

/// What whoever asks the API server is told. There is one of each, so nobody has to be elected.
fn client(name: &str, keys: &Path) -> Vec<String> {
    let config = keys.join(format!("{name}.kubeconfig"));
    let flags = ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"];
    let mut arguments: Vec<String> =
        flags.iter().map(|flag| format!("--{flag}={}", config.display())).collect();
    arguments.extend(["--leader-elect=false".to_owned(), "--bind-address=127.0.0.1".to_owned()]);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_named_as_they_are_built() {
        let kube = KubeSpec { programs: "/built".into(), etcd: "/etcd".into(), disk: "/disk".into() };
        let files: Vec<String> = programs(&kube, Path::new("/lab"))
            .into_iter()
            .map(|program| program.file.display().to_string())
            .collect();
        assert_eq!(
            files,
            ["/built/kube-apiserver", "/built/kube-controller-manager", "/built/kube-scheduler"]
        );
    }
}
