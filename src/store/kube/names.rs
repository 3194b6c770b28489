//! What an object is called for the name of a record.
//!
//! A name that can be an object's is one. Any other, such as the serial number of a drive, is made into one that people
//! recognise, with digits that keep it apart from all others, and stands in an annotation as it is.

use kube::api::DynamicObject;
use uuid::Uuid;

/// The record's name where it is not the object's.
pub(super) const NAME: &str = "mdfabric.io/name";
/// The longest name of an object, bytes.
const LONGEST: usize = 253;
/// Digits that keep names apart.
const DIGITS: usize = 12;

/// The object's name for a record's.
pub(super) fn object(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { made(name) }
}

/// A record's name where the object's does not say it.
pub(super) fn annotation(name: &str) -> Option<&str> {
    Some(name).filter(|name| !is_plain(name))
}

/// The record's name for an object; or why no record can have it.
pub(super) fn of(object_: &DynamicObject) -> Result<String, String> {
    let name = claimed(object_);
    if object_.metadata.name.as_deref() == Some(object(&name).as_str()) {
        Ok(name)
    } else {
        Err(crate::store::BAD_NAME.to_owned())
    }
}

/// The name that an object says it is for.
pub(super) fn claimed(object: &DynamicObject) -> String {
    let annotated = object.metadata.annotations.as_ref().and_then(|annotations| annotations.get(NAME));
    annotated.or(object.metadata.name.as_ref()).cloned().unwrap_or_default()
}

/// Whether a name is one that an object can have: a DNS subdomain.
fn is_plain(name: &str) -> bool {
    name.len() <= LONGEST && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    label.bytes().all(|byte| plain(byte) || byte == b'-')
        && label.bytes().next().is_some_and(plain)
        && label.bytes().last().is_some_and(plain)
}

fn made(name: &str) -> String {
    let mut digits = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).simple().to_string();
    digits.truncate(DIGITS);
    let words: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut readable = words.join("-").to_ascii_lowercase();
    readable.truncate(LONGEST - DIGITS - 1);
    if readable.is_empty() { digits } else { format!("{readable}-{digits}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_name_is_one() {
        for plain in ["pvc-1.a", "0", &"a".repeat(63), "6f9619ff-8b86-4011-b42d-00cf4fc964ff"] {
            assert_eq!((object(plain).as_str(), annotation(plain)), (plain, None));
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_made_into_one_of_its_own() {
        let odd = [
            "QM00001",
            "qm00001 ",
            "",
            "a..b",
            "a.-b",
            "x\0",
            "é",
            "A/b",
            &"!".repeat(300),
            &"B".repeat(300),
        ];
        let made: std::collections::BTreeSet<String> = odd.iter().map(|name| object(name)).collect();
        assert_eq!(made.len(), odd.len());
        assert!(made.iter().all(|name| is_plain(name)), "{made:?}");
        assert!(object("QM00001").starts_with("qm00001-"));
    }
}
