use proptest::prelude::*;

use super::*;
use crate::nvme::fixture::Tree;

const REMOTE: &[(&str, &str)] = &[
    ("state", "live\n"),
    ("subsysnqn", "nqn.2026-01.io.mdfabric:r1:e7\n"),
    ("transport", "tcp\n"),
    ("address", "traddr=10.0.0.2,trsvcid=4420,src_addr=10.0.0.1\n"),
    ("hostnqn", "nqn.2026-01.io.mdfabric:host:a\n"),
    ("hostid", "01020304-0506-0708-090a-0b0c0d0e0f10\n"),
    ("serial", "r1                  \n"),
    ("model", "Linux                                   \n"),
    ("firmware_rev", "6.12.107\n"),
    ("cntlid", "1\n"),
    ("delete_controller", ""),
    ("fast_io_fail_tmo", "off\n"),
    ("ctrl_loss_tmo", "600\n"),
    ("reconnect_delay", "10\n"),
];

/// A local drive nvme0 and a connection nvme4 to the subsystem with instance 3.
fn tree() -> Tree {
    let tree = Tree::new();
    tree.files(
        "sys/class/nvme/nvme0",
        &[("state", "live\n"), ("transport", "pcie\n"), ("address", "0000:00:04.0\n"), ("serial", "S1  \n")],
    );
    tree.files("sys/class/nvme/nvme4", REMOTE);
    tree.dir("sys/class/nvme-subsystem/nvme-subsys3/nvme4").dir("sys/class/nvme/fabrics_oddity");
    tree.file("sys/class/nvme-subsystem/nvme-subsys3/subsysnqn", "nqn.2026-01.io.mdfabric:r1:e7\n");
    tree
}

#[test]
fn controllers_are_read_with_their_subsystem() {
    let found = controllers(&tree().root()).unwrap();
    let [local, remote] = found.as_slice() else { panic!("{found:?}") };
    assert!(local.transport.is_local());
    assert_eq!((local.address.text.as_str(), local.address.socket_addr()), ("0000:00:04.0", None));
    assert_eq!((local.hostid, local.cntlid), (None, None));

    assert_eq!(remote.name, ControllerName(4));
    assert_eq!(remote.subsystem.as_deref(), Some("nvme-subsys3"));
    assert_eq!(remote.address.socket_addr(), Some("10.0.0.2:4420".parse().unwrap()));
    assert_eq!((remote.state.clone(), remote.cntlid), (ControllerState::Live, Some(1)));
    assert_eq!((remote.serial.as_str(), remote.model.as_str()), ("r1", "Linux"));
    assert_eq!(remote.hostid, Some(Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10)));
}

#[test]
fn a_controller_that_vanishes_is_left_out() {
    let tree = tree();
    tree.dir("sys/class/nvme/nvme9");
    assert_eq!(controllers(&tree.root()).unwrap().len(), 2);
    assert_eq!(state(&tree.root(), ControllerName(9)).unwrap(), None);
    assert_eq!(controllers(&Tree::new().root()).unwrap(), []);
}

#[test]
fn verbs_write_their_attribute() {
    let tree = tree();
    let (root, name) = (tree.root(), ControllerName(4));
    set_fast_io_fail_tmo(&root, name, Timeout::Seconds(0)).unwrap();
    set_ctrl_loss_tmo(&root, name, Timeout::Never).unwrap();
    set_reconnect_delay(&root, name, 1).unwrap();
    delete(&root, name).unwrap();
    // A file keeps the tail of its old text, an attribute does not.
    assert!(tree.text("sys/class/nvme/nvme4/fast_io_fail_tmo").starts_with('0'));
    assert!(tree.text("sys/class/nvme/nvme4/ctrl_loss_tmo").starts_with("-1"));
    assert!(tree.text("sys/class/nvme/nvme4/reconnect_delay").starts_with('1'));
    assert_eq!(tree.text("sys/class/nvme/nvme4/delete_controller"), "1");
    assert!(delete(&root, ControllerName(9)).unwrap_err().is(nix::errno::Errno::ENOENT));
}

proptest! {
    #[test]
    fn states_show_the_kernels_word(word in "\\PC*") {
        prop_assert_eq!(ControllerState::parse(&word).to_string(), word);
    }

    #[test]
    fn any_address_is_read(text in "\\PC*") {
        prop_assert_eq!(Address::parse(&text).text, text);
    }
}
