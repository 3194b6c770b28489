//! The files of the ring: numbered, the newest is appended to, the oldest go.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Files the ring consists of.
const SEGMENTS: u64 = 4;
/// What the name of a file of the ring ends with, after 16 hexadecimal digits.
const SEGMENT_END: &str = ".rec";
/// The most that is read of one file, bytes: the largest ring that can be configured.
const MAX_SEGMENT_BYTES: u64 = 1 << 30;

/// Appends to the newest file. What goes wrong is tried again from scratch with the next entry.
pub(super) struct Ring {
    dir: PathBuf,
    segment_bytes: u64,
    open: Option<Segment>,
}

struct Segment {
    number: u64,
    file: File,
    length: u64,
}

impl Ring {
    /// A ring of `size` bytes in `dir`; touches nothing yet.
    pub(super) fn new(dir: &Path, size: u64) -> Self {
        Self { dir: dir.to_owned(), segment_bytes: size / SEGMENTS, open: None }
    }

    /// Appends one frame, turning the ring over when the newest file is full.
    pub(super) fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        let length = frame.len() as u64;
        let mut segment = match self.open.take() {
            Some(segment) => segment,
            None => self.newest()?,
        };
        if segment.length > 0 && segment.length + length > self.segment_bytes {
            segment.file.sync_data()?;
            segment = self.turn_over(segment.number)?;
        }
        segment.file.write_all(frame)?;
        segment.length += length;
        self.open = Some(segment);
        Ok(())
    }

    /// What was appended is on the disk when this returns.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |segment| segment.file.sync_data())
    }

    fn newest(&self) -> io::Result<Segment> {
        fs::create_dir_all(&self.dir)?;
        let newest = segments(&self.dir)?.last().and_then(|name| number(name));
        self.segment(newest.unwrap_or_default())
    }

    fn turn_over(&self, number: u64) -> io::Result<Segment> {
        let next = self.segment(number + 1)?;
        remove_older(&self.dir, (number + 2).saturating_sub(SEGMENTS))?;
        File::open(&self.dir)?.sync_all()?;
        Ok(next)
    }

    fn segment(&self, number: u64) -> io::Result<Segment> {
        let path = self.dir.join(format!("{number:016x}{SEGMENT_END}"));
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Segment { number, file, length })
    }
}

fn remove_older(dir: &Path, oldest_kept: u64) -> io::Result<()> {
    let old = |name: &String| number(name).is_some_and(|number| number < oldest_kept);
    segments(dir)?.iter().filter(|name| old(name)).try_for_each(|name| fs::remove_file(dir.join(name)))
}

fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_END)?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Whether a file of this name is one of the ring's.
#[must_use]
pub fn is_segment(name: &str) -> bool {
    number(name).is_some()
}

/// The names of the ring's files, oldest first. What else lies there is left alone.
pub(super) fn segments(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| is_segment(name)));
    }
    names.sort();
    Ok(names)
}

pub(super) fn read_segment(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_SEGMENT_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
