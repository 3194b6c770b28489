use super::*;

fn root() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("sys/kernel")).unwrap();
    fs::create_dir(dir.path().join("run")).unwrap();
    fs::write(dir.path().join(SEQNUM), "4711\n").unwrap();
    let root = Root::at(dir.path());
    (dir, root)
}

fn name(number: u32) -> ControllerName {
    format!("nvme{number}").parse().unwrap()
}

fn read(root: &Root, number: u32, file: &str) -> String {
    root.read(entry(name(number), file)).unwrap()
}

#[test]
fn an_entry_has_its_attributes_and_goes_without_a_trace() {
    let (_dir, root) = root();
    claim(&root, name(3), "mdfabric", "a copy").unwrap();
    let attributes = ["owner", "note", "seqnum"].map(|file| read(&root, 3, file));
    assert_eq!(attributes, ["mdfabric", "a copy", "4711"]);
    let mode = |path: String| fs::metadata(root.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(directory(name(3))), mode(entry(name(3), "owner"))], [0o755, 0o644]);
    assert_eq!(owned_by(&root, "mdfabric").unwrap(), [name(3)]);
    release(&root, name(3)).unwrap();
    release(&root, name(3)).unwrap();
    assert!(root.list(DIRECTORY).unwrap().is_empty());
}

#[test]
fn an_entry_of_an_earlier_controller_is_replaced() {
    let (_dir, root) = root();
    claim(&root, name(3), "stas", "old").unwrap();
    fs::write(root.path(entry(name(3), "private")), "x").unwrap();
    claim(&root, name(3), "mdfabric", "new").unwrap();
    assert_eq!(read(&root, 3, "owner"), "mdfabric");
    assert!(!root.exists(entry(name(3), "private")));
    assert_eq!(root.list(DIRECTORY).unwrap(), ["nvme3"]);
}

#[test]
fn others_entries_are_not_ours() {
    let (_dir, root) = root();
    assert!(owned_by(&root, "mdfabric").unwrap().is_empty());
    claim(&root, name(1), "nbft", "").unwrap();
    claim(&root, name(2), "mdfabric", "").unwrap();
    assert_eq!(owned_by(&root, "mdfabric").unwrap(), [name(2)]);
}
