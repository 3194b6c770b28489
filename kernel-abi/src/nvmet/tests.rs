use std::fs;

use nix::errno::Errno;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::Root;
use crate::nvme::fixture::Tree;
use crate::nvme::{DhchapSecret, Fabric, Nguid, Nqn, Nsid};

const NQN: &str = "nqn.2026-01.io.mdfabric:r1:e7";
const HOST: &str = "nqn.2026-01.io.mdfabric:host:a";
const SECRET: &str = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";

fn nqn() -> Nqn {
    Nqn::new(NQN).unwrap()
}

fn host() -> Nqn {
    Nqn::new(HOST).unwrap()
}

fn under(path: &str) -> String {
    format!("{DIRECTORY}/{path}")
}

fn identity() -> NamespaceIdentity {
    let uuid = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    NamespaceIdentity { device_path: "/dev/nvme0n1p1".into(), uuid, nguid: Nguid::from_uuid(uuid) }
}

fn address() -> PortAddress {
    PortAddress { transport: Fabric::Tcp, addr: "10.0.0.2".parse().unwrap(), svc: 4420 }
}

/// The items as the kernel makes them with `mkdir`: attributes at their defaults, groups empty.
fn fresh() -> Tree {
    let tree = Tree::new();
    let subsystem = under(&format!("subsystems/{NQN}"));
    tree.files(
        &subsystem,
        &[
            ("attr_allow_any_host", "1\n"),
            ("attr_serial", "1a2b3c4d5e6f7a8b9c0d\n"),
            ("attr_model", "Linux\n"),
        ],
    );
    tree.dir(&format!("{subsystem}/allowed_hosts"));
    tree.files(
        &format!("{subsystem}/namespaces/1"),
        &[
            ("device_path", "(null)\n"),
            ("device_uuid", "ffffffff-0506-0708-090a-0b0c0d0e0f10\n"),
            ("device_nguid", "00000000-0000-0000-0000-000000000000\n"),
            ("enable", "0\n"),
            ("revalidate_size", ""),
        ],
    );
    tree.files(
        &under(&format!("hosts/{HOST}")),
        &[("dhchap_key", "\n"), ("dhchap_ctrl_key", "\n"), ("dhchap_hash", "hmac(sha256)\n")],
    );
    tree.files(
        &under("ports/1"),
        &[("addr_trtype", "\n"), ("addr_adrfam", "\n"), ("addr_traddr", "\n"), ("addr_trsvcid", "\n")],
    );
    tree.dir(&under("ports/1/subsystems"));
    tree
}

/// A file keeps the tail of a longer old text, an attribute does not: cut it.
fn settle(tree: &Tree, path: &str, text: &str) {
    assert!(tree.text(&under(path)).starts_with(text), "{path}");
    tree.file(&under(path), &format!("{text}\n"));
}

/// Configures everything; says for each verb whether it changed anything.
fn configure(root: &Root) -> Vec<Changed> {
    let (serial, model) = (Serial::new("r1").unwrap(), Model::new("mdfabric").unwrap());
    let secret = DhchapSecret::new(SECRET).unwrap();
    vec![
        create_subsystem(root, &nqn(), &serial, &model).unwrap(),
        create_namespace(root, &nqn(), Nsid::FIRST, &identity()).unwrap(),
        enable_namespace(root, &nqn(), Nsid::FIRST).unwrap(),
        create_host(root, &host()).unwrap(),
        set_dhchap_key(root, &host(), DhchapRole::Host, &secret).unwrap(),
        set_dhchap_hash(root, &host(), DhchapHash::Sha256).unwrap(),
        allow_host(root, &nqn(), &host()).unwrap(),
        create_port(root, 1, &address()).unwrap(),
        link(root, 1, &nqn()).unwrap(),
    ]
}

fn configured() -> Tree {
    let tree = fresh();
    let _ = configure(&tree.root());
    let subsystem = format!("subsystems/{NQN}");
    settle(&tree, &format!("{subsystem}/attr_serial"), "r1");
    settle(&tree, &format!("{subsystem}/attr_model"), "mdfabric");
    settle(&tree, &format!("{subsystem}/namespaces/1/device_path"), "/dev/nvme0n1p1");
    settle(&tree, &format!("{subsystem}/namespaces/1/device_nguid"), "0102030405060708090a0b0c0d0e0f10");
    tree
}

#[test]
fn configured_twice_the_second_time_changes_nothing() {
    use Changed::{AlreadySo, Done};
    let expected = [Done, Done, Done, AlreadySo, Done, AlreadySo, Done, Done, Done];
    assert_eq!(configure(&fresh().root()), expected);
    assert!(configure(&configured().root()).iter().all(|changed| *changed == AlreadySo));
}

#[test]
fn what_was_configured_is_observed() {
    let target = observe(&configured().root()).unwrap();
    assert_eq!(target.hosts, [HOST]);
    let port = target.port(1).unwrap();
    assert_eq!((port.address(), port.subsystems.as_slice()), (Some(address()), &[NQN.to_owned()][..]));
    assert_eq!(target.ports_of(NQN).count(), 1);
    let subsystem = target.subsystem(NQN).unwrap();
    assert_eq!((subsystem.serial.as_str(), subsystem.model.as_str()), ("r1", "mdfabric"));
    assert_eq!(
        (subsystem.allow_any_host, subsystem.allowed_hosts.as_slice()),
        (false, &[HOST.to_owned()][..])
    );
    let namespace = subsystem.namespace(Nsid::FIRST).unwrap();
    let expected = ExportedNamespace {
        nsid: Nsid::FIRST,
        device_path: Some(identity().device_path),
        uuid: Some(identity().uuid),
        nguid: Some(identity().nguid),
        enabled: true,
    };
    assert_eq!(*namespace, expected);
}

