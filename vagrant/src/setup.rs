//! Everything a lab needs before it can start: guest image, binaries, and the knowledge how guests run here.

pub mod accel;
pub mod cache;
pub mod helm;
pub mod image;
pub mod initramfs;
pub mod mirror;
pub mod payload;
pub mod product;
pub mod sanity;

use std::path::PathBuf;

use anyhow::Result;

use crate::spec::Accel;
use cache::Cache;
use image::Image;

/// What labs are made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where things are.
    pub cache: Cache,
    /// What guests boot from.
    pub image: Image,
    /// How guests run here.
    pub accel: Accel,
    /// The programs that guests see at `/opt/mdfabric`, as they stand on the host.
    pub programs: Vec<PathBuf>,
}

impl Parts {
    /// Builds or finds everything.
    pub fn prepare() -> Result<Self> {
        let cache = Cache::open()?;
        let image = image::prepare(&cache)?;
        let accel = accel::find(&cache, &image)?;
        let programs = [vec![std::env::current_exe()?], product::build(&cache)?].concat();
        Ok(Self { cache, image, accel, programs })
    }
}
