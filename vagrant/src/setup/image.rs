//! The guest image: a small Debian 13 tree with the stock kernel, as one read-only ext4 file for all guests.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::cache::{Cache, Key, remove_tree};
use super::{disk, initramfs, mirror, step};
use crate::command::{output, run};

/// Debian 13.
const SUITE: &str = "trixie";

/// What the guests have besides the minimal base: an init, the agent, the judges that scenarios ask, and what of a node of Kubernetes is not
/// built here.
const PACKAGES: &str = "systemd-sysv,udev,dbus,busybox-static,qemu-guest-agent,mdadm,nvme-cli,e2fsprogs,xfsprogs,\
                        fdisk,gdisk,fio,dmsetup,kmod,iproute2,iputils-ping,procps,mount,util-linux,runc,\
                        containernetworking-plugins";

/// Size of the root disk in bytes, sparse.
const ROOT_BYTES: u64 = 2 << 30;

/// Module directories that no lab guest can need. Everything of md, nvme, dm, file systems and crypto stays.
const UNUSED_MODULES: &[&str] = &[
    "sound",
    "drivers/gpu",
    "drivers/media",
    "drivers/staging",
    "drivers/usb",
    "drivers/iio",
    "drivers/isdn",
    "drivers/hid",
    "drivers/input",
    "drivers/mtd",
    "drivers/hwmon",
    "drivers/platform",
    "drivers/bluetooth",
    "drivers/comedi",
    "drivers/ata",
    "drivers/firewire",
    "drivers/video",
    "drivers/gnss",
    "drivers/net/wireless",
    "drivers/net/ethernet",
    "drivers/net/can",
    "drivers/net/usb",
    "drivers/net/dsa",
    "drivers/infiniband/hw",
    "net/bluetooth",
    "net/mac80211",
    "net/wireless",
    "net/can",
    "net/nfc",
    "net/atm",
    "net/ax25",
    "net/sunrpc",
];

/// Units that would only cost time in a guest that boots systemd, or touch arrays.
const MASKED_UNITS: &[&str] = &[
    "getty@tty1.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "dpkg-db-backup.timer",
    "mdmonitor.service",
    "mdcheck_start.timer",
    "mdcheck_continue.timer",
    "mdmonitor-oneshot.timer",
    "mdadm-shutdown.service",
    "nvmefc-boot-connections.service",
    "nvmf-autoconnect.service",
    "cni-dhcp.service",
    "cni-dhcp.socket",
];

const LAB_INIT: &str = include_str!("../../guest/lab-init");
const LAB_SETUP: &str = include_str!("../../guest/lab-setup");
const LAB_KUBE: &str = include_str!("../../guest/lab-kube");
const INITTAB: &str = include_str!("../../guest/inittab");
const SETUP_UNIT: &str = include_str!("../../guest/lab-setup.service");

/// The files every guest boots from.
#[derive(Debug, Clone)]
pub struct Image {
    /// The stock kernel.
    pub kernel: PathBuf,
    /// The initramfs that mounts the root disk.
    pub initramfs: PathBuf,
    /// The root disk, ext4, never written: guests run on a throw-away overlay.
    pub root: PathBuf,
    /// A static busybox, as the guests have it.
    pub busybox: PathBuf,
}

/// The image, built if this cache has none for these inputs.
pub fn prepare(cache: &Cache) -> Result<Image> {
    let modules = UNUSED_MODULES.join(",");
    let units = MASKED_UNITS.join(",");
    let parts = [
        SUITE,
        PACKAGES,
        &modules,
        &units,
        LAB_INIT,
        LAB_SETUP,
        LAB_KUBE,
        INITTAB,
        SETUP_UNIT,
        initramfs::INIT,
        "format 3",
    ];
    let dir = cache.entry("image", &Key::of(&parts), build)?;
    Ok(Image {
        kernel: dir.join("vmlinuz"),
        initramfs: dir.join("initramfs"),
        root: dir.join("root.img"),
        busybox: dir.join("busybox"),
    })
}

fn build(dir: &Path) -> Result<()> {
    let tree = dir.join("tree");
    step("guest image: Debian packages", || debootstrap(&tree))?;
    let version = step("guest image: stock kernel", || install_kernel(&tree, dir))?;
    step("guest image: initramfs", || initramfs::build(&tree, &version, &dir.join("initramfs")))?;
    customize(&tree)?;
    step("guest image: file system", || disk::of_tree(&tree, &dir.join("root.img"), ROOT_BYTES))?;
    fs::copy(tree.join("usr/bin/busybox"), dir.join("busybox"))?;
    remove_tree(&tree)
}

/// The kernel comes beside the packages, unpacked only: installing it would build an initramfs nobody uses.
const FETCH_KERNEL: &str = r#"set -e; cd "$1/boot"; export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -n 1)
apt-get -qq -o APT::Sandbox::User=root download "$package""#;

