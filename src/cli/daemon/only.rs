//! One daemon per machine, whatever its configuration: two would undo each other's work on the same kernel.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::Path;

use crate::cli::failure::Failure;

/// Where daemons of one machine meet. Not in a directory that the service manager removes when one of them ends.
pub(super) const PLACE: &str = "/run/mdfabric.lock";

/// Held by the daemon for as long as it lives; a file that stays is free.
pub(super) struct Only {
    _file: File,
}

/// Refused while another daemon runs. It is named by its pid, which stands in the file.
pub(super) fn lock(place: &Path) -> Result<Only, Failure> {
    let failed = |error| {
        let message = format!("the lock {} cannot be taken", place.display());
        Failure::caused(message, "the daemon has to run as root, with /run writable", error)
    };
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(place);
    let mut file = opened.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(taken(place, &mut file)),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(failed)?;
    Ok(Only { _file: file })
}

fn taken(place: &Path, file: &mut File) -> Failure {
    let mut text = String::new();
    let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok());
    let who = pid.map_or_else(|| "another mdfabric".to_owned(), |pid| format!("mdfabric with pid {pid}"));
    let message = format!("{who} runs on this machine already: it holds {}", place.display());
    Failure::new(message, "there is one daemon per machine; stop that one first")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_with_the_pid_of_the_first_and_a_dead_one_is_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("lock");
        std::fs::write(&place, "a stale line that is longer than any pid\n").unwrap();
        let first = lock(&place).unwrap();
        let refused = lock(&place).err().unwrap().text();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(first);
        lock(&place).unwrap();
    }
}
