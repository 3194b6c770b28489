//! `mdfabric dump`

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tonic::Streaming;

use super::daemon::{configured, hostname, place};
use super::failure::Failure;
use super::output;
use crate::api::client::{self, Client, ClientError};
use crate::api::{dump, proto};
use crate::config::{self, Config, StoreConfig};
use crate::daemon;
use crate::domain::Bytes;
use crate::store::local;
use crate::telemetry::dump::{self as archive, Archive, Knowledge, Manifest, Place};

/// `mdfabric dump`
#[derive(Debug, clap::Args)]
pub(super) struct DumpArgs {
    /// Where to write it; - for standard output
    #[arg(short, long, value_name = "FILE", default_value = "mdfabric-dump.tar")]
    output: PathBuf,
    /// The daemon's configuration file, in case no daemon answers
    #[arg(long, env = "MDFABRIC_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl DumpArgs {
    /// Has the daemon make one; where none answers, makes one without it.
    pub(super) async fn make(&self, socket: &Path) -> Result<(), Failure> {
        let daemon = match client::connect(socket).await {
            Ok(client) => Some(client),
            Err(error @ ClientError::NoDaemon { .. }) => {
                eprintln!("warning: {error}; the dump is made without what it knows");
                None
            }
            Err(error) => return Err(error.into()),
        };
        if self.output.as_os_str() == "-" {
            return self.fill(daemon, &mut io::stdout().lock()).await;
        }
        let part = self.output.with_added_extension("part");
        let written = self.write(daemon, &part).await;
        if written.is_err() {
            // It is of no use, and the error says what happened.
            drop(fs::remove_file(&part));
        }
        written
    }

    /// A file appears under its name only when it is whole.
    async fn write(&self, daemon: Option<Client>, part: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            let message = format!("dump {} cannot be written", self.output.display());
            Failure::caused(message, "give another place with -o FILE", error)
        };
        let mut file = File::create(part).map_err(failed)?;
        self.fill(daemon, &mut file).await?;
        file.sync_all().map_err(failed)?;
        Archive::open(part)?;
        let size = Bytes(file.metadata().map_err(failed)?.len());
        fs::rename(part, &self.output).map_err(failed)?;
        output::put(&format!("dump written to {} ({size})\n", self.output.display()))
    }

    async fn fill(&self, daemon: Option<Client>, out: &mut impl Write) -> Result<(), Failure> {
        match daemon {
            Some(mut client) => copy(client.dump(proto::DumpRequest {}).await?.into_inner(), out).await,
            None => self.without_daemon(out),
        }
    }

    fn without_daemon(&self, out: &mut impl Write) -> Result<(), Failure> {
        let (place, known) = match configured(self.config.as_deref()) {
            Ok(config) => (place(&config)?, knowledge(&config)),
            Err(error) => unconfigured(&error.into()),
        };
        for problem in &known.problems {
            eprintln!("warning: {problem}");
        }
        Ok(archive::write(out, &place, &known)?)
    }
}

async fn copy(mut chunks: Streaming<proto::DumpChunk>, out: &mut impl Write) -> Result<(), Failure> {
    while let Some(chunk) = chunks.message().await? {
        out.write_all(&chunk.data)?;
    }
    Ok(out.flush()?)
}

fn without_records(node: impl std::fmt::Display) -> Knowledge {
    let manifest = Manifest::new(node, daemon::now());
    Knowledge { manifest, records: Vec::new(), node: None, observation: None, problems: Vec::new() }
}

/// What is known without a daemon: the records, where they are in a file.
fn knowledge(config: &Config) -> Knowledge {
    let mut known = without_records(&config.node);
    match &config.store {
        StoreConfig::Local(path) => match local::read_only(path) {
            Ok(listing) => known.records = dump::pack(listing.into()),
            Err(error) => known.problems.push(error.to_string()),
        },
        StoreConfig::Etcd { .. } | StoreConfig::Kubernetes { .. } => known.problems.push(
            "the records are in no file of this node and left out: dump a node whose daemon runs to have them"
                .to_owned(),
        ),
    }
    known
}

/// With a configuration that cannot be read, what is at the usual places.
fn unconfigured(why: &Failure) -> (Place, Knowledge) {
    let mut known = without_records(hostname());
    known.problems.push(why.text().lines().collect::<Vec<_>>().join("; "));
    let place = Place { root: "/".into(), recorder: config::recorder(), config: "{}".to_owned() };
    (place, known)
}
