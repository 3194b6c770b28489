//! Volumes on a lab's guests, their load, and the judges that nobody here wrote.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::daemon::{self, VERB_DEADLINE, mdfabric, word};
use crate::guest::ack::{self, RECORD};
use crate::guest::verify::Verdict;
use crate::guest::writer::Summary;
use crate::lab::Lab;
use crate::load::{BRISK, CALM, Work, Writer, next_version};
use crate::node::Node;

/// How long a writer may take to get its first writes through.
const WRITES_DEADLINE: Duration = Duration::from_mins(1);

/// Bytes that a scenario's writer uses.
const WORK_BYTES: u64 = 32 << 20;

/// The writers of one volume, one after the other, and what each of them had acknowledged.
pub struct Load<'a> {
    lab: &'a Lab,
    seed: u64,
    next: u64,
    logs: Vec<Vec<u8>>,
    now: Option<(Node, usize, Writer)>,
    /// Where in its node's log the writer that was lost last had come to.
    lost: usize,
}

impl<'a> Load<'a> {
    /// A load that has not begun.
    #[must_use]
    pub fn new(lab: &'a Lab, seed: u64) -> Self {
        Self { lab, seed, next: 1, logs: Vec::new(), now: None, lost: 0 }
    }

    fn work(&self, path: &str) -> Work {
        let rest = if self.lab.is_patient() { CALM } else { BRISK };
        Work { path: path.to_owned(), size: WORK_BYTES, seed: self.seed, rest }
    }

    /// Starts a writer on `path` of `node`, which goes on where the one before it ended, and sees its first writes.
    pub fn start(&mut self, node: &Node, path: &str) -> Result<()> {
        let begin = node.ack_log()?.len();
        let writer = self.work(path).start(node, self.next)?;
        self.now = Some((node.clone(), begin, writer));
        self.goes_on(20)
    }

    /// Waits until `more` further writes are acknowledged.
    pub fn goes_on(&self, more: usize) -> Result<()> {
        let (node, _, writer) = self.now.as_ref().context("no writer writes")?;
        let before = node.ack_log()?.len();
        self.lab.wait_for(&format!("{more} writes on {}", node.name()), WRITES_DEADLINE, || {
            if let Some(summary) = writer.poll()? {
                anyhow::bail!("the writer on {} ended: {summary:?}", node.name());
            }
            Ok((node.ack_log()?.len() >= before + more * RECORD).then_some(()))
        })
    }

    /// Lets the writer finish and keeps its log.
    pub fn stop(&mut self) -> Result<Summary> {
        let summary = self.now.as_ref().context("no writer writes")?.2.stop()?;
        self.keep_log()?;
        ensure!(summary.error.is_none(), "a write failed: {summary:?}");
        Ok(summary)
    }

    /// The writer ended with its node: keeps its log.
    pub fn lost(&mut self) -> Result<()> {
        self.lost = self.now.as_ref().map_or(0, |(_, begin, _)| *begin);
        self.keep_log()?;
        self.lost += self.logs.last().map_or(0, Vec::len);
        Ok(())
    }

    /// How many writes the writer of `node` had acknowledged after it was taken for lost. They count like all others.
    pub fn late(&mut self, node: &Node) -> Result<usize> {
        let log = node.ack_log()?.get(self.lost..).unwrap_or_default().to_vec();
        let late = log.len() / RECORD;
        self.logs.push(log);
        Ok(late)
    }

    fn keep_log(&mut self) -> Result<()> {
        let (node, begin, _) = self.now.take().context("no writer writes")?;
        let log = node.ack_log()?.get(begin..).unwrap_or_default().to_vec();
        let acks = ack::parse(&log).with_context(|| format!("the log of {} is damaged", node.name()))?;
        self.next = self.next.max(next_version(&[acks]));
        self.logs.push(log);
        Ok(())
    }

    /// Checks that `path` of `node` holds every acknowledged write of all writers so far.
    pub fn verify(&self, node: &Node, path: &str) -> Result<Verdict> {
        let verdict = self.work(path).verify(node, &self.logs)?;
        ensure!(verdict.is_good() && verdict.acknowledged > 0, "{}: {path}: {verdict:?}", node.name());
        Ok(verdict)
    }
}

/// The file that writers of [`written_volume`] use.
pub const FILE: &str = "/mnt/vol/data";

/// Two copies, one of them on node-1.
pub const TWO_COPIES: &str = "--replicas 2 --on node-1 --on node-2";