fn debootstrap(tree: &Path) -> Result<()> {
    let source = format!(
        "deb [signed-by={}] {} {SUITE} main",
        mirror::KEYRING,
        mirror::of_host(Path::new("/etc/apt"))
    );
    // In namespaces of its own: an interrupted build leaves no mount and no process.
    run(Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "mmdebstrap"])
        .args(["--variant=minbase", "--mode=root"])
        .arg(format!("--include={PACKAGES}"))
        .args(["--aptopt=APT::Install-Recommends false", "--aptopt=Acquire::Check-Date false"])
        .args(["--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*"])
        .arg("--dpkgopt=path-exclude=/usr/share/locale/*")
        .arg(format!("--customize-hook={FETCH_KERNEL}"))
        .arg(SUITE)
        .arg(tree)
        .arg(source))
}

/// Unpacks the kernel package into `tree`, trims its modules, puts the kernel at `dir/vmlinuz`; gives its version.
fn install_kernel(tree: &Path, dir: &Path) -> Result<String> {
    let boot = tree.join("boot");
    let package = only_file(&boot)?;
    let unpacked = dir.join("kernel");
    run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&unpacked))?;
    let from = ["usr/lib/modules", "lib/modules"].map(|path| unpacked.join(path));
    let modules = from.iter().find(|path| path.is_dir()).context("the kernel package has no modules")?;
    let version = file_name(&only_file(modules)?);
    fs::rename(unpacked.join(format!("boot/vmlinuz-{version}")), dir.join("vmlinuz"))?;
    let home = tree.join("usr/lib/modules");
    fs::create_dir_all(&home)?;
    fs::rename(modules.join(&version), home.join(&version))?;
    for unused in UNUSED_MODULES {
        remove_tree(&home.join(&version).join("kernel").join(unused))?;
    }
    run(Command::new("depmod").arg("-b").arg(tree).arg(&version))?;
    fs::remove_file(package)?;
    remove_tree(&unpacked)?;
    Ok(version)
}

fn customize(tree: &Path) -> Result<()> {
    install(tree, "usr/sbin/lab-init", LAB_INIT, 0o755)?;
    install(tree, "usr/sbin/lab-setup", LAB_SETUP, 0o755)?;
    install(tree, "usr/sbin/lab-kube", LAB_KUBE, 0o755)?;
    install(tree, "etc/inittab", INITTAB, 0o644)?;
    install(tree, "etc/systemd/system/lab-setup.service", SETUP_UNIT, 0o644)?;
    install(tree, "etc/fstab", "", 0o644)?;
    install(tree, "etc/machine-id", "uninitialized\n", 0o444)?;
    install(tree, "etc/hosts", &hosts(), 0o644)?;
    // mdadm's own options (start_ro) would change what the product sees.
    mask(tree, "etc/modprobe.d/mdadm.conf")?;
    for unit in MASKED_UNITS {
        mask(tree, &format!("etc/systemd/system/{unit}"))?;
    }
    enable(tree, "sysinit.target.wants", "/etc/systemd/system/lab-setup.service")?;
    link(tree, "etc/systemd/system/default.target", "/usr/lib/systemd/system/multi-user.target")?;
    for program in ["mdfabric", "lab"] {
        link(tree, &format!("usr/bin/{program}"), &format!("/opt/mdfabric/{program}"))?;
    }
    run(Command::new("sed").args(["-i", "s/^root:[^:]*:/root::/"]).arg(tree.join("etc/shadow")))
}

fn hosts() -> String {
    let mut text = format!("127.0.0.1 localhost\n{} etcd\n", crate::spec::ETCD_ADDRESS);
    for index in 1..=crate::spec::MAX_NODES {
        writeln!(text, "{} {}", crate::spec::node_address(index), crate::spec::node_name(index)).ok();
    }
    text
}

fn install(tree: &Path, path: &str, text: &str, mode: u32) -> Result<()> {
    let path = tree.join(path);
    fs::remove_file(&path).ok();
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn mask(tree: &Path, path: &str) -> Result<()> {
    link(tree, path, "/dev/null")
}

fn enable(tree: &Path, wants: &str, unit: &str) -> Result<()> {
    let dir = format!("etc/systemd/system/{wants}");
    fs::create_dir_all(tree.join(&dir))?;
    link(tree, &format!("{dir}/{}", file_name(Path::new(unit))), unit)
}

fn link(tree: &Path, path: &str, target: &str) -> Result<()> {
    let path = tree.join(path);
    fs::remove_file(&path).ok();
    symlink(target, &path).with_context(|| format!("cannot link {}", path.display()))
}

fn only_file(dir: &Path) -> Result<PathBuf> {
    let first = fs::read_dir(dir)?.next().with_context(|| format!("{} is empty", dir.display()))?;
    Ok(first?.path())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The version of the host's QEMU, as it prints it.
pub fn qemu_version() -> Result<String> {
    output(Command::new(crate::qemu::PROGRAM).arg("--version"))
}
