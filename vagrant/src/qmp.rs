//! QEMU's machine protocol: what a guest cannot do to itself.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::socket;

/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs one command on the QEMU behind `path`.
pub fn execute(path: &Path, command: &str, arguments: &Value) -> Result<Value> {
    let mut stream = socket::connect(path).context("the node is off")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    answer(&mut reader, "greeting")?;
    send(&mut stream, "qmp_capabilities", &json!({}))?;
    answer(&mut reader, "qmp_capabilities")?;
    send(&mut stream, command, arguments)?;
    answer(&mut reader, command)
}

fn send(stream: &mut UnixStream, command: &str, arguments: &Value) -> Result<()> {
    Ok(writeln!(stream, "{}", json!({"execute": command, "arguments": arguments}))?)
}

/// The next message that is not an event.
fn answer(reader: &mut BufReader<UnixStream>, command: &str) -> Result<Value> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).with_context(|| format!("qmp: {command}"))? == 0 {
            bail!("qmp: {command}: QEMU ended");
        }
        let message: Value = serde_json::from_str(&line).with_context(|| format!("qmp: {command}"))?;
        if let Some(why) = message.pointer("/error/desc") {
            bail!("qmp: {command}: {}", why.as_str().unwrap_or("failed"));
        }
        if let Some(value) = message.get("return").or(message.get("QMP")) {
            return Ok(value.clone());
        }
    }
}