/// The least there is, with ext4.
pub const SMALL: &str = "--size 300MiB --fs ext4";

/// As small, with XFS.
pub const SMALL_XFS: &str = "--size 320MiB --fs xfs";

/// The volume `vol` with the copies that `copies` asks for, [`SMALL`], mounted on node-1, its owner, and a writer on it.
pub fn written_volume<'a>(lab: &'a Lab, seed: u64, copies: &str) -> Result<(Node, Load<'a>)> {
    written(lab, seed, &format!("{SMALL} {copies}"))
}

/// The same with XFS, which waits and flushes otherwise than ext4 does.
pub fn written_xfs<'a>(lab: &'a Lab, seed: u64, copies: &str) -> Result<(Node, Load<'a>)> {
    written(lab, seed, &format!("{SMALL_XFS} {copies}"))
}

fn written<'a>(lab: &'a Lab, seed: u64, spec: &str) -> Result<(Node, Load<'a>)> {
    let one = lab.node("node-1")?;
    verb(&one, &format!("volume create vol {spec}"))?;
    verb(&one, "volume attach vol")?;
    verb(&one, "volume mount vol /mnt/vol")?;
    let mut load = Load::new(lab, seed);
    load.start(&one, FILE)?;
    Ok((one, load))
}

/// Runs a verb that must succeed, given as one line.
pub fn verb(node: &Node, line: &str) -> Result<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(mdfabric(node, &words)?.ok()?.stdout)
}

/// Waits until `explain` says all of these words, and prints the line of the first.
pub fn is_explained(lab: &Lab, node: &Node, object: &str, words: &[&str]) -> Result<()> {
    let said = lab.wait_for(&format!("{object}: {words:?}"), VERB_DEADLINE, || {
        let said = verb(node, &format!("explain {object}"))?;
        Ok(words.iter().all(|words| said.contains(words)).then_some(said))
    })?;
    let line = said.lines().find(|line| words.first().is_some_and(|words| line.contains(words)));
    println!("    {}", line.unwrap_or_default());
    Ok(())
}

/// The records a listing gives.
pub fn list(node: &Node, kind: &str) -> Result<Vec<Value>> {
    let text = verb(node, &format!("{kind} ls -o json"))?;
    serde_json::from_str(&text).with_context(|| format!("{kind} ls: {text}"))
}

/// The device of an attached volume.
pub fn device(node: &Node, volume: &str) -> Result<String> {
    let device = word(&daemon::volume(node, volume)?, "/status/array/device");
    ensure!(!device.is_empty(), "volume {volume} has no device");
    Ok(device)
}

/// Free bytes by drive.
pub fn free_bytes(node: &Node) -> Result<Vec<(String, u64)>> {
    let drives = list(node, "drive")?;
    let row = |drive: &Value| {
        (word(drive, "/name"), drive.pointer("/status/free").and_then(Value::as_u64).unwrap_or_default())
    };
    Ok(drives.iter().map(row).collect())
}

/// Data begins here in a partition, bytes.
const DATA_OFFSET: u64 = 1 << 20;

/// One copy: where it is.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Its node.
    pub node: Node,
    /// Its drive's serial number.
    pub serial: String,
    /// First byte on the drive.
    pub start: u64,
}

impl Copy {
    /// The drive's device.
    pub fn drive(&self) -> Result<String> {
        drive_device(&self.node, &self.serial)
    }

    /// The partition's device.
    pub fn partition(&self) -> Result<String> {
        let drive = self.drive()?;
        let name = drive.trim_start_matches("/dev/");
        let find =
            format!("basename $(dirname $(grep -lx {} /sys/block/{name}/{name}p*/start))", self.start / 512);
        Ok(format!("/dev/{}", self.node.sh(&find)?.ok()?.text()))
    }

    /// One sector of the data, `at` bytes from its start, is not what it was.
    pub fn damage(&self, at: u64) -> Result<()> {
        let (partition, sector) = (self.partition()?, (DATA_OFFSET + at) / 512);
        let write = format!(
            "yes damaged | head -c 512 | dd of={partition} bs=512 seek={sector} conv=notrunc oflag=direct iflag=fullblock"
        );
        self.node.sh(&write)?.ok().map(drop)
    }

    /// What a MiB of the data says, `at` bytes from its start.
    pub fn sum(&self, at: u64) -> Result<String> {
        let (partition, mib) = (self.partition()?, (DATA_OFFSET + at) >> 20);
        let read = format!("dd if={partition} bs=1M skip={mib} count=1 iflag=direct 2>/dev/null | sha256sum");
        Ok(self.node.sh(&read)?.ok()?.text().to_owned())
    }

