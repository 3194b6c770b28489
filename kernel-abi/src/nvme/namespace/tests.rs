use super::*;
use crate::nvme::fixture::Tree;

const NQN: &str = "nqn.2026-01.io.mdfabric:r1:e7";

/// A local drive without multipath, and a remote namespace behind controllers 4 and 5 whose subsystem has instance 3.
fn tree() -> Tree {
    let tree = Tree::new();
    for (controller, transport) in [("nvme0", "pcie\n"), ("nvme4", "tcp\n"), ("nvme5", "tcp\n")] {
        tree.files(
            &format!("sys/class/nvme/{controller}"),
            &[("state", "live\n"), ("transport", transport), ("serial", &format!("SN-{controller} \n"))],
        );
        tree.file(&format!("sys/class/nvme/{controller}/subsysnqn"), &format!("nqn.of.{controller}\n"));
        tree.dir(&format!("sys/class/nvme/{controller}/hwmon0"));
    }
    tree.dir("sys/class/nvme/nvme0/nvme0n1").dir("sys/class/nvme/nvme0/ng0n1");
    tree.dir("sys/class/nvme/nvme4/nvme3c4n2").dir("sys/class/nvme/nvme5/nvme3c5n2");
    tree.file("sys/class/nvme-subsystem/nvme-subsys3/subsysnqn", &format!("{NQN}\n"));
    tree.files(
        "sys/block/nvme0n1",
        &[("dev", "259:0\n"), ("size", "2097152\n"), ("nsid", "1\n"), ("queue/logical_block_size", "4096\n")],
    );
    tree.link("sys/block/nvme0n1/device", "../../class/nvme/nvme0");
    tree.files(
        "sys/block/nvme3n2",
        &[
            ("dev", "259:7\n"),
            ("size", "8\n"),
            ("nsid", "1\n"),
            ("uuid", "01020304-0506-0708-090a-0b0c0d0e0f10\n"),
            ("nguid", "00000000-0000-0000-0000-000000000000\n"),
            ("wwid", "uuid.01020304-0506-0708-090a-0b0c0d0e0f10\n"),
            ("queue/logical_block_size", "512\n"),
        ],
    );
    tree.link("sys/block/nvme3n2/device", "../../nvme-subsystem/nvme-subsys3");
    tree.files("sys/block/nvme3c4n2", &[("hidden", "1\n"), ("size", "8\n")]).dir("sys/block/md127");
    tree
}

#[test]
fn heads_know_their_paths_and_their_subsystem() {
    let found = namespaces(&tree().root()).unwrap();
    let [local, remote] = found.as_slice() else { panic!("{found:?}") };

    assert_eq!((local.size_bytes, local.logical_block_size), (1 << 30, 4096));
    assert_eq!((local.transport.clone(), local.serial.as_str()), (Some(Transport::Pcie), "SN-nvme0"));
    assert_eq!(
        (local.subsysnqn.as_str(), local.paths.as_slice()),
        ("nqn.of.nvme0", &[ControllerName(0)][..])
    );

    assert_eq!(remote.name, HeadName { subsystem: 3, head: 2 });
    assert_eq!(remote.dev, DevNum { major: 259, minor: 7 });
    assert_eq!(remote.paths, [ControllerName(4), ControllerName(5)]);
    assert_eq!((remote.subsysnqn.as_str(), remote.serial.as_str()), (NQN, "SN-nvme4"));
    assert_eq!((remote.nsid, remote.nguid), (Some(Nsid::FIRST), None));
    assert_eq!(remote.uuid, Some(Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10)));
}

#[test]
fn a_head_without_paths_still_stands_and_a_vanished_one_does_not() {
    let tree = tree();
    tree.files("sys/block/nvme7n1", &[("dev", "259:9\n"), ("size", "0\n")]).dir("sys/block/nvme8n1");
    let found = namespaces(&tree.root()).unwrap();
    assert_eq!(found.len(), 3);
    let left = &found[2];
    assert_eq!((left.paths.as_slice(), left.transport.as_ref()), (&[][..], None));
}
