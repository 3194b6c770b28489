//! How fast bytes get from guest to guest.

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;

/// Bytes per call.
const CHUNK: usize = 256 << 10;

/// Takes one connection and reads it to its end; gives bytes and bytes per second.
pub fn sink(port: u16) -> Result<(u64, f64)> {
    let (mut stream, _) = TcpListener::bind(("0.0.0.0", port))?.accept()?;
    let (start, mut buffer, mut bytes) = (Instant::now(), vec![0; CHUNK], 0_u64);
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
    }
    let kib = u32::try_from(bytes >> 10)?;
    Ok((bytes, f64::from(kib) * 1024.0 / start.elapsed().as_secs_f64()))
}

/// Sends zeroes to `address` for `time`; gives the bytes that were handed to the kernel.
pub fn source(address: &str, time: Duration) -> Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    let (start, buffer, mut bytes) = (Instant::now(), vec![0; CHUNK], 0_u64);
    while start.elapsed() < time {
        stream.write_all(&buffer)?;
        bytes += buffer.len() as u64;
    }
    Ok(bytes)
}
