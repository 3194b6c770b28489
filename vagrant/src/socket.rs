//! Unix sockets at paths of any length (the kernel's own limit is 107 bytes).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Connects to `path`.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    shortened(path, |path| UnixStream::connect(path))
}

/// Listens at `path`.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    shortened(path, |path| UnixListener::bind(path))
}

/// Goes to the socket's directory by descriptor, so that only its name counts.
fn shortened<T>(path: &Path, open: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return open(path) };
    let dir = File::open(dir)?;
    open(&PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_work() {
        let top = std::env::temp_dir().join(format!("lab-socket-{}", std::process::id()));
        let dir = top.join("d".repeat(150));
        std::fs::create_dir_all(&dir).unwrap();
        let _listener = listen(&dir.join("a.sock")).unwrap();
        connect(&dir.join("a.sock")).unwrap();
        std::fs::remove_dir_all(top).unwrap();
    }
}
