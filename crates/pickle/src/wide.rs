//! Lengths as numbers of 64 bits.

/// `usize` into `u64`; both have 64 bits on every machine that this runs on.
pub(crate) fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
