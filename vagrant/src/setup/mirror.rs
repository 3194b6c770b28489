//! Which Debian mirror the host itself uses.

use std::fs;
use std::path::Path;

/// What is used where the host names no mirror.
const DEFAULT: &str = "http://deb.debian.org/debian";

/// The keyring that signs Debian's archives.
pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The host's Debian mirror, from its apt sources (one-line and deb822 form alike).
#[must_use]
pub fn of_host(etc_apt: &Path) -> String {
    source_texts(etc_apt).iter().find_map(|text| find(text)).unwrap_or_else(|| DEFAULT.to_owned())
}

fn source_texts(etc_apt: &Path) -> Vec<String> {
    let mut files = vec![etc_apt.join("sources.list")];
    if let Ok(entries) = fs::read_dir(etc_apt.join("sources.list.d")) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect()
}

fn find(text: &str) -> Option<String> {
    find_one_line(text).or_else(|| text.split("\n\n").find_map(find_stanza))
}

/// `deb [options] URI SUITE main ...`
fn find_one_line(text: &str) -> Option<String> {
    text.lines().filter_map(|line| line.trim().strip_prefix("deb ")).find_map(|rest| {
        let rest = match rest.split_once(']') {
            Some((_, after)) if rest.trim_start().starts_with('[') => after,
            _ => rest,
        };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        (is_release(suite) && words.any(|word| word == "main")).then(|| uri.to_owned())
    })
}

/// A stanza of `Types:`, `URIs:`, `Suites:`, `Components:` lines.
fn find_stanza(stanza: &str) -> Option<String> {
    let field = |name: &str| {
        stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default()
    };
    let is_debian = field("Types").split_whitespace().any(|word| word == "deb")
        && field("Suites").split_whitespace().any(is_release)
        && field("Components").split_whitespace().any(|word| word == "main");
    is_debian.then(|| field("URIs").split_whitespace().next().map(str::to_owned)).flatten()
}

fn is_release(suite: &str) -> bool {
    matches!(suite, "bookworm" | "trixie" | "forky" | "sid" | "stable" | "oldstable" | "testing" | "unstable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deb822_sources_are_read_and_security_is_passed_over() {
        let text = "Types: deb\nURIs: http://mirror.test/debian-security\nSuites: bookworm-security\n\
                    Components: main\n\nTypes: deb\n# a comment\nURIs: http://mirror.test/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main contrib\n";
        assert_eq!(find(text).unwrap(), "http://mirror.test/debian");
    }

    #[test]
    fn one_line_sources_are_read() {
        let text = "# deb http://no.test/debian trixie main\n\
                    deb [arch=amd64 signed-by=/k] http://mirror.test/debian trixie main\n";
        assert_eq!(find(text).unwrap(), "http://mirror.test/debian");
    }

    #[test]
    fn strangers_are_no_mirror() {
        assert_eq!(find("deb http://else.test/apt cloud-sdk main\n"), None);
        assert_eq!(find("Types: deb\nURIs: http://else.test\nSuites: nodistro\nComponents: main\n"), None);
    }
}
