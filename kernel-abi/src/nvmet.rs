//! The kernel's NVMe-oF target through configfs (`drivers/nvme/target/configfs.c`).
//!
//! ```text
//! nvmet/subsystems/NQN/{attr_serial, attr_model, attr_allow_any_host}
//!                     /namespaces/NSID/{device_path, device_uuid, device_nguid, enable}
//!                     /allowed_hosts/HOSTNQN -> nvmet/hosts/HOSTNQN
//! nvmet/hosts/HOSTNQN/{dhchap_key, dhchap_ctrl_key, dhchap_hash, dhchap_dhgroup}
//! nvmet/ports/ID/{addr_trtype, addr_adrfam, addr_traddr, addr_trsvcid}
//!               /subsystems/NQN -> nvmet/subsystems/NQN
//! ```
//!
//! Every verb may be repeated: it answers [`Changed::AlreadySo`] when there was nothing to do, and leaves what stands
//! half done for its next call to finish. What to cut off in which order is the caller's policy; what each verb does
//! to a live connection stands at the verb.
//!
//! Caveat: the target takes no exclusive claim on the devices it exports.
#![allow(clippy::doc_markdown, reason = "NVMe is a name in prose, not an item")]

mod configfs;
mod host;
mod ids;
mod observe;
mod port;
mod subsystem;
#[cfg(test)]
mod tests;

pub use configfs::Changed;
pub use host::{
    DhchapHash, DhchapRole, DiffieHellmanGroup, create_host, remove_host, set_dhchap_dhgroup,
    set_dhchap_hash, set_dhchap_key,
};
pub use ids::{Model, PortAddress, Serial};
pub use observe::{ExportedNamespace, Port, Subsystem, Target, is_available, observe};
pub use port::{create_port, link, remove_port, unlink};
pub use subsystem::{
    NamespaceIdentity, allow_host, create_namespace, create_subsystem, disable_namespace, disallow_host,
    enable_namespace, remove_namespace, remove_subsystem, revalidate_size,
};

/// Where the target is configured, relative to a [`crate::Root`].
pub const DIRECTORY: &str = "sys/kernel/config/nvmet";
