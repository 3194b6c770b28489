//! The Vagrantfile as Vagrant itself reads it, for each provider it is written for. Neither has to be there: what is asked of
//! `VirtualBox` before its part is read is only the version, and a script of ours tells one.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::setup::cache::Cache;

const PROVIDERS: [&str; 2] = ["libvirt", "virtualbox"];
/// Stands in for `VirtualBox`.
const VBOX_MANAGE: &str = "#!/bin/sh\necho 7.0.20r163906\n";

/// Evaluates all nodes for every provider; settings that a provider does not have are errors.
pub(super) fn check(cache: &Cache) -> Result<()> {
    let work = cache.target().join("vagrant");
    fs::create_dir_all(&work)?;
    let stand_in = work.join("VBoxManage");
    fs::write(&stand_in, VBOX_MANAGE)?;
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755))?;
    let house = cache.workspace().join("vagrant");
    PROVIDERS.iter().try_for_each(|provider| {
        validate(&house, &work, provider).with_context(|| format!("the Vagrantfile, for {provider}"))
    })
}

fn validate(house: &Path, work: &Path, provider: &str) -> Result<()> {
    let mut vagrant = Command::new("vagrant");
    vagrant.arg("validate").current_dir(house);
    vagrant.env("VAGRANT_DEFAULT_PROVIDER", provider).env("PATH", path_with(work)?);
    vagrant.env("VAGRANT_HOME", work.join("home")).env("VAGRANT_DOTFILE_PATH", work.join("nodes"));
    // Any program will do for what is only looked for.
    vagrant.env("MDFABRIC_BINARY", std::env::current_exe()?).env("VAGRANT_CHECKPOINT_DISABLE", "1");
    command::run(&mut vagrant)
}

/// The search path, with `work` before all else.
fn path_with(work: &Path) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths([work.to_path_buf()].into_iter().chain(std::env::split_paths(&path)))?)
}
