//! The flight recorder: what this node's daemon did, saw and recorded, in a ring of files on its own disk.
//!
//! Guarantees: noting an entry never waits and never fails; what does not fit into the queue or onto the disk is
//! counted, and the count becomes an entry when there is room again. What was written is on the disk a moment later (one
//! flush per burst). A torn tail or garbage costs the entries it covers and no other.
//!
//! Caveats: entries are for people. They are short-lived and local, so a version that cannot read an older one's says
//! how many there are and leaves them out.

mod digest;
mod entry;
mod frame;
mod notes;
mod ring;
mod summary;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::Path;

pub use entry::{Entry, What};
pub use frame::{Reading, scan};
pub use notes::Notes;
pub use ring::is_segment;
pub use writer::Recorder;

/// Every entry in the recorder's directory, oldest first.
pub fn read(dir: &Path) -> io::Result<Reading> {
    let mut reading = Reading::default();
    for name in ring::segments(dir)? {
        match ring::read_segment(&dir.join(name)) {
            Ok(bytes) => scan(&bytes, &mut reading),
            // The daemon turned the ring over while we read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(reading)
}

/// The files of the recorder in `dir`, oldest first: name and bytes.
pub fn files(dir: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let read = |name: String| ring::read_segment(&dir.join(&name)).map(|bytes| (name, bytes));
    ring::segments(dir)?.into_iter().map(read).collect()
}
