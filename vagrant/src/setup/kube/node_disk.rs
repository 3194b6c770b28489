//! The disk that makes a guest a node of Kubernetes: its programs, their configuration, and a store of containerd with all images in it.
//!
//! Importing an image in an emulated guest takes seconds per MiB; here a containerd runs on the host for a moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result};

use super::archive::{self, Content, Image};
use super::images::{self, PAUSE};
use super::programs::Programs;
use crate::command::{output, run};
use crate::setup::cache::{Cache, Key, remove_tree};
use crate::setup::{disk, go, step};

/// Size of the disk in bytes, sparse: images take a part of it, what containers write goes into the rest.
const BYTES: u64 = 4 << 30;
/// The file in the cache's entry.
const IMAGE: &str = "kube.img";
/// Imports images into a store, as process 1 of namespaces of its own.
const PRELOAD: &str = include_str!("../../../kube/preload");
/// Where the store is on the disk.
const STORE: &str = "containerd";
const CONFIGURATION: [(&str, &str); 2] = [
    ("containerd.toml", include_str!("../../../kube/node/containerd.toml")),
    ("kubelet.yaml", include_str!("../../../kube/node/kubelet.yaml")),
];

/// The disk, made if the cache's is of other programs.
pub(super) fn prepare(cache: &Cache, programs: &Programs, images: Vec<Image>) -> Result<PathBuf> {
    let key = key(programs, &images)?;
    let kubernetes = cache.workspace().join("vagrant/kube/kubernetes");
    let entry = cache.newest("kube-disk", &key, |draft| {
        step("disk of Kubernetes' nodes", || build(draft, programs, images, &kubernetes))
    })?;
    Ok(entry.join(IMAGE))
}

fn build(draft: &Path, programs: &Programs, mut images: Vec<Image>, kubernetes: &Path) -> Result<()> {
    let tree = draft.join("tree");
    install(&tree, programs)?;
    images.push(images::of_program(PAUSE.to_owned(), &pause(draft, kubernetes)?)?);
    preload(draft, &tree, &images)?;
    disk::of_tree(&tree, &draft.join(IMAGE), BYTES)?;
    remove_tree(&tree)
}

fn install(tree: &Path, programs: &Programs) -> Result<()> {
    let bin = tree.join("bin");
    fs::create_dir_all(&bin)?;
    for (folder, name) in [
        (&programs.containerd, "containerd"),
        (&programs.containerd, "containerd-shim-runc-v2"),
        (&programs.containerd, "ctr"),
        (&programs.kubernetes, "kubelet"),
    ] {
        fs::copy(folder.join(name), bin.join(name)).with_context(|| name.to_owned())?;
    }
    CONFIGURATION.iter().try_for_each(|(name, text)| Ok(fs::write(tree.join(name), text)?))
}

/// Kubernetes' own, from the source in its module.
fn pause(draft: &Path, kubernetes: &Path) -> Result<PathBuf> {
    let mut list = go::command()?;
    list.args(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"]);
    let module = output(list.current_dir(kubernetes))?;
    let (source, program) = (Path::new(module.trim()).join("build/pause/linux/pause.c"), draft.join("pause"));
    run(Command::new("gcc").args(["-Os", "-static", "-DVERSION=lab", "-o"]).arg(&program).arg(source))?;
    Ok(program)
}

/// In namespaces of its own: an interrupted build leaves no mount and no process.
fn preload(draft: &Path, tree: &Path, images: &[Image]) -> Result<()> {
    let store = tree.join(STORE);
    fs::create_dir_all(&store)?;
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        PRELOAD,
        "preload",
    ]);
    unshare.arg(tree.join("bin")).arg(store);
    for (number, image) in images.iter().enumerate() {
        let file = draft.join(format!("{number}.tar"));
        archive::write(image, &file)?;
        unshare.arg(file);
    }
    run(&mut unshare)?;
    (0..images.len()).try_for_each(|number| Ok(fs::remove_file(draft.join(format!("{number}.tar")))?))
}

/// Names and contents. A program is taken for the same while its path, length and time of change are.
fn key(programs: &Programs, images: &[Image]) -> Result<Key> {
    let mut parts =
        vec![format!("{programs:?}"), format!("{images:?}"), PRELOAD.to_owned(), "format 1".to_owned()];
    parts.extend(CONFIGURATION.iter().map(|(name, text)| format!("{name}\n{text}")));
    for (_, content) in images.iter().flat_map(|image| &image.content) {
        if let Content::Program(file) = content {
            let stat = fs::metadata(file).with_context(|| file.display().to_string())?;
            parts.push(format!("{} {:?}", stat.len(), stat.modified()?.duration_since(UNIX_EPOCH)?));
        }
    }
    Ok(Key::of(&parts.iter().map(String::as_str).collect::<Vec<_>>()))
}
