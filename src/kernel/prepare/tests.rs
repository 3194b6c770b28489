use super::*;

const RELEASE: &str = "6.12.107+deb13-amd64";
const MODULE_FILES: [&str; 3] = ["kernel/md/dm-mod.ko", "kernel/nvme/nvmet.ko", "kernel/fs/configfs.ko"];

/// A machine with those three modules installed, none of them loaded, and configfs not mounted.
fn machine() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    file(&directory, "proc/sys/kernel/osrelease", RELEASE);
    file(&directory, "proc/self/mountinfo", "");
    file(
        &directory,
        &format!("lib/modules/{RELEASE}/modules.dep"),
        &format!("{}:\n", MODULE_FILES.join(":\n")),
    );
    for path in MODULE_FILES {
        file(&directory, &format!("lib/modules/{RELEASE}/{path}"), "");
    }
    directory
}

fn file(directory: &tempfile::TempDir, path: &str, text: &str) {
    let path = directory.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// What a look at the machine says of `name`.
fn said(directory: &tempfile::TempDir, name: &str) -> (bool, String) {
    let checks = checks(&Root::at(directory.path()), &ONLY_LOOKS);
    let check = checks.into_iter().find(|check| check.name == name).unwrap();
    (check.ok, check.detail)
}

#[test]
fn a_module_is_there_loadable_or_missing() {
    let machine = machine();
    file(&machine, "sys/module/md_mod/initstate", "live");
    assert_eq!(said(&machine, "module md_mod"), (true, "there".to_owned()));
    assert_eq!(said(&machine, "module dm_mod"), (true, "not loaded; `mdfabric node` loads it".to_owned()));
    let (ok, detail) = said(&machine, "module raid1");
    assert!(!ok && detail.contains("has no module raid1; install"), "{detail}");
    std::fs::remove_file(machine.path().join(format!("lib/modules/{RELEASE}/kernel/md/dm-mod.ko"))).unwrap();
    let (ok, detail) = said(&machine, "module dm_mod");
    assert!(!ok && detail.contains("file of module dm_mod is not there"), "{detail}");
}

#[test]
fn what_comes_with_a_module_is_missing_only_once_the_module_is_there() {
    let machine = machine();
    let control = "device-mapper's control node";
    let comes = "/dev/mapper/control comes with module dm_mod".to_owned();
    assert_eq!(said(&machine, control), (true, comes));
    file(&machine, "sys/module/dm_mod/initstate", "live");
    assert_eq!(said(&machine, control), (false, "/dev/mapper/control is missing".to_owned()));
    file(&machine, "dev/mapper/control", "");
    assert_eq!(said(&machine, control), (true, "/dev/mapper/control".to_owned()));
}

#[test]
fn configfs_that_is_not_mounted_hides_the_target() {
    let machine = machine();
    file(&machine, "sys/module/nvmet/initstate", "live");
    assert_eq!(said(&machine, "configfs"), (true, "not mounted; `mdfabric node` mounts it".to_owned()));
    assert!(said(&machine, "the NVMe target").0);
    let mount = "36 35 0:30 / /sys/kernel/config rw,nosuid - configfs configfs rw\n";
    file(&machine, "proc/self/mountinfo", mount);
    assert_eq!(said(&machine, "configfs"), (true, "mounted at /sys/kernel/config".to_owned()));
    assert!(!said(&machine, "the NVMe target").0);
}

#[test]
fn only_the_daemon_changes_who_sends() {
    let machine = machine();
    let sends = "legs that no preempted writer holds up";
    assert!(said(&machine, sends).1.contains("is missing; writes may stall"));
    file(&machine, WORKER_SENDS, "N\n");
    assert_eq!(said(&machine, sends), (true, format!("/{WORKER_SENDS} is N; `mdfabric node` sets it")));
    let set = let_workers_send(&Root::at(machine.path()));
    assert_eq!(set, Ok(format!("/{WORKER_SENDS} is Y")));
}
