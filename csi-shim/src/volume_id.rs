//! Volumes by the names CSI gives them. The id of a volume is the name that the daemon knows it by.

use uuid::Uuid;

/// The daemon's name for what CSI calls `name`: the same if the daemon allows it, else one that is always made of it.
#[must_use]
pub fn of(name: &str) -> String {
    if is_label(name) {
        return name.to_owned();
    }
    format!("csi-{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()))
}

/// Whether the daemon could know a volume of that name.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| plain(byte) || matches!(byte, b'-' | b'.'))
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mdfabric::domain::VolumeName;

    #[test]
    fn names_that_the_daemon_allows_are_kept_and_others_become_some() {
        let (long, umlaut) = ("x".repeat(64), "möve".to_owned());
        for name in ["pvc-1f", "a.b", "", "-a", "a-", "A", "a/b", "a b", &long, &umlaut] {
            assert_eq!(name.parse::<VolumeName>().is_ok(), is_label(name), "{name}");
            assert_eq!(of(name) == name, is_label(name), "{name}");
            of(name).parse::<VolumeName>().unwrap();
            assert_eq!(of(name), of(name));
        }
        assert_ne!(of("A"), of("B"));
    }
}
