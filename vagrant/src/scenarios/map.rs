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

/// What the map names as a test, each with the letter that says where it stands: `S`, `M` or `U`, or nothing for a scenario. A letter counts
/// to the end of its line, cell or clause.
fn named(map: &str) -> Vec<(char, &str)> {
    map.split(['\n', '|', ';']).flat_map(in_clause).collect()
}

fn in_clause(clause: &str) -> Vec<(char, &str)> {
    let (mut letter, mut names) = (' ', Vec::new());
    for (index, piece) in clause.split('`').enumerate() {
        if index % 2 == 1 {
            names.push((letter, piece));
        } else if let Some(at) = ["S:", "M:", "U:"].iter().filter_map(|letter| piece.rfind(letter)).max() {
            letter = piece[at..].chars().next().unwrap_or(' ');
        }
    }
    names.retain(|(letter, name)| is_name(name, if *letter == ' ' { 2 } else { 1 }));
    names
}

/// Whether it may be a test's: of words, this many `_` at least between them. `*` stands for any end.
fn is_name(name: &str, least: usize) -> bool {
    let may_stand = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "_*".contains(char);
    name.chars().all(may_stand) && name.matches('_').count() >= least
}

/// Whether a source has a test of this name.
fn has(source: &str, name: &str) -> bool {
    match name.strip_suffix('*') {
        Some(begin) => source.contains(&format!("fn {begin}")),
        None => source.contains(&format!("fn {name}(")),
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let readme = read("tests/README.md");
    let (_, map) = readme.split_once("# Which test shows what").unwrap();
    let units = below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../src"));
    let (all, simulation, model) = (super::all(), search("simulation"), search("model"));
    let names = named(map);
    for letter in "SMU ".chars() {
        assert!(names.iter().any(|(other, _)| *other == letter), "nothing is named with {letter:?}");
    }
    for (letter, name) in names {
        let exists = match letter {
            'S' => has(&simulation, name),
            'M' => has(&model, name),
            'U' => has(&units, name),
            _ => all.iter().any(|scenario| scenario.name == name),
        };
        assert!(exists, "{letter}: {name} is no test");
    }
}

#[test]
fn a_letter_counts_to_the_end_of_its_clause() {
    let map = "| `R1` | `a_b_c`, `d_e_f`; S: `g_h`, `i_j` and M: `k_*`, U: `r_s`; `l_m_n` of `onStoreLoss` |\n`o_p_q`";
    let all = [' ', ' ', 'S', 'S', 'M', 'U', ' ', ' ']
        .into_iter()
        .zip(["a_b_c", "d_e_f", "g_h", "i_j", "k_*", "r_s", "l_m_n", "o_p_q"]);
    assert_eq!(named(map), all.collect::<Vec<_>>());
    assert!(has("fn k_one()", "k_*") && !has("fn k_one()", "k_two*") && !has("fn k_one()", "k"));
}
