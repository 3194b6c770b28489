//! The rule that keeps the host's udev away from members of our arrays.

use std::fs;
use std::io;
use std::path::Path;

use kernel_abi::Root;

/// What it says, and why.
const RULE: &str = include_str!("../../deploy/udev/59-mdfabric.rules");
const NAME: &str = "59-mdfabric.rules";
/// Where udev looks for rules, below the root.
const FOLDERS: [&str; 4] =
    ["etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d"];

/// What became of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Put {
    Done,
    AlreadySo,
}

/// Puts the rule into `folder`, where udevd notices it by itself. Nobody depends on it, and not every host has a udev that meddles: what
/// goes wrong is logged, and every look at what this machine lacks tells of it.
pub fn put_udev_rule(folder: &Path) {
    let place = folder.display();
    match put(folder) {
        Ok(Put::Done) => tracing::info!(%place, "the udev rule was put there"),
        Ok(Put::AlreadySo) => tracing::debug!(%place, "the udev rule is there"),
        Err(error) => tracing::warn!(
            %place, %error,
            "the udev rule could not be put there: on a host with mdadm, udev may take members of our arrays"
        ),
    }
}

/// In one move, so that udevd never reads half of it.
fn put(folder: &Path) -> io::Result<Put> {
    let place = folder.join(NAME);
    if fs::read(&place).is_ok_and(|there| there == RULE.as_bytes()) {
        return Ok(Put::AlreadySo);
    }
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!("{NAME}.new"));
    fs::write(&draft, RULE)?;
    fs::rename(&draft, &place)?;
    Ok(Put::Done)
}

/// Where the rule is; or that udev goes without.
pub(super) fn find(root: &Root) -> Result<String, String> {
    let there = FOLDERS.iter().map(|folder| format!("{folder}/{NAME}")).find(|path| root.exists(path));
    match there {
        Some(path) => Ok(format!("/{path}")),
        None if !root.exists("run/udev") => Ok("no udev to be seen".to_owned()),
        None => Err(format!(
            "{NAME} is in none of /{}: on a host with mdadm, udev may take members of our arrays; the log says why it could not be put there, \
             if it was to be",
            FOLDERS.join(", /")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_put_once_and_renewed_where_it_is_an_old_one() {
        let machine = tempfile::tempdir().unwrap();
        let folder = machine.path().join("run/udev/rules.d");
        assert_eq!(put(&folder).unwrap(), Put::Done);
        assert_eq!(put(&folder).unwrap(), Put::AlreadySo);
        fs::write(folder.join(NAME), "an old one").unwrap();
        assert_eq!(put(&folder).unwrap(), Put::Done);
        assert_eq!(fs::read_to_string(folder.join(NAME)).unwrap(), RULE);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_host_that_cannot_take_it_is_told_of_and_that_is_all() {
        let machine = tempfile::tempdir().unwrap();
        let root = Root::at(machine.path());
        assert_eq!(find(&root), Ok("no udev to be seen".to_owned()));
        fs::create_dir_all(machine.path().join("run/udev")).unwrap();
        let in_the_way = machine.path().join("run/udev/rules.d");
        fs::write(&in_the_way, "not a folder").unwrap();
        put_udev_rule(&in_the_way);
        let lacks = find(&root).unwrap_err();
        assert!(lacks.contains("/run/udev/rules.d") && lacks.contains("the log says why"), "{lacks}");
        fs::remove_file(&in_the_way).unwrap();
        put_udev_rule(&in_the_way);
        assert_eq!(find(&root), Ok("/run/udev/rules.d/59-mdfabric.rules".to_owned()));
    }
}
