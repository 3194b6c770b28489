//! On a made-up `/proc`, and on this process in the real one.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::fs::{major, minor};

use super::*;

const DEV: DevNum = DevNum { major: 9, minor: 127 };
const STAT: &str = "4711 (a) b (c)) D 1 4711 4711 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 98765 0 0";
const STATUS: &str = "Name:\tx\nSigQ:\t1/7\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000100\n";
const CALM: &str = "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n";

#[test]
fn a_stat_is_taken_apart_whatever_the_name() {
    let stat = parse_stat(STAT).unwrap();
    assert_eq!(stat, ProcessStat { name: "a) b (c)".to_owned(), exiting: false, started: 98765 });
    assert!(parse_stat(&STAT.replace(" D 1", " Z 1")).unwrap().exiting);
    assert!(parse_stat(&STAT.replace("4194560", "4194564")).unwrap().exiting, "PF_EXITING");
    assert!(parse_stat("4711 (x) D 1").is_err() && parse_stat("").is_err());
}

#[test]
fn only_a_kill_that_the_thread_itself_has_counts() {
    assert_eq!(parse_pending(STATUS), Ok(true));
    assert_eq!(parse_pending(CALM), Ok(false));
    assert_eq!(parse_pending("SigPnd:\t0000000000040000\n"), Ok(false), "SIGSTOP");
    assert!(parse_pending("ShdPnd:\t0000000000000100").is_err());
}

#[test]
fn mappings_have_their_device_and_path() {
    let text = "7f00-7f10 r--p 00000000 fd:1f 12     /m/a file\n\
                7f10-7f20 rw-p 00000000 00:00 0 \n7ffc-7ffd rw-p 00000000 00:00 0     [stack]\nno mapping";
    let found = parse_maps(text);
    let dev = DevNum { major: 0xfd, minor: 0x1f };
    assert_eq!(found[0], ("7f00-7f10", dev, "/m/a file"));
    assert_eq!((found.len(), found[2].2), (3, "[stack]"));
}

/// A `/proc` of its own.
struct Proc(tempfile::TempDir);

impl Proc {
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        made.file("self/mountinfo", "7 1 9:127 / /m rw - xfs /dev/md_v rw\n");
        made
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join("proc").join(relative)
    }

    fn file(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// A process with one thread and one file, opened through the mount `mnt`.
    fn process(&self, pid: u32, status: &str, mnt: u32) {
        let of = |name: &str| format!("{pid}/{name}");
        self.file(&of("stat"), STAT);
        self.file(&of(&format!("task/{pid}/stat")), STAT);
        self.file(&of(&format!("task/{pid}/status")), status);
        self.file(
            &of("mountinfo"),
            "7 1 9:127 / /m rw - xfs /dev/md_v rw\n8 1 0:5 / / rw - ext4 /dev/sda rw\n",
        );
        self.file(&of("fdinfo/3"), &format!("pos:\t0\nflags:\t02\nmnt_id:\t{mnt}\nino:\t9\n"));
        self.file(&of("maps"), "");
        fs::create_dir_all(self.path(&of("ns"))).unwrap();
        symlink("mnt:[1]", self.path(&of("ns/mnt"))).unwrap();
    }

    fn holders(&self) -> Vec<Process> {
        processes(&Root::at(self.0.path()), &[DEV].into()).unwrap()
    }
}

#[test]
fn who_has_a_file_open_is_found_by_its_mount_and_no_other() {
    let proc = Proc::new();
    proc.process(20, CALM, 7);
    proc.process(21, CALM, 8);
    proc.process(22, STATUS, 7);
    let found: Vec<_> = proc.holders().into_iter().map(|process| (process.pid, process.ending)).collect();
    assert_eq!(found, [(20, false), (22, true)]);
}

#[test]
fn a_process_is_ending_only_when_every_thread_is() {
    let proc = Proc::new();
    proc.process(20, STATUS, 7);
    proc.file("20/task/21/stat", STAT);
    proc.file("20/task/21/status", CALM);
    assert!(!proc.holders()[0].ending);
    proc.file("20/task/21/stat", &STAT.replace("4194560", "4194564"));
    assert!(proc.holders()[0].ending);
}

