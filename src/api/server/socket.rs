//! The unix socket: one daemon, for root only.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

/// A socket that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon answers on it.
    #[error(
        "socket {path} is in use: another daemon answers on it; stop that one, or give this one its own --socket"
    )]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has its name.
    #[error("{path} is there and is no socket; remove it, or give another --socket")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// A call failed.
    #[error("socket {path}: {call}")]
    Call {
        /// The path the call was about.
        path: PathBuf,
        /// What was tried.
        call: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A listening socket. Its file goes with it.
pub struct BoundSocket {
    path: PathBuf,
    listener: std::os::unix::net::UnixListener,
    /// Held as long as the socket: two daemons that start at once do not both take a stale one over.
    _lock: File,
}

impl BoundSocket {
    /// The connections, as they come.
    pub(super) fn incoming(&self) -> io::Result<UnixListenerStream> {
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        Ok(UnixListenerStream::new(listener))
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        // A file that stays is stale, and the next daemon takes it away.
        drop(fs::remove_file(&self.path));
    }
}

/// Listens on `path`, mode 0600. A socket nobody answers on is replaced.
pub fn bind(path: &Path) -> Result<BoundSocket, SocketError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(failed(parent, "make its directory"))?;
    let lock = lock(path)?;
    refuse_taken(path)?;
    let listener = listen(path)?;
    Ok(BoundSocket { path: path.to_owned(), listener, _lock: lock })
}

fn failed(path: &Path, call: &'static str) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Call { path, call, source }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn lock(path: &Path) -> Result<File, SocketError> {
    let lock_path = beside(path, ".lock");
    let file = File::create(&lock_path).map_err(failed(&lock_path, "open its lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(&lock_path, "lock")(source)),
    }
}

/// Refuses a path that has an answering socket or anything else than a socket.
fn refuse_taken(path: &Path) -> Result<(), SocketError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(path, "stat")(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket { path: path.to_owned() });
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(failed(path, "ask who answers")(error)),
    }
}

/// Binds under another name first: under its own name the socket is never there with wider permissions.
fn listen(path: &Path) -> Result<std::os::unix::net::UnixListener, SocketError> {
    let hidden = beside(path, ".new");
    drop(fs::remove_file(&hidden));
    let listener = std::os::unix::net::UnixListener::bind(&hidden).map_err(failed(path, "bind"))?;
    fs::set_permissions(&hidden, Permissions::from_mode(0o600)).map_err(failed(path, "set mode 0600"))?;
    listener.set_nonblocking(true).map_err(failed(path, "make it non-blocking"))?;
    fs::rename(&hidden, path).map_err(failed(path, "put it in its place"))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_root_may_talk_and_the_file_goes_with_the_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/m.sock");
        let socket = bind(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_somebody_answers_on_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.sock");
        let ours = bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::InUse { .. })));
        UnixStream::connect(&path).unwrap();
        drop(ours);
        let stranger = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::InUse { .. })));
        drop(stranger);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_anything_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(bind(&path).unwrap());
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(SocketError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
