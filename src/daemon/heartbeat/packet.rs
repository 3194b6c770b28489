//! One heartbeat as bytes. Integers are little-endian.
//!
//! ```text
//! 0     4        5      6     22        30            31      31 + n    35 + n
//! | mdfb | version | flags | life | sequence | name length n | name | CRC-32C |
//! ```

use uuid::Uuid;

use crate::domain::NodeName;
use crate::plan::Beat;

const MAGIC: [u8; 4] = *b"mdfb";
/// Of this layout. A daemon that does not know a version is silent to who sends it.
const VERSION: u8 = 1;
const ASKS: u8 = 1;
const GOES_DOWN: u8 = 2;
/// Without the name and the checksum.
const FIXED_BYTES: usize = 31;
const CHECKSUM_BYTES: usize = 4;
/// The longest packet there is.
pub(super) const MAX_BYTES: usize = FIXED_BYTES + u8::MAX as usize + CHECKSUM_BYTES;

/// Nothing for a name that is longer than 255 bytes; there is none.
pub(super) fn encode(from: &NodeName, beat: &Beat) -> Option<Vec<u8>> {
    let name = from.as_str().as_bytes();
    let flags = if beat.asks { ASKS } else { 0 } | if beat.goes_down { GOES_DOWN } else { 0 };
    let mut bytes = Vec::with_capacity(MAX_BYTES);
    bytes.extend(MAGIC);
    bytes.extend([VERSION, flags]);
    bytes.extend(beat.life.as_bytes());
    bytes.extend(beat.sequence.to_le_bytes());
    bytes.push(u8::try_from(name.len()).ok()?);
    bytes.extend(name);
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    Some(bytes)
}

/// Who sent a beat, and what it says; `None` for anything else that came.
pub(super) fn decode(bytes: &[u8]) -> Option<(NodeName, Beat)> {
    let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    let rest = body.strip_prefix(&MAGIC)?.strip_prefix(&[VERSION])?;
    let (&[flags], rest) = rest.split_first_chunk::<1>()?;
    let (life, rest) = rest.split_first_chunk::<16>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (&[length], name) = rest.split_first_chunk::<1>()?;
    let known = flags & !(ASKS | GOES_DOWN) == 0;
    let whole = name.len() == usize::from(length) && crc32c::crc32c(body).to_le_bytes() == *checksum;
    let name = std::str::from_utf8(name).ok().filter(|_| known && whole)?.parse().ok()?;
    let beat = Beat {
        life: Uuid::from_bytes(*life),
        sequence: u64::from_le_bytes(*sequence),
        asks: flags & ASKS != 0,
        goes_down: flags & GOES_DOWN != 0,
    };
    Some((name, beat))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn beats() -> impl Strategy<Value = (NodeName, Beat)> {
        let parts = ("[a-z][a-z0-9-]{0,30}[a-z0-9]", any::<(u128, u64, bool, bool)>());
        parts.prop_map(|(name, (life, sequence, asks, goes_down))| {
            (name.parse().unwrap(), Beat { life: Uuid::from_u128(life), sequence, asks, goes_down })
        })
    }

    proptest! {
        #[test]
        fn a_beat_comes_back_as_it_was((name, beat) in beats()) {
            let bytes = encode(&name, &beat).unwrap();
            prop_assert!(bytes.len() <= MAX_BYTES);
            prop_assert_eq!(decode(&bytes), Some((name, beat)));
        }

        #[test]
        fn a_beat_that_was_changed_or_cut_is_none((name, beat) in beats(), at: prop::sample::Index, bit in 0_u8..8) {
            let whole = encode(&name, &beat).unwrap();
            let at = at.index(whole.len());
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            prop_assert_eq!(decode(&changed), None);
            prop_assert_eq!(decode(&whole[..at]), None);
        }

        #[test]
        fn any_bytes_are_a_beat_or_nothing(bytes: Vec<u8>) {
            drop(decode(&bytes));
        }

        /// What a checksum does not catch: somebody who knows how to make one.
        #[test]
        fn any_body_under_a_true_checksum_is_a_beat_or_nothing(rest: Vec<u8>) {
            let mut bytes = [&MAGIC[..], &[VERSION], &rest].concat();
            bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
            drop(decode(&bytes));
        }
    }
}
