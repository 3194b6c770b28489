//! The guest agent: commands and files of a guest, over virtio-serial (QEMU: `docs/interop/qemu-ga-ref`).

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nix::fcntl::Flock;
use serde_json::{Value, json};

use crate::{setup::cache, socket};

/// Bytes per file message; the agent takes no message above 64 MiB, emulated guests like small ones.
const CHUNK: usize = 256 << 10;

/// How long the agent may take to answer one message.
const PATIENCE: Duration = Duration::from_mins(1);

/// One exclusive conversation with a guest's agent. Other processes wait for its end.
pub struct Agent {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
    _turn: Flock<File>,
}

/// The end of a command in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Exit status; 128 + N for a command that signal N ended.
    pub status: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Agent {
    /// Waits until the agent behind `socket` answers, at most until `deadline` has passed.
    pub fn connect(socket: &Path, deadline: Duration) -> Result<Self> {
        let start = Instant::now();
        let turn = cache::lock(&lock_path(socket))?;
        let stream = connect(socket, deadline)?;
        let mut agent = Self { reader: BufReader::new(stream.try_clone()?), stream, _turn: turn };
        agent.synchronize(deadline.saturating_sub(start.elapsed()).max(Duration::from_millis(100)))?;
        agent.stream.set_read_timeout(Some(PATIENCE))?;
        Ok(agent)
    }

    /// Skips whatever an earlier conversation left in the channel.
    fn synchronize(&mut self, deadline: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(deadline))?;
        let token = new_token();
        let request = json!({"execute": "guest-sync-delimited", "arguments": {"id": token}});
        self.stream.write_all(&[0xff])?;
        writeln!(self.stream, "{request}")?;
        loop {
            let mut line = Vec::new();
            let read = self.reader.read_until(b'\n', &mut line).context("the guest agent does not answer")?;
            if read == 0 {
                bail!("the guest went away");
            }
            let text = line.strip_prefix(&[0xff]).unwrap_or(&line);
            let answer: Value = serde_json::from_slice(text).unwrap_or_default();
            if answer.get("return").and_then(Value::as_u64) == Some(token) {
                return Ok(());
            }
        }
    }

    /// One agent command.
    pub fn call(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({"execute": command, "arguments": arguments});
        writeln!(self.stream, "{request}").with_context(|| format!("agent: {command}"))?;
        let mut line = Vec::new();
        let read = self.reader.read_until(b'\n', &mut line).with_context(|| format!("agent: {command}"))?;
        if read == 0 {
            bail!("agent: {command}: the guest went away");
        }
        let answer: Value = serde_json::from_slice(&line).with_context(|| format!("agent: {command}"))?;
        match (answer.get("return"), answer.pointer("/error/desc")) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(why)) => Err(anyhow!("agent: {command}: {}", why.as_str().unwrap_or("failed"))),
            (None, None) => Err(anyhow!("agent: {command}: strange answer {answer}")),
        }
    }

    /// Starts a program; gives its process id in the guest. `argv` is not seen by a shell.
    pub fn start(&mut self, argv: &[&str], capture: bool) -> Result<i64> {
        let (path, rest) = argv.split_first().context("no command given")?;
        let answer =
            self.call("guest-exec", &json!({"path": path, "arg": rest, "capture-output": capture}))?;
        answer.get("pid").and_then(Value::as_i64).context("agent: guest-exec gave no process id")
    }

    /// How the program `pid` ended; nothing while it runs. A second question after its end is an error.
    pub fn exit_of(&mut self, pid: i64) -> Result<Option<Exit>> {
        let answer = self.call("guest-exec-status", &json!({"pid": pid}))?;
        if answer.get("exited").and_then(Value::as_bool) != Some(true) {
            return Ok(None);
        }
        let number =
            |key: &str| answer.get(key).and_then(Value::as_i64).and_then(|value| i32::try_from(value).ok());
        let status = number("exitcode").or(number("signal").map(|signal| 128 + signal)).unwrap_or(-1);
        Ok(Some(Exit { status, stdout: bytes(&answer, "out-data")?, stderr: bytes(&answer, "err-data")? }))
    }

    /// Writes a file of the guest, replacing what was there.
    pub fn put(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let handle = self.call("guest-file-open", &json!({"path": path, "mode": "w"}))?;
        for chunk in content.chunks(CHUNK) {
            let data = BASE64_STANDARD.encode(chunk);
            self.call("guest-file-write", &json!({"handle": handle, "buf-b64": data}))?;
        }
        self.call("guest-file-close", &json!({"handle": handle})).map(drop)
    }

    /// Reads a file of the guest.
    pub fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        let handle = self.call("guest-file-open", &json!({"path": path, "mode": "r"}))?;
        let mut content = Vec::new();
        loop {
            let answer = self.call("guest-file-read", &json!({"handle": handle, "count": CHUNK}))?;
            content.extend(bytes(&answer, "buf-b64")?);
            if answer.get("eof").and_then(Value::as_bool) == Some(true) {
                break;
            }
        }
        self.call("guest-file-close", &json!({"handle": handle}))?;
        Ok(content)
    }
}

/// A number that no earlier conversation used, by this process or another.
fn new_token() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(since_epoch.as_micros()).unwrap_or_default() & 0xff_ffff_ffff;
    micros << 12 | COUNT.fetch_add(1, Ordering::Relaxed) & 0xfff
}

fn lock_path(socket: &Path) -> PathBuf {
    socket.with_extension("lock")
}

fn connect(socket: &Path, deadline: Duration) -> Result<UnixStream> {
    crate::wait::wait_for("the guest's agent socket", deadline, || Ok(socket::connect(socket).ok()))
}

fn bytes(answer: &Value, key: &str) -> Result<Vec<u8>> {
    let text = answer.get(key).and_then(Value::as_str).unwrap_or_default();
    BASE64_STANDARD.decode(text).with_context(|| format!("agent: {key} is not base64"))
}
