//! The log of acknowledged writes: records of 32 bytes, little endian, written outside the node.

/// One acknowledged write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// First block.
    pub block: u64,
    /// How many blocks.
    pub count: u32,
    /// The version all of them got.
    pub version: u64,
    /// When it was acknowledged: nanoseconds of the writer's own clock since its start.
    pub nanos: u64,
}

const MAGIC: u32 = u32::from_le_bytes(*b"ACK1");

/// Bytes of one record.
pub const RECORD: usize = 32;

impl Ack {
    /// The record's bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; RECORD] {
        let head = u64::from(MAGIC) | u64::from(self.count) << 32;
        let mut bytes = [0; RECORD];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip([head, self.block, self.version, self.nanos]) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The record in `bytes`; nothing when it is none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (chunks, _) = bytes.as_chunks::<8>();
        let [head, block, version, nanos] = *<&[[u8; 8]; 4]>::try_from(chunks).ok()?;
        let (magic, count) = split(u64::from_le_bytes(head));
        let word = u64::from_le_bytes;
        (magic == MAGIC).then_some(Self {
            block: word(block),
            count,
            version: word(version),
            nanos: word(nanos),
        })
    }
}

fn split(head: u64) -> (u32, u32) {
    let low = u32::try_from(head & u64::from(u32::MAX)).unwrap_or_default();
    (low, u32::try_from(head >> 32).unwrap_or_default())
}

/// All records of a log; a last one that a power cut shortened is left out. Nothing when the log is damaged.
#[must_use]
pub fn parse(log: &[u8]) -> Option<Vec<Ack>> {
    log.chunks_exact(RECORD).map(Ack::from_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: Ack = Ack { block: 5, count: 16, version: 1 << 40, nanos: 77 };

    #[test]
    fn records_survive_the_log() {
        let mut log = ACK.to_bytes().to_vec();
        log.extend(Ack { version: 2, ..ACK }.to_bytes());
        log.extend([1, 2, 3]);
        assert_eq!(parse(&log).unwrap(), [ACK, Ack { version: 2, ..ACK }]);
    }

    #[test]
    fn a_damaged_log_is_no_log() {
        let mut log = ACK.to_bytes();
        log[0] ^= 1;
        assert_eq!(parse(&log), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(log: Vec<u8>) {
            if let Some(acks) = parse(&log) {
                let again: Vec<u8> = acks.iter().flat_map(|ack| ack.to_bytes()).collect();
                proptest::prop_assert_eq!(&again[..], &log[..again.len()]);
            }
        }
    }
}
