//! The programs of Kubernetes and of what it needs, each group from a module whose versions are written down in `vagrant/kube`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::setup::cache::{Cache, Key};
use crate::setup::{go, step};

/// Where the programs of each group are.
#[derive(Debug)]
pub(super) struct Programs {
    /// The control plane, the kubelet, kubectl.
    pub(super) kubernetes: PathBuf,
    /// `server`, which is etcd.
    pub(super) etcd: PathBuf,
    /// containerd, its shim, ctr.
    pub(super) containerd: PathBuf,
    /// The sidecars of a driver's controller.
    pub(super) sidecars: PathBuf,
    /// One more, which takes Kubernetes' libraries of an earlier version than the others.
    pub(super) provisioner: PathBuf,
    /// Those sidecars that cannot be had: stand-ins.
    pub(super) standins: PathBuf,
}

/// What is built together.
struct Group {
    name: &'static str,
    build: go::Build<'static>,
    made_of: &'static [&'static str],
}

/// A module's files of versions.
macro_rules! versions {
    ($module:literal) => {
        [
            include_str!(concat!("../../../kube/", $module, "/go.mod")),
            include_str!(concat!("../../../kube/", $module, "/go.sum")),
        ]
    };
}

const KUBERNETES: [&str; 2] = versions!("kubernetes");
const ETCD: [&str; 2] = versions!("etcd");
const CONTAINERD: [&str; 2] = versions!("containerd");
const SIDECARS: [&str; 2] = versions!("sidecars");
const PROVISIONER: [&str; 2] = versions!("provisioner");
const STANDINS: [&str; 4] = [
    versions!("standins")[0],
    versions!("standins")[1],
    include_str!("../../../kube/standins/registrar/main.go"),
    include_str!("../../../kube/standins/liveness/main.go"),
];

const PROGRAMS: go::Build<'_> = go::Build {
    house: "vagrant/kube/kubernetes",
    packages: &[
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        "k8s.io/kubernetes/cmd/kubelet",
        "k8s.io/kubernetes/cmd/kubectl",
    ],
    tags: "",
    linker: "",
};

const OTHERS: [Group; 5] = [
    Group {
        name: "etcd",
        build: go::Build {
            house: "vagrant/kube/etcd",
            packages: &["go.etcd.io/etcd/server/v3"],
            tags: "",
            linker: "",
        },
        made_of: &ETCD,
    },
    Group {
        name: "containerd",
        build: go::Build {
            house: "vagrant/kube/containerd",
            packages: &[
                "github.com/containerd/containerd/v2/cmd/containerd",
                "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
                "github.com/containerd/containerd/v2/cmd/ctr",
            ],
            // What needs libraries that are not there, and snapshotters that nobody uses.
            tags: "no_btrfs,no_devmapper,no_zfs,no_aufs,no_gateway",
            linker: "",
        },
        made_of: &CONTAINERD,
    },
    Group {
        name: "sidecars",
        build: go::Build {
            house: "vagrant/kube/sidecars",
            packages: &[
                "github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher",
                "github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer",
            ],
            tags: "",
            linker: "",
        },
        made_of: &SIDECARS,
    },
    Group {
        name: "provisioner",
        build: go::Build {
            house: "vagrant/kube/provisioner",
            packages: &["github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner"],
            tags: "",
            linker: "",
        },
        made_of: &PROVISIONER,
    },
    Group {
        name: "standins",
        build: go::Build {
            house: "vagrant/kube/standins",
            packages: &["./registrar", "./liveness"],
            tags: "",
            linker: "",
        },
        made_of: &STANDINS,
    },
];

/// Builds what the cache does not have; says how long each group took.
pub(super) fn build(cache: &Cache) -> Result<Programs> {
    let kubernetes = kubernetes(cache)?;
    let [etcd, containerd, sidecars, provisioner, standins] =
        OTHERS.map(|group| built(cache, group.name, &group.build, group.made_of));
    Ok(Programs {
        kubernetes,
        etcd: etcd?,
        containerd: containerd?,
        sidecars: sidecars?,
        provisioner: provisioner?,
        standins: standins?,
    })
}

/// Kubernetes' programs go by the version that their linker was told.
fn kubernetes(cache: &Cache) -> Result<PathBuf> {
    let version = required(KUBERNETES[0], "k8s.io/kubernetes").context("no version of Kubernetes")?;
    let linker = format!("-X k8s.io/component-base/version.gitVersion={version}");
    let build = go::Build { linker: &linker, ..PROGRAMS };
    built(cache, "kubernetes", &build, &KUBERNETES)
}

fn built(cache: &Cache, name: &str, build: &go::Build<'_>, made_of: &[&str]) -> Result<PathBuf> {
    let key = [made_of, build.packages, &[build.tags, build.linker]].concat();
    cache.entry(&format!("go-{name}"), &Key::of(&key), |draft| {
        step(&format!("{name} from its Go modules, once"), || build.run(&cache.workspace(), draft))
    })
}

/// The version of `module` that a `go.mod` asks for.
fn required<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        (words.next() == Some(module)).then(|| words.next()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_version_is_found_alone_and_among_others() {
        let alone = "module m\n\nrequire a.io/b v1.2.3 // indirect\n";
        assert_eq!(required(alone, "a.io/b"), Some("v1.2.3"));
        let among = "require (\n\ta.io/bc v9.9.9\n\ta.io/b v1.2.3\n)\n";
        assert_eq!(required(among, "a.io/b"), Some("v1.2.3"));
        assert_eq!(required(among, "a.io"), None);
    }

    /// What the chart names is what is built here.
    #[test]
    fn sidecars_are_those_of_the_chart() {
        let values = include_str!("../../../../deploy/chart/values.yaml");
        for (image, [go_mod, _], module) in [
            ("csi-provisioner", PROVISIONER, "github.com/kubernetes-csi/external-provisioner/v6"),
            ("csi-attacher", SIDECARS, "github.com/kubernetes-csi/external-attacher/v4"),
            ("csi-resizer", SIDECARS, "github.com/kubernetes-csi/external-resizer/v2"),
        ] {
            let (_, rest) = values.split_once(&format!("sig-storage/{image}\n")).unwrap();
            let tag = rest.lines().next().unwrap().trim().trim_start_matches("tag: ");
            assert_eq!(required(go_mod, module), Some(tag), "{image}");
        }
    }
}
