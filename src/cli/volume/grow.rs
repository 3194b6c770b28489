//! `mdfabric volume grow`

use std::str::FromStr;

use super::reach;
use crate::api::proto;
use crate::cli::Changing;
use crate::cli::failure::Failure;
use crate::cli::goal::Goal;
use crate::cli::session::Session;
use crate::domain::{Bytes, InvalidSize, VolumeName};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Grow {
    /// The volume
    name: VolumeName,
    /// Usable size it shall have (2GiB), or by how much it shall become larger (+1GiB)
    size: Size,
    #[command(flatten)]
    changing: Changing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Of(Bytes),
    More(Bytes),
}

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        match text.strip_prefix('+') {
            Some(more) => more.parse().map(Self::More),
            None => text.parse().map(Self::Of),
        }
    }
}

impl Grow {
    fn request(&self) -> proto::GrowVolumeRequest {
        let (Bytes(size_bytes), Bytes(more_bytes)) = match self.size {
            Size::Of(size) => (size, Bytes(0)),
            Size::More(more) => (Bytes(0), more),
        };
        let (name, dry_run) = (self.name.to_string(), self.changing.dry_run);
        proto::GrowVolumeRequest { name, size_bytes, more_bytes, dry_run }
    }

    pub(super) async fn ask(self, session: &mut Session) -> Result<(), Failure> {
        let change = session.client()?.grow_volume(self.request()).await?.into_inner();
        reach(session, &change, &Goal::Grown(self.name), self.changing).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_or_by_how_much() {
        assert_eq!("2GiB".parse(), Ok(Size::Of(Bytes::gib(2))));
        assert_eq!("+512MiB".parse(), Ok(Size::More(Bytes::mib(512))));
        for bad in ["", "+", "++1GiB", "-1GiB", "2"] {
            assert!(bad.parse::<Size>().is_err(), "{bad:?}");
        }
    }
}
