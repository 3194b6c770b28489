//! The kernel's text of an event.

use std::collections::BTreeMap;

use super::Uevent;
use crate::ParseError;

/// The kernel's own limit is `UEVENT_NUM_ENVP` 64; some room for newer ones.
const MAX_PROPERTIES: usize = 256;

pub(super) fn parse(message: &[u8]) -> Result<Uevent, ParseError> {
    let wrong = |why: &str| ParseError::new("uevent", format!("{why}: {:?}", shown(message)));
    let mut parts = message.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    let head = parts.next().map(String::from_utf8_lossy).ok_or_else(|| wrong("empty"))?;
    let (action, devpath) = head.split_once('@').ok_or_else(|| wrong("no ACTION@DEVPATH"))?;
    if action.is_empty() || !devpath.starts_with('/') {
        return Err(wrong("no ACTION@DEVPATH"));
    }
    let properties: BTreeMap<_, _> = parts.take(MAX_PROPERTIES).filter_map(property).collect();
    let of = |key: &str| properties.get(key).map(String::as_str);
    Ok(Uevent {
        action: action.into(),
        devpath: devpath.to_owned(),
        subsystem: of("SUBSYSTEM").ok_or_else(|| wrong("no SUBSYSTEM"))?.to_owned(),
        seqnum: of("SEQNUM").and_then(|number| number.parse().ok()).unwrap_or_default(),
        properties,
    })
}

/// What stands without `=` is no property; bytes that are not UTF-8 become U+FFFD.
fn property(text: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(text);
    let (key, value) = text.split_once('=')?;
    Some((key.to_owned(), value.to_owned()))
}

fn shown(message: &[u8]) -> String {
    String::from_utf8_lossy(message).chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::uevent::Action;
    use proptest::prelude::*;

    const RESIZE: &[u8] = b"change@/devices/virtual/block/md127\0ACTION=change\0DEVPATH=/devices/virtual/block/md127\0\
        SUBSYSTEM=block\0RESIZE=1\0MAJOR=9\0MINOR=127\0DEVNAME=md127\0DEVTYPE=disk\0DISKSEQ=12\0SEQNUM=2871\0";

    #[test]
    fn a_message_of_the_kernel_is_read() {
        let event = parse(RESIZE).unwrap();
        assert_eq!(
            (event.action.clone(), event.subsystem.as_str(), event.seqnum),
            (Action::Change, "block", 2871)
        );
        assert_eq!((event.property("RESIZE"), event.property("NONE")), (Some("1"), None));
        assert_eq!(event.devpath, "/devices/virtual/block/md127");
    }

    #[test]
    fn udevds_own_messages_are_not_the_kernels() {
        assert!(parse(b"libudev\0\xfe\xed\xca\xfe").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600), cut in 0..RESIZE.len()) {
            let _ = parse(&bytes);
            let _ = parse(&RESIZE[..cut]);
        }

        #[test]
        fn any_properties_are_bounded(count in 0usize..2000) {
            let mut message = b"add@/x\0SUBSYSTEM=block\0".to_vec();
            (0..count).for_each(|n| message.extend(format!("K{n}=v\0").bytes()));
            prop_assert!(parse(&message).unwrap().properties.len() <= super::MAX_PROPERTIES);
        }
    }
}
