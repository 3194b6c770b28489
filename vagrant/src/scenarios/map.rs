//! tests/README.md says which test shows what: all of that is so.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The sources of a search and of its modules.
fn search(name: &str) -> String {
    let dir = format!("tests/{name}");
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&dir)).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let more: String = names.map(|name| read(&format!("{dir}/{name}"))).collect();
    read(&format!("{dir}.rs")) + &more
}

/// All sources of a folder and of those in it.
fn below(folder: &Path) -> String {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| if path.is_dir() { below(&path) } else { fs::read_to_string(path).unwrap() }).collect()
}

#[test]
fn every_scenario_is_told() {
    let told = read("tests/README.md");
    for scenario in super::all() {
        assert!(told.contains(&format!("| `{}` |", scenario.name)), "{} has no line", scenario.name);
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let readme = read("tests/README.md");
    let (_, map) = readme.split_once("# Which test shows what").unwrap();
    let units = below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../src"));
    let (all, tests) = (super::all(), search("simulation") + &search("model") + &units);
    let names = map.split('`').skip(1).step_by(2);
    for name in names.filter(|name| name.matches('_').count() > 1) {
        let plays = all.iter().any(|scenario| scenario.name == name);
        let named = name.strip_suffix('*').map_or_else(|| format!("fn {name}("), |some| format!("fn {some}"));
        assert!(plays || tests.contains(&named), "{name} is no test");
    }
}
