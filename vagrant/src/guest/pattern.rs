//! The content of a block: a function of seed, place and version, and its own witness.

use super::BLOCK;

const MAGIC: u64 = u64::from_le_bytes(*b"MDFBLOCK");

/// Words before the filling: magic, seed, block number, version.
const HEADER_WORDS: usize = 4;

/// What a block says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Never written: all zero.
    Blank,
    /// Whole, written as this version.
    Version(u64),
    /// Neither: torn, foreign, or of another place.
    Damaged,
}

/// Fills `block` (4096 bytes) with the content of block `number` at `version`.
pub fn fill(block: &mut [u8], seed: u64, number: u64, version: u64) {
    let words = header(seed, number, version).into_iter().chain(filling(seed, number, version));
    for (chunk, word) in block.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
}

/// What `block`, found at block `number`, is.
#[must_use]
pub fn read(block: &[u8], seed: u64, number: u64) -> Content {
    if block.iter().all(|byte| *byte == 0) {
        return Content::Blank;
    }
    let version = words(block).nth(3).unwrap_or_default();
    let wanted = header(seed, number, version).into_iter().chain(filling(seed, number, version));
    if block.len() == BLOCK && words(block).eq(wanted.take(BLOCK / 8)) {
        Content::Version(version)
    } else {
        Content::Damaged
    }
}

fn words(block: &[u8]) -> impl Iterator<Item = u64> {
    block.chunks_exact(8).map(|chunk| chunk.try_into().map(u64::from_le_bytes).unwrap_or_default())
}

fn header(seed: u64, number: u64, version: u64) -> [u64; HEADER_WORDS] {
    [MAGIC, seed, number, version]
}

fn filling(seed: u64, number: u64, version: u64) -> impl Iterator<Item = u64> {
    let mut dice = Dice::new(seed ^ number.rotate_left(20) ^ version.rotate_left(44));
    std::iter::repeat_with(move || dice.throw())
}

/// A row of numbers that depends on its seed alone (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The row of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// The next number below `limit`; 0 for a limit of 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.throw().checked_rem(limit).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_its_own_witness() {
        let mut block = vec![0; BLOCK];
        assert_eq!(read(&block, 7, 3), Content::Blank);
        fill(&mut block, 7, 3, 99);
        assert_eq!(read(&block, 7, 3), Content::Version(99));
        assert_eq!(read(&block, 7, 4), Content::Damaged, "another place");
        assert_eq!(read(&block, 8, 3), Content::Damaged, "another seed");
        block[4000] ^= 1;
        assert_eq!(read(&block, 7, 3), Content::Damaged, "one bit");
    }

    #[test]
    fn a_torn_block_is_damaged() {
        let (mut old, mut new) = (vec![0; BLOCK], vec![0; BLOCK]);
        fill(&mut old, 1, 0, 1);
        fill(&mut new, 1, 0, 2);
        old[..512].copy_from_slice(&new[..512]);
        assert_eq!(read(&old, 1, 0), Content::Damaged);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_get_a_verdict(block: Vec<u8>, seed: u64, number: u64) {
            let blank = block.iter().all(|byte| *byte == 0);
            proptest::prop_assert_eq!(read(&block, seed, number), if blank { Content::Blank } else { Content::Damaged });
        }
    }
}
