//! Images of containers as files: the archive that `docker save` writes and `ctr images import` reads, one layer each.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Write, empty};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

/// An image.
#[derive(Debug, Clone)]
pub(super) struct Image {
    /// What a pod calls it: `registry/repository:tag`.
    pub(super) reference: String,
    /// What runs where a pod names no command.
    pub(super) entrypoint: String,
    /// Everything in it: a path from its root without the `/`, and what is there.
    pub(super) content: Vec<(String, Content)>,
}

/// What is at a path of an image.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A program, as it stands on the host.
    Program(PathBuf),
    /// A symbolic link to this.
    Link(String),
    /// A directory with this mode.
    Directory(u32),
}

/// Writes the archive. The same image gives the same bytes: times and owners are zero.
pub(super) fn write(image: &Image, archive: &Path) -> Result<()> {
    let layer = layer(image).with_context(|| image.reference.clone())?;
    let config = serde_json::to_vec(&config(image, &hex(&layer)))?;
    let name = format!("{}.json", hex(&config));
    let manifest = json!([{"Config": name, "RepoTags": [image.reference], "Layers": ["layer.tar"]}]);
    let mut tar = Builder::new(File::create(archive)?);
    let manifest = serde_json::to_vec(&manifest)?;
    for (path, data) in [("layer.tar", layer), (&name, config), ("manifest.json", manifest)] {
        add(&mut tar, path, 0o644, &data)?;
    }
    Ok(tar.finish()?)
}

fn layer(image: &Image) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for (path, content) in &image.content {
        match content {
            Content::Program(file) => {
                add(&mut tar, path, 0o755, &fs::read(file).with_context(|| file.display().to_string())?)?;
            }
            Content::Link(target) => tar.append_link(&mut header(EntryType::Symlink, 0o777), path, target)?,
            Content::Directory(mode) => {
                tar.append_data(&mut header(EntryType::Directory, *mode), path, empty())?;
            }
        }
    }
    Ok(tar.into_inner()?)
}

fn add(tar: &mut Builder<impl Write>, path: &str, mode: u32, data: &[u8]) -> Result<()> {
    let mut header = header(EntryType::Regular, mode);
    header.set_size(u64::try_from(data.len())?);
    Ok(tar.append_data(&mut header, path, data)?)
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_mtime(0);
    header
}

/// As `opencontainers/image-spec`, `config.md`.
fn config(image: &Image, layer: &str) -> Value {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": [image.entrypoint], "Env": ["PATH=/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        "history": [{"created_by": "lab"}],
    })
}

fn hex(data: &[u8]) -> String {
    digest(&SHA256, data).as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn files(archive: &Path) -> Vec<(String, Vec<u8>)> {
        let mut tar = tar::Archive::new(File::open(archive).unwrap());
        let read = |entry: std::io::Result<tar::Entry<'_, File>>| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        };
        tar.entries().unwrap().map(read).collect()
    }

    #[test]
    fn an_archive_names_its_parts_by_what_is_in_them() {
        let dir = std::env::temp_dir().join(format!("lab-archive-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("program"), "#!").unwrap();
        let image = Image {
            reference: "example.org/a/b:1".into(),
            entrypoint: "/bin/b".into(),
            content: vec![
                ("bin/b".into(), Content::Program(dir.join("program"))),
                ("bin/c".into(), Content::Link("b".into())),
                ("tmp".into(), Content::Directory(0o1777)),
            ],
        };
        let [one, other] = ["one", "other"].map(|name| dir.join(name));
        write(&image, &one).unwrap();
        write(&image, &other).unwrap();
        assert_eq!(fs::read(&one).unwrap(), fs::read(&other).unwrap());
        let files = files(&one);
        let json = |at: usize| serde_json::from_slice::<Value>(&files[at].1).unwrap();
        let (config, manifest) = (json(1), json(2));
        assert_eq!(manifest[0]["Config"], files[1].0);
        assert_eq!(manifest[0]["RepoTags"][0], "example.org/a/b:1");
        assert_eq!(files[1].0, format!("{}.json", hex(&files[1].1)));
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&files[0].1)));
        assert_eq!(hex(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        fs::remove_dir_all(dir).unwrap();
    }
}
