//! What a Kubernetes in the lab is made of: its programs, built from Go's modules, and the disk of its nodes.
//!
//! Nothing is pulled from a registry of images: every image is written here and lies on that disk, under the name that the chart gives it.

mod archive;
mod images;
mod node_disk;
mod programs;

use std::path::PathBuf;

use anyhow::Result;

use super::cache::Cache;
use super::helm::Helm;
use super::image::Image;
use crate::spec::KubeSpec;

/// Builds everything, or finds it. `product` are the programs under test.
pub(super) fn prepare(cache: &Cache, guest: &Image, product: &[PathBuf]) -> Result<KubeSpec> {
    let programs = programs::build(cache)?;
    let images = images::all(&images::Sources {
        chart: &Helm::prepare(cache)?,
        programs: &programs,
        busybox: &guest.busybox,
        product,
    })?;
    let disk = node_disk::prepare(cache, &programs, images)?;
    Ok(KubeSpec { programs: programs.kubernetes, etcd: programs.etcd.join("server"), disk })
}
