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
    let (all, searches) = (super::all(), search("simulation") + &search("model"));
    let names = map.split('`').skip(1).step_by(2);
    for name in names.filter(|name| name.matches('_').count() > 1 && !name.contains('*')) {
        let plays = all.iter().any(|scenario| scenario.name == name);
        assert!(plays || searches.contains(&format!("fn {name}(")), "{name} is no test");
    }
}
