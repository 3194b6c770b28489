//! `mdfabric recorder`

use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::output::{self, Format};
use crate::config;
use crate::telemetry::dump::Archive;
use crate::telemetry::recorder::{self, Entry, Reading};

/// `mdfabric recorder`; needs no daemon.
#[derive(Debug, clap::Args)]
pub(super) struct RecorderArgs {
    /// The recorder's directory, or an archive that `mdfabric dump` wrote [default: as the configuration file says,
    /// /var/lib/mdfabric/recorder]
    place: Option<PathBuf>,
    /// Only so many entries from the end
    #[arg(long, value_name = "COUNT")]
    tail: Option<usize>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, env = "MDFABRIC_OUTPUT")]
    output: Format,
}

impl RecorderArgs {
    /// Prints the entries, oldest first.
    pub(super) fn print(&self, root: Option<&Path>) -> Result<(), Failure> {
        let place = self.place.as_deref().or(root).map_or_else(config::recorder, Path::to_owned);
        let reading = read(&place)?;
        warn(&reading);
        let from = self.tail.map_or(0, |tail| reading.entries.len().saturating_sub(tail));
        let entries = reading.entries.get(from..).unwrap_or_default();
        output::put(&match self.output {
            Format::Table | Format::Wide => lines(entries),
            Format::Json | Format::Yaml => output::text(&entries, self.output, true)?,
        })
    }
}

fn lines(entries: &[Entry]) -> String {
    entries.iter().flat_map(|entry| [entry.to_string(), "\n".to_owned()]).collect()
}

fn read(place: &Path) -> Result<Reading, Failure> {
    if place.is_file() {
        return Ok(Archive::open(place)?.recorder);
    }
    recorder::read(place).map_err(|error| {
        Failure::caused(
            format_args!("flight recorder {} cannot be read", place.display()),
            "give the directory recorder.dir of the configuration names, or an archive of `mdfabric dump`",
            error,
        )
    })
}

fn warn(reading: &Reading) {
    if reading.skipped_bytes > 0 {
        eprintln!("warning: {} bytes are no entries: torn by a crash, or damaged", reading.skipped_bytes);
    }
    if reading.foreign > 0 {
        eprintln!("warning: {} entries of another version are left out", reading.foreign);
    }
}
