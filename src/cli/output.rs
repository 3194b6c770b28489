//! How answers are printed.

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use super::failure::Failure;
use super::rows::{self, Table};
use super::session::Session;
use super::table::Printer;
use crate::domain::{Bytes, Timestamp, VolumeName, World};

/// `-o`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table
    #[default]
    Table,
    /// A table with more columns
    Wide,
    /// The records as JSON
    Json,
    /// The records as YAML
    Yaml,
}

/// What a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    /// `volume ls`
    Volumes,
    /// `replica ls`
    Replicas,
    /// `drive ls`
    Drives,
    /// `node ls`
    Nodes,
}

/// How a listing is shown.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Listing {
    /// How to print
    #[arg(short, long, value_enum, default_value_t, env = "MDFABRIC_OUTPUT")]
    pub(super) output: Format,
    /// Go on printing what changes
    #[arg(short, long)]
    pub(super) watch: bool,
}

impl Listed {
    fn table(self, world: &World, now: Timestamp, wide: bool) -> Table {
        match self {
            Self::Volumes => rows::volumes(world, now, wide),
            Self::Replicas => rows::replicas(world, now, wide),
            Self::Drives => rows::drives(world, now, wide),
            Self::Nodes => rows::nodes(world, now, wide),
        }
    }

    /// The records, in the order of the table's rows, each with the key of its row.
    fn records(self, world: &World) -> Result<Vec<(String, Value)>, Failure> {
        match self {
            Self::Volumes => all(world.volumes().map(|volume| (volume.spec.name.to_string(), volume))),
            Self::Replicas => all(world.replicas().map(|replica| {
                let state = rows::replica_state(world, &replica);
                let used = rows::used(world, &replica);
                (replica.spec.id.to_string(), Merged { state, used, record: replica })
            })),
            Self::Drives => all(world
                .drives()
                .map(|(id, record)| (id.to_string(), Named { name: id.to_string(), record }))),
            Self::Nodes => all(world
                .nodes()
                .map(|(name, record)| (name.to_string(), Named { name: name.to_string(), record }))),
        }
    }

    fn nothing(self) -> &'static str {
        match self {
            Self::Volumes => "no volumes",
            Self::Replicas => "no replicas",
            Self::Drives => "no drives",
            Self::Nodes => "no nodes",
        }
    }
}

#[derive(Serialize)]
struct Named<T> {
    name: String,
    #[serde(flatten)]
    record: T,
}

#[derive(Serialize)]
struct Merged<T> {
    state: crate::domain::ReplicaState,
    used: Option<Bytes>,
    #[serde(flatten)]
    record: T,
}

fn all<T: Serialize>(records: impl Iterator<Item = (String, T)>) -> Result<Vec<(String, Value)>, Failure> {
    let value = |record| serde_json::to_value(record).map_err(unprintable);
    records.map(|(key, record)| Ok((key, value(record)?))).collect()
}

fn unprintable(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::caused("a record cannot be printed", "report this as a bug", error)
}

/// `ls` and `show`: prints what is there, of one object if `only` names its key, and with `-w` what changes.
pub(super) async fn list(
    session: &mut Session,
    listed: Listed,
    only: Option<&str>,
    listing: Listing,
) -> Result<(), Failure> {
    let mut shown =
        Shown { listed, only, format: listing.output, printer: Printer::default(), last: Vec::new() };
    if !listing.watch {
        let world = session.world().await?;
        return shown.print(&world, session.now(), true);
    }
    let mut worlds = session.worlds().await?;
    shown.print(worlds.world(), session.now(), true)?;
    loop {
        tokio::select! {
            changed = worlds.changed() => changed?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        shown.print(worlds.world(), session.now(), false)?;
    }
}

/// The copies of one volume and what is to be said of it, below its row.
pub(super) fn copies(
    world: &World,
    name: &VolumeName,
    now: Timestamp,
    format: Format,
) -> Result<(), Failure> {
    if !matches!(format, Format::Table | Format::Wide) {
        return Ok(());
    }
    let mut table = rows::replicas(world, now, format == Format::Wide);
    table.rows.retain(|row| row.cells.first().is_some_and(|volume| volume == name.as_str()));
    let status = world.volume_status(name).cloned().unwrap_or_default();
    let reasons: String = status.reasons.iter().map(|reason| reason.to_string() + "\n").collect();
    let blank = |text: &str| if text.is_empty() { "" } else { "\n" };
    let copies = Printer::default().update(&table);
    put(&[blank(&copies), &copies, blank(&reasons), &reasons].concat())
}

struct Shown<'a> {
    listed: Listed,
    only: Option<&'a str>,
    format: Format,
    printer: Printer,
    last: Vec<(String, Value)>,
}

impl Shown<'_> {
    fn print(&mut self, world: &World, now: Timestamp, first: bool) -> Result<(), Failure> {
        match self.format {
            Format::Table | Format::Wide => self.print_rows(world, now, first),
            Format::Json | Format::Yaml => self.print_records(world, first),
        }
    }

    fn is_shown(&self, key: &str) -> bool {
        self.only.is_none_or(|only| only == key)
    }

    fn print_rows(&mut self, world: &World, now: Timestamp, first: bool) -> Result<(), Failure> {
        let mut table = self.listed.table(world, now, self.format == Format::Wide);
        table.rows.retain(|row| self.is_shown(&row.key));
        if first && table.rows.is_empty() {
            eprintln!("{}", self.listed.nothing());
        }
        put(&self.printer.update(&table))
    }

    fn print_records(&mut self, world: &World, first: bool) -> Result<(), Failure> {
        let mut records = self.listed.records(world)?;
        records.retain(|(key, _)| self.is_shown(key));
        if !first && records == self.last {
            return Ok(());
        }
        self.last.clone_from(&records);
        let mut values: Vec<Value> = records.into_iter().map(|(_, value)| value).collect();
        let whole = match self.only {
            Some(_) => values.pop().unwrap_or_default(),
            None => Value::Array(values),
        };
        put(&text(&whole, self.format, first)?)
    }
}

/// A value as JSON, or as YAML for every other format.
pub(super) fn text(value: &impl Serialize, format: Format, first: bool) -> Result<String, Failure> {
    if format == Format::Json {
        return serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(unprintable);
    }
    let text = serde_saphyr::to_string(value).map_err(unprintable)?;
    Ok(if first { text } else { format!("---\n{text}") })
}

/// Prints; a reader that went away (`| head`) is told by the error.
pub(super) fn put(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}
