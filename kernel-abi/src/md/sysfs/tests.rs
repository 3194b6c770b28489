use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::md::{MemberDir, NodeName};
use crate::{DevNum, Root};

/// A hand-made `/sys`, removed when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kernel-abi-sysfs-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("sys/block/sda")).unwrap();
        Self(path)
    }

    fn root(&self) -> Root {
        Root::at(&self.0)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn array(&self, attributes: &[(&str, &str)]) {
        for (name, text) in attributes {
            self.put(&format!("sys/block/md_vol1/md/{name}"), text);
        }
    }

    fn wrote(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
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

fn leg() -> MemberDir {
    "dev-dm-0".parse().unwrap()
}

/// As Linux 6.12 shows an array that rebuilds its second member.
fn recovering(tree: &Tree) {
    tree.put("sys/block/md_vol1/dev", "9:512\n");
    tree.put("sys/block/md_vol1/size", "2093056\n");
    tree.array(&[
        ("array_state", "active\n"),
        ("level", "raid1\n"),
        ("raid_disks", "2\n"),
        ("degraded", "1\n"),
        ("sync_action", "recover\n"),
        ("sync_completed", "263168 / 2093056\n"),
        ("sync_speed", "54321\n"),
        ("mismatch_cnt", "0\n"),
        ("component_size", "1046528\n"),
        ("uuid", "00112233-4455-6677-8899-aabbccddeeff\n"),
        ("metadata_version", "1.2\n"),
        ("resync_start", "none\n"),
        ("bitmap/location", "+8\n"),
        ("dev-nvme0n1p1/state", "in_sync\n"),
        ("dev-nvme0n1p1/slot", "0\n"),
        ("dev-nvme0n1p1/block/dev", "259:1\n"),
        ("dev-nvme0n1p1/recovery_start", "none\n"),
        ("dev-nvme0n1p1/errors", "0\n"),
        ("dev-nvme0n1p1/size", "1046528\n"),
        ("dev-nvme0n1p1/offset", "2048\n"),
        ("dev-dm-0/state", "write_mostly,spare,napping\n"),
        ("dev-dm-0/slot", "1\n"),
        ("dev-dm-0/recovery_start", "263168\n"),
        ("dev-dm-0/size", "1046528\n"),
        ("dev-dm-0/offset", "2048\n"),
        // What the member's links are called; not members.
        ("rd0/state", "in_sync\n"),
    ]);
}

#[test]
fn a_check_is_seen_with_its_end() {
    let tree = Tree::new("check");
    recovering(&tree);
    let name = arrays(&tree.root()).unwrap().remove(0).name;
    for (text, limit) in [("8192\n", SyncLimit::At(8192)), ("max\n", SyncLimit::Max)] {
        tree.array(&[("sync_action", "check\n"), ("sync_max", text)]);
        assert_eq!(activity(&tree.root(), &name).unwrap().unwrap().sync_limit, Some(limit));
    }
}

#[test]
fn a_recovering_array_is_seen_whole() {
    let tree = Tree::new("whole");
    recovering(&tree);
    let arrays = arrays(&tree.root()).unwrap();
    let [array] = arrays.as_slice() else { panic!("{arrays:?}") };
    assert_eq!((array.name.as_str(), array.dev), ("md_vol1", Some(DevNum { major: 9, minor: 512 })));
    let recovering = Activity {
        sync_action: Some(SyncAction::Recover),
        sync_completed: Some(SyncCompleted::Sectors { done: 263_168, total: 2_093_056 }),
        sync_limit: None,
    };
    assert_eq!((&array.state, &array.activity), (&ArrayState::Active, &recovering));
    assert_eq!(activity(&tree.root(), &array.name).unwrap(), Some(recovering));
    assert_eq!((array.raid_disks, array.degraded, array.size_sectors), (Some(2), Some(1), 2_093_056));
    assert_eq!((array.sync_speed_kib, array.mismatch_sectors), (Some(54_321), Some(0)));
    assert_eq!((array.component_size_kib, array.resync_start), (Some(1_046_528), None));
    assert_eq!(array.uuid.unwrap().as_u128(), 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
    assert_eq!((array.level.as_deref(), array.metadata_version.as_deref()), (Some("raid1"), Some("1.2")));
    assert_eq!(array.bitmap_location.as_deref(), Some("+8"));
    let [remote, local] = array.members.as_slice() else { panic!("{array:?}") };
    assert_eq!((local.dev, local.slot), (Some(DevNum { major: 259, minor: 1 }), Some(0)));
    assert!(local.flags.has(&MemberFlag::InSync) && local.recovery_start.is_none());
    assert_eq!((remote.dir.as_str(), remote.dev, remote.recovery_start), ("dev-dm-0", None, Some(263_168)));
    assert!(remote.flags.has(&MemberFlag::WriteMostly) && remote.flags.has(&MemberFlag::Spare));
    assert!(remote.flags.has(&MemberFlag::Unknown("napping".to_owned())));
    assert_eq!((local.size_kib, local.offset_sectors, local.errors), (Some(1_046_528), Some(2048), Some(0)));
}

#[test]
fn what_vanishes_is_left_out() {
    let tree = Tree::new("vanish");
    assert_eq!(arrays(&Root::at("/nonexistent")).unwrap(), []);
    assert_eq!(arrays(&tree.root()).unwrap(), []);
    recovering(&tree);
    fs::remove_file(tree.0.join("sys/block/md_vol1/md/dev-dm-0/state")).unwrap();
    assert_eq!(array(&tree.root(), &vol1()).unwrap().unwrap().members.len(), 1);
    fs::remove_file(tree.0.join("sys/block/md_vol1/md/array_state")).unwrap();
    assert_eq!(array(&tree.root(), &vol1()).unwrap(), None);
}

#[test]
fn an_empty_node_has_little_to_say() {
    let tree = Tree::new("empty");
    tree.array(&[
        ("array_state", "clear\n"),
        ("level", "\n"),
        ("raid_disks", "\n"),
        ("uuid", "00000000-0000-0000-0000-000000000000\n"),
        ("metadata_version", "none\n"),
    ]);
    let array = array(&tree.root(), &vol1()).unwrap().unwrap();
    assert_eq!(
        (array.state, array.level, array.raid_disks, array.uuid),
        (ArrayState::Clear, None, None, None)
    );
}

#[test]
fn a_reshape_and_failed_members_read_as_the_kernel_means_them() {
    let tree = Tree::new("odd");
    recovering(&tree);
    tree.array(&[
        ("raid_disks", "3 (2)\n"),
        ("dev-dm-0/slot", "none\n"),
        ("dev-dm-0/state", "faulty,blocked\n"),
    ]);
    let array = array(&tree.root(), &vol1()).unwrap().unwrap();
    assert_eq!((array.raid_disks, array.members[0].slot), (Some(3), None));
    assert!(array.members[0].flags.has(&MemberFlag::Blocked));
}

#[test]
fn words_read_back_as_themselves() {
    for word in ["clear", "read-auto", "write-pending", "active-idle", "broken", "dreaming"] {
        assert_eq!(ArrayState::from(word).to_string(), word);
    }
    assert_eq!(ArrayState::from("dreaming"), ArrayState::Unknown("dreaming".to_owned()));
    for word in ["idle", "frozen", "resync", "recover", "check", "repair", "reshape", "other"] {
        assert_eq!(SyncAction::from(word).to_string(), word);
    }
    assert_eq!(SyncCompleted::parse("delayed\n"), Some(SyncCompleted::Delayed));
    assert_eq!(SyncCompleted::parse("1 / x"), None);
}

#[test]
fn every_verb_writes_its_attribute() {
    let tree = Tree::new("verbs");
    let (root, name, dir) = (tree.root(), vol1(), leg());
    let md = "sys/block/md_vol1/md";
    let check = |attribute: &str, value: &str, verb: &dyn Fn() -> Result<(), crate::CallError>| {
        let path =
            if attribute.starts_with("sys/") { attribute.to_owned() } else { format!("{md}/{attribute}") };
        tree.put(&path, "");
        verb().unwrap();
        assert_eq!(tree.wrote(&path), value, "{attribute}");
    };
    check("array_state", "clear", &|| set_array_state(&root, &name, ArrayVerb::Clear));
    check("sync_action", "frozen", &|| set_sync_action(&root, &name, SyncVerb::Frozen));
    check("raid_disks", "3", &|| set_raid_disks(&root, &name, 3));
    check("component_size", "1024", &|| set_component_size_kib(&root, &name, 1024));
    check("metadata_version", "1.2", &|| set_metadata_version_1_2(&root, &name));
    check("new_dev", "259:4", &|| new_dev(&root, &name, DevNum { major: 259, minor: 4 }));
    check("sync_min", "128", &|| set_sync_min(&root, &name, 128));
    check("sync_max", "256", &|| set_sync_max(&root, &name, SyncLimit::At(256)));
    check("sync_max", "max", &|| set_sync_max(&root, &name, SyncLimit::Max));
    check("sync_speed_min", "system", &|| set_sync_speed_min(&root, &name, SpeedLimit::System));
    check("sync_speed_max", "9", &|| set_sync_speed_max(&root, &name, SpeedLimit::KibPerSec(9)));
    check("resync_start", "none", &|| set_resync_start_none(&root, &name));
    check("safe_mode_delay", "1.050", &|| set_safe_mode_delay(&root, &name, Duration::from_millis(1050)));
    check("bitmap/location", "none", &|| set_bitmap_location(&root, &name, BitmapLocation::None));
    check("bitmap/location", "+8", &|| set_bitmap_location(&root, &name, BitmapLocation::Internal(8)));
    check("bitmap_set_bits", "900-915 32", &|| bitmap_set_bits(&root, &name, &[900..=915, 32..=32]));
    check("dev-dm-0/state", "-writemostly", &|| {
        set_member_state(&root, &name, &dir, MemberVerb::NotWriteMostly)
    });
    check("dev-dm-0/state", "re-add", &|| set_member_state(&root, &name, &dir, MemberVerb::ReAdd));
    check("dev-dm-0/size", "0", &|| set_member_size_max(&root, &name, &dir));
    check("sys/module/md_mod/parameters/start_ro", "0", &|| set_start_ro(&root, false));
    check("sys/module/md_mod/parameters/new_array", "md_vol1", &|| {
        assert_eq!(create_node(&root, &name)?, Made::Created);
        Ok(())
    });
}

#[test]
fn a_node_without_the_module_is_enoent() {
    let error = create_node(&Tree::new("module").root(), &vol1()).unwrap_err();
    assert!(error.is(nix::errno::Errno::ENOENT));
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "(?s).{0,60}") {
        let _ = SyncCompleted::parse(&text);
        let _ = MemberFlags::parse(&text);
        let _ = (ArrayState::from(text.as_str()), SyncAction::from(text.as_str()));
        let _ = (text.parse::<NodeName>().is_ok(), text.parse::<MemberDir>().is_ok());
    }
}
