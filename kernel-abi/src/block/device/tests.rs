//! On a tree like the kernel's, and on the running machine's devices where there are any.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::attributes::vpd_serial;
use super::*;

/// A directory that goes away with the test.
struct Tree(PathBuf);

impl Tree {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kernel-abi-device-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join(CLASS)).unwrap();
        Self(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, from: &str, to: &str) {
        fs::create_dir_all(self.0.join(from).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, self.0.join(from)).unwrap();
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

/// A head of `nvme` with two partitions, the second held by an array; linked as in sysfs.
fn nvme(test: &str) -> Tree {
    let tree = Tree::new(test);
    let head = "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1";
    for (attribute, text) in [
        ("dev", "259:0\n"),
        ("size", "2097152\n"),
        ("ro", "0\n"),
        ("removable", "0\n"),
        ("diskseq", "9\n"),
        ("wwid", "uuid.6f1c7d4e-0000-4000-8000-000000000001\n"),
        ("queue/logical_block_size", "4096\n"),
        ("queue/physical_block_size", "4096\n"),
        ("queue/rotational", "0\n"),
        ("queue/discard_max_bytes", "2199023255040\n"),
        ("queue/write_zeroes_max_bytes", "131072\n"),
        ("device/serial", "A0                  \n"),
        ("device/model", "QEMU NVMe Ctrl                          \n"),
        ("nvme0n1p2/dev", "259:2\n"),
        ("nvme0n1p2/partition", "2\n"),
        ("nvme0n1p2/start", "10240\n"),
        ("nvme0n1p2/size", "2048\n"),
        ("nvme0n1p2/ro", "0\n"),
        ("nvme0n1p2/holders/md_v1/dev", "9:512\n"),
        ("nvme0n1p10/dev", "259:10\n"),
        ("nvme0n1p10/partition", "10\n"),
        ("nvme0n1p10/start", "2048\n"),
    ] {
        tree.put(&format!("{head}/{attribute}"), text);
    }
    let up = "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1";
    tree.link(&format!("{CLASS}/nvme0n1"), up);
    tree.link(&format!("{CLASS}/nvme0n1p2"), &format!("{up}/nvme0n1p2"));
    tree.link(&format!("{CLASS}/nvme0n1p10"), &format!("{up}/nvme0n1p10"));
    tree.link(&format!("{BY_NUMBER}/259:2"), &format!("{up}/nvme0n1p2"));
    tree
}

#[test]
fn a_drive_tells_its_size_limits_and_identity() {
    let tree = nvme("drive");
    let device = by_name(&tree.root(), "nvme0n1").unwrap().unwrap();
    assert_eq!((device.size_bytes, device.disk_sequence), (1 << 30, Some(9)));
    assert_eq!((device.queue.logical_sector_bytes, device.queue.write_zeroes_max_bytes), (4096, 131_072));
    assert_eq!(device.identity.serial.as_deref(), Some("A0"));
    assert_eq!(device.identity.model.as_deref(), Some("QEMU NVMe Ctrl"));
    assert_eq!(device.identity.wwid.as_deref(), Some("uuid.6f1c7d4e-0000-4000-8000-000000000001"));
    assert!(!device.is_partition() && device.map.is_none());
}

#[test]
fn partitions_come_by_number_with_place_and_holders() {
    let tree = nvme("partitions");
    let found = partitions(&tree.root(), "nvme0n1").unwrap();
    let names: Vec<_> = found.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names, ["nvme0n1p2", "nvme0n1p10"]);
    let place = PartitionOf { disk: "nvme0n1".into(), number: 2, start_bytes: 10240 * 512 };
    assert_eq!(found[0].partition.as_ref(), Some(&place));
    assert_eq!(found[0].holders, ["md_v1"]);
    assert_eq!(found[0].queue.logical_sector_bytes, 4096);
}

