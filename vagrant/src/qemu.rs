//! The QEMU command line of one guest.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::command::run;
use crate::setup::cache::remove_tree;
use crate::spec::{LabSpec, NodeFiles, NodeSpec, STATE_BYTES};

/// The emulator.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// The names of the virtio-serial ports on which a guest logs what must survive it, one writer at a time on each.
pub const LOG_PORTS: [&str; 4] = ["mdfabric.log", "mdfabric.log.1", "mdfabric.log.2", "mdfabric.log.3"];

/// Makes a node's directory and the disks it lacks.
pub fn prepare_disks(lab_dir: &Path, node: &NodeSpec) -> Result<()> {
    let files = NodeFiles::of(lab_dir, &node.name);
    fs::create_dir_all(files.dir())?;
    fs::create_dir_all(files.disks())?;
    for drive in &node.drives {
        File::options().create(true).append(true).open(files.drive(&drive.serial))?.set_len(drive.bytes)?;
    }
    if !files.state().exists() {
        let draft = files.disks().join("state.draft");
        File::create(&draft)?.set_len(STATE_BYTES)?;
        run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-L", "state"]).arg(&draft))?;
        fs::rename(draft, files.state())?;
    }
    Ok(())
}

/// Removes what a node has written: drives, state disk, log.
pub fn blank_disks(lab_dir: &Path, node: &NodeSpec) -> Result<()> {
    let files = NodeFiles::of(lab_dir, &node.name);
    remove_tree(files.dir())?;
    remove_tree(files.disks())?;
    prepare_disks(lab_dir, node)
}

/// Starts the guest, in the lab's directory so that socket paths stay short; `switch` is the socket of its port in the lab's switch.
pub fn start(lab: &LabSpec, lab_dir: &Path, node: &NodeSpec, switch: &Path) -> Result<Child> {
    let files = NodeFiles::of(lab_dir, &node.name);
    for socket in [files.agent(), files.qmp(), files.console()] {
        fs::remove_file(socket).ok();
    }
    let log = File::create(files.qemu_log())?;
    let mut qemu = Command::new(PROGRAM);
    machine(&mut qemu, lab, node);
    disks(&mut qemu, lab, lab_dir, node, &files);
    network(&mut qemu, lab, node, switch.strip_prefix(lab_dir).unwrap_or(switch));
    ports(&mut qemu, &NodeFiles::of(Path::new(""), &node.name));
    qemu.env("TMPDIR", lab_dir)
        .current_dir(lab_dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    qemu.spawn().with_context(|| format!("cannot start {PROGRAM} for {}", node.name))
}

fn machine(qemu: &mut Command, lab: &LabSpec, node: &NodeSpec) {
    qemu.args(["-name", &node.name, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35"]);
    qemu.args(["-accel", &lab.accel.accel, "-cpu", &lab.accel.cpu]);
    qemu.args(["-m", &format!("{}M", node.memory_mib), "-smp", &processors(node.cpus)]);
    qemu.arg("-kernel").arg(&lab.kernel).arg("-initrd").arg(&lab.initramfs);
    qemu.args(["-append", &kernel_command_line(lab, node), "-device", "virtio-rng-pci"]);
}

/// A machine that can never have a second processor is emulated without memory barriers (QEMU before 8.1:
/// `tcg_gen_mb` leaves them out without `CF_PARALLEL`, which `max_cpus > 1` sets), although its devices work in threads of
/// their own: a rung doorbell of an NVMe drive got lost, and its queue stood still until the kernel reset the controller
/// a minute later.
fn processors(cpus: u8) -> String {
    format!("{cpus},maxcpus={}", cpus.max(2))
}

/// `norandmaps`: QEMU knows translated code by its virtual address, too, so a program that lies elsewhere at each start is translated
/// anew each time; that took three times as long as all of what was translated took to run.
/// `noautogroup`: what a guest without systemd's cgroups starts together would share one task's part of the processor with
/// the daemon; a writer then waited for up to a second that no storage took. `no_timer_check`: the kernel counts a few ticks of the
/// timer early in its boot and panics if an emulated one that had no processor just then missed them (`check_timer` in
/// `arch/x86/kernel/apic/io_apic.c`).
fn kernel_command_line(lab: &LabSpec, node: &NodeSpec) -> String {
    let init = if node.systemd { "/sbin/init" } else { "/usr/sbin/lab-init" };
    let kube = if lab.kube.is_some() { " lab.kube" } else { "" };
    format!(
        "console=ttyS0 quiet loglevel=4 mitigations=off norandmaps noautogroup no_timer_check lab.init={init} lab.node={} lab.ip={} lab.mtu={}{kube}",
        node.name,
        node.address(),
        lab.mtu
    )
}

/// What is written to such a disk is gone with the guest's power.
const OVERLAY: &str = "snapshot=on,cache=unsafe";

fn disks(qemu: &mut Command, lab: &LabSpec, lab_dir: &Path, node: &NodeSpec, files: &NodeFiles) {
    let payload = lab_dir.join("payload.img");
    virtio_disk(qemu, "root", &lab.root, OVERLAY);
    if let Some(kube) = &lab.kube {
        virtio_disk(qemu, "kube", &kube.disk, OVERLAY);
    }
    virtio_disk(qemu, "payload", &payload, "readonly=on");
    virtio_disk(qemu, "state", &files.state(), "cache=unsafe,discard=unmap");
    for drive in &node.drives {
        let (serial, block) = (&drive.serial, drive.block_size);
        drive_file(qemu, serial, &files.drive(serial), "cache=unsafe,discard=unmap,detect-zeroes=unmap");
        let sizes = format!("logical_block_size={block},physical_block_size={block}");
        qemu.args(["-device", &format!("nvme,id=nvme-{serial},drive={serial},serial={serial},{sizes}")]);
    }
}

fn virtio_disk(qemu: &mut Command, serial: &str, file: &Path, options: &str) {
    drive_file(qemu, serial, file, options);
    qemu.args(["-device", &format!("virtio-blk-pci,drive={serial},serial={serial}")]);
}

fn drive_file(qemu: &mut Command, id: &str, file: &Path, options: &str) {
    qemu.args(["-drive", &format!("if=none,id={id},format=raw,{options},file={}", file.display())]);
}

fn network(qemu: &mut Command, lab: &LabSpec, node: &NodeSpec, switch: &Path) {
    qemu.args([
        "-netdev",
        &format!("stream,id=net,server=off,addr.type=unix,addr.path={}", switch.display()),
    ]);
    let mac = format!("52:54:00:4d:44:{:02x}", node.index);
    qemu.args(["-device", &format!("virtio-net-pci,netdev=net,mac={mac},host_mtu={},romfile=", lab.mtu)]);
}

fn ports(qemu: &mut Command, files: &NodeFiles) {
    let listen = |id: &str, path: &Path| format!("socket,id={id},server=on,wait=off,path={}", path.display());
    let console =
        format!("{},logfile={}", listen("console", &files.console()), files.console_log().display());
    qemu.args(["-chardev", &console, "-serial", "chardev:console"]);
    qemu.args(["-chardev", &listen("qmp", &files.qmp()), "-mon", "chardev=qmp,mode=control"]);
    qemu.args(["-chardev", &listen("agent", &files.agent()), "-device", "virtio-serial-pci"]);
    qemu.args(["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]);
    for (number, port) in LOG_PORTS.iter().enumerate() {
        let file = files.ack_log(number);
        qemu.args(["-chardev", &format!("file,id=log{number},append=on,path={}", file.display())]);
        qemu.args(["-device", &format!("virtserialport,chardev=log{number},name={port}")]);
    }
}
