//! Whether the daemon's loop turns, for whoever runs it without systemd: wherever that one's watchdog is fed the daemon notes the machine's
//! uptime in a file beside its socket, and `mdfabric node alive` reads that.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::cli::failure::Failure;

/// As long as `WatchdogSec` of deploy/systemd/mdfabric.service.
const DEAD_MILLIS: u64 = 60_000;
/// Beside the socket.
const NAME: &str = "alive";
/// Seconds since the machine started, as every process of it sees them.
const UPTIME: &str = "/proc/uptime";

/// What the daemon notes. One that cannot works all the same.
pub(super) struct Pulse {
    file: Option<File>,
}

impl Pulse {
    /// Takes away what an earlier daemon noted: this one has not begun its work.
    pub(super) fn begin(socket: &Path) -> Self {
        let place = socket.with_file_name(NAME);
        let file = File::create(&place).inspect_err(|error| {
            tracing::warn!(place = %place.display(), %error, "`mdfabric node alive` will say no: it cannot be told");
        });
        Self { file: file.ok() }
    }

    /// The loop has turned. What stands there is written over: a file system that is full is no death.
    pub(super) fn beat(&self) {
        let Some(file) = &self.file else { return };
        let noted = uptime().and_then(|millis| file.write_all_at(note(millis).as_bytes(), 0));
        if let Err(error) = noted {
            tracing::debug!(%error, "that the loop turns could not be noted");
        }
    }
}

/// Each one is as long as the one before.
fn note(millis: u64) -> String {
    format!("{millis:020}\n")
}

/// Fails where the loop of the daemon behind `socket` has not turned for a minute, or not at all yet. A store that is away and steps that take their
/// time do not count, as for systemd's watchdog.
pub(in crate::cli) fn ask(socket: &Path) -> Result<(), Failure> {
    let place = socket.with_file_name(NAME);
    let noted = fs::read_to_string(&place).and_then(|note| Ok((note, uptime()?)));
    let (note, now) = noted.map_err(|error| {
        Failure::caused(format_args!("{} says nothing", place.display()), "is the daemon running?", error)
    })?;
    judge(&note, now)
}

fn judge(note: &str, now_millis: u64) -> Result<(), Failure> {
    let Ok(turned_at) = note.trim().parse::<u64>() else {
        return Err(Failure::new("the daemon has not begun its work", "its log says what it waits for"));
    };
    let silent = now_millis.saturating_sub(turned_at);
    if silent < DEAD_MILLIS {
        return Ok(());
    }
    let message = format!("the daemon's loop has not turned for {} s", silent / 1000);
    Err(Failure::new(message, "its log says what was done last; volumes stay up when it is started again"))
}

fn uptime() -> io::Result<u64> {
    let text = fs::read_to_string(UPTIME)?;
    millis(&text).ok_or_else(|| io::Error::other(format!("{UPTIME} is {text:?}")))
}

/// Of `seconds.hundredths`, the first of two.
fn millis(uptime: &str) -> Option<u64> {
    let (seconds, hundredths) = uptime.split_whitespace().next()?.split_once('.')?;
    let millis = hundredths.parse::<u64>().ok()?.checked_mul(10)?;
    seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_as_long_as_systemd_bears_it_is_dead() {
        let unit = include_str!("../../../deploy/systemd/mdfabric.service");
        assert!(unit.contains(&format!("\nWatchdogSec={}\n", DEAD_MILLIS / 1000)));
        assert!(judge(&note(5), 5).is_ok());
        assert!(judge(&note(5), 5 + DEAD_MILLIS - 1).is_ok());
        let dead = judge(&note(5), 5 + DEAD_MILLIS).unwrap_err().text();
        assert!(dead.contains("has not turned for 60 s"), "{dead}");
        assert!(judge(&note(7), 5).is_ok(), "a clock that was read twice");
    }

    #[test]
    fn a_daemon_that_was_started_again_is_not_alive_by_what_the_one_before_noted() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("mdfabric.sock");
        let nobody = ask(&socket).unwrap_err().text();
        assert!(nobody.contains("alive says nothing"), "{nobody}");
        let first = Pulse::begin(&socket);
        first.beat();
        first.beat();
        ask(&socket).unwrap();
        let second = Pulse::begin(&socket);
        let starting = ask(&socket).unwrap_err().text();
        assert!(starting.contains("has not begun its work"), "{starting}");
        second.beat();
        ask(&socket).unwrap();
    }

    #[test]
    fn the_uptime_is_read_to_the_hundredth_of_a_second() {
        assert_eq!(millis("350735.47 234388.90\n"), Some(350_735_470));
        assert_eq!([millis(""), millis("12 3\n"), millis("a.b")], [None; 3]);
    }
}
