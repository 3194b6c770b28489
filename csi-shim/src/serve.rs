//! The socket that callers connect to.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

use crate::daemon::Daemon;
use crate::wire::csi::controller_server::ControllerServer;
use crate::wire::csi::identity_server::IdentityServer;
use crate::wire::csi::node_server::NodeServer;

/// The path of an endpoint as CSI writes it: `unix:///csi/csi.sock`, or the path alone.
///
/// # Errors
/// It is no path, or not absolute.
pub fn path_of(endpoint: &str) -> Result<PathBuf, String> {
    let text = endpoint.strip_prefix("unix://").or(endpoint.strip_prefix("unix:")).unwrap_or(endpoint);
    let path = PathBuf::from(text);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(format!("{endpoint:?} is no endpoint; use unix:// and an absolute path"))
}

/// Listens on `path`. A socket is replaced: the one who restarts us starts no two of us at once, and a socket of one that was killed is
/// still there. Anything else than a socket stays.
pub fn bind(path: &Path) -> io::Result<UnixListenerStream> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something else than a socket is there",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    UnixListener::bind(path).map(UnixListenerStream::new)
}

/// Serves until `stop` is there; calls that are under way come to their end.
pub async fn serve(
    daemon: Daemon,
    incoming: UnixListenerStream,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    tonic::transport::Server::builder()
        .add_service(IdentityServer::new(daemon.clone()))
        .add_service(ControllerServer::new(daemon.clone()))
        .add_service(NodeServer::new(daemon))
        .serve_with_incoming_shutdown(incoming, stop)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_as_everybody_writes_them() {
        for text in ["unix:///csi/csi.sock", "unix:/csi/csi.sock", "/csi/csi.sock"] {
            assert_eq!(path_of(text).unwrap(), Path::new("/csi/csi.sock"));
        }
        for text in ["", "csi.sock", "unix://csi.sock", "tcp://1.2.3.4:5"] {
            assert!(path_of(text).unwrap_err().contains("absolute path"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_anything_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("csi.sock");
        drop(bind(&path).unwrap());
        drop(bind(&path).unwrap());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
