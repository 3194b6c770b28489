//! `mdfabric volume …`

mod edit;
mod force;
mod grow;
mod scrub;

use clap::{Subcommand, ValueEnum};

use super::failure::Failure;
use super::goal::Goal;
use super::output::{self, Listed, Listing};
use super::session::Session;
use super::{Changing, report, wait};
use crate::api::proto;
use crate::domain::{Bytes, DriveId, NodeName, VolumeName, World};

/// Verbs on volumes.
#[derive(Debug, Subcommand)]
pub(super) enum VolumeCommand {
    /// Ask for a volume
    Create(Create),
    /// List volumes
    Ls(Listing),
    /// Show one volume
    Show {
        /// The volume
        name: VolumeName,
        #[command(flatten)]
        listing: Listing,
    },
    /// Give a node the volume's block device; prints the device
    Attach {
        /// The volume
        name: VolumeName,
        /// The node; this daemon's unless given
        #[arg(long)]
        node: Option<NodeName>,
        #[command(flatten)]
        changing: Changing,
    },
    /// Take the block device away again
    Detach {
        /// The volume
        name: VolumeName,
        #[command(flatten)]
        changing: Changing,
    },
    /// Mount the volume where it is attached
    Mount {
        /// The volume
        name: VolumeName,
        /// An absolute directory on that node
        path: String,
        /// Mount it read-only
        #[arg(long)]
        read_only: bool,
        #[command(flatten)]
        changing: Changing,
    },
    /// Unmount the volume; it stays attached
    Unmount {
        /// The volume
        name: VolumeName,
        #[command(flatten)]
        changing: Changing,
    },
    /// Move one copy to another node while the volume is used
    Move {
        /// The volume
        name: VolumeName,
        /// The node that has the copy
        #[arg(long, value_name = "NODE")]
        from: NodeName,
        /// The node that gets it
        #[arg(long, value_name = "NODE")]
        to: NodeName,
        /// The drive there; chosen unless given
        #[arg(long, value_name = "SERIAL")]
        drive: Option<DriveId>,
        #[command(flatten)]
        changing: Changing,
    },
    /// Change where the copies are, how many there are, and how the volume is looked after
    Edit(edit::Edit),
    /// Make the volume larger while it is used
    Grow(grow::Grow),
    /// Start a volume that waits in vain from a copy that may lack writes
    ForceStart(force::ForceStart),
    /// Compare all copies while the volume is used, now or regularly
    Scrub(scrub::Scrub),
    /// Delete the volume and its data
    Rm {
        /// The volume
        name: VolumeName,
        #[command(flatten)]
        changing: Changing,
    },
}

/// `volume create`
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// Its name
    name: VolumeName,
    /// Usable size: 512MiB, 10GiB, 1TiB
    #[arg(long)]
    size: Bytes,
    /// Copies, each on another node: 1 to 3
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    replicas: u32,
    /// Columns the data is striped over, each on another drive of every node with a copy: 1 to 8
    #[arg(long, default_value_t = 1, value_name = "COLUMNS")]
    stripe_width: u32,
    /// What it carries
    #[arg(long, value_enum, default_value_t)]
    fs: Fs,
    /// Sector size of the file system
    #[arg(long, value_enum, default_value_t, value_name = "BYTES")]
    sector_size: Sector,
    /// Whether the data goes where the volume is attached
    #[arg(long, value_enum, default_value_t)]
    locality: Locality,
    /// How a new copy is compared before an old one is dropped
    #[arg(long, value_enum, default_value_t)]
    verify: Verify,
    /// What happens to writes when a copy is lost while the store does not answer
    #[arg(long, value_enum, default_value_t)]
    on_store_loss: OnStoreLoss,
    /// How long a lost copy is waited for: 900s, 15m, 1h
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    member_missing_timeout: Option<u32>,
    /// Where a copy goes; may be given once per copy
    #[arg(long, value_name = "NODE[/DRIVE]", value_parser = place)]
    on: Vec<proto::PlacementEntry>,
    #[command(flatten)]
    changing: Changing,
}

/// `--fs`
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Fs {
    #[default]
    Xfs,
    Ext4,
    Raw,
}

/// `--sector-size`
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Sector {
    #[value(name = "512")]
    B512,
    #[default]
    #[value(name = "4096")]
    B4096,
}

/// `--locality`
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Locality {
    #[default]
    Follow,
    Fixed,
}