#[test]
fn a_mapping_alone_holds_a_file_system() {
    let proc = Proc::new();
    proc.process(20, CALM, 8);
    proc.file("20/maps", "7f00-7f10 r--p 00000000 09:7f 12     /m/file\n");
    assert_eq!(proc.holders()[0].through, Through::FileSystem);
}

#[test]
fn a_process_that_goes_while_it_is_looked_at_is_nobody() {
    let proc = Proc::new();
    proc.process(20, CALM, 7);
    fs::remove_file(proc.path("20/stat")).unwrap();
    assert_eq!(proc.holders(), []);
}

#[test]
fn the_kernel_is_found_by_what_it_stands_on() {
    let proc = Proc::new();
    let root = Root::at(proc.0.path());
    let at = |relative: &str| proc.0.path().join(relative);
    let file = |relative: &str, text: &str| {
        fs::create_dir_all(at(relative).parent().unwrap()).unwrap();
        fs::write(at(relative), text).unwrap();
    };
    file("sys/devices/md_v/holders/dm-7/name", "");
    // Asked about itself, it is no user of what it stands on.
    file("sys/devices/md_v/holders/dm-8/dev", "253:8\n");
    fs::create_dir_all(at("sys/dev/block")).unwrap();
    symlink("../../devices/md_v", at("sys/dev/block/9:127")).unwrap();
    file("sys/block/loop3/loop/backing_file", "/m/image\n");
    file("sys/block/loop4/loop/backing_file", "/mother/image\n");
    file("proc/swaps", "Filename\tType\n/dev/md_v  partition\t8\t0\t-2\n");
    let found = in_kernel(&root, &[DEV, DevNum { major: 253, minor: 8 }].into()).unwrap();
    let found: Vec<_> = found.iter().map(|holder| (holder.what.as_str(), holder.through)).collect();
    let expected = [("dm-7", Through::Device), ("loop3", Through::FileSystem), ("swap", Through::Device)];
    assert_eq!(found, expected);
}

fn device_of(path: &Path) -> DevNum {
    let dev = path.metadata().unwrap().dev();
    DevNum { major: major(dev), minor: minor(dev) }
}

#[test]
fn this_process_is_found_while_it_has_a_file_open() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(dir.path().join("file")).unwrap();
    let root = Root::live();
    let found = match processes(&root, &[device_of(dir.path())].into()) {
        Err(error) if error.is(Errno::EACCES) || error.is(Errno::EPERM) => return,
        found => found.unwrap(),
    };
    let own = found.iter().find(|process| process.pid == std::process::id()).unwrap();
    assert!(!own.ending && own.through == Through::FileSystem, "{own:?}");
    assert_eq!(processes(&root, &[DevNum { major: 4095, minor: 1 }].into()).unwrap(), []);
    drop(file);
}

#[test]
fn neither_the_first_process_nor_this_one_nor_a_stranger_is_ended() {
    let root = Root::live();
    for pid in [0, 1, std::process::id()] {
        assert!(kill(&root, pid, 0).unwrap_err().is(Errno::EPERM));
    }
    let parent = std::os::unix::process::parent_id();
    if parent > 1 {
        assert_eq!(kill(&root, parent, u64::MAX).unwrap(), Ended::AlreadyGone, "another one has its number");
    }
    assert_eq!(kill(&root, u32::MAX, 1).unwrap(), Ended::AlreadyGone);
}

proptest! {
    #[test]
    fn any_text_is_survived(text in any::<String>(), cut in 0..STAT.len()) {
        let _ = (parse_stat(&text), parse_pending(&text), parse_mnt_id(&text), parse_maps(&text));
        let _ = parse_stat(&STAT[..cut]);
    }

    #[test]
    fn a_name_of_any_bytes_hides_nothing(name in "[ -~\n]{0,15}") {
        let stat = parse_stat(&STAT.replace("a) b (c)", &name)).unwrap();
        prop_assert_eq!((stat.name, stat.started), (name, 98765));
    }
}
