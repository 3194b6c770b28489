//! A hand-made `/sys`, `/dev` and `/lib` for tests, in a directory that goes away with the value.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Root;

static NEXT: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Tree(PathBuf);

impl Tree {
    pub(crate) fn new() -> Self {
        let name = format!("kernel-abi-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    pub(crate) fn root(&self) -> Root {
        Root::at(&self.0)
    }

    pub(crate) fn dir(&self, relative: &str) -> &Self {
        fs::create_dir_all(self.0.join(relative)).unwrap();
        self
    }

    pub(crate) fn file(&self, relative: &str, text: &str) -> &Self {
        let path = self.0.join(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Files below one directory.
    pub(crate) fn files(&self, directory: &str, files: &[(&str, &str)]) -> &Self {
        for (name, text) in files {
            self.file(&format!("{directory}/{name}"), text);
        }
        self
    }

    pub(crate) fn link(&self, relative: &str, target: &str) -> &Self {
        let path = self.0.join(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    pub(crate) fn text(&self, relative: &str) -> String {
        fs::read_to_string(self.0.join(relative)).unwrap()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
