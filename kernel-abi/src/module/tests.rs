use proptest::prelude::*;

use super::*;
use crate::nvme::fixture::Tree;

const RELEASE: &str = "6.12.107+deb13-amd64";
const DEP: &str = "\
kernel/drivers/nvme/host/nvme-core.ko.xz: kernel/drivers/nvme/common/nvme-auth.ko.xz
kernel/drivers/nvme/host/nvme-tcp.ko.xz: kernel/drivers/nvme/host/nvme-fabrics.ko.xz \
kernel/drivers/nvme/host/nvme-core.ko.xz kernel/drivers/nvme/common/nvme-auth.ko.xz
kernel/drivers/nvme/common/nvme-auth.ko.xz:
";

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("proc/sys/kernel/osrelease", &format!("{RELEASE}\n"));
    tree.file(&format!("lib/modules/{RELEASE}/modules.dep"), DEP);
    tree.file(&format!("lib/modules/{RELEASE}/modules.builtin"), "kernel/drivers/md/md-mod.ko\n");
    tree.file("sys/module/nvme_core/initstate", "live\n").file("sys/module/nvmet/initstate", "coming\n");
    tree.dir("sys/module/tcp_cubic");
    tree
}

#[test]
fn what_a_module_needs_comes_first() {
    let dep = ModulesDep::parse(DEP.as_bytes());
    assert_eq!(dep.len(), 3);
    for name in ["nvme-tcp", "nvme_tcp"] {
        let expected = [
            "kernel/drivers/nvme/common/nvme-auth.ko.xz",
            "kernel/drivers/nvme/host/nvme-core.ko.xz",
            "kernel/drivers/nvme/host/nvme-fabrics.ko.xz",
            "kernel/drivers/nvme/host/nvme-tcp.ko.xz",
        ];
        assert_eq!(dep.load_order(name).unwrap(), expected);
    }
    assert_eq!(dep.load_order("nvme"), None);
}

#[test]
fn loaded_started_and_builtin_are_told_apart() {
    let tree = tree();
    let root = tree.root();
    assert_eq!(kernel_release(&root).unwrap(), RELEASE);
    for (name, loaded, there) in [
        ("nvme-core", true, true),
        ("tcp_cubic", true, true),
        ("nvmet", false, false),
        ("md_mod", false, true),
        ("md-mod", false, true),
        ("dm-mod", false, false),
        ("..", false, false),
        ("", false, false),
    ] {
        assert_eq!(is_loaded(&root, name).unwrap(), loaded, "{name}");
        assert_eq!(loaded_or_builtin(&root, name).unwrap(), there, "{name}");
    }
}

#[test]
fn what_is_there_is_not_loaded_again() {
    let tree = tree();
    assert_eq!(load(&tree.root(), "nvme-core").unwrap(), Loaded::AlreadySo);
    assert_eq!(load(&tree.root(), "md-mod").unwrap(), Loaded::AlreadySo);
}

#[test]
fn the_missing_module_is_named() {
    let tree = tree();
    let error = load(&tree.root(), "dm-mod").unwrap_err();
    assert_eq!(error.to_string(), format!("kernel {RELEASE} has no module dm-mod"));
    let error = load(&tree.root(), "nvme-tcp").unwrap_err();
    assert!(matches!(&error, ModuleError::FileMissing { module, .. } if module == "nvme_auth"), "{error:?}");
}

#[test]
fn looking_tells_loaded_loadable_and_missing_apart() {
    let tree = tree();
    let look = |name| look(&tree.root(), name);
    assert_eq!(look("nvme-core").unwrap(), Presence::There);
    assert_eq!(look("md-mod").unwrap(), Presence::There);
    assert!(matches!(look("dm-mod"), Err(ModuleError::Missing { .. })));
    for path in ["nvme/common/nvme-auth", "nvme/host/nvme-core", "nvme/host/nvme-fabrics"] {
        tree.file(&format!("lib/modules/{RELEASE}/kernel/drivers/{path}.ko.xz"), "");
    }
    let error = look("nvme_tcp").unwrap_err();
    assert!(matches!(&error, ModuleError::FileMissing { module, .. } if module == "nvme_tcp"), "{error:?}");
    tree.file(&format!("lib/modules/{RELEASE}/kernel/drivers/nvme/host/nvme-tcp.ko.xz"), "");
    assert_eq!(look("nvme_tcp").unwrap(), Presence::Loadable);
}

#[test]
fn the_kernels_answers_are_told_apart() {
    let refused = |errno| refusal("m".to_owned(), CallError::new("finit_module", "m.ko.xz", errno));
    assert!(matches!(refused(Errno::EOPNOTSUPP), ModuleError::CannotDecompress { .. }));
    assert!(matches!(refused(Errno::ENOEXEC), ModuleError::Refused { .. }));
}

#[test]
fn only_packed_files_are_loaded_as_such() {
    for (path, flag) in [("a.ko", 0), ("a.ko.xz", 4), ("a.ko.zst", 4), ("a.ko.gz", 4), ("xz", 0)] {
        assert_eq!(flags(Path::new(path)), flag, "{path}");
    }
}

#[test]
fn no_list_leads_out_of_its_directory() {
    let dep = ModulesDep::parse(b"../a.ko:\n/b.ko:\nkernel/c.ko: ../../d.ko\n: x\nkernel/e.ko:\n");
    assert_eq!((dep.len(), dep.load_order("e")), (1, Some(vec!["kernel/e.ko"])));
}

proptest! {
    #[test]
    fn any_bytes_are_lists(bytes: Vec<u8>, name in "\\PC*") {
        let dep = ModulesDep::parse(&bytes);
        let _ = (dep.load_order(&name), ModulesBuiltin::parse(&bytes).contains(&name));
    }

    #[test]
    fn what_is_listed_is_found(names in prop::collection::btree_set("[a-z][a-z0-9_]{0,8}", 1..20)) {
        let lines: Vec<_> = names.iter().map(|name| format!("kernel/{name}.ko.zst:")).collect();
        let dep = ModulesDep::parse(lines.join("\n").as_bytes());
        for name in names {
            let path = format!("kernel/{name}.ko.zst");
            prop_assert_eq!(dep.load_order(&name.replace('_', "-")), Some(vec![path.as_str()]));
        }
    }
}
