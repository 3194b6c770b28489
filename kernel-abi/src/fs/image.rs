//! Sparse image files for tests, and the foreign tools that judge what is in them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A sparse file, removed when dropped.
pub(super) struct Image(PathBuf);

impl Image {
    pub(super) fn sparse(bytes: u64) -> Self {
        let name = format!("kernel-abi-{}-{}.img", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        File::create(&path).unwrap().set_len(bytes).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs a tool of the system; `None`, and a word about it, where it is not installed.
pub(super) fn judge(tool: &str, arguments: &[&str]) -> Option<Output> {
    let found =
        ["/usr/sbin", "/sbin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(tool)).find(|p| p.exists());
    let Some(path) = found else {
        println!("skipped: {tool} is not installed");
        return None;
    };
    Some(Command::new(path).args(arguments).output().unwrap())
}

/// Asserts that the tool is content, and returns what it printed.
pub(super) fn accepts(tool: &str, arguments: &[&str], image: &Image) -> Option<String> {
    let path = image.path().to_str().unwrap();
    let output = judge(tool, &[arguments, &[path]].concat())?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{tool} {arguments:?}: {said}");
    Some(said)
}
