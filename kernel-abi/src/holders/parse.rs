//! What `/proc` says of a process, taken apart. All of it can be any bytes: a process chooses its own name.

use crate::{DevNum, ParseError};

/// `PF_EXITING` (`include/linux/sched.h`): the thread is in `do_exit` and never returns from it.
const EXITING: u32 = 0x4;
/// `SIGKILL`, as a bit of the kernel's signal sets.
const KILL: u64 = 1 << 8;

/// What is needed of `/proc/PID/stat` (`fs/proc/array.c`, `do_task_stat`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStat {
    /// `comm`.
    pub name: String,
    /// It has ended, or cannot do anything any more but end.
    pub exiting: bool,
    /// Start, in clock ticks since boot.
    pub started: u64,
}

/// Parses `/proc/PID/stat`: `4711 (name) S …`. The name may contain spaces, brackets and newlines.
pub fn parse_stat(text: &str) -> Result<ProcessStat, ParseError> {
    let wrong = || ParseError::new("/proc/PID/stat", format!("{text:?}"));
    let (before, after) = text.rsplit_once(')').ok_or_else(wrong)?;
    let (_, name) = before.split_once('(').ok_or_else(wrong)?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    // Fields 3 (state), 9 (flags) and 22 (starttime), counted from 1; the first after the name is the third.
    let field = |number: usize| fields.get(number - 3).ok_or_else(wrong);
    let flags: u32 = field(9)?.parse().map_err(|_| wrong())?;
    let exiting = matches!(*field(3)?, "Z" | "X" | "x") || flags & EXITING != 0;
    let started = field(22)?.parse().map_err(|_| wrong())?;
    Ok(ProcessStat { name: name.to_owned(), exiting, started })
}

/// Whether SIGKILL is pending for the thread of which this is `/proc/PID/task/TID/status`: a signal to the whole process
/// is put on every thread of it at once (`kernel/signal.c`, `complete_signal`).
pub fn parse_pending(text: &str) -> Result<bool, ParseError> {
    let wrong = || ParseError::new("/proc/PID/status", "no SigPnd with a hexadecimal number".to_owned());
    let mask = text.lines().find_map(|line| line.strip_prefix("SigPnd:")).ok_or_else(wrong)?;
    Ok(u64::from_str_radix(mask.trim(), 16).map_err(|_| wrong())? & KILL != 0)
}

/// The mount through which a file was opened, by its `/proc/PID/fdinfo`.
pub fn parse_mnt_id(text: &str) -> Result<u32, ParseError> {
    let wrong = || ParseError::new("/proc/PID/fdinfo", "no mnt_id with a number".to_owned());
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:")).ok_or_else(wrong)?;
    id.trim().parse().map_err(|_| wrong())
}

/// The mapped files of a process by its `/proc/PID/maps`: address range, device of the file system, path. Lines without a
/// file have device 0:0. A line that is none is left out: a path may contain what looks like one.
#[must_use]
pub fn parse_maps(text: &str) -> Vec<(&str, DevNum, &str)> {
    text.lines().filter_map(parse_mapping).collect()
}

/// `7f00-7f01 r-xp 00000000 fd:01 1234     /path`: the device in hexadecimal.
fn parse_mapping(line: &str) -> Option<(&str, DevNum, &str)> {
    let mut fields = line.splitn(5, ' ');
    let range = fields.next()?;
    let (major, minor) = fields.nth(2)?.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    let dev = DevNum { major: number(major)?, minor: number(minor)? };
    let path = fields.next().and_then(|rest| rest.split_once(' ')).map_or("", |(_, path)| path.trim_start());
    Some((range, dev, path))
}
