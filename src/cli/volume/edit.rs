//! `mdfabric volume edit`

use super::{Locality, OnStoreLoss, Verify, place, reach, seconds};
use crate::api::proto;
use crate::cli::Changing;
use crate::cli::failure::Failure;
use crate::cli::goal::Goal;
use crate::cli::session::Session;
use crate::domain::VolumeName;

/// What is not given stays as it is.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(in crate::cli) struct Edit {
    /// The volume
    name: VolumeName,
    /// Build a copy here; may be given several times
    #[arg(long, value_name = "NODE[/DRIVE]", value_parser = place, group = "change")]
    add_replica: Vec<proto::PlacementEntry>,
    /// Drop the copy here; may be given several times
    #[arg(long, value_name = "NODE[/DRIVE]", value_parser = place, group = "change")]
    remove_replica: Vec<proto::PlacementEntry>,
    /// How many copies there shall be, 1 to 3; places that are not named are chosen
    #[arg(long, value_name = "COUNT", group = "change")]
    replicas: Option<u32>,
    /// How long a lost copy is waited for: 900s, 15m, 1h
    #[arg(long, value_name = "TIME", value_parser = seconds, group = "change")]
    member_missing_timeout: Option<u32>,
    /// Whether the data goes where the volume is attached; counts from the next attach on
    #[arg(long, value_enum, group = "change")]
    locality: Option<Locality>,
    /// How a new copy is compared before it counts
    #[arg(long, value_enum, group = "change")]
    verify: Option<Verify>,
    /// What happens to writes when a copy is lost while the store does not answer
    #[arg(long, value_enum, group = "change")]
    on_store_loss: Option<OnStoreLoss>,
    #[command(flatten)]
    changing: Changing,
}

impl Edit {
    fn request(&self) -> proto::EditVolumeRequest {
        let locality = self.locality.map_or(proto::Locality::Unspecified, Into::into);
        let verify = self.verify.map_or(proto::Verify::Unspecified, Into::into);
        let on_store_loss = self.on_store_loss.map_or(proto::OnStoreLoss::Unspecified, Into::into);
        proto::EditVolumeRequest {
            name: self.name.to_string(),
            add: self.add_replica.clone(),
            remove: self.remove_replica.clone(),
            replicas: self.replicas,
            member_missing_timeout_seconds: self.member_missing_timeout,
            locality: locality.into(),
            verify: verify.into(),
            on_store_loss: on_store_loss.into(),
            dry_run: self.changing.dry_run,
        }
    }

    pub(super) async fn ask(self, session: &mut Session) -> Result<(), Failure> {
        let change = session.client()?.edit_volume(self.request()).await?.into_inner();
        reach(session, &change, &Goal::Edited(self.name), self.changing).await
    }
}
