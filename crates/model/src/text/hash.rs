//! MurmurHash3 of 32 bits, by which the hashing vectorizers place their terms.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "wraps by intent")]

/// The hash of some bytes with seed 0, as a signed number.
pub(crate) fn murmur3(bytes: &[u8]) -> i32 {
    const FIRST: u32 = 0xcc9e_2d51;
    const SECOND: u32 = 0x1b87_3593;
    let scramble = |block: u32| block.wrapping_mul(FIRST).rotate_left(15).wrapping_mul(SECOND);
    let (blocks, rest) = bytes.as_chunks::<4>();
    let mut hash = blocks.iter().fold(0u32, |hash, block| {
        (hash ^ scramble(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    let mut tail = [0; 4];
    tail[..rest.len()].copy_from_slice(rest);
    hash ^= scramble(u32::from_le_bytes(tail));
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    (hash ^ (hash >> 16)) as i32
}

/// Which of this many columns (at least one) a hash is counted in.
pub(crate) fn place(hash: i32, columns: u32) -> u32 {
    match hash {
        i32::MIN => (i32::MAX as u32 - (columns - 1)) % columns,
        hash => hash.unsigned_abs() % columns,
    }
}

#[cfg(test)]
mod tests {
    use super::murmur3;

    /// What `sklearn.utils.murmurhash3_32` gives.
    #[test]
    fn hashes_are_those_of_the_library() {
        let known =
            [("", 0), ("foo", -156908512), ("brain", 512480045), ("हिन्दी", 597582042), ("a longer text", -13566128)];
        let hashes = known.map(|(text, _)| murmur3(text.as_bytes()));
        assert_eq!(hashes, known.map(|(_, hash)| hash));
    }
}
