//! Reading an archive back. Whatever the bytes are, the answer is an archive or an error that names the file.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::{FORMAT, MANIFEST, Manifest, NODE, NodeFacts, PROBLEMS, RECORDER, RECORDS};
use crate::telemetry::recorder::{self, Reading, is_segment};

/// The most that is kept of one entry, and of all, bytes.
const MAX_ENTRY_BYTES: u64 = 512 << 20;
const MAX_BYTES: u64 = 1 << 30;

/// What the verbs read of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// What it is.
    pub manifest: Manifest,
    /// Records: `<kind>/<name>`, and their bytes.
    pub records: Vec<(String, Vec<u8>)>,
    /// What the daemon knew; `None` if none answered when the archive was made.
    pub node: Option<NodeFacts>,
    /// The flight recorder.
    pub recorder: Reading,
}

/// An archive that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be opened.
    #[error("dump {} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// Not a tar archive, or damaged, or cut in the middle of an entry.
    #[error("dump {} is damaged or no tar archive: it cannot be read beyond {whole} entries", path.display())]
    Garbled {
        /// The file.
        path: PathBuf,
        /// Entries that could be read.
        whole: usize,
        /// What the reader says.
        source: io::Error,
    },
    /// The end is missing.
    #[error("dump {} is truncated: it ends after {whole} entries, without {PROBLEMS}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Entries that could be read.
        whole: usize,
    },
    /// A tar archive of something else.
    #[error("{} is not a dump: it has no {MANIFEST}", path.display())]
    NoDump {
        /// The file.
        path: PathBuf,
    },
    /// An entry does not say what it should.
    #[error("dump {}: {entry} cannot be read: {why}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry.
        entry: String,
        /// What is wrong with it.
        why: String,
    },
    /// A newer version made it.
    #[error("dump {} has format {format}, made by mdfabric {version}; this version reads up to {FORMAT}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The version that made it.
        version: String,
    },
}

impl Archive {
    /// Reads what the verbs need of the archive at `path`.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let file = open(path).map_err(|source| ArchiveError::Open { path: path.to_owned(), source })?;
        Self::read(path, BufReader::new(file))
    }

    /// Reads an archive that is called `path` in errors.
    pub fn read(path: &Path, bytes: impl Read) -> Result<Self, ArchiveError> {
        let mut parts = Parts::default();
        if let Err(source) = parts.read(bytes) {
            return Err(ArchiveError::Garbled { path: path.to_owned(), whole: parts.whole, source });
        }
        parts.assemble(path)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// An archive as it is being read.
#[derive(Default)]
struct Parts {
    whole: usize,
    bytes: u64,
    complete: bool,
    manifest: Option<Vec<u8>>,
    node: Option<Vec<u8>>,
    records: Vec<(String, Vec<u8>)>,
    recorder: Vec<(String, Vec<u8>)>,
}

impl Parts {
    fn read(&mut self, bytes: impl Read) -> io::Result<()> {
        for entry in tar::Archive::new(bytes).entries()? {
            let mut entry = entry?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if is_wanted(&name) {
                let content = self.content(&mut entry)?;
                self.keep(&name, content);
            }
            self.whole += 1;
        }
        Ok(())
    }

    fn content(&mut self, entry: &mut impl Read) -> io::Result<Vec<u8>> {
        let room = MAX_ENTRY_BYTES.min(MAX_BYTES - self.bytes);
        let mut content = Vec::new();
        entry.take(room).read_to_end(&mut content)?;
        self.bytes += content.len() as u64;
        if content.len() as u64 == room { Err(io::Error::other("it is too large")) } else { Ok(content) }
    }

    fn keep(&mut self, name: &str, content: Vec<u8>) {
        if let Some(record) = name.strip_prefix(RECORDS) {
            self.records.push((record.to_owned(), content));
        } else if let Some(segment) = name.strip_prefix(RECORDER) {
            self.recorder.push((segment.to_owned(), content));
        } else if name == MANIFEST {
            self.manifest = Some(content);
        } else if name == NODE {
            self.node = Some(content);
        } else {
            self.complete = true;
        }
    }

    fn assemble(mut self, path: &Path) -> Result<Archive, ArchiveError> {
        let path = path.to_owned();
        if self.whole == 0 {
            return Err(ArchiveError::NoDump { path });
        }
        if !self.complete {
            return Err(ArchiveError::Truncated { path, whole: self.whole });
        }
        let Some(manifest) = self.manifest else { return Err(ArchiveError::NoDump { path }) };
        let manifest = read_manifest(&path, &manifest)?;
        let node = self.node.map(|bytes| from_json(&path, NODE, &bytes)).transpose()?;
        self.recorder.sort();
        let mut reading = Reading::default();
        self.recorder.iter().for_each(|(_, bytes)| recorder::scan(bytes, &mut reading));
        Ok(Archive { manifest, records: self.records, node, recorder: reading })
    }
}

fn is_wanted(name: &str) -> bool {
    [MANIFEST, NODE, PROBLEMS].contains(&name)
        || name.starts_with(RECORDS)
        || name.strip_prefix(RECORDER).is_some_and(is_segment)
}

fn from_json<T: serde::de::DeserializeOwned>(
    path: &Path,
    entry: &str,
    bytes: &[u8],
) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|error| ArchiveError::Entry {
        path: path.to_owned(),
        entry: entry.to_owned(),
        why: error.to_string(),
    })
}

fn read_manifest(path: &Path, bytes: &[u8]) -> Result<Manifest, ArchiveError> {
    let manifest: Manifest = from_json(path, MANIFEST, bytes)?;
    if manifest.format > FORMAT {
        let Manifest { format, version, .. } = manifest;
        return Err(ArchiveError::Newer { path: path.to_owned(), format, version });
    }
    Ok(manifest)
}
