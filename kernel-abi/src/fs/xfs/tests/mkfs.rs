//! mkfs.xfs 6.1 is the standard: without a stripe its image and ours differ in time stamps only.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use super::*;
use crate::fs::image::judge;
use crate::fs::xfs::geometry::BLOCK_LEN;

/// The three inodes made, whose time stamps and checksums differ.
const MADE: usize = 3;

/// Data of a sparse file in pieces of one block, by number. Holes read as zeros and so do not count.
fn blocks(path: &Path) -> std::collections::BTreeMap<u64, Vec<u8>> {
    let mut file = File::open(path).unwrap();
    let mut all = std::collections::BTreeMap::new();
    let mut at = 0;
    while let Ok(start) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
        let end = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(start)).unwrap();
        file.seek(SeekFrom::Start(start)).unwrap();
        for number in start / BLOCK..end.div_ceil(BLOCK) {
            let mut block = vec![0; BLOCK_LEN];
            let _ = file.read_at(&mut block, number * BLOCK).unwrap();
            if block.iter().any(|byte| *byte != 0) {
                all.insert(number, block);
            }
        }
        at = end;
    }
    all
}

/// Time stamps and CRC of a version 3 inode set to zero.
fn without_times(block: &mut [u8]) {
    for inode in block.chunks_mut(512).take(MADE) {
        for field in [32..56, 100..104, 144..152] {
            inode[field].fill(0);
        }
    }
}

/// The arguments for a sector size and a stripe in blocks; mkfs.xfs counts sectors of 512 bytes.
fn arguments(sector: u32, stripe: Option<(u32, u32)>) -> Vec<String> {
    let mut all = vec!["-s".to_owned(), format!("size={sector}")];
    if let Some((unit, width)) = stripe {
        all.extend(["-d".to_owned(), format!("sunit={},swidth={}", unit * 8, width * 8)]);
    }
    all
}

/// Whether mkfs.xfs made a file system: it refuses some stripes on small volumes.
fn mkfs(image: &Image, sector: u32, stripe: Option<(u32, u32)>) -> bool {
    let uuid = format!("uuid={UUID}");
    let path = image.path().to_str().unwrap();
    let arguments = arguments(sector, stripe);
    let all = ["-q", "-f", "-K", "-L", "vol-7", "-m", &uuid].into_iter();
    let all: Vec<&str> = all.chain(arguments.iter().map(String::as_str)).chain([path]).collect();
    let output = judge("mkfs.xfs", &all).unwrap();
    if !output.status.success() {
        println!("mkfs.xfs refuses {:?}: {}", &arguments, String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

fn is_version_6_1() -> bool {
    let said = judge("mkfs.xfs", &["-V"]).map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let same = said.as_deref().is_some_and(|text| text.contains("version 6.1."));
    if !same {
        println!("skipped: the defaults compared are those of mkfs.xfs 6.1, not of {said:?}");
    }
    same
}

#[test]
fn images_are_those_of_mkfs() {
    if !is_version_6_1() {
        return;
    }
    for (bytes, sector, stripe) in CASES {
        let (ours, theirs) = (Image::sparse(bytes), Image::sparse(bytes));
        let made = options(sector, stripe);
        format(ours.path(), &made).unwrap();
        if !mkfs(&theirs, sector, stripe) {
            continue;
        }
        let root = Geometry::new(bytes, &made).unwrap().root_chunk.into();
        let (mut ours, mut theirs) = (blocks(ours.path()), blocks(theirs.path()));
        for all in [&mut ours, &mut theirs] {
            without_times(all.get_mut(&root).unwrap());
        }
        let differ: Vec<_> =
            ours.keys().chain(theirs.keys()).filter(|n| ours.get(n) != theirs.get(n)).collect();
        assert!(differ.is_empty(), "{bytes} bytes, sectors of {sector}: blocks {differ:?}");
    }
}

/// Blocks of a group, groups, blocks in all and of the log, as a dry run of mkfs.xfs prints them;
/// `None` where it refuses.
fn dry_run(bytes: u64, sector: u32, stripe: Option<(u32, u32)>) -> Option<Vec<u64>> {
    let image = Image::sparse(bytes);
    let path = image.path().to_str().unwrap().to_owned();
    let arguments = arguments(sector, stripe);
    let all: Vec<&str> =
        ["-N", "-f"].into_iter().chain(arguments.iter().map(String::as_str)).chain([path.as_str()]).collect();
    let output = judge("mkfs.xfs", &all).unwrap();
    if !output.status.success() {
        println!("{bytes} {stripe:?}: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines =
        [("meta-data", "agsize="), ("meta-data", "agcount="), ("data", "blocks="), ("log", "blocks=")];
    Some(lines.into_iter().map(|(line, key)| number(&said, line, key)).collect())
}

/// The number behind ` key` in the line that starts with `line`.
fn number(said: &str, line: &str, key: &str) -> u64 {
    let line = said.lines().find(|text| text.starts_with(line)).unwrap_or_else(|| panic!("{said:?}"));
    let (_, value) = line.split_once(&format!(" {key}")).unwrap();
    value.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn geometries_are_those_of_mkfs() {
    if !is_version_6_1() {
        return;
    }
    let units =
        [None, Some((16, 32)), Some((128, 384)), Some((64, 256)), Some((256, 512)), Some((1024, 4096))];
    let sizes =
        [300, 310, 512, 700, 1023, 1024, 4097, 8191, 8193, 20_003, 600_000, 1_048_577, 5_000_000, 15_000_000];
    let mut wrong = Vec::new();
    for (size, stripe) in sizes.into_iter().flat_map(|size| units.map(|stripe| (size, stripe))) {
        let sector = if size % 2 == 0 { 512 } else { 4096 };
        let ours = Geometry::new(size * MIB, &options(sector, stripe)).unwrap();
        let ours = [ours.ag_blocks.into(), ours.ag_count.into(), ours.blocks, ours.log.length.into()];
        let Some(theirs) = dry_run(size * MIB, sector, stripe) else { continue };
        if ours != theirs[..] {
            wrong.push(format!("{size} MiB {stripe:?}: {ours:?}, mkfs {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
