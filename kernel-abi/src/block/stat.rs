//! What a block device has done since it is there.

/// Writes of a device, from `/sys/block/*/stat`.
#[doc(alias = "disk_stats")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteStat {
    /// Writes that are over.
    pub done: u64,
    /// What they took together, milliseconds.
    pub millis: u64,
    /// Requests under way, reads included.
    pub in_flight: u64,
}

impl WriteStat {
    /// Reads the fields of one line: writes are the 5th, their time the 8th, what is in flight the 9th
    /// (`Documentation/block/stat.rst`). `None` when there are fewer, or other things than numbers.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_whitespace().map(|field| field.parse().ok());
        Some(Self { done: fields.nth(4)??, millis: fields.nth(2)??, in_flight: fields.next()?? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a guest's array on kernel 6.12.
    const LINE: &str = "    6512        0   417024     1208     2657        0   151032    81744        2    35116    82952        0        0        0        0        0        0\n";

    #[test]
    fn the_fields_about_writes_are_read() {
        let stat = WriteStat::parse(LINE).unwrap();
        assert_eq!(stat, WriteStat { done: 2657, millis: 81744, in_flight: 2 });
    }

    #[test]
    fn what_is_no_such_line_is_nothing() {
        for text in ["", "1 2 3", "a b c d e f g h i j k", "1 1 1 1 1 1 1 -1 1"] {
            assert_eq!(WriteStat::parse(text), None, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            if let Some(stat) = WriteStat::parse(&text) {
                proptest::prop_assert!(text.contains(&stat.done.to_string()));
            }
        }
    }
}
