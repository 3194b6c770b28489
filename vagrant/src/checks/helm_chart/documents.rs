//! What stands beside the templates and has to fit: versions, the table of the values, and what the daemon can be told.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::setup::helm::Helm;

/// Where the daemon's settings by environment stand.
const SETTINGS: &str = "src/config/environment.rs";

pub(super) fn problems(helm: &Helm, workspace: &Path) -> Result<Vec<String>> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| path.display().to_string());
    let chart = helm.values(&helm.chart().join("Chart.yaml"))?;
    let values = helm.values(&helm.chart().join("values.yaml"))?;
    let readme = read(&helm.chart().join("README.md"))?;
    let cargo = read(&workspace.join("Cargo.toml"))?;
    let mut problems = of_versions(&chart, workspace_version(&cargo).context("no version in Cargo.toml")?);
    problems.extend(of_table(&values, &readme));
    let daemon = read(&helm.chart().join("templates/node/daemonset.yaml"))?;
    problems.extend(of_environment(&daemon, &read(&workspace.join(SETTINGS))?));
    Ok(problems)
}

/// A daemon that is told something that it does not know refuses to start.
pub(super) fn of_environment(template: &str, settings: &str) -> Vec<String> {
    let told = template.split("name: MDFABRIC_").skip(1);
    let keys = told.filter_map(|rest| rest.split([',', '}']).next());
    let unknown = keys.filter(|key| !settings.contains(&format!("\"{key}\" =>")));
    unknown.map(|key| format!("{SETTINGS} does not know MDFABRIC_{key}")).collect()
}

/// The version that all packages share: the first that Cargo.toml names as one.
fn workspace_version(cargo: &str) -> Option<&str> {
    let line = cargo.lines().find_map(|line| line.strip_prefix("version = "))?;
    Some(line.trim_matches('"'))
}

pub(super) fn of_versions(chart: &Value, workspace: &str) -> Vec<String> {
    let wrong = |key: &&&str| chart[**key].as_str() != Some(workspace);
    let told = |key: &&str| format!("Chart.yaml: {key} is {}, and the workspace's {workspace}", chart[*key]);
    ["version", "appVersion"].iter().filter(wrong).map(told).collect()
}

/// Every value has a row, its own or one of what it is a part of; and every row is of something that there is.
pub(super) fn of_table(values: &Value, readme: &str) -> Vec<String> {
    let (mut paths, mut leaves) = (BTreeSet::new(), Vec::new());
    walk(values, "", &mut paths, &mut leaves);
    let rows: BTreeSet<&str> = readme.lines().filter_map(row).collect();
    let is_covered = |leaf: &String| rows.iter().any(|row| is_part(leaf, row));
    let missing = leaves.iter().filter(|leaf| !is_covered(leaf));
    let missing = missing.map(|leaf| format!("README.md: no row for {leaf}"));
    let stale = rows.iter().filter(|row| !paths.contains(**row));
    missing
        .chain(stale.map(|row| format!("README.md: a row for {row}, which values.yaml does not have")))
        .collect()
}

/// The value that a row of a table is about: | `image.tag` | ...
fn row(line: &str) -> Option<&str> {
    line.strip_prefix("| `")?.split_once('`').map(|(path, _)| path)
}

fn is_part(leaf: &str, row: &str) -> bool {
    leaf.strip_prefix(row).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Everything that there is, and what has no further parts.
fn walk(value: &Value, path: &str, paths: &mut BTreeSet<String>, leaves: &mut Vec<String>) {
    paths.insert(path.to_owned());
    match value.as_object().filter(|parts| !parts.is_empty()) {
        Some(parts) => {
            for (key, part) in parts {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(part, &path, paths, leaves);
            }
        }
        None => leaves.push(path.to_owned()),
    }
}
