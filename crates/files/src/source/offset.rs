//! Offsets of records in files: an entry of the manifest and a row in it, in one number that a person can read.
//!
//! The row of a text is the number of the line among those that begin in the entry, so that a record's line in its file
//! is known from its offset and the lengths of the entries before. The price is that a start in the middle of an entry
//! reads it from its beginning: cutting 8 MiB of short lines takes some 20 ms of one core. A byte position would save
//! that, but bad records could not be told by their line.

/// Rows that an entry can have: `entry × STRIDE + row`.
const STRIDE: i64 = 1_000_000_000_000;

/// The offset of a row.
pub(super) fn pack(entry: u64, row: i64) -> i64 {
    i64::try_from(entry).unwrap_or(i64::MAX).saturating_mul(STRIDE).saturating_add(row)
}

/// The entry and row of an offset.
pub(super) fn unpack(offset: i64) -> (u64, i64) {
    (u64::try_from(offset / STRIDE).unwrap_or_default(), offset % STRIDE)
}

/// The first entry of a partition that an offset leaves to be read, and the row in it.
pub(super) fn next_entry(offset: i64, partition: u64, partitions: u64) -> (u64, i64) {
    let (entry, row) = unpack(offset);
    let before = entry.checked_rem(partitions).unwrap_or_default();
    let ahead = partition.saturating_add(partitions).saturating_sub(before).checked_rem(partitions).unwrap_or_default();
    if ahead == 0 { (entry, row) } else { (entry.saturating_add(ahead), 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_an_entry_and_a_row() {
        assert_eq!(pack(3, 17), 3_000_000_000_017);
        assert_eq!(unpack(pack(3, 17)), (3, 17));
        // Partition 2 of 8 has the entries 2, 10, 18, …
        assert_eq!(next_entry(0, 2, 8), (2, 0));
        assert_eq!(next_entry(pack(2, 5), 2, 8), (2, 5));
        assert_eq!(next_entry(pack(5, 0), 2, 8), (10, 0));
        assert_eq!(next_entry(pack(11, 0), 2, 8), (18, 0));
        assert_eq!(next_entry(pack(7, 9), 0, 1), (7, 9));
    }
}
