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
        count += 1;
    }
    let (header, payload) = bytes.split_at_mut(HEADER);
    let mut fields = Header { sum: 0, length: payload.len() as u32, count, first };
    fields.sum = fields.checksum(id, payload);
    header.copy_from_slice(&fields.encode());
    bytes
}

impl Header {
    fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.sum.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.count.to_le_bytes());
        bytes[16..].copy_from_slice(&self.first.to_le_bytes());
        bytes
    }

    /// Reads a header; none where there is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
        let mut rest = bytes.strip_prefix(&MAGIC)?;
        let (sum, length, count) = (word(&mut rest)?, word(&mut rest)?, word(&mut rest)?);
        Some(Header { sum, length, count, first: long(&mut rest)? })
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
        assert!(!header.fits(uuid::Uuid::new_v4(), payload), "another spool's frame is none of this one");
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
}