/// `--verify`
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Verify {
    /// Both ends, places on which all of the file system hangs, and 64 MiB drawn anew for every copy
    #[default]
    Sampled,
    /// All of it, by the kernel's own check
    Full,
    /// Nothing
    Off,
}

/// `--on-store-loss`
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum OnStoreLoss {
    /// They wait until the store or the copy is back
    #[default]
    Suspend,
    /// They go on with the copies that are left; if another node gets the volume before the store knows, they are lost
    Continue,
}

impl From<Locality> for proto::Locality {
    fn from(value: Locality) -> Self {
        match value {
            Locality::Follow => Self::Follow,
            Locality::Fixed => Self::Fixed,
        }
    }
}

impl From<Verify> for proto::Verify {
    fn from(value: Verify) -> Self {
        match value {
            Verify::Sampled => Self::Sampled,
            Verify::Full => Self::Full,
            Verify::Off => Self::Off,
        }
    }
}

impl From<OnStoreLoss> for proto::OnStoreLoss {
    fn from(value: OnStoreLoss) -> Self {
        match value {
            OnStoreLoss::Suspend => Self::Suspend,
            OnStoreLoss::Continue => Self::Continue,
        }
    }
}

/// A time in whole seconds: `900`, `900s`, `15m`, `2h`.
fn seconds(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is not a time: use a whole number with s, m or h");
    let (number, factor) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('m') => (number, 60),
        Some(number) if text.ends_with('h') => (number, 3600),
        Some(number) => (number, 1),
        None => (text, 1),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).ok_or_else(wrong)
}

/// `NODE` or `NODE/DRIVE`.
fn place(text: &str) -> Result<proto::PlacementEntry, String> {
    let (node, drive) = match text.split_once('/') {
        Some((node, drive)) => (node, Some(drive)),
        None => (text, None),
    };
    let node: NodeName = node.parse().map_err(|error: crate::domain::InvalidName| error.to_string())?;
    let drive: Option<DriveId> =
        drive.map(str::parse).transpose().map_err(|error: crate::domain::InvalidName| error.to_string())?;
    Ok(proto::PlacementEntry { node: node.into(), drive: drive.map(Into::into) })
}

impl Create {
    fn request(&self) -> proto::CreateVolumeRequest {
        let fs = match self.fs {
            Fs::Xfs => proto::FsType::Xfs,
            Fs::Ext4 => proto::FsType::Ext4,
            Fs::Raw => proto::FsType::Raw,
        };
        let sector_size = match self.sector_size {
            Sector::B512 => proto::SectorSize::B512,
            Sector::B4096 => proto::SectorSize::B4096,
        };
        proto::CreateVolumeRequest {
            name: self.name.to_string(),
            size_bytes: self.size.0,
            replicas: self.replicas,
            stripe_width: self.stripe_width,
            fs: fs.into(),
            sector_size: sector_size.into(),
            member_missing_timeout_seconds: self.member_missing_timeout,
            locality: proto::Locality::from(self.locality).into(),
            verify: proto::Verify::from(self.verify).into(),
            on_store_loss: proto::OnStoreLoss::from(self.on_store_loss).into(),
            placement: self.on.clone(),
            prefer: Vec::new(),
            dry_run: self.changing.dry_run,
        }
    }
}

impl VolumeCommand {
    /// Has the daemon do it.
    pub(super) async fn ask(self, session: &mut Session) -> Result<(), Failure> {
        match self {
            Self::Create(create) => do_create(session, &create).await,
            Self::Ls(listing) => output::list(session, Listed::Volumes, None, listing).await,
            Self::Show { name, listing } => show(session, &name, listing).await,
            Self::Attach { name, node, changing } => attach(session, name, node, changing).await,
            Self::Detach { name, changing } => detach(session, name, changing).await,
            Self::Mount { name, path, read_only, changing } => {
                let dry_run = changing.dry_run;
                let request = proto::MountVolumeRequest {
                    name: name.to_string(),
                    path,
                    read_only,
                    dry_run,
                    ..proto::MountVolumeRequest::default()
                };
                let change = session.client()?.mount_volume(request).await?.into_inner();
                reach(session, &change, &Goal::Mounted(name), changing).await
            }
            Self::Unmount { name, changing } => {
                let request = proto::UnmountVolumeRequest {
                    name: name.to_string(),
                    dry_run: changing.dry_run,
                    ..Default::default()
                };
                let change = session.client()?.unmount_volume(request).await?.into_inner();
                reach(session, &change, &Goal::Unmounted(name), changing).await
            }
            Self::Move { name, from, to, drive, changing } => {
                let request = proto::MoveVolumeRequest {
                    name: name.to_string(),
                    from: from.into(),
                    to: to.into(),
                    drive: drive.map(Into::into),
                    dry_run: changing.dry_run,
                };
                let change = session.client()?.move_volume(request).await?.into_inner();
                reach(session, &change, &Goal::Moved(name), changing).await
            }
            Self::Edit(edit) => edit.ask(session).await,
            Self::Grow(grow) => grow.ask(session).await,
            Self::ForceStart(force) => force.ask(session).await,
            Self::Scrub(scrub) => scrub.ask(session).await,
            Self::Rm { name, changing } => rm(session, name, changing).await,
        }
    }
}

