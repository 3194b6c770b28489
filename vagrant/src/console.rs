//! A person at a guest's console.

use std::io::{Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::node::Node;
use crate::socket;

/// Ctrl-]: leaves the console, as in telnet.
const LEAVE: u8 = 0x1d;

/// The terminal as it was; put back when this value goes.
struct Raw(Option<Termios>);

impl Raw {
    fn enter() -> Result<Self> {
        let stdin = std::io::stdin();
        let Ok(before) = tcgetattr(stdin.as_fd()) else { return Ok(Self(None)) };
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            tcsetattr(std::io::stdin().as_fd(), SetArg::TCSANOW, before).ok();
        }
    }
}

/// Connects this terminal with the guest's console until Ctrl-] or the end of input.
pub fn attach(node: &Node) -> Result<ExitCode> {
    let mut stream = socket::connect(&node.files().console()).context("the node is off")?;
    eprintln!("{}: console; Ctrl-] leaves it", node.name());
    let raw = Raw::enter()?;
    let output = stream.try_clone()?;
    let shown = std::thread::spawn(move || show(output));
    stream.write_all(b"\n")?;
    type_into(&mut stream)?;
    stream.shutdown(std::net::Shutdown::Both).ok();
    shown.join().ok();
    drop(raw);
    eprintln!();
    Ok(ExitCode::SUCCESS)
}

fn show(mut output: UnixStream) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = output.read(&mut buffer) {
        let mut stdout = std::io::stdout();
        stdout.write_all(buffer.get(..read).unwrap_or_default()).ok();
        stdout.flush().ok();
    }
}

fn type_into(stream: &mut UnixStream) -> Result<()> {
    let mut key = [0; 1];
    while std::io::stdin().read(&mut key)? == 1 && key != [LEAVE] {
        stream.write_all(&key)?;
    }
    Ok(())
}