#[test]
fn defaults_and_strange_or_vanishing_items_are_observed() {
    let tree = fresh();
    tree.dir(&under("subsystems/half-gone")).dir(&under("ports/9")).dir(&under("ports/strange"));
    tree.dir(&under(&format!("subsystems/{NQN}/namespaces/2")));
    let target = observe(&tree.root()).unwrap();
    assert_eq!((target.subsystems.len(), target.ports.len()), (1, 1));
    assert_eq!(target.ports[0].address(), None);
    let [namespace] = target.subsystems[0].namespaces.as_slice() else { panic!("{target:?}") };
    assert_eq!((&namespace.device_path, namespace.nguid, namespace.enabled), (&None, None, false));
    assert_eq!(observe(&Tree::new().root()).unwrap(), Target::default());
    assert!(is_available(&tree.root()) && !is_available(&Tree::new().root()));
}

#[test]
fn fencing_verbs_undo_and_may_be_repeated() {
    let tree = configured();
    let root = tree.root();
    for expected in [Changed::Done, Changed::AlreadySo] {
        assert_eq!(disallow_host(&root, &nqn(), &host()).unwrap(), expected);
        assert_eq!(unlink(&root, 1, &nqn()).unwrap(), expected);
        assert_eq!(disable_namespace(&root, &nqn(), Nsid::FIRST).unwrap(), expected);
    }
    let target = observe(&root).unwrap();
    assert_eq!((target.ports_of(NQN).count(), target.subsystems[0].allowed_hosts.len()), (0, 0));
    assert!(!target.subsystems[0].namespaces[0].enabled);
    // With nothing left of a subsystem its fence still stands.
    assert_eq!(disable_namespace(&Tree::new().root(), &nqn(), Nsid::FIRST).unwrap(), Changed::AlreadySo);
}

/// A plain directory does not lose its attributes and groups with `rmdir` as configfs does; so the order of calls is
/// seen in what is left when the first `rmdir` is refused.
#[test]
fn teardown_cuts_before_it_drains_before_it_removes() {
    let tree = configured();
    let root = tree.root();
    let error = remove_subsystem(&root, &nqn()).unwrap_err();
    assert!(error.is(Errno::ENOTEMPTY) && error.target.ends_with("namespaces/1"), "{error}");
    let target = observe(&root).unwrap();
    assert_eq!((target.ports_of(NQN).count(), target.subsystems[0].allowed_hosts.len()), (0, 0));
    assert!(!target.subsystems[0].namespaces[0].enabled);
}

#[test]
fn empty_items_are_removed_once() {
    let tree = Tree::new();
    tree.dir(&under(&format!("hosts/{HOST}")))
        .dir(&under(&format!("subsystems/{NQN}")))
        .dir(&under("ports/1"));
    let root = tree.root();
    for expected in [Changed::Done, Changed::AlreadySo] {
        assert_eq!(remove_host(&root, &host()).unwrap(), expected);
        assert_eq!(remove_port(&root, 1).unwrap(), expected);
        assert_eq!(remove_subsystem(&root, &nqn()).unwrap(), expected);
        assert_eq!(remove_namespace(&root, &nqn(), Nsid::FIRST).unwrap(), Changed::AlreadySo);
    }
}

#[test]
fn the_size_is_told_anew() {
    let tree = configured();
    revalidate_size(&tree.root(), &nqn(), Nsid::FIRST).unwrap();
    assert_eq!(tree.text(&under(&format!("subsystems/{NQN}/namespaces/1/revalidate_size"))), "1");
}

#[test]
fn a_secret_stays_out_of_errors() {
    let tree = fresh();
    let path = format!("hosts/{HOST}/dhchap_key");
    let secret = DhchapSecret::new(SECRET).unwrap();
    let set = || set_dhchap_key(&tree.root(), &host(), DhchapRole::Host, &secret);
    assert_eq!(set().unwrap(), Changed::Done);
    assert_eq!(tree.text(&under(&path)), SECRET);
    assert_eq!(set().unwrap(), Changed::AlreadySo);
    fs::remove_file(tree.root().path(under(&path))).unwrap();
    let error = set().unwrap_err();
    assert!(error.value.is_none() && !format!("{error:?}").contains("ia6z"), "{error:?}");
}

#[test]
fn a_device_path_that_the_kernel_would_cut_is_refused() {
    let tree = fresh();
    let identity = NamespaceIdentity { device_path: "/dev/sda\n/dev/sdb".into(), ..identity() };
    let error = create_namespace(&tree.root(), &nqn(), Nsid::FIRST, &identity).unwrap_err();
    assert!(error.is(Errno::EINVAL));
}

#[test]
fn serials_and_models_fit_their_fields() {
    assert!(Serial::new("s".repeat(20)).is_ok() && Serial::new("s".repeat(21)).is_err());
    assert!(Model::new("m".repeat(40)).is_ok() && Model::new("m".repeat(41)).is_err());
    for bad in ["", " x", "x ", "a\nb", "\u{e9}"] {
        assert!(Serial::new(bad).is_err(), "{bad:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_attribute_bytes_are_observed(bytes: Vec<u8>) {
        let tree = fresh();
        let namespace = under(&format!("subsystems/{NQN}/namespaces/1"));
        for file in ["device_path", "device_uuid", "device_nguid", "enable"] {
            fs::write(tree.root().path(format!("{namespace}/{file}")), &bytes).unwrap();
        }
        fs::write(tree.root().path(under("ports/1/addr_traddr")), &bytes).unwrap();
        prop_assert_eq!(observe(&tree.root()).unwrap().subsystems.len(), 1);
    }
}