    /// mdadm finds a good member with a consistent superblock here.
    pub fn examine(&self) -> Result<String> {
        let said = self.node.run(&["mdadm", "--examine", &self.partition()?])?.ok()?.stdout;
        ensure!(
            said.contains("Raid Level : raid1") && said.contains(" - correct"),
            "mdadm --examine: {said}"
        );
        Ok(said)
    }

    /// Nothing of the data can be read where the copy was, and the table is whole. What the whole disk's page cache has kept
    /// from before says nothing of the drive: looking for signatures reads the first partition's head (1 MiB) too.
    pub fn is_wiped(&self) -> Result<()> {
        let drive = self.drive()?;
        let compare = format!(
            "blockdev --flushbufs {drive} && cmp -n 1048576 -i {}:0 {drive} /dev/zero && sfdisk -V {drive}",
            self.start
        );
        let said = self.node.sh(&compare)?.ok().context("old data can be read")?;
        ensure!(said.stdout.contains("No errors detected"), "sfdisk: {}", said.stdout);
        let name = drive.trim_start_matches("/dev/").to_owned();
        let left =
            self.node.sh(&format!("grep -lx {} /sys/block/{name}/{name}p*/start", self.start / 512))?;
        ensure!(left.status != 0, "the partition is still there: {}", left.text());
        Ok(())
    }
}

/// The device of the drive `serial`: names change from boot to boot.
pub fn drive_device(node: &Node, serial: &str) -> Result<String> {
    let find = format!("basename $(dirname $(dirname $(grep -l {serial} /sys/block/nvme*/device/serial)))");
    Ok(format!("/dev/{}", node.sh(&find)?.ok()?.text()))
}

/// Takes the drive `serial` from the guest's bus, as if it were pulled.
pub fn pull_drive(node: &Node, serial: &str) -> Result<()> {
    let pull = format!("echo 1 >$(dirname $(grep -l {serial} /sys/class/nvme/*/serial))/device/remove");
    node.sh(&pull)?.ok().map(drop)
}

/// Every drive that was pulled from the guest is there again.
pub fn put_drives_back(node: &Node) -> Result<()> {
    node.sh("echo 1 >/sys/bus/pci/rescan")?.ok().map(drop)
}

/// The copies of a volume that have a partition, and each of their columns for itself.
pub fn copies(lab: &Lab, asked: &Node, volume: &str) -> Result<Vec<Copy>> {
    let records = list(asked, "replica")?;
    let of_volume = records.iter().filter(|record| word(record, "/spec/volume") == volume);
    let columns = |record: &Value| {
        let drives = record.pointer("/spec/drives").and_then(Value::as_array).map_or(0, Vec::len);
        let at = |column| {
            let start =
                record.pointer(&format!("/status/partitions/{column}/start")).and_then(Value::as_u64)?;
            Some((word(record, "/spec/node"), word(record, &format!("/spec/drives/{column}")), start))
        };
        (0..drives).filter_map(at).collect::<Vec<_>>()
    };
    let all = of_volume.flat_map(columns);
    all.map(|(node, serial, start)| Ok(Copy { node: lab.node(&node)?, serial, start })).collect()
}

/// The kernel's names of an attached volume's arrays: its device, or what the stripes lie over.
pub fn arrays(owner: &Node, volume: &str) -> Result<Vec<String>> {
    let device = device(owner, volume)?.replace("/dev/", "");
    let said = owner.sh(&format!("ls /sys/block/{device}/slaves"))?.ok()?;
    let below: Vec<String> = said.stdout.split_whitespace().map(str::to_owned).collect();
    Ok(if device.starts_with("md") { vec![device] } else { below })
}

/// The copy of a volume on a node.
pub fn copy_on(lab: &Lab, asked: &Node, volume: &str, node: &str) -> Result<Copy> {
    let all = copies(lab, asked, volume)?;
    all.into_iter().find(|copy| copy.node.name() == node).with_context(|| format!("no copy on {node}"))
}

