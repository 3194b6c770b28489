//! `mdfabric drive …`

use clap::Subcommand;

use super::Changing;
use super::failure::Failure;
use super::goal::Goal;
use super::output::{self, Listed, Listing};
use super::session::Session;
use super::volume::reach;
use crate::api::proto;
use crate::domain::{DriveId, Reason};
use crate::plan::questions;

/// Verbs on drives.
#[derive(Debug, Subcommand)]
pub(super) enum DriveCommand {
    /// List the drives of all nodes, by serial number
    Ls(Listing),
    /// Give a drive to mdfabric
    Add {
        /// Its serial number
        serial: DriveId,
        /// Destroy what is on it; repeat the serial number
        #[arg(long, value_name = "SERIAL")]
        wipe: Option<DriveId>,
        #[command(flatten)]
        changing: Changing,
    },
    /// Take a drive back that hosts nothing
    Remove {
        /// Its serial number
        serial: DriveId,
        #[command(flatten)]
        changing: Changing,
    },
    /// Keep new copies off a drive
    Cordon {
        /// Its serial number
        serial: DriveId,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Allow new copies again, and call an evict off
    Uncordon {
        /// Its serial number
        serial: DriveId,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Move all copies off a drive while they are in use, and keep new ones off it
    Evict {
        /// Its serial number
        serial: DriveId,
        #[command(flatten)]
        changing: Changing,
    },
    /// Say whether a drive can be pulled; exit status 1 if not, with every volume and reason
    SafeToRemove {
        /// Its serial number
        serial: DriveId,
    },
}

impl DriveCommand {
    /// Has the daemon do it.
    pub(super) async fn ask(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Ls(listing) => output::list(session, Listed::Drives, None, listing).await,
            Self::Add { serial, wipe, changing } => add(session, serial, wipe, changing).await,
            Self::Remove { serial, changing } => {
                let request = proto::RemoveDriveRequest { id: serial.to_string(), dry_run: changing.dry_run };
                let change = session.client()?.remove_drive(request).await?.into_inner();
                reach(session, &change, &Goal::DriveReleased(serial), changing).await
            }
            Self::Evict { serial, changing } => {
                let (id, dry_run) = (serial.to_string(), changing.dry_run);
                let request = proto::CordonDriveRequest { id, cordoned: true, empty: true, dry_run };
                let change = session.client()?.cordon_drive(request).await?.into_inner();
                reach(session, &change, &Goal::DriveEmptied(serial), changing).await
            }
            Self::SafeToRemove { serial } => {
                let world = session.world().await?;
                if world.drive_status(&serial).is_none() {
                    let message = format!("no node has seen a drive {serial}");
                    return Err(Failure::new(message, "list them with `mdfabric drive ls`"));
                }
                let object = format!("drive/{serial}");
                answer(&object, "can be removed", &questions::safe_to_remove(&world, &serial))
            }
            Self::Cordon { serial, dry_run } => cordon(session, &serial, true, dry_run).await,
            Self::Uncordon { serial, dry_run } => cordon(session, &serial, false, dry_run).await,
        }
    }
}

async fn add(
    session: &mut Session,
    serial: DriveId,
    wipe: Option<DriveId>,
    changing: Changing,
) -> Result<(), Failure> {
    if let Some(other) = wipe.as_ref().filter(|wipe| **wipe != serial) {
        return Err(Failure::new(
            format_args!("drive {serial} is to be added, but --wipe names {other}"),
            format_args!("repeat the serial: --wipe {serial}"),
        ));
    }
    let request =
        proto::AddDriveRequest { id: serial.to_string(), wipe: wipe.is_some(), dry_run: changing.dry_run };
    let change = session.client()?.add_drive(request).await?.into_inner();
    reach(session, &change, &Goal::DriveReady(serial), changing).await
}

async fn cordon(
    session: &mut Session,
    serial: &DriveId,
    cordoned: bool,
    dry_run: bool,
) -> Result<(), Failure> {
    let request = proto::CordonDriveRequest { id: serial.to_string(), cordoned, empty: false, dry_run };
    let change = session.client()?.cordon_drive(request).await?.into_inner();
    cordon_report(&change, cordoned, dry_run)
}

/// Yes, or a failure that names everything in the way and the next step of the first.
pub(super) fn answer(object: &str, yes: &str, in_the_way: &[Reason]) -> Result<(), Failure> {
    let Some(first) = in_the_way.first() else { return output::put(&format!("{object} {yes}\n")) };
    let lines: Vec<&str> = in_the_way.iter().map(|reason| reason.message.as_str()).collect();
    let message = format!("{object}: no, {} in the way:\n  {}", in_the_way.len(), lines.join("\n  "));
    Err(Failure::new(message, &first.next_step))
}

/// Cordoning is done when it is recorded.
pub(super) fn cordon_report(change: &proto::Change, cordoned: bool, dry_run: bool) -> Result<(), Failure> {
    let state = if cordoned { "cordoned" } else { "not cordoned" };
    let object = &change.object;
    output::put(&match (dry_run, change.already_so) {
        (true, false) => format!("{object}: would be done:\n  {}\n", change.steps.join("\n  ")),
        (_, true) => format!("{object} is {state} already\n"),
        (false, false) => format!("{object} is {state}\n"),
    })
}
