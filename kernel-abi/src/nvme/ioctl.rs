//! NVMe admin commands on `/dev/nvmeN`: identity, health, and the volatile write cache.
#![allow(unsafe_code, reason = "the admin ioctl passes the address of a buffer")]

mod parse;

use std::fs::File;
use std::mem::{offset_of, size_of};

use super::ControllerName;
use crate::{CallError, ParseError, Root};

pub use parse::{IDENTIFY_BYTES, IdentifyController, SMART_LOG_BYTES, SmartLog};

/// `NVME_ADM_CMD_IDENTIFY` and its neighbours (`include/linux/nvme.h`, `enum nvme_admin_opcode`).
const OPCODE_GET_LOG_PAGE: u8 = 0x02;
const OPCODE_IDENTIFY: u8 = 0x06;
const OPCODE_GET_FEATURES: u8 = 0x0a;
/// Identify: the controller (`NVME_ID_CNS_CTRL`).
const CNS_CONTROLLER: u32 = 1;
/// Log page: SMART / health (`NVME_LOG_SMART`).
const LOG_SMART: u32 = 2;
/// Feature: volatile write cache (`NVME_FEAT_VOLATILE_WC`).
const FEATURE_VOLATILE_WRITE_CACHE: u32 = 6;
/// All namespaces: the log of the controller as a whole.
const NSID_ALL: u32 = u32::MAX;
/// A command that takes longer has failed; milliseconds.
const TIMEOUT_MS: u32 = 10_000;

/// Why an admin command gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The device could not be opened or the command not sent.
    #[error("admin command not carried out")]
    Call(#[from] CallError),
    /// The controller answered with this NVMe status (status code type and code, without the phase bit).
    #[error("{controller}: {command} ended with NVMe status {status:#06x}")]
    Status {
        /// The controller asked.
        controller: ControllerName,
        /// The command.
        command: &'static str,
        /// The status.
        status: u16,
    },
    /// The answer has not the shape it should have.
    #[error("answer cannot be read")]
    Answer(#[from] ParseError),
}

/// `struct nvme_passthru_cmd` (`include/uapi/linux/nvme_ioctl.h`).
#[repr(C)]
#[derive(Default)]
struct AdminCommand {
    opcode: u8,
    flags: u8,
    rsvd1: u16,
    nsid: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    addr: u64,
    metadata_len: u32,
    data_len: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

const _: () = {
    assert!(size_of::<AdminCommand>() == 72);
    assert!(offset_of!(AdminCommand, nsid) == 4);
    assert!(offset_of!(AdminCommand, metadata) == 16);
    assert!(offset_of!(AdminCommand, addr) == 24);
    assert!(offset_of!(AdminCommand, data_len) == 36);
    assert!(offset_of!(AdminCommand, cdw10) == 40);
    assert!(offset_of!(AdminCommand, timeout_ms) == 64);
    assert!(offset_of!(AdminCommand, result) == 68);
};

mod raw {
    nix::ioctl_readwrite!(admin, b'N', 0x41, super::AdminCommand);
}

/// Who the controller is and what it can do.
#[doc(alias = "NVME_IOCTL_ADMIN_CMD")]
pub fn identify_controller(root: &Root, name: ControllerName) -> Result<IdentifyController, AdminError> {
    let mut data = vec![0; IDENTIFY_BYTES];
    let command = AdminCommand { opcode: OPCODE_IDENTIFY, cdw10: CNS_CONTROLLER, ..AdminCommand::default() };
    run(root, name, "identify controller", command, &mut data)?;
    Ok(IdentifyController::parse(&data)?)
}

/// The health of the drive as a whole. Fabrics targets answer too, mostly with zeros.
#[doc(alias = "NVME_IOCTL_ADMIN_CMD")]
pub fn smart_log(root: &Root, name: ControllerName) -> Result<SmartLog, AdminError> {
    // NUMDL, zero-based count of dwords, in the upper half; the log's number in the lower.
    const CDW10: u32 = ((512 / 4 - 1) << 16) | LOG_SMART;
    let mut data = vec![0; SMART_LOG_BYTES];
    let opcode = OPCODE_GET_LOG_PAGE;
    let command = AdminCommand { opcode, nsid: NSID_ALL, cdw10: CDW10, ..AdminCommand::default() };
    run(root, name, "get SMART log", command, &mut data)?;
    Ok(SmartLog::parse(&data)?)
}

/// Whether the drive keeps acknowledged writes in a cache that loses power, until a flush. Ask only where
/// [`IdentifyController::has_volatile_write_cache`]: others answer with a status.
#[doc(alias = "NVME_IOCTL_ADMIN_CMD")]
pub fn volatile_write_cache_enabled(root: &Root, name: ControllerName) -> Result<bool, AdminError> {
    let opcode = OPCODE_GET_FEATURES;
    let command = AdminCommand { opcode, cdw10: FEATURE_VOLATILE_WRITE_CACHE, ..AdminCommand::default() };
    run(root, name, "get features", command, &mut []).map(|result| result & 1 == 1)
}

/// Sends `command` with `data` as its buffer and returns dword 0 of the completion.
fn run(
    root: &Root,
    controller: ControllerName,
    command: &'static str,
    mut request: AdminCommand,
    data: &mut [u8],
) -> Result<u32, AdminError> {
    let path = root.path(format!("dev/{controller}"));
    let failed = |source: std::io::Error| CallError::new("NVME_IOCTL_ADMIN_CMD", path.display(), source);
    let device = File::open(&path).map_err(failed)?;
    request.addr = data.as_mut_ptr().expose_provenance() as u64;
    request.data_len = u32::try_from(data.len()).unwrap_or(0);
    request.timeout_ms = TIMEOUT_MS;
    // SAFETY: `request` has the kernel's layout (asserted above); `addr` and `data_len` describe `data`, which is
    // borrowed exclusively until the call returns, and the commands here transfer at most `data_len` bytes into it.
    let status = unsafe { raw::admin(std::os::fd::AsRawFd::as_raw_fd(&device), &raw mut request) };
    match status.map_err(|errno| failed(errno.into()).with_value(command))? {
        0 => Ok(request.result),
        // `nvme_user_cmd` returns the completion's status field as a positive number.
        status => Err(AdminError::Status { controller, command, status: low_bits(status) }),
    }
}

/// The 15 bits of an NVMe status.
fn low_bits(status: i32) -> u16 {
    u16::try_from(status & 0x7fff).unwrap_or(0x7fff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvme::fixture::Tree;

    #[test]
    fn the_opcode_is_the_kernels() {
        assert_eq!(nix::request_code_readwrite!(b'N', 0x41, size_of::<AdminCommand>()), 0xc048_4e41);
    }

    #[test]
    fn what_is_no_nvme_device_answers_with_its_errno() {
        let tree = Tree::new();
        let Err(AdminError::Call(error)) = identify_controller(&tree.root(), ControllerName(0)) else {
            panic!("no device, no answer")
        };
        assert!(error.is(nix::errno::Errno::ENOENT));
        tree.file("dev/nvme0", "");
        let Err(AdminError::Call(error)) = smart_log(&tree.root(), ControllerName(0)) else {
            panic!("a file is no device")
        };
        assert!(error.is(nix::errno::Errno::ENOTTY), "{error:?}");
    }
}
