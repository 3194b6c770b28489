//! One party's port: a listening socket for a guest, a TAP device for the host.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};

use super::Switch;
use super::queue::Queue;

/// The longest frame QEMU sends or takes (its `NET_BUFSIZE`).
const LONGEST: usize = 4096 + 65_536;

/// A port of the switch.
pub struct Port {
    name: String,
    queue: Queue,
    peer: Mutex<Option<UnixStream>>,
}

impl Port {
    /// A port for the party `name`, nobody connected yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), queue: Queue::default(), peer: Mutex::default() }
    }

    /// The party's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What waits to be sent to it.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Serves guests that connect to `socket`, one after the other: each power-on is a new connection.
    pub fn serve(self: Arc<Self>, index: usize, switch: Arc<Switch>, socket: &Path) -> Result<()> {
        let listener = crate::socket::listen(socket)
            .with_context(|| format!("cannot listen at {}", socket.display()))?;
        let writer = Arc::clone(&self);
        spawn("switch-out", move || writer.write_frames())?;
        spawn("switch-in", move || {
            for stream in listener.incoming().flatten() {
                self.attach(&stream);
                read_frames(stream, index, &switch);
                self.detach();
            }
        })
    }

    /// Serves the host's TAP device.
    pub fn serve_tap(self: Arc<Self>, index: usize, switch: Arc<Switch>, tap: &File) -> Result<()> {
        let (mut reader, mut writer) = (tap.try_clone()?, tap.try_clone()?);
        spawn("tap-out", move || {
            loop {
                // A frame the kernel refuses is lost, as on any link.
                writer.write_all(&self.queue.pop()).ok();
            }
        })?;
        spawn("tap-in", move || {
            let mut frame = vec![0; LONGEST];
            while let Ok(length) = reader.read(&mut frame) {
                switch.forward(index, &Arc::from(frame.get(..length).unwrap_or_default()));
            }
        })
    }

    fn attach(&self, stream: &UnixStream) {
        self.queue.clear();
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = stream.try_clone().ok();
    }

    fn detach(&self) {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn write_frames(&self) {
        loop {
            let frame = self.queue.pop();
            if let Some(mut stream) = self.current() {
                // A broken connection is seen and ended by the reading side.
                send(&mut stream, &frame).ok();
            }
        }
    }

    fn current(&self) -> Option<UnixStream> {
        let peer = self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        peer.as_ref().and_then(|stream| stream.try_clone().ok())
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work)?;
    Ok(())
}

fn send(stream: &mut UnixStream, frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    let mut packet = Vec::with_capacity(frame.len() + 4);
    packet.extend_from_slice(&length.to_be_bytes());
    packet.extend_from_slice(frame);
    stream.write_all(&packet)
}

fn read_frames(stream: UnixStream, index: usize, switch: &Switch) {
    let mut reader = io::BufReader::with_capacity(256 << 10, stream);
    while let Ok(frame) = receive(&mut reader) {
        switch.forward(index, &frame);
    }
}

fn receive(reader: &mut impl Read) -> io::Result<Arc<[u8]>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > LONGEST {
        return Err(io::Error::other("a frame longer than QEMU can send"));
    }
    let mut frame = vec![0; length];
    reader.read_exact(&mut frame)?;
    Ok(frame.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_stream() {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        send(&mut left, b"a frame").unwrap();
        assert_eq!(&receive(&mut right).unwrap()[..], b"a frame");
    }

    #[test]
    fn an_absurd_length_ends_the_connection() {
        assert!(receive(&mut &[0xff; 16][..]).is_err());
        assert!(receive(&mut &[0, 0, 0, 9, 1][..]).is_err());
    }
}