#[test]
fn a_number_finds_its_device_with_and_without_links() {
    let tree = nvme("number");
    let number = |minor| DevNum { major: 259, minor };
    assert_eq!(by_devnum(&tree.root(), number(2)).unwrap().unwrap().name, "nvme0n1p2");
    assert_eq!(by_devnum(&tree.root(), number(10)).unwrap().unwrap().name, "nvme0n1p10");
    assert_eq!(by_devnum(&tree.root(), number(99)).unwrap(), None);
}

#[test]
fn a_copy_without_links_is_read_too() {
    let tree = Tree::new("copy");
    for at in ["vda/dev", "vda/vda1/dev", "vda1/dev"] {
        tree.put(&format!("{CLASS}/{at}"), if at == "vda/dev" { "254:0" } else { "254:1" });
    }
    tree.put(&format!("{CLASS}/vda/vda1/partition"), "1");
    tree.put(&format!("{CLASS}/vda1/partition"), "1");
    tree.put(&format!("{CLASS}/vda/serial"), "disk-7");
    let found = partitions(&tree.root(), "vda").unwrap();
    assert_eq!(found[0].partition.as_ref().map(|place| place.disk.as_str()), Some("vda"));
    assert_eq!(by_name(&tree.root(), "vda").unwrap().unwrap().identity.serial.as_deref(), Some("disk-7"));
}

#[test]
fn a_map_has_its_names_and_what_it_is_built_on() {
    let tree = Tree::new("map");
    for (attribute, text) in
        [("dev", "253:3"), ("dm/name", "leg-b"), ("dm/uuid", "MDF-b"), ("slaves/nvme3n2/dev", "")]
    {
        tree.put(&format!("{CLASS}/dm-3/{attribute}"), text);
    }
    let device = by_name(&tree.root(), "dm-3").unwrap().unwrap();
    assert_eq!(device.map, Some(MapName { name: "leg-b".into(), uuid: "MDF-b".into() }));
    assert_eq!(device.slaves, ["nvme3n2"]);
}

#[test]
fn nonsense_in_an_attribute_is_an_error_that_names_it() {
    let tree = nvme("nonsense");
    tree.put(&format!("{CLASS}/nvme0n1/size"), "18446744073709551615\n");
    assert!(by_name(&tree.root(), "nvme0n1").unwrap_err().to_string().contains("nvme0n1/size"));
    tree.put(&format!("{CLASS}/nvme0n1/size"), "many\n");
    assert!(by_name(&tree.root(), "nvme0n1").is_err());
    assert!(by_name(&tree.root(), "nvme9n9").unwrap().is_none());
}

#[test]
fn the_running_machine_is_readable() {
    let root = Root::live();
    for device in all(&root).unwrap() {
        assert_eq!(by_devnum(&root, device.number).unwrap().map(|it| it.name), Some(device.name.clone()));
        if let Ok(file) = open(&root, &device, Access::Read) {
            assert_eq!(size_bytes(&file, Path::new(&device.name)).unwrap(), device.size_bytes);
            let sector = logical_sector_bytes(&file, Path::new(&device.name)).unwrap();
            assert_eq!(sector, device.queue.logical_sector_bytes);
        }
    }
}

#[test]
fn a_node_that_is_something_else_is_not_opened() {
    let tree = nvme("other");
    tree.put("dev/nvme0n1", "no device");
    let device = by_name(&tree.root(), "nvme0n1").unwrap().unwrap();
    let error = open(&tree.root(), &device, Access::Write).unwrap_err();
    assert!(matches!(error, OpenError::OtherDevice { found: None, .. }), "{error}");
    fs::remove_file(tree.0.join("dev/nvme0n1")).unwrap();
    assert!(matches!(open(&tree.root(), &device, Access::Read), Err(OpenError::NotThere(_))));
}

#[test]
fn the_serial_page_is_read_by_its_own_length() {
    assert_eq!(vpd_serial(b"\0\x80\0\x06  S123junk"), Some("S123".into()));
    assert_eq!(vpd_serial(b"\0\x80\xff\xffS1"), Some("S1".into()));
    assert_eq!(vpd_serial(b"\0\x80\0\x02  "), None);
}

proptest! {
    #[test]
    fn any_page_is_survived(page in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = vpd_serial(&page);
    }
}
