//! The same events through libudev, after udevd has done its work on them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use udev::{Event, MonitorBuilder, MonitorSocket};

use super::netlink::size_buffer;
use super::{Received, Uevent};
use crate::CallError;

const TARGET: &str = "libudev monitor";

pub(super) struct Reader(MonitorSocket);

impl Reader {
    pub(super) fn open(receive_buffer: usize) -> Result<Self, CallError> {
        Self::listen(MonitorBuilder::new(), receive_buffer)
    }

    fn listen(builder: std::io::Result<MonitorBuilder>, receive_buffer: usize) -> Result<Self, CallError> {
        let builder =
            builder.map_err(|source| CallError::new("udev_monitor_new_from_netlink", TARGET, source))?;
        size_buffer(&builder, receive_buffer)?;
        builder
            .listen()
            .map(Self)
            .map_err(|source| CallError::new("udev_monitor_enable_receiving", TARGET, source))
    }

    /// libudev gives no event for EAGAIN and for ENOBUFS alike: only errno tells an empty buffer from one that ran
    /// over, so it is cleared before and read at once.
    pub(super) fn receive(&mut self) -> Result<Received, CallError> {
        Errno::clear();
        if let Some(event) = self.0.iter().next() {
            return Ok(Received::Event(convert(&event)));
        }
        match Errno::last() {
            Errno::ENOBUFS => Ok(Received::Lost),
            Errno::EAGAIN | Errno::UnknownErrno => Ok(Received::WouldBlock),
            errno => Err(CallError::new("udev_monitor_receive_device", TARGET, errno)),
        }
    }
}

impl AsFd for Reader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn convert(event: &Event) -> Uevent {
    let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
    let properties: BTreeMap<_, _> =
        event.properties().map(|property| (text(property.name()), text(property.value()))).collect();
    let of = |key: &str| properties.get(key).cloned().unwrap_or_default();
    Uevent {
        action: of("ACTION").as_str().into(),
        devpath: text(event.devpath()),
        subsystem: of("SUBSYSTEM"),
        seqnum: event.sequence_number(),
        properties,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const POKED: &str = "/sys/block/loop0/uevent";

    #[test]
    fn an_overrun_is_told_and_reading_goes_on() {
        let mut reader = Reader::listen(MonitorBuilder::new_kernel(), 4096).unwrap();
        if (0..200).any(|_| fs::write(POKED, "change").is_err()) {
            return println!("skipped: {POKED} cannot be written");
        }
        let (mut events, mut lost) = (0, 0);
        loop {
            match reader.receive().unwrap() {
                Received::Event(event) => events += usize::from(event.subsystem == "block"),
                Received::Lost => lost += 1,
                Received::WouldBlock => break,
            }
        }
        assert!(events > 0 && lost > 0, "{events} events, {lost} losses");
    }
}
