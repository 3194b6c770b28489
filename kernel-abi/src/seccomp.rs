//! A promise that the kernel keeps: this process never runs another program.
#![allow(unsafe_code, reason = "seccomp(2) takes a pointer to the filter")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of system calls and BPF codes fit their fields")]

use std::io;
use std::mem::offset_of;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
    seccomp_data, sock_filter, sock_fprog,
};

use crate::CallError;

/// `include/uapi/linux/audit.h`: machine, 64 bits (`0x8000_0000`), little endian (`0x4000_0000`).
#[cfg(target_arch = "x86_64")]
const NATIVE_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE_ARCH: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("forbid_exec knows the system calls of x86_64 and aarch64");

/// From here on `x86_64` numbers are those of the x32 ABI, which has its own `execve`. No call of aarch64 comes near.
const X32_CALLS: u32 = 0x4000_0000;

const REFUSE: u32 = SECCOMP_RET_ERRNO | libc::EPERM as u32;

/// Makes `execve` and `execveat` fail with EPERM in every thread of this process, for ever, in what it forks too.
/// Calls of other ABIs (32 bit, x32) fail likewise, whatever they are. Everything else is as before, but for
/// `PR_SET_NO_NEW_PRIVS`, which comes with it. A second filter does no harm.
///
/// Programs that the kernel itself runs (its module helper) are not concerned.
///
/// Errors: ESRCH when some thread already has a filter that this one does not descend from.
#[doc(alias = "SECCOMP_SET_MODE_FILTER")]
#[doc(alias = "SECCOMP_FILTER_FLAG_TSYNC")]
pub fn forbid_exec() -> Result<(), CallError> {
    // SAFETY: this option takes numbers only.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if result != 0 {
        return Err(CallError::new("prctl", "PR_SET_NO_NEW_PRIVS", io::Error::last_os_error()));
    }
    let mut filter = filter();
    let length = u16::try_from(filter.len()).unwrap_or(0);
    let program = sock_fprog { len: length, filter: filter.as_mut_ptr() };
    let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_TSYNC);
    // SAFETY: `program` describes `filter`; both live until the call returns, and the kernel copies them.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    match result {
        0 => Ok(()),
        -1 => Err(CallError::new("seccomp", "this process", io::Error::last_os_error())),
        // A positive answer is the thread that could not be brought under the filter.
        thread => Err(CallError::new("seccomp", format!("thread {thread}"), nix::errno::Errno::ESRCH)),
    }
}

/// Classic BPF over `struct seccomp_data`. Jumps count the instructions to skip.
fn filter() -> [sock_filter; 9] {
    [
        load(offset_of!(seccomp_data, arch)),
        jump(BPF_JEQ, NATIVE_ARCH, 1, 0),
        answer(REFUSE),
        load(offset_of!(seccomp_data, nr)),
        jump(BPF_JGE, X32_CALLS, 3, 0),
        jump(BPF_JEQ, libc::SYS_execve as u32, 2, 0),
        jump(BPF_JEQ, libc::SYS_execveat as u32, 1, 0),
        answer(SECCOMP_RET_ALLOW),
        answer(REFUSE),
    ]
}

/// Loads the 32-bit word at `offset`.
fn load(offset: usize) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, offset as u32, 0, 0)
}

fn jump(test: u32, value: u32, if_so: u8, if_not: u8) -> sock_filter {
    statement(BPF_JMP | test | BPF_K, value, if_so, if_not)
}

fn answer(value: u32) -> sock_filter {
    statement(BPF_RET | BPF_K, value, 0, 0)
}

fn statement(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const INSIDE: &str = "KERNEL_ABI_TEST_FORBID_EXEC";

    /// The filter is for ever, so it is tried in a process of its own: this test program again, with one test.
    #[test]
    fn exec_is_forbidden_and_all_else_works() {
        let this = std::env::current_exe().unwrap();
        let output = Command::new(this)
            .args(["--exact", "seccomp::tests::inside", "--nocapture", "--test-threads=1"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("all was so"), "{said}\n{output:?}");
    }

    #[test]
    fn inside() {
        if std::env::var_os(INSIDE).is_none() {
            return;
        }
        assert!(Command::new("/bin/sh").args(["-c", "exit 0"]).status().unwrap().success());
        // A thread from before the filter is under it as well.
        let (go, wait) = mpsc::channel::<()>();
        let older = thread::spawn(move || {
            wait.recv().unwrap();
            exec_fails();
        });
        forbid_exec().unwrap();
        go.send(()).unwrap();
        older.join().unwrap();
        exec_fails();
        thread::spawn(exec_fails).join().unwrap();
        the_rest_works();
        forbid_exec().unwrap();
        println!("all was so");
    }

    fn exec_fails() {
        let error = Command::new("/bin/sh").args(["-c", "exit 0"]).status().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        let (path, empty): (&CStr, _) = (c"/bin/sh", [std::ptr::null::<libc::c_char>()]);
        // SAFETY: path and lists are NUL-terminated; should the call succeed against all expectation, no code follows.
        let result = unsafe {
            libc::syscall(
                libc::SYS_execveat,
                libc::AT_FDCWD,
                path.as_ptr(),
                empty.as_ptr(),
                empty.as_ptr(),
                0,
            )
        };
        assert_eq!((result, io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EPERM)));
    }

    fn the_rest_works() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        let path = std::env::temp_dir().join(format!("kernel-abi-seccomp-{}", std::process::id()));
        std::fs::write(&path, b"x").unwrap();
        std::fs::remove_file(&path).unwrap();
        forked_child_exits(7);
    }

    fn forked_child_exits(code: i32) {
        // SAFETY: the child calls nothing but `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: `status` is valid for the call.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(libc::WEXITSTATUS(status), code);
    }
}
