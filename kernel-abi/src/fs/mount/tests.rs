//! On real loop devices, in a mount namespace of the test's own. Needs root; says so where it is not.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use uuid::Uuid;

use super::*;
use crate::DevNum;
use crate::fs::ext4::{self, Ext4Error, Ext4Options};
use crate::fs::grow::{GrowError, Grown};
use crate::fs::image::{Image, accepts, judge};
use crate::fs::xfs::{self, XfsOptions};
use crate::fs::{MountPoint, freeze, grow, parse_mountinfo, shut_down, thaw, usage};

const MIB: u64 = 1 << 20;
/// A fresh one each time: XFS refuses to mount two file systems of one UUID, and tests run side by side.
fn fresh() -> Uuid {
    Uuid::new_v4()
}

/// A loop device over an image, and a directory to mount it on.
struct Volume {
    device: PathBuf,
    directory: PathBuf,
    image: Image,
    _turn: Turn,
}

/// Loop devices belong to the whole machine: a `losetup` that loses the race for a number claims the device for a moment
/// (`loop_configure`), and whoever mounts it then is told EBUSY. So one test at a time has one, whatever its process.
struct Turn(#[allow(dead_code, reason = "held for its lock")] nix::fcntl::Flock<fs::File>);

impl Turn {
    fn wait() -> Self {
        let path = std::env::temp_dir().join("kernel-abi-loop.lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
        let locked = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive);
        Self(locked.map_err(|(_, errno)| errno).unwrap())
    }
}

impl Volume {
    fn new(bytes: u64, sector: u32) -> Option<Self> {
        let turn = Turn::wait();
        let image = Image::sparse(bytes);
        let path = image.path().to_str()?;
        let output = judge("losetup", &["-f", "--show", "-b", &sector.to_string(), path])?;
        let device = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        if !output.status.success() {
            println!("skipped: no loop device can be set up here");
            return None;
        }
        let directory = image.path().with_extension("mnt");
        fs::create_dir(&directory).unwrap();
        Some(Self { device, directory, image, _turn: turn })
    }

    fn mount(&self, fstype: &str, options: &MountOptions) -> Result<(), MountError> {
        mount(&MountRequest { fstype, source: &self.device, target: &self.directory, options })
    }

    fn grow(&self, bytes: u64) {
        OpenOptions::new().write(true).open(self.image.path()).unwrap().set_len(bytes).unwrap();
        judge("losetup", &["-c", self.device.to_str().unwrap()]);
    }

    fn number(&self) -> DevNum {
        self.attribute("dev").parse().unwrap()
    }

    /// Writes and discards since the machine started (`Documentation/block/stat.rst`, fields 5 and 12).
    fn requests(&self) -> (u64, u64) {
        let text = self.attribute("stat");
        let field = |n: usize| text.split_whitespace().nth(n - 1).unwrap().parse().unwrap();
        (field(5), field(12))
    }

    fn attribute(&self, attribute: &str) -> String {
        let name = self.device.file_name().unwrap();
        fs::read_to_string(Path::new("/sys/block").join(name).join(attribute)).unwrap()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = umount(&self.directory, UmountFlags { detach: true, force: false });
        judge("losetup", &["-d", self.device.to_str().unwrap()]);
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Runs `test` on a thread with its own mount namespace, so that the machine sees none of its mounts.
fn apart(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        let nothing = None::<&str>;
        let alone = unshare(CloneFlags::CLONE_NEWNS).and_then(|()| {
            nix::mount::mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        });
        match alone {
            Ok(()) => test(),
            Err(errno) => println!("skipped: no mount namespace of its own: {errno}"),
        }
    });
    thread.join().unwrap();
}

fn mounted(directory: &Path) -> Option<crate::fs::Mount> {
    let text = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    parse_mountinfo(&text).unwrap().into_iter().rfind(|mount| mount.mount_point == directory)
}

fn format(volume: &Volume, fstype: &str, sector: u32) {
    if fstype == "ext4" {
        ext4::format(&volume.device, &Ext4Options { lazy: true, ..Ext4Options::new(fresh(), fresh(), 1) })
            .unwrap();
    } else {
        xfs::format(&volume.device, &XfsOptions { sector_size: sector, ..XfsOptions::new(fresh(), 1) })
            .unwrap();
    }
}

/// Mounted, used, frozen, thawed, grown, unmounted; then the tool that knows best looks at it.
fn whole_life(fstype: &'static str, sector: u32, checker: &str, arguments: &[&str]) {
    let Some(volume) = Volume::new(320 * MIB, sector) else { return };
    format(&volume, fstype, sector);
    volume.mount(fstype, &MountOptions::parse(["noatime"])).unwrap();
    let seen = mounted(&volume.directory).unwrap();
    assert_eq!((seen.fstype.as_str(), seen.dev, seen.read_only), (fstype, volume.number(), false));
    fs::write(volume.directory.join("file"), vec![7; 5 << 20]).unwrap();

    let at = MountPoint::open(&volume.directory, volume.number()).unwrap();
    assert_eq!([freeze(&at).unwrap(), freeze(&at).unwrap()], [Change::Made, Change::AlreadySo]);
    assert_eq!([thaw(&at).unwrap(), thaw(&at).unwrap()], [Change::Made, Change::AlreadySo]);
    crate::fs::trim(&at, 0).unwrap();
    let before = usage(&at).unwrap();
    volume.grow(700 * MIB);
    match grow::to_device(&at, 700 * MIB) {
        Err(GrowError::Call(call)) if call.is(Errno::EPERM) => {
            println!("growing skipped: no CAP_SYS_RESOURCE here");
        }
        grown => {
            assert_eq!(grown.unwrap(), Grown::To { blocks: 179_200 });
            assert!(usage(&at).unwrap().total > before.total + 300 * MIB);
        }
    }
    if fstype == "xfs" {
        assert_eq!(grow::to_device(&at, 700 * MIB).unwrap(), Grown::AlreadySo);
        assert!(matches!(grow::xfs(&at, 1), Err(GrowError::Shrink { .. })));
    }

    let busy = umount(&volume.directory, UmountFlags::default());
    assert!(matches!(busy, Err(UmountError::Busy { .. })));
    drop(at);
    assert_eq!(umount(&volume.directory, UmountFlags::default()).unwrap(), Change::Made);
    assert_eq!(umount(&volume.directory, UmountFlags::default()).unwrap(), Change::AlreadySo);
    accepts(checker, arguments, &volume.image);
}

#[test]
fn ext4_lives_on_either_sector_size() {
    apart(|| {
        for sector in [512, 4096] {
            whole_life("ext4", sector, "e2fsck", &["-fn"]);
        }
    });
}

#[test]
fn xfs_lives_on_either_sector_size() {
    apart(|| {
        for sector in [512, 4096] {
            whole_life("xfs", sector, "xfs_repair", &["-n", "-f"]);
        }
    });
}

#[test]
fn what_is_shut_down_gives_nothing_and_takes_nothing() {
    apart(|| {
        for fstype in ["ext4", "xfs"] {
            shut_down_in_use(fstype);
        }
    });
}

/// A file that was open and in the page cache before is out of reach too; unmounting is all that is left.
fn shut_down_in_use(fstype: &str) {
    let Some(volume) = Volume::new(320 * MIB, 512) else { return };
    format(&volume, fstype, 512);
    volume.mount(fstype, &MountOptions::default()).unwrap();
    let path = volume.directory.join("file");
    fs::write(&path, [7; 4096]).unwrap();
    let open = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut block = [0; 4096];
    open.read_exact_at(&mut block, 0).unwrap();

    let at = MountPoint::open(&volume.directory, volume.number()).unwrap();
    shut_down(&at).unwrap();
    shut_down(&at).unwrap();
    let refused = [open.read_exact_at(&mut block, 0), open.write_all_at(&block, 0), open.sync_all()];
    let errno = |result: io::Result<()>| result.unwrap_err().raw_os_error();
    assert_eq!(refused.map(errno), [Some(libc::EIO); 3], "{fstype}");
    let again = MountPoint::open(&volume.directory, volume.number());
    assert_eq!(again.is_err_and(|error| error.is(Errno::EIO)), fstype == "xfs");
    drop((open, at));
    assert_eq!(umount(&volume.directory, UmountFlags::default()).unwrap(), Change::Made);
}

#[test]
fn only_ext4_and_xfs_are_shut_down() {
    apart(|| {
        let directory = tempfile::tempdir().unwrap();
        let (nothing, flags) = (None::<&str>, MsFlags::empty());
        if nix::mount::mount(Some("tmpfs"), directory.path(), Some("tmpfs"), flags, nothing).is_err() {
            println!("skipped: no tmpfs can be mounted here");
            return;
        }
        let dev = mounted(directory.path()).unwrap().dev;
        let at = MountPoint::open(directory.path(), dev).unwrap();
        assert!(shut_down(&at).unwrap_err().is(Errno::ENOTTY));
        drop(at);
        umount(directory.path(), UmountFlags::default()).unwrap();
    });
}

#[test]
fn a_refusal_has_the_kernels_own_words() {
    apart(|| {
        let Some(volume) = Volume::new(320 * MIB, 512) else { return };
        format(&volume, "ext4", 512);
        let error = volume.mount("ext4", &MountOptions::parse(["nosuchoption=1"])).unwrap_err();
        assert!(error.kernel.iter().any(|line| line.contains("nosuchoption")), "{error}");
        assert!(error.is(Errno::EINVAL), "{error}");
        assert!(volume.mount("nosuchfs", &MountOptions::default()).unwrap_err().is(Errno::ENODEV));
    });
}

#[test]
fn a_mounted_device_is_neither_formatted_nor_confused() {
    apart(|| {
        let Some(volume) = Volume::new(320 * MIB, 512) else { return };
        format(&volume, "ext4", 512);
        volume.mount("ext4", &MountOptions::default()).unwrap();
        let busy = ext4::format(&volume.device, &Ext4Options::new(fresh(), fresh(), 1)).unwrap_err();
        assert!(matches!(&busy, Ext4Error::Call(call) if call.is(Errno::EBUSY)), "{busy}");
        let stranger = DevNum { major: 1, minor: 2 };
        assert!(MountPoint::open(&volume.directory, stranger).unwrap_err().is(Errno::ENODEV));
    });
}

#[test]
fn read_only_holds_for_mounts_and_binds() {
    apart(|| {
        let Some(volume) = Volume::new(320 * MIB, 512) else { return };
        format(&volume, "ext4", 512);
        volume.mount("ext4", &MountOptions::default()).unwrap();
        let inner = volume.directory.join("inner");
        fs::create_dir(&inner).unwrap();
        bind_mount(&volume.directory, &inner, true).unwrap();
        assert!(mounted(&inner).unwrap().read_only);
        let refused = fs::write(inner.join("file"), "x").unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(Errno::EROFS as i32));
        umount(&inner, UmountFlags::default()).unwrap();
        fs::write(volume.directory.join("file"), "x").unwrap();
        umount(&volume.directory, UmountFlags::default()).unwrap();

        volume.mount("ext4", &MountOptions::parse(["ro"])).unwrap();
        assert!(mounted(&volume.directory).unwrap().read_only);
        assert!(fs::write(volume.directory.join("file"), "x").is_err());
    });
}

