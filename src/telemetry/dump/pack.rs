//! Writing entries.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::PROBLEMS;
use crate::domain::Timestamp;

/// Problems that are told; the rest is counted.
const PROBLEMS_TOLD: usize = 500;
/// Entries of one archive, and bytes of their contents: more than any node has, against a walk that does not end.
const MAX_ENTRIES: usize = 100_000;
const MAX_BYTES: usize = 512 << 20;

/// An archive that is being written.
pub(super) struct Pack<W: Write> {
    tar: Builder<W>,
    seconds: u64,
    entries: usize,
    bytes: usize,
    problems: Vec<String>,
}

impl<W: Write> Pack<W> {
    pub(super) fn new(out: W, at: Timestamp) -> Self {
        let tar = Builder::new(out);
        Self { tar, seconds: at.seconds(), entries: 0, bytes: 0, problems: Vec::new() }
    }

    fn has_room(&mut self, path: &str, bytes: usize) -> bool {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        let room = self.entries <= MAX_ENTRIES && self.bytes <= MAX_BYTES;
        if !room {
            self.problem(format_args!("{path}: left out, the archive is full"));
        }
        room
    }

    fn header(&self, kind: EntryType, size: usize) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o644);
        header.set_mtime(self.seconds);
        header
    }

    /// A file; paths are relative.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        if !self.has_room(path, content.len()) {
            return Ok(());
        }
        let mut header = self.header(EntryType::Regular, content.len());
        self.tar.append_data(&mut header, path, content)?;
        self.tar.get_mut().flush()
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &Path) -> io::Result<()> {
        if !self.has_room(path, 0) {
            return Ok(());
        }
        let mut header = self.header(EntryType::Symlink, 0);
        self.tar.append_link(&mut header, path, target)?;
        self.tar.get_mut().flush()
    }

    /// A directory, which may be all there is to say.
    pub(super) fn directory(&mut self, path: &str) -> io::Result<()> {
        if !self.has_room(path, 0) {
            return Ok(());
        }
        let mut header = self.header(EntryType::Directory, 0);
        header.set_mode(0o755);
        self.tar.append_data(&mut header, path, io::empty())?;
        self.tar.get_mut().flush()
    }

    /// Something that could not be read.
    pub(super) fn problem(&mut self, problem: impl Display) {
        self.problems.push(problem.to_string());
    }

    /// The last entry, and the end of the archive.
    pub(super) fn close(mut self) -> io::Result<()> {
        let more = self.problems.len().saturating_sub(PROBLEMS_TOLD);
        self.problems.truncate(PROBLEMS_TOLD);
        self.problems.extend((more > 0).then(|| format!("and {more} more")));
        let text: String = self.problems.iter().flat_map(|line| [line, "\n"]).collect();
        let mut header = self.header(EntryType::Regular, text.len());
        self.tar.append_data(&mut header, PROBLEMS, text.as_bytes())?;
        self.tar.into_inner()?.flush()
    }
}

/// The end of an archive whose writer hangs in the kernel: what is appended after the last whole entry.
pub fn closing(why: &str, at: Timestamp) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut pack = Pack::new(&mut out, at);
    pack.problem(why);
    pack.close()?;
    Ok(out)
}
