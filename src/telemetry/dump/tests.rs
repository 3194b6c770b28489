use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static DUMPED: LazyLock<Vec<u8>> = LazyLock::new(dumped);

/// A machine with one array, one link into it, a secret, and files that are not to be read.
fn machine() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("proc/mdstat", "Personalities : [raid1]\n");
    put("sys/devices/virtual/block/md127/md/array_state", "clean\n");
    put("sys/devices/virtual/block/md127/power/control", "auto\n");
    put("sys/devices/virtual/block/loop0/size", "8\n");
    put("sys/kernel/config/nvmet/hosts/h/dhchap_key", "DHHC-1:secret\n");
    put("sys/kernel/config/nvmet/hosts/h/dhchap_hash", "hmac(sha256)\n");
    put("sys/kernel/config/nvmet/ports/1/addr_trtype", "tcp\n");
    put("sys/kernel/config/nvmet/ports/1/delete", "touched");
    fs::create_dir_all(dir.path().join("sys/kernel/config/nvmet/subsystems")).unwrap();
    let trigger = dir.path().join("sys/kernel/config/nvmet/ports/1/delete");
    fs::set_permissions(trigger, fs::Permissions::from_mode(0o200)).unwrap();
    fs::create_dir_all(dir.path().join("sys/block")).unwrap();
    for name in ["md127", "loop0"] {
        symlink(format!("../devices/virtual/block/{name}"), dir.path().join("sys/block").join(name)).unwrap();
    }
    put("recorder/0000000000000000.rec", "garbage");
    dir
}

fn knowledge() -> Knowledge {
    Knowledge {
        manifest: Manifest::new("n1", Timestamp(1000)),
        records: vec![("node-spec/n1".to_owned(), vec![1, 2, 3])],
        node: Some(NodeFacts {
            leads: true,
            running: vec![("x".to_owned(), Timestamp(7))],
            ..NodeFacts::default()
        }),
        observation: Some("nothing".to_owned()),
        problems: vec!["one".to_owned()],
    }
}

fn dumped() -> Vec<u8> {
    let machine = machine();
    let root = machine.path().to_owned();
    let place = Place { recorder: root.join("recorder"), root, config: "{}".to_owned() };
    let mut out = Vec::new();
    write(&mut out, &place, &knowledge()).unwrap();
    out
}

fn read(bytes: &[u8]) -> Result<Archive, ArchiveError> {
    Archive::read(Path::new("d.tar"), bytes)
}

#[test]
fn what_was_written_is_read_back() {
    let archive = read(&dumped()).unwrap();
    let known = knowledge();
    assert_eq!((archive.manifest, archive.node), (known.manifest, known.node));
    assert_eq!(archive.records, known.records);
    assert_eq!(archive.recorder.skipped_bytes, "garbage".len() as u64);
}

#[test]
fn it_unpacks_to_a_root_that_readers_read_and_holds_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = dumped();
    tar::Archive::new(bytes.as_slice()).unpack(dir.path()).unwrap();
    let text = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
    assert_eq!(text("sys/block/md127/md/array_state"), "clean\n");
    assert_eq!(text("sys/kernel/config/nvmet/ports/1/addr_trtype"), "tcp\n");
    assert!(dir.path().join("sys/kernel/config/nvmet/subsystems").is_dir());
    assert_eq!(text("sys/kernel/config/nvmet/hosts/h/dhchap_hash"), "hmac(sha256)\n");
    assert_eq!(text("problems.txt"), "one\n");
    for absent in ["sys/block/loop0", "sys/block/md127/power", "sys/kernel/config/nvmet/ports/1/delete"] {
        assert!(fs::symlink_metadata(dir.path().join(absent)).is_err(), "{absent}");
    }
    assert!(!bytes.windows(7).any(|window| window == b"DHHC-1:"));
}

#[test]
fn a_cut_archive_is_truncated_wherever_it_was_cut() {
    let bytes = dumped();
    // What follows the last entry is the end mark, which readers can do without.
    for length in (0..bytes.len() - 1024 - 512).step_by(64) {
        let error = read(&bytes[..length]).unwrap_err().to_string();
        assert!(error.contains("d.tar"), "{length}: {error}");
    }
    let cut = read(&bytes[..2048]).unwrap_err();
    assert!(matches!(cut, ArchiveError::Truncated { whole: 2, .. }), "{cut}");
}

#[test]
fn an_archive_whose_writer_hangs_can_be_closed() {
    let bytes = dumped();
    let cut = [&bytes[..2048], &closing("the kernel does not answer", Timestamp(1)).unwrap()].concat();
    assert_eq!(read(&cut).unwrap().records, knowledge().records);
}

#[test]
fn a_newer_format_is_refused() {
    let machine = machine();
    let place = Place { root: machine.path().into(), recorder: machine.path().into(), config: String::new() };
    let mut known = knowledge();
    known.manifest.format = FORMAT + 1;
    let mut out = Vec::new();
    write(&mut out, &place, &known).unwrap();
    assert!(matches!(read(&out).unwrap_err(), ArchiveError::Newer { .. }));
}

#[test]
fn what_is_no_dump_is_named() {
    assert!(matches!(read(b"").unwrap_err(), ArchiveError::NoDump { .. }));
    assert!(matches!(read(&[7; 4096]).unwrap_err(), ArchiveError::Garbled { whole: 0, .. }));
    let error = Archive::open(Path::new("/nowhere.tar")).unwrap_err();
    assert!(error.to_string().contains("/nowhere.tar"), "{error}");
    assert!(Archive::open(Path::new("/proc")).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn damage_is_survived(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = DUMPED.clone();
        let at = at.index(bytes.len());
        bytes[at] = value;
        drop(read(&bytes));
    }
}