/// No node's kernel holds anything that a volume needed.
pub fn nothing_left(lab: &Lab) -> Result<()> {
    let look = "ls -d /sys/block/md* /sys/block/dm-* /sys/kernel/config/nvmet/subsystems/*mdfabric* \
                /sys/kernel/config/nvmet/ports/*/subsystems/* /sys/class/nvme-fabrics/ctl/nvme* 2>/dev/null; true";
    for node in lab.nodes() {
        let left = node.sh(look)?.ok()?;
        ensure!(left.text().is_empty(), "{} still has\n{}", node.name(), left.text());
    }
    let first = lab.node("node-1")?;
    ensure!(list(&first, "replica")?.is_empty(), "replicas are left");
    ensure!(list(&first, "volume")?.is_empty(), "volumes are left");
    Ok(())
}

/// Detaches and deletes a volume, and sees that every copy is unreadable and nothing is left.
pub fn remove(lab: &Lab, node: &Node, volume: &str) -> Result<()> {
    let copies = copies(lab, node, volume)?;
    verb(node, &format!("volume detach {volume}"))?;
    verb(node, &format!("volume rm {volume}"))?;
    copies.iter().try_for_each(Copy::is_wiped)?;
    nothing_left(lab)
}

/// md's own check finds no difference between the copies of an attached volume, from this MiB on. A check during which a copy is
/// lost ends early and counts what it could not read: it is made again.
pub fn copies_are_equal(lab: &Lab, owner: &Node, volume: &str, from_mib: u64) -> Result<()> {
    arrays(owner, volume)?.iter().try_for_each(|array| column_is_equal(lab, owner, array, from_mib))
}

fn column_is_equal(lab: &Lab, owner: &Node, array: &str, from_mib: u64) -> Result<()> {
    let md = format!("/sys/block/{array}/md");
    let differ = lab.wait_for(&format!("md's check of {array}"), CHECK_DEADLINE, || {
        if !starts_check(owner, &md, from_mib)? {
            return Ok(None);
        }
        lab.wait_for(&format!("the end of md's check of {array}"), CHECK_DEADLINE, || {
            Ok((owner.sh(&format!("cat {md}/sync_action"))?.ok()?.text() == "idle").then_some(()))
        })?;
        let said = owner.sh(&format!("cat {md}/degraded {md}/last_sync_action {md}/mismatch_cnt"))?.ok()?;
        Ok(said.text().strip_prefix("0\ncheck\n").map(str::to_owned))
    })?;
    owner.sh(&format!("echo 0 >{md}/sync_min"))?.ok()?;
    ensure!(differ == "0", "md's check of {array} found {differ} sectors that differ");
    Ok(())
}

/// How long a check may take, and how long copies may be lost again and again before one is whole.
const CHECK_DEADLINE: Duration = Duration::from_mins(3);

/// Begins a check if all copies are there and nothing else is under way.
fn starts_check(owner: &Node, md: &str, from_mib: u64) -> Result<bool> {
    let look = format!("cat {md}/degraded {md}/sync_action");
    let begin = format!("echo {} >{md}/sync_min && echo check >{md}/sync_action", from_mib * 2048);
    Ok(owner.sh(&look)?.ok()?.text() == "0\nidle" && owner.sh(&begin)?.status == 0)
}

/// `xfs_repair` or `e2fsck` finds nothing to repair on the attached, unmounted volume.
pub fn is_clean(owner: &Node, volume: &str) -> Result<()> {
    let fs = word(&daemon::volume(owner, volume)?, "/spec/fs");
    let judge = match fs.as_str() {
        "xfs" => ["xfs_repair", "-n"],
        "ext4" => ["e2fsck", "-fn"],
        _ => bail!("nobody judges {fs:?}, which is what {volume} has"),
    };
    owner.run(&[&judge[..], &[&device(owner, volume)?]].concat())?.ok().map(drop)
}

/// Waits until `judge` is content with the volume's record.
pub fn until(
    lab: &Lab,
    asked: &Node,
    volume: &str,
    what: &str,
    judge: impl Fn(&Value) -> bool,
) -> Result<Value> {
    lab.wait_for(&format!("volume {volume}: {what}"), Duration::from_mins(3), || {
        let output = mdfabric(asked, &["volume", "show", volume, "-o", "json"])?;
        let record: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        Ok(judge(&record).then_some(record))
    })
}

/// Whether the copies in sync are on exactly these nodes and nothing is under way.
#[must_use]
pub fn is_settled_on(volume: &Value, nodes: &[&str]) -> bool {
    let members = volume.pointer("/status/members").and_then(Value::as_array).map_or(0, Vec::len);
    daemon::synced_on(volume) == nodes
        && members == nodes.len()
        && word(volume, "/status/phase") == "Synced"
        && volume.pointer("/status/relocation").is_none_or(Value::is_null)
}