fn ownership(path: &Path) -> (u32, u32) {
    let about = fs::symlink_metadata(path).unwrap();
    (about.gid(), about.mode() & 0o7777)
}

/// A directory, a file, and a link to what is outside.
fn furnish(volume: &Volume, outside: &Path) {
    volume.mount("ext4", &MountOptions::default()).unwrap();
    let inner = volume.directory.join("a/b");
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("file"), "x").unwrap();
    fs::set_permissions(inner.join("file"), Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(outside, inner.join("link")).unwrap();
    umount(&volume.directory, UmountFlags::default()).unwrap();
}

#[test]
fn a_group_gets_everything_before_anybody_sees_it_and_nothing_twice() {
    apart(|| {
        let Some(volume) = Volume::new(320 * MIB, 512) else { return };
        format(&volume, "ext4", 512);
        let outside = tempfile::tempdir().unwrap();
        let before = ownership(outside.path());
        furnish(&volume, outside.path());
        let options = MountOptions { group: Some(2000), ..MountOptions::default() };
        volume.mount("ext4", &options).unwrap();
        let at = |path: &str| volume.directory.join(path);
        assert_eq!(ownership(&at("")), (2000, 0o2775));
        assert_eq!(ownership(&at("a/b")), (2000, 0o2775));
        assert_eq!(ownership(&at("a/b/file")), (2000, 0o660));
        assert_eq!((ownership(&at("a/b/link")).0, ownership(outside.path())), (2000, before));
        fs::write(at("a/new"), "x").unwrap();
        assert_eq!(ownership(&at("a/new")).0, 2000);

        // The root is as it shall be: nobody walks through the rest again.
        std::os::unix::fs::chown(at("a/b/file"), None, Some(7)).unwrap();
        umount(&volume.directory, UmountFlags::default()).unwrap();
        volume.mount("ext4", &options).unwrap();
        assert_eq!(ownership(&at("a/b/file")).0, 7);
        umount(&volume.directory, UmountFlags::default()).unwrap();
        let read_only = MountOptions { group: Some(3000), read_only: true, ..MountOptions::default() };
        volume.mount("ext4", &read_only).unwrap();
        assert_eq!(ownership(&at("")).0, 2000);
    });
}

#[test]
fn formatting_discards_nothing() {
    for fstype in ["ext4", "xfs"] {
        let Some(volume) = Volume::new(320 * MIB, 512) else { return };
        let before = volume.requests();
        format(&volume, fstype, 512);
        let after = volume.requests();
        assert!(after.0 > before.0 && after.1 == before.1, "{fstype}: {before:?}, {after:?}");
    }
}

#[test]
fn pseudo_file_systems_are_mounted_once() {
    assert_eq!(ensure_mounted_pseudo(&Root::live(), "proc", "proc").unwrap(), Change::AlreadySo);
    assert!(ensure_mounted_pseudo(&Root::live(), "proc", "nonexistent").unwrap_err().is(Errno::ENOENT));
    apart(|| {
        let directory = std::env::temp_dir().join(format!("kernel-abi-pseudo-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let root = Root::at(std::env::temp_dir());
        let name = directory.file_name().unwrap().to_str().unwrap();
        assert_eq!(ensure_mounted_pseudo(&root, "tmpfs", name).unwrap(), Change::Made);
        assert_eq!(mounted(&directory).unwrap().fstype, "tmpfs");
        umount(&directory, UmountFlags::default()).unwrap();
        fs::remove_dir(&directory).unwrap();
    });
}
