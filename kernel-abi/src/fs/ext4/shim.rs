//! The call into the C shim.

#![allow(unsafe_code, reason = "libext2fs is a C library")]

use std::ffi::{CStr, CString, c_char, c_long};
use std::sync::{Mutex, PoisonError};

/// `struct mdfabric_ext4_request` in `ext4_shim.c`.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) blocks: u64,
    pub(super) now: u64,
    pub(super) stride_blocks: u32,
    pub(super) stripe_width_blocks: u32,
    pub(super) bytes_per_inode: u32,
    pub(super) reserved_percent: u32,
    pub(super) uuid: [u8; 16],
    pub(super) hash_seed: [u8; 16],
    pub(super) label: [u8; 16],
    pub(super) lazy: u8,
    pub(super) known_zero: u8,
    pub(super) csum_seed: u8,
    pub(super) pad: [u8; 5],
}

const _: () = {
    assert!(size_of::<Request>() == 88);
    assert!(std::mem::offset_of!(Request, uuid) == 32);
    assert!(std::mem::offset_of!(Request, lazy) == 80);
};

/// What the library answered: its code (an errno below 4096), its text for it and the step that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) step: String,
    pub(super) code: i64,
    pub(super) message: String,
}

unsafe extern "C" {
    fn mdfabric_ext4_format(
        device: *const c_char,
        request: *const Request,
        step: *mut *const c_char,
    ) -> c_long;
    fn mdfabric_ext4_message(code: c_long) -> *const c_char;
}

/// `ext2fs_zero_blocks2` and `error_message` keep static buffers: one format at a time in a process.
static LIBRARY: Mutex<()> = Mutex::new(());

pub(super) fn format(device: &CString, request: &Request) -> Result<(), Failure> {
    let _one = LIBRARY.lock().unwrap_or_else(PoisonError::into_inner);
    let mut step: *const c_char = std::ptr::null();
    // SAFETY: both pointers are to live values of the types that the C side declares; `step` receives a pointer to a
    // string literal; the mutex keeps the library's static buffers to one thread.
    let code = unsafe { mdfabric_ext4_format(device.as_ptr(), &raw const *request, &raw mut step) };
    if code == 0 {
        return Ok(());
    }
    // SAFETY: error_message never returns null; its buffer is copied while the mutex is held.
    let message = unsafe { text(mdfabric_ext4_message(code)) };
    // SAFETY: null or a string literal, see above.
    let step = unsafe { text(step) };
    Err(Failure { step, code, message })
}

/// Copies a C string; null is the empty one.
///
/// # Safety
/// `text` is null or points to a NUL-terminated string that nobody changes during the call.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: what this function asks of its caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
