//! What is built once: entries named by the content of what made them, built under a lock, moved in whole.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::fcntl::{Flock, FlockArg};

/// The lab's home: where its sources are, where its cache and the builds go.
#[derive(Debug, Clone)]
pub struct Cache {
    home: PathBuf,
    root: PathBuf,
}

impl Cache {
    /// Takes the places from `MDFABRIC_LAB_HOME` and `MDFABRIC_LAB_CACHE`, as the bootstrap script sets them.
    pub fn open() -> Result<Self> {
        let home = env_path("MDFABRIC_LAB_HOME").unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let root = env_path("MDFABRIC_LAB_CACHE").unwrap_or_else(|| home.join(".cache"));
        fs::create_dir_all(root.join("run")).with_context(|| format!("cannot make {}", root.display()))?;
        Ok(Self { home, root })
    }

    /// The workspace this lab belongs to.
    #[must_use]
    pub fn workspace(&self) -> PathBuf {
        self.home.parent().unwrap_or(&self.home).to_path_buf()
    }

    /// Cargo's target directory.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        env_path("MDFABRIC_LAB_TARGET")
            .or_else(|| env_path("CARGO_TARGET_DIR"))
            .unwrap_or_else(|| self.workspace().join("target"))
    }

    /// Where the running lab called `name` keeps its files.
    #[must_use]
    pub fn run_dir(&self, name: &str) -> PathBuf {
        self.root.join("run").join(name)
    }

    /// All run directories there are, running or left over.
    pub fn run_dirs(&self) -> Result<Vec<PathBuf>> {
        let mut dirs = Vec::new();
        for entry in fs::read_dir(self.root.join("run"))? {
            dirs.push(entry?.path());
        }
        dirs.sort();
        Ok(dirs)
    }

    /// The directory `kind-KEY`, made by `build` if it is not there yet. Two labs that want the same entry at once
    /// build it once.
    pub fn entry(&self, kind: &str, key: &Key, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let done = self.root.join(format!("{kind}-{:016x}", key.0));
        if done.exists() {
            return Ok(done);
        }
        let _lock = lock(&self.root.join(format!("{kind}.lock")))?;
        if done.exists() {
            return Ok(done);
        }
        let draft = self.root.join(format!("{kind}.draft"));
        remove_tree(&draft)?;
        fs::create_dir(&draft)?;
        build(&draft).with_context(|| format!("cannot build the lab's {kind}"))?;
        fs::rename(&draft, &done)?;
        Ok(done)
    }

    /// As [`Self::entry`], for what is large and made anew whenever the product is: earlier ones of its kind go. What uses one of them has to
    /// have a name of its own for it.
    pub fn newest(&self, kind: &str, key: &Key, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let newest = self.entry(kind, key, build)?;
        let begin = format!("{kind}-");
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path != newest && name.starts_with(&begin) {
                remove_tree(&path)?;
            }
        }
        Ok(newest)
    }
}

/// The hash of what an entry is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u64);

impl Key {
    /// The key of `parts`; their order counts.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        let mut hasher = DefaultHasher::new();
        parts.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Takes the lock file `path` exclusively, waiting for whoever holds it. It is held as long as the value lives.
pub fn lock(path: &Path) -> Result<Flock<File>> {
    let file = File::options().create(true).append(true).open(path)?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .with_context(|| format!("cannot lock {}", path.display()))
}

/// The lock file `path` if nobody holds it.
pub fn try_lock(path: &Path) -> Result<Option<Flock<File>>> {
    let file = File::options().create(true).append(true).open(path)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Ok(Some(held)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Removes a directory tree; one that is not there is fine.
pub fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
            Err(err).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn env_path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_depend_on_content_and_order() {
        assert_eq!(Key::of(&["a", "b"]), Key::of(&["a", "b"]));
        assert_ne!(Key::of(&["a", "b"]), Key::of(&["b", "a"]));
        assert_ne!(Key::of(&["ab"]), Key::of(&["a", "b"]));
    }

    #[test]
    fn an_entry_is_built_once() {
        let root = std::env::temp_dir().join(format!("lab-cache-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let cache = Cache { home: root.clone(), root: root.clone() };
        let key = Key::of(&["x"]);
        let first = cache.entry("thing", &key, |dir| Ok(fs::write(dir.join("f"), "1")?)).unwrap();
        let second = cache.entry("thing", &key, |_| anyhow::bail!("must not build again")).unwrap();
        assert_eq!(first, second);
        assert_eq!(fs::read_to_string(first.join("f")).unwrap(), "1");
        let other = cache.newest("thing", &Key::of(&["y"]), |_| Ok(())).unwrap();
        assert!(other.exists() && !first.exists());
        remove_tree(&root).unwrap();
    }
}
