//! What is printed while several things are shown at a time: each one's lines are kept until it ends.

use std::cell::RefCell;
use std::io::{PipeReader, Read as _};
use std::process::Command;

use anyhow::{Context as _, Result};

thread_local! {
    /// What this thread has said since it began to keep it; nothing while it does not.
    static KEPT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// As the standard library's, but for a thread whose lines are kept.
macro_rules! println {
    ($($arg:tt)*) => { $crate::output::say(&format!($($arg)*)) };
}

/// Prints a line, or keeps it for [`kept`].
pub fn say(line: &str) {
    let is_kept = KEPT.with_borrow_mut(|kept| {
        kept.as_mut().map(|text| {
            text.push_str(line);
            text.push('\n');
        })
    });
    if is_kept.is_none() {
        std::println!("{line}");
    }
}

/// Does `work` and gives what this thread said meanwhile instead of printing it.
pub fn kept<T>(work: impl FnOnce() -> T) -> (T, String) {
    KEPT.set(Some(String::new()));
    let done = work();
    (done, KEPT.take().unwrap_or_default())
}

/// Runs `command` to its end, what it prints treated as what this thread says.
pub fn status_of(command: &mut Command) -> Result<std::process::ExitStatus> {
    if KEPT.with_borrow(Option::is_none) {
        return Ok(command.status()?);
    }
    let (reader, writer) = std::io::pipe()?;
    let mut child = command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
    // The command holds the pipe's other end too: it would never end.
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let said = read(reader)?;
    if !said.is_empty() {
        say(said.trim_end());
    }
    Ok(child.wait()?)
}

fn read(mut reader: PipeReader) -> Result<String> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).context("cannot read what a command prints")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_by_a_thread_and_its_commands_is_kept_in_order() {
        let ((), text) = kept(|| {
            println!("one {}", 1);
            assert!(
                status_of(Command::new("sh").args(["-c", "echo two; echo three >&2"])).unwrap().success()
            );
            println!("four");
        });
        assert_eq!(text, "one 1\ntwo\nthree\nfour\n");
    }

    #[test]
    fn other_threads_are_not_kept() {
        let ((), text) = kept(|| {
            std::thread::spawn(|| assert!(KEPT.with_borrow(Option::is_none))).join().unwrap();
        });
        assert_eq!(text, "");
    }
}
