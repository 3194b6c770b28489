use std::fs;
use std::path::PathBuf;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;

/// A hand-made root, removed when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("kernel-abi-watch-{}-{name}", std::process::id())))
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn root(&self) -> Root {
        Root::at(&self.0)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn vol1() -> NodeName {
    "md_vol1".parse().unwrap()
}

fn leg() -> Watched {
    Watched::Member(vol1(), "dev-dm-0".parse().unwrap())
}

#[test]
fn arming_reads_the_value_from_its_start() {
    let tree = Tree::new("arm");
    tree.put("sys/block/md_vol1/md/array_state", "clean\n");
    let (mut watch, first) = Watch::open(&tree.root(), Watched::ArrayState(vol1())).unwrap().unwrap();
    assert_eq!(first, "clean");
    tree.put("sys/block/md_vol1/md/array_state", "active-idle\n");
    assert_eq!(watch.rearm().unwrap().as_deref(), Some("active-idle"));
    assert_eq!(watch.what(), &Watched::ArrayState(vol1()));
}

#[test]
fn what_is_not_there_is_not_watched() {
    let tree = Tree::new("none");
    assert!(Watch::open(&tree.root(), Watched::Mdstat).unwrap().is_none());
    assert_eq!(ArrayWatch::open(&tree.root(), vol1()).unwrap().watches().count(), 0);
}

#[test]
fn members_that_come_are_watched_too() {
    let tree = Tree::new("come");
    for attribute in ["array_state", "sync_action", "degraded"] {
        tree.put(&format!("sys/block/md_vol1/md/{attribute}"), "0\n");
    }
    let mut watch = ArrayWatch::open(&tree.root(), vol1()).unwrap();
    assert_eq!(watch.watches().count(), 3);
    tree.put("sys/block/md_vol1/md/dev-dm-0/state", "in_sync\n");
    assert_eq!(watch.refresh(&tree.root()).unwrap(), [leg()]);
    assert_eq!(watch.refresh(&tree.root()).unwrap(), []);
    assert_eq!(watch.watches().count(), 4);
}

/// The descriptor is one that poll(2) takes; that md wakes it is proven in the lab.
#[test]
fn a_watch_can_be_polled() {
    let tree = Tree::new("poll");
    tree.put(mdstat::PATH, "Personalities :\n");
    let (watch, _) = Watch::open(&tree.root(), Watched::Mdstat).unwrap().unwrap();
    let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLPRI)];
    assert_eq!(poll(&mut fds, PollTimeout::ZERO), Ok(0));
}
