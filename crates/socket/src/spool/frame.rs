//! A frame: the lines of one append, under one checksum.
//!
//! 24 bytes of header (magic, checksum, payload length, number of lines, offset of the first line; little endian), then
//! the payload. Each line is its length (the two highest bits tell a flaw), its time, of a flawed line its whole size,
//! and its bytes. The checksum begins with the spool's id, which peers do not know: no line can pass for a frame.

use crate::lines::{Flaw, Line, Lines};

const MAGIC: [u8; 4] = *b"fsp1";

/// Bytes of a header.
pub(super) const HEADER: usize = 24;

const TOO_LONG: u32 = 1 << 31;
const BROKEN: u32 = 1 << 30;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    sum: u32,
    /// Bytes of the payload.
    pub(super) length: u32,
    /// Lines.
    pub(super) count: u32,
    /// The first line's offset.
    pub(super) first: i64,
}

/// The frame's bytes.
pub(super) fn encode(id: uuid::Uuid, first: i64, group: &[Lines]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    let mut count = 0u32;
    for line in group.iter().flat_map(|lines| lines.iter_from(0)) {
        let (bits, size) = match line.flaw {
            None => (0, None),
            Some(Flaw::TooLong { size }) => (TOO_LONG, Some(size)),
            Some(Flaw::Broken { size }) => (BROKEN, Some(size)),
        };
        bytes.extend((line.bytes.len() as u32 | bits).to_le_bytes());
        bytes.extend(line.time.to_le_bytes());
        bytes.extend(size.iter().flat_map(|size| size.to_le_bytes()));
        bytes.extend(line.bytes);
        count = count.saturating_add(1);
    }
    let (header, payload) = bytes.split_at_mut(HEADER);
    let mut fields = Header { sum: 0, length: payload.len() as u32, count, first };
    fields.sum = fields.checksum(id, payload);
    header.copy_from_slice(&fields.encode());
    bytes
}

impl Header {
    fn encode(&self) -> [u8; HEADER] {
        let (sum, length, count) = (self.sum.to_le_bytes(), self.length.to_le_bytes(), self.count.to_le_bytes());
        let mut bytes = [0; HEADER];
        let fields = MAGIC.into_iter().chain(sum).chain(length).chain(count).chain(self.first.to_le_bytes());
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads a header; `None` where the bytes are not one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
        let mut rest = bytes.strip_prefix(&MAGIC)?;
        let (sum, length, count) = (word(&mut rest)?, word(&mut rest)?, word(&mut rest)?);
        Some(Header { sum, length, count, first: long(&mut rest)? })
    }

    /// The byte behind the frame, which begins at this one.
    pub(super) fn behind(&self, at: u64) -> u64 {
        at.saturating_add(HEADER as u64).saturating_add(self.length.into())
    }

    /// The offset behind its last line.
    pub(super) fn end(&self) -> i64 {
        self.first.saturating_add(self.count.into())
    }

    /// Whether the payload is the one that was written.
    pub(super) fn fits(&self, id: uuid::Uuid, payload: &[u8]) -> bool {
        self.sum == self.checksum(id, payload)
    }

    fn checksum(&self, id: uuid::Uuid, payload: &[u8]) -> u32 {
        let mut sum = flate2::Crc::new();
        sum.update(id.as_bytes());
        sum.update(&Header { sum: 0, ..*self }.encode());
        sum.update(payload);
        sum.sum()
    }
}

/// The next line of a payload, which shrinks by it.
pub(super) fn line<'a>(payload: &mut &'a [u8]) -> Option<Line<'a>> {
    let word = word(payload)?;
    let time = long(payload)?;
    let flaw = match word & (TOO_LONG | BROKEN) {
        0 => None,
        TOO_LONG => Some(Flaw::TooLong { size: long(payload)? as u64 }),
        _ => Some(Flaw::Broken { size: long(payload)? as u64 }),
    };
    let (bytes, rest) = payload.split_at_checked((word & !(TOO_LONG | BROKEN)) as usize)?;
    *payload = rest;
    Some(Line { bytes, time, flaw })
}

fn word(bytes: &mut &[u8]) -> Option<u32> {
    let (word, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*word))
}

fn long(bytes: &mut &[u8]) -> Option<i64> {
    let (long, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(i64::from_le_bytes(*long))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_and_any_change_is_seen() {
        let mut lines = Lines::at(1_700_000_000_000);
        lines.push(b"64,17,1", None);
        lines.push(b"", None);
        lines.push(b"beginning", Some(Flaw::TooLong { size: 10_000_000_000 }));
        lines.push(b"1,", Some(Flaw::Broken { size: 2 }));
        let id = uuid::Uuid::new_v4();
        let bytes = encode(id, 41, &[lines.clone(), lines.clone()]);

        let header = Header::decode(&bytes).unwrap();
        let mut payload = &bytes[HEADER..];
        assert_eq!((header.first, header.count, header.length as usize), (41, 8, payload.len()));
        assert!(header.fits(id, payload));
        assert!(!header.fits(uuid::Uuid::new_v4(), payload), "another spool's frame is not one of this one");
        let read: Vec<Line<'_>> = std::iter::from_fn(|| line(&mut payload)).collect();
        let written: Vec<Line<'_>> = lines.iter_from(0).chain(lines.iter_from(0)).collect();
        assert_eq!(read, written);

        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            let header = Header::decode(&changed);
            assert!(header.is_none_or(|header| !header.fits(id, &changed[HEADER..])), "byte {at}");
        }
    }

    fn any_line() -> impl proptest::strategy::Strategy<Value = (Vec<u8>, Option<Flaw>)> {
        use proptest::prelude::*;
        let flaw = prop_oneof![
            Just(None),
            any::<u64>().prop_map(|size| Some(Flaw::TooLong { size })),
            any::<u64>().prop_map(|size| Some(Flaw::Broken { size })),
        ];
        (proptest::collection::vec(any::<u8>(), 0..20), flaw)
    }

    proptest::proptest! {
        #[test]
        fn any_lines_come_back(all in proptest::collection::vec(any_line(), 1..10), first in 0..i64::MAX, time: i64) {
            let mut lines = Lines::at(time);
            all.iter().for_each(|(bytes, flaw)| lines.push(bytes, *flaw));
            let id = uuid::Uuid::from_u128(7);
            let bytes = encode(id, first, std::slice::from_ref(&lines));
            let header = Header::decode(&bytes).unwrap();
            let mut payload = &bytes[HEADER..];
            proptest::prop_assert!(header.fits(id, payload));
            proptest::prop_assert_eq!((header.first, header.count as usize), (first, all.len()));
            let read: Vec<Line<'_>> = std::iter::from_fn(|| line(&mut payload)).collect();
            proptest::prop_assert!(payload.is_empty());
            proptest::prop_assert!(read.into_iter().eq(lines.iter_from(0)));
        }

        /// Whatever bytes stand there: it ends, and takes no more than there is.
        #[test]
        fn no_bytes_are_read_past_their_end(bytes: Vec<u8>) {
            let mut payload = bytes.as_slice();
            let mut lines = 0;
            while let Some(found) = line(&mut payload) {
                proptest::prop_assert!(found.bytes.len() <= bytes.len());
                lines += 1;
            }
            proptest::prop_assert!(lines <= bytes.len() / 12);
            let _ = Header::decode(&bytes).map(|header| (header.end(), header.behind(u64::MAX), header.fits(uuid::Uuid::nil(), &bytes)));
        }
    }
}
