//! The lab's network: an Ethernet switch in user space that can be cut, slowed and made lossy between any two parties.
//!
//! Every party has a port: the guests by QEMU's stream back end (each frame behind its length, four bytes, big
//! endian), the host by a TAP device. A port reads on one thread and writes on another; between them stands a
//! bounded queue, so that a party that stopped reading costs the others nothing.

pub mod port;
pub mod queue;
pub mod rules;
pub mod tap;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use port::Port;
use rules::{Rules, Verdict};

/// An Ethernet address.
type Mac = [u8; 6];

/// The switch: learns who is where, forwards, and applies the rules.
pub struct Switch {
    ports: Vec<Arc<Port>>,
    learned: Mutex<HashMap<Mac, usize>>,
    rules: Mutex<Rules>,
}

impl Switch {
    /// A switch with these ports.
    #[must_use]
    pub fn new(ports: Vec<Arc<Port>>) -> Arc<Self> {
        Arc::new(Self { ports, learned: Mutex::default(), rules: Mutex::default() })
    }

    /// The rules in force.
    pub fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of all parties.
    #[must_use]
    pub fn parties(&self) -> Vec<String> {
        self.ports.iter().map(|port| port.name().to_owned()).collect()
    }

    /// Takes a frame that arrived at port `from`. A frame shorter than an Ethernet header is dropped.
    pub fn forward(&self, from: usize, frame: &Arc<[u8]>) {
        let (Some(to), Some(sender)) = (mac_at(frame, 0), mac_at(frame, 6)) else { return };
        let target = {
            let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
            learned.insert(sender, from);
            if is_group(to) { None } else { learned.get(&to).copied() }
        };
        for (index, port) in self.ports.iter().enumerate() {
            if index != from && target.is_none_or(|wanted| wanted == index) {
                self.deliver(from, port, frame);
            }
        }
    }

    fn deliver(&self, from: usize, to: &Port, frame: &Arc<[u8]>) {
        let Some(sender) = self.ports.get(from) else { return };
        match self.rules().judge(sender.name(), to.name()) {
            Verdict::Drop => {}
            Verdict::Pass(delay) => to.queue().push(sender.name(), Arc::clone(frame), delay),
        }
    }

    /// Throws away what is still under way from `from` to `to`.
    pub fn purge(&self, from: &str, to: &str) {
        for port in self.ports.iter().filter(|port| port.name() == to) {
            port.queue().purge(from);
        }
    }
}

fn mac_at(frame: &[u8], at: usize) -> Option<Mac> {
    frame.get(at..at + 6)?.try_into().ok()
}

fn is_group(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(to: u8, from: u8) -> Arc<[u8]> {
        let mut bytes = vec![0x52, 0, 0, 0, 0, to, 0x52, 0, 0, 0, 0, from];
        bytes.extend([8, 0]);
        bytes.into()
    }

    fn broadcast(from: u8) -> Arc<[u8]> {
        let mut bytes = vec![0xff; 6];
        bytes.extend([0x52, 0, 0, 0, 0, from, 8, 6]);
        bytes.into()
    }

    fn three() -> Arc<Switch> {
        Switch::new(["a", "b", "c"].map(|name| Arc::new(Port::new(name))).to_vec())
    }

    fn waiting(switch: &Switch) -> Vec<usize> {
        switch.ports.iter().map(|port| port.queue().len()).collect()
    }

    #[test]
    fn unknown_and_group_addresses_go_everywhere_known_ones_to_their_port() {
        let switch = three();
        switch.forward(0, &broadcast(1));
        assert_eq!(waiting(&switch), [0, 1, 1]);
        switch.forward(1, &frame(1, 2));
        assert_eq!(waiting(&switch), [1, 1, 1], "a was learned from its broadcast");
    }

    #[test]
    fn a_cut_takes_one_direction_and_what_was_under_way() {
        let switch = three();
        switch.rules().slow("a", "b", Duration::from_mins(1), 0.0);
        switch.forward(0, &broadcast(1));
        switch.rules().cut("a", "b");
        switch.purge("a", "b");
        switch.forward(0, &broadcast(1));
        switch.forward(1, &frame(1, 2));
        assert_eq!(waiting(&switch), [1, 0, 2]);
    }

    #[test]
    fn runts_are_dropped() {
        let switch = three();
        switch.forward(0, &Arc::from(&b"short"[..]));
        assert_eq!(waiting(&switch), [0, 0, 0]);
    }
}
