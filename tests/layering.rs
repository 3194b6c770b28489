//! The house of ARCHITECTURE.md as a test: arrows point down, decisions know no world, files stay readable.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on shall stop"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the library, and what it may name of the others.
const MAY_NAME: [(&str, &[&str]); 14] = [
    ("domain", &[]),
    ("plan", &["domain"]),
    ("ports", &["domain", "plan"]),
    ("kernel", &["domain", "plan", "ports"]),
    ("wire", &["domain", "ports"]),
    ("store", &["domain", "ports", "wire"]),
    ("sim", &["domain", "plan", "ports"]),
    ("telemetry", &["domain", "plan", "ports"]),
    ("config", &["domain"]),
    ("daemon", &["domain", "plan", "ports", "kernel", "store", "sim", "telemetry", "config"]),
    ("api", &["domain", "plan", "ports", "wire", "daemon", "telemetry", "config"]),
    (
        "cli",
        &[
            "domain",
            "plan",
            "ports",
            "wire",
            "kernel",
            "store",
            "sim",
            "telemetry",
            "config",
            "daemon",
            "api",
        ],
    ),
    ("main", &["cli", "config"]),
    ("lib", &[]),
];

/// What a decision may not know, and why.
const NO_WORLD: [(&str, &str); 8] = [
    ("tokio", "decisions are synchronous"),
    ("std::fs", "decisions see the world in the observation"),
    ("std::net", "decisions see the world in the observation"),
    ("std::process", "no program is ever run"),
    ("std::thread", "decisions are sans-IO"),
    ("Instant", "`now` is an argument"),
    ("SystemTime", "`now` is an argument"),
    ("kernel_abi", "only the kernel's port touches the kernel"),
];

/// Where kernel-abi may be named.
const NEAR_THE_KERNEL: [&str; 4] = ["src/kernel.rs", "src/kernel/", "src/telemetry/dump", "src/cli/fs"];

const LONGEST: usize = 800;

struct Source {
    /// `src/plan/owner.rs`
    path: String,
    lines: Vec<String>,
}

impl Source {
    /// `plan` for `src/plan.rs` and everything below `src/plan/`.
    fn module(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap();
        inside.split(['/', '.']).next().unwrap()
    }

    /// Lines of code that count: neither comments nor tests, be they at the end of a file or a file of their own.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: &[String] = if self.path.ends_with("/tests.rs") { &[] } else { &self.lines };
        lines
            .iter()
            .enumerate()
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or("")))
            .take_while(|(_, line)| !line.contains("mod tests {"))
    }

    fn names(&self, word: &str) -> Vec<String> {
        let hits = self.code().filter(|(_, line)| has_word(line, word));
        hits.map(|(number, line)| format!("{}:{number}: {}", self.path, line.trim())).collect()
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !part_of_name(before.chars().next_back()) && !part_of_name(after.chars().next())
    })
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join("src"), &mut found);
    found.sort();
    let source = |path: PathBuf| Source {
        lines: fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect(),
        path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
    };
    let sources: Vec<Source> = found.into_iter().map(source).collect();
    assert!(sources.len() > 20, "found only {} sources", sources.len());
    sources
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

fn nothing(wrong: &[String], rule: &str) {
    assert!(wrong.is_empty(), "{rule}\n  {}", wrong.join("\n  "));
}

#[test]
fn decisions_know_no_world() {
    for (word, why) in NO_WORLD {
        let wrong: Vec<String> = sources()
            .iter()
            .filter(|source| ["domain", "plan"].contains(&source.module()))
            .flat_map(|source| source.names(word))
            .collect();
        nothing(&wrong, &format!("domain/ and plan/ name no {word}: {why}"));
    }
}

#[test]
fn arrows_point_down() {
    for source in sources() {
        let allowed = MAY_NAME.iter().find(|(module, _)| *module == source.module());
        let Some((_, allowed)) = allowed else {
            panic!("{}: module {} has no place in the house (MAY_NAME)", source.path, source.module());
        };
        for (other, _) in MAY_NAME.iter().filter(|(other, _)| *other != source.module()) {
            if !allowed.contains(other) {
                let mut wrong = source.names(&format!("crate::{other}"));
                wrong.extend(source.names(&format!("mdfabric::{other}")));
                nothing(&wrong, &format!("{} may not name {other}, which is not below it", source.module()));
            }
        }
    }
}

#[test]
fn only_the_kernels_port_touches_the_kernel() {
    let far = |source: &&Source| !NEAR_THE_KERNEL.iter().any(|near| source.path.starts_with(near));
    let wrong: Vec<String> =
        sources().iter().filter(far).flat_map(|source| source.names("kernel_abi")).collect();
    nothing(&wrong, "kernel_abi is named only by kernel/, telemetry/dump and the fs verbs");
}

#[test]
fn no_program_is_ever_run() {
    let wrong: Vec<String> = sources()
        .iter()
        .flat_map(|source| [source.names("std::process::Command"), source.names("Command::new")].concat())
        .collect();
    nothing(&wrong, "no program is ever run");
}

#[test]
fn files_stay_readable() {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| source.lines.len() > LONGEST)
        .map(|source| format!("{}: {} lines", source.path, source.lines.len()))
        .collect();
    nothing(&wrong, &format!("no file has more than {LONGEST} lines"));
}

#[test]
fn folders_have_their_file() {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| source.path.ends_with("/mod.rs"))
        .map(|source| format!("{}: use foo.rs beside foo/", source.path))
        .collect();
    nothing(&wrong, "there is no mod.rs");
}
