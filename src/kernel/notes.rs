//! Notes on this node's own disk of what no store could be told: see [`crate::plan::Alone`].

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::domain::{Epoch, ReplicaId, VolumeUid};
use crate::plan::Alone;

/// A directory with one empty file per note. Its name is all there is to read: it is there wholly or not at all.
#[derive(Debug, Clone)]
pub(super) struct Notes {
    dir: PathBuf,
}

/// What was tried with a note.
#[derive(Debug, thiserror::Error)]
#[error("{call} {path}", path = path.display())]
pub(super) struct NoteError {
    call: &'static str,
    path: PathBuf,
    source: io::Error,
}

type Done = Result<(), NoteError>;

impl Notes {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// On disk when it returns.
    pub(super) fn add(&self, note: &Alone) -> Done {
        let path = self.dir.join(name(note));
        call("mkdir", &self.dir, |dir| fs::create_dir_all(dir))?;
        call("create", &path, |path| File::create(path)?.sync_all())?;
        call("fsync", &self.dir, sync)?;
        call("fsync", self.dir.parent().unwrap_or(&self.dir), sync)
    }

    pub(super) fn remove(&self, note: &Alone) -> Done {
        call("unlink", &self.dir.join(name(note)), |path| match fs::remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        })
    }

    /// All of them. A file that is none is left alone.
    pub(super) fn all(&self) -> Result<BTreeSet<Alone>, NoteError> {
        call("readdir", &self.dir, |dir| match fs::read_dir(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
            Ok(entries) => {
                let names: Result<Vec<_>, _> = entries.map(|entry| Ok(entry?.file_name())).collect();
                names.map(|names| names.iter().filter_map(|name| parse(name.to_str()?)).collect())
            }
        })
    }
}

fn call<T>(
    call: &'static str,
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T>,
) -> Result<T, NoteError> {
    work(path).map_err(|source| NoteError { call, path: path.to_path_buf(), source })
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn name(note: &Alone) -> String {
    format!("{}.{}.{}", note.volume.0, note.epoch.0, note.replica.0)
}

fn parse(name: &str) -> Option<Alone> {
    let mut parts = name.split('.');
    let volume = VolumeUid(Uuid::try_parse(parts.next()?).ok()?);
    let epoch = Epoch(parts.next()?.parse().ok()?);
    let replica = ReplicaId(Uuid::try_parse(parts.next()?).ok()?);
    parts.next().is_none().then_some(Alone { volume, epoch, replica })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(epoch: u64) -> Alone {
        Alone {
            volume: VolumeUid(Uuid::from_u128(1)),
            epoch: Epoch(epoch),
            replica: ReplicaId(Uuid::from_u128(2)),
        }
    }

    #[test]
    fn what_was_noted_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::new(dir.path().join("alone"));
        assert_eq!(notes.all().unwrap(), BTreeSet::new());
        notes.add(&note(7)).unwrap();
        notes.add(&note(7)).unwrap();
        notes.add(&note(8)).unwrap();
        fs::write(dir.path().join("alone/README"), "").unwrap();
        assert_eq!(notes.all().unwrap(), [note(7), note(8)].into());
        notes.remove(&note(7)).unwrap();
        notes.remove(&note(7)).unwrap();
        assert_eq!(notes.all().unwrap(), [note(8)].into());
    }

    #[test]
    fn an_error_names_the_call_and_the_path() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("alone"), "").unwrap();
        let error = Notes::new(dir.path().join("alone")).add(&note(7)).unwrap_err();
        assert!(error.to_string().starts_with("mkdir") && error.to_string().ends_with("alone"), "{error}");
    }
}
