//! Everything a lab needs before it can start: guest image, binaries, and the knowledge how guests run here.

pub mod accel;
pub mod cache;
mod disk;
mod go;
pub mod helm;
pub mod image;
pub mod initramfs;
mod kube;
pub mod mirror;
pub mod payload;
pub mod product;
pub mod sanity;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::spec::{Accel, KubeSpec};
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
    /// What a lab with Kubernetes needs more; labs that are made without are labs without.
    pub kube: Option<KubeSpec>,
}

impl Parts {
    /// Builds or finds everything.
    pub fn prepare() -> Result<Self> {
        let cache = Cache::open()?;
        let image = image::prepare(&cache)?;
        let accel = accel::find(&cache, &image)?;
        let programs = [vec![std::env::current_exe()?], product::build(&cache)?].concat();
        Ok(Self { cache, image, accel, programs, kube: None })
    }

    /// The same for labs with Kubernetes. The first time it builds Kubernetes.
    pub fn with_kube(&self) -> Result<Self> {
        let kube = kube::prepare(&self.cache, &self.image, &self.programs)?;
        Ok(Self { kube: Some(kube), ..self.clone() })
    }
}

/// Runs `work` and says on the screen what it was and how long it took.
fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let done = work().with_context(|| what.to_owned())?;
    eprintln!("lab: {what}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(done)
}