/// Says what was asked for and waits until it is reached.
pub(super) async fn reach(
    session: &mut Session,
    change: &proto::Change,
    goal: &Goal,
    changing: Changing,
) -> Result<(), Failure> {
    if report(change, changing)? {
        let done = wait::until(session, goal, change, changing.waiting).await?;
        output::put(&format!("{done}\n"))?;
    }
    Ok(())
}

async fn do_create(session: &mut Session, create: &Create) -> Result<(), Failure> {
    if create.replicas == 0 {
        // On the wire 0 stands for the default.
        let message = format!("volume {}: 0 replicas", create.name);
        return Err(Failure::new(message, "use 1 to 3"));
    }
    let change = session.client()?.create_volume(create.request()).await?.into_inner();
    reach(session, &change, &Goal::Created(create.name.clone()), create.changing).await
}

async fn attach(
    session: &mut Session,
    name: VolumeName,
    node: Option<NodeName>,
    changing: Changing,
) -> Result<(), Failure> {
    let node = node.map(String::from).unwrap_or_default();
    let request = proto::AttachVolumeRequest { name: name.to_string(), node, dry_run: changing.dry_run };
    let change = session.client()?.attach_volume(request).await?.into_inner();
    reach(session, &change, &Goal::Attached(name), changing).await
}

async fn detach(session: &mut Session, name: VolumeName, changing: Changing) -> Result<(), Failure> {
    let before = session.world().await?;
    let epoch = before.volume_status(&name).map(|status| status.epoch).unwrap_or_default();
    let request =
        proto::DetachVolumeRequest { name: name.to_string(), dry_run: changing.dry_run, node: String::new() };
    let change = session.client()?.detach_volume(request).await?.into_inner();
    reach(session, &change, &Goal::Detached(name, epoch), changing).await
}

async fn rm(session: &mut Session, name: VolumeName, changing: Changing) -> Result<(), Failure> {
    let before = session.world().await?;
    let uid = before.volume_spec(&name).map(|spec| spec.uid);
    let request = proto::DeleteVolumeRequest { name: name.to_string(), dry_run: changing.dry_run };
    let change = session.client()?.delete_volume(request).await?.into_inner();
    match uid {
        Some(uid) => reach(session, &change, &Goal::Gone(name, uid), changing).await,
        None => output::put(&format!("volume/{name} is not there\n")),
    }
}

async fn show(session: &mut Session, name: &VolumeName, listing: Listing) -> Result<(), Failure> {
    let world = session.world().await?;
    known(&world, name)?;
    output::list(session, Listed::Volumes, Some(name.as_str()), listing).await?;
    if listing.watch { Ok(()) } else { output::copies(&world, name, session.now(), listing.output) }
}

fn known(world: &World, name: &VolumeName) -> Result<(), Failure> {
    match world.volume_spec(name) {
        Some(_) => Ok(()),
        None => Err(Failure::new(
            format_args!("there is no volume {name}"),
            "list them with `mdfabric volume ls`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_places() {
        assert_eq!(seconds("900"), Ok(900));
        assert_eq!(seconds("15m"), Ok(900));
        assert_eq!(seconds("2h"), Ok(7200));
        for bad in ["", "s", "1d", "-1s", "1.5h", "4294967295h"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
        assert_eq!(place("n1/S1").unwrap().drive.as_deref(), Some("S1"));
        assert_eq!(place("n1").unwrap().drive, None);
        assert!(place("N1").is_err() && place("n1/").is_err());
    }
}
