//! mkfs.xfs 6.1 is the standard: without a stripe its image and ours differ in time stamps only.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use super::*;
use crate::fs::image::judge;

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
            let mut block = vec![0; BLOCK as usize];
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
        [32..56, 100..104, 144..152].into_iter().for_each(|field| inode[field].fill(0));
    }
}

fn mkfs(image: &Image, arguments: &[&str]) -> bool {
    let uuid = format!("uuid={UUID}");
    let path = image.path().to_str().unwrap();
    let fixed = ["-q", "-f", "-K", "-L", "vol-7", "-m", &uuid];
    match judge("mkfs.xfs", &[&fixed[..], arguments, &[path]].concat()) {
        Some(output) if output.status.success() => true,
        Some(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        None => false,
    }
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
    for (bytes, sector, _) in CASES.into_iter().filter(|(_, _, stripe)| stripe.is_none()) {
        let (ours, theirs) = (Image::sparse(bytes), Image::sparse(bytes));
        let made = options(sector, None);
        format(ours.path(), &made).unwrap();
        assert!(mkfs(&theirs, &["-s", &format!("size={sector}")]));
        let root = Geometry::new(bytes, &made).unwrap().root_chunk.into();
        let (mut ours, mut theirs) = (blocks(ours.path()), blocks(theirs.path()));
        [&mut ours, &mut theirs].into_iter().for_each(|all| without_times(all.get_mut(&root).unwrap()));
        let differ: Vec<_> =
            ours.keys().chain(theirs.keys()).filter(|n| ours.get(n) != theirs.get(n)).collect();
        assert!(differ.is_empty(), "{bytes} bytes, sectors of {sector}: blocks {differ:?}");
    }
}
