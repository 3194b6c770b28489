//! The options of a connection and the string they become.

use std::fmt;
use std::net::IpAddr;

use uuid::Uuid;

use crate::ParseError;
use crate::nvme::{DhchapSecret, Fabric, Nqn, Timeout};

/// Everything a connection is made of. `Debug` shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// tcp or rdma.
    pub transport: Fabric,
    /// The target's address.
    pub traddr: IpAddr,
    /// The target's port (4420 by custom).
    pub trsvcid: u16,
    /// The subsystem.
    pub nqn: Nqn,
    /// Who we say we are. The kernel keeps host NQN and host id as a fixed pair.
    pub hostnqn: Nqn,
    /// The id that goes with it.
    pub hostid: Uuid,
    /// Keep-alive in seconds; a dead peer is noticed after about 2.6 times this. Kernel default: 5.
    pub keep_alive_tmo: Option<u32>,
    /// Seconds between two attempts to reconnect. Kernel default: 10.
    pub reconnect_delay: Option<u32>,
    /// How long to try before the controller is removed (in fact: this divided by `reconnect_delay` attempts,
    /// however long each takes). Kernel default: 600 s.
    pub ctrl_loss_tmo: Option<Timeout>,
    /// How long I/O is held after the loss before it fails upwards; `Seconds(0)` at once. Kernel default: never.
    pub fast_io_fail_tmo: Option<Timeout>,
    /// I/O queues; the kernel takes at most one per CPU.
    pub nr_io_queues: Option<u32>,
    /// Commands per queue, 16 to 1024. Kernel default: 128.
    pub queue_size: Option<u32>,
    /// Source address.
    pub host_traddr: Option<IpAddr>,
    /// Network interface to leave by (tcp only).
    pub host_iface: Option<String>,
    /// Proves this host to the target. World-readable in sysfs while connected.
    pub dhchap_secret: Option<DhchapSecret>,
    /// Proves the target to this host.
    pub dhchap_ctrl_secret: Option<DhchapSecret>,
}

impl ConnectOptions {
    /// A connection with the kernel's defaults for everything optional.
    #[must_use]
    pub fn new(
        transport: Fabric,
        traddr: IpAddr,
        trsvcid: u16,
        nqn: Nqn,
        hostnqn: Nqn,
        hostid: Uuid,
    ) -> Self {
        Self {
            transport,
            traddr,
            trsvcid,
            nqn,
            hostnqn,
            hostid,
            keep_alive_tmo: None,
            reconnect_delay: None,
            ctrl_loss_tmo: None,
            fast_io_fail_tmo: None,
            nr_io_queues: None,
            queue_size: None,
            host_traddr: None,
            host_iface: None,
            dhchap_secret: None,
            dhchap_ctrl_secret: None,
        }
    }

    /// The string for the kernel, secrets included.
    pub(super) fn text(&self) -> Result<String, ParseError> {
        let mut text = OptionString::default();
        self.public(&mut text);
        self.secrets(&mut text, DhchapSecret::expose);
        text.finish()
    }

    /// The same for people: secrets replaced.
    pub(super) fn public_text(&self) -> String {
        let mut text = OptionString::default();
        self.public(&mut text);
        self.secrets(&mut text, |_| "(not shown)");
        text.text
    }

    fn public(&self, text: &mut OptionString) {
        text.add("transport", self.transport);
        text.add("traddr", self.traddr);
        text.add("trsvcid", self.trsvcid);
        text.add("nqn", &self.nqn);
        text.add("hostnqn", &self.hostnqn);
        text.add("hostid", self.hostid);
        text.maybe("keep_alive_tmo", self.keep_alive_tmo);
        text.maybe("reconnect_delay", self.reconnect_delay);
        text.maybe("ctrl_loss_tmo", self.ctrl_loss_tmo);
        text.maybe("fast_io_fail_tmo", self.fast_io_fail_tmo);
        text.maybe("nr_io_queues", self.nr_io_queues);
        text.maybe("queue_size", self.queue_size);
        text.maybe("host_traddr", self.host_traddr);
        text.maybe("host_iface", self.host_iface.as_ref());
    }

    fn secrets(&self, text: &mut OptionString, show: fn(&DhchapSecret) -> &str) {
        text.maybe("dhchap_secret", self.dhchap_secret.as_ref().map(show));
        text.maybe("dhchap_ctrl_secret", self.dhchap_ctrl_secret.as_ref().map(show));
    }
}

/// `key=value,key=value`, remembering the first key whose value would have broken the string.
#[derive(Default)]
struct OptionString {
    text: String,
    broken: Option<&'static str>,
}

impl OptionString {
    fn add(&mut self, key: &'static str, value: impl fmt::Display) {
        let value = value.to_string();
        let plain = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if value.is_empty() || !plain {
            self.broken.get_or_insert(key);
        }
        let separator = if self.text.is_empty() { "" } else { "," };
        self.text.extend([separator, key, "=", value.as_str()]);
    }

    fn maybe(&mut self, key: &'static str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }

    /// The error names the key only, as the value may be a secret.
    fn finish(self) -> Result<String, ParseError> {
        match self.broken {
            None => Ok(self.text),
            Some(key) => {
                let why = format!("{key} is empty or has a comma, a space or a control character");
                Err(ParseError::new("connect option", why))
            }
        }
    }
}
