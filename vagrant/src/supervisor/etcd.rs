//! The store of the lab: one etcd on the host's side of the lab network, its data in memory.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;

use super::control::Power;
use super::service::Service;
use crate::spec::{ETCD_ADDRESS, ETCD_PORT};

/// Data in RAM: an fsync there costs nothing, and the mount goes with the lab's namespace. What is not used takes none. Of its log etcd keeps whole files of
/// 64 MiB, up to five of them, and one more is made ready; a control plane fills them within hours.
const DATA_SIZE: &str = "size=1g";

pub(super) struct Etcd {
    dir: PathBuf,
    program: PathBuf,
    service: Service,
}

impl Etcd {
    /// Mounts the data directory; nothing runs yet.
    pub(super) fn prepare(lab_dir: &Path, program: &Path) -> Result<Self> {
        let dir = lab_dir.join("etcd");
        fs::create_dir_all(&dir)?;
        mount(Some("tmpfs"), &dir, Some("tmpfs"), MsFlags::empty(), Some(DATA_SIZE))
            .context("mount etcd's tmpfs")?;
        Ok(Self { dir, program: program.to_path_buf(), service: Service::new("etcd", lab_dir) })
    }

    pub(super) fn power(&mut self, action: Power) -> Result<()> {
        match action {
            Power::On => self.service.start(&mut self.command()),
            Power::Cut => self.service.cut(),
            Power::Pause => self.service.signal(Signal::SIGSTOP),
            Power::Resume => self.service.signal(Signal::SIGCONT),
            Power::Fill => alarm("ACTIVATE"),
            Power::Free => alarm("DEACTIVATE"),
            Power::Blank => self.service.cut().and_then(|()| self.forget()),
        }
    }

    fn command(&self) -> Command {
        let urls = format!("http://{ETCD_ADDRESS}:{ETCD_PORT}");
        let mut etcd = Command::new(&self.program);
        etcd.args(["--name", "lab", "--log-level", "warn", "--data-dir"])
            .arg(self.dir.join("data"))
            .args(["--listen-client-urls", &urls, "--advertise-client-urls", &urls])
            .args(["--listen-peer-urls", "http://127.0.0.1:2380"]);
        etcd
    }

    fn forget(&self) -> Result<()> {
        crate::setup::cache::remove_tree(&self.dir.join("data"))
    }

    /// Whether it answers its health check.
    pub(super) fn answers() -> bool {
        healthy().unwrap_or(false)
    }
}

fn healthy() -> Result<bool> {
    Ok(ask("GET /health HTTP/1.0\r\n\r\n", Duration::from_millis(500))?.contains("\"true\""))
}

/// The alarm that etcd raises by itself when its space is used up; while it lasts, all but reads and deletions is refused.
fn alarm(action: &str) -> Result<()> {
    let body = format!("{{\"action\":\"{action}\",\"memberID\":\"1\",\"alarm\":\"NOSPACE\"}}");
    let length = body.len();
    let head = "POST /v3/maintenance/alarm HTTP/1.0\r\nContent-Type: application/json";
    let answer = ask(&format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}"), Duration::from_secs(20))?;
    ensure!(answer.contains(" 200 "), "etcd refuses to {action} its alarm: {answer}");
    Ok(())
}

fn ask(request: &str, patience: Duration) -> Result<String> {
    let address: SocketAddr = format!("{ETCD_ADDRESS}:{ETCD_PORT}").parse()?;
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
