//! `mdfabric volume force-start`

use super::reach;
use crate::api::proto;
use crate::cli::Changing;
use crate::cli::failure::Failure;
use crate::cli::goal::Goal;
use crate::cli::session::Session;
use crate::domain::VolumeName;

/// The last resort: says what would be lost unless that is accepted.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ForceStart {
    /// The volume
    name: VolumeName,
    /// The copy it shall start from: its node, or its replica id
    #[arg(long, value_name = "REPLICA")]
    from: String,
    /// What may be lost was read and is accepted; it goes on record who did
    #[arg(long)]
    accept_data_loss: bool,
    #[command(flatten)]
    changing: Changing,
}

impl ForceStart {
    pub(super) async fn ask(self, session: &mut Session) -> Result<(), Failure> {
        let Self { name, from, accept_data_loss, changing } = self;
        let dry_run = changing.dry_run;
        let request = proto::ForceStartRequest { name: name.to_string(), from, accept_data_loss, dry_run };
        let change = session.client()?.force_start(request).await?.into_inner();
        reach(session, &change, &Goal::Attached(name), changing).await
    }
}
