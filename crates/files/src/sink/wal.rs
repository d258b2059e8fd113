//! The sidecar's frames: `mode: append` writes each batch here first.
//!
//! A frame is one line `CRC JSON-LENGTH DATA-LENGTH`, the JSON, the data, a newline. It counts when it is whole and its
//! checksum fits; whatever follows the last whole frame was never committed.

use bytes::{BufMut, Bytes, BytesMut};
use foretell_flow::Range;
use serde::{Deserialize, Serialize};

use super::progress::{Progress, Shape, StoredRetention};

/// Raised when frames change their meaning.
pub(super) const FORMAT: u32 = 1;

/// What a sidecar begins with: everything before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) format: u32,
    pub(super) pipeline: String,
    pub(super) sink: String,
    pub(super) worker: String,
    pub(super) shape: Option<Shape>,
    pub(super) progress: Progress,
    /// The data file's length.
    pub(super) length: u64,
}

/// A frame's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Frame {
    /// Always the first.
    Snapshot(Snapshot),
    /// A batch, or its part; the frame's data are the bytes that the data file gets.
    Write {
        batch: String,
        ranges: Vec<Range>,
        #[serde(default, alias = "keep", skip_serializing_if = "Option::is_none")]
        retention: Option<StoredRetention>,
    },
}

pub(super) fn checksum(json: &[u8], data: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(json);
    sum.update(data);
    sum.sum()
}

/// One frame's bytes.
pub(super) fn encode(frame: &Frame, data: &[u8]) -> serde_json::Result<Bytes> {
    let json = serde_json::to_vec(frame)?;
    let mut bytes = BytesMut::with_capacity(json.len().saturating_add(data.len()).saturating_add(40));
    bytes.put_slice(format!("{:08x} {} {}\n", checksum(&json, data), json.len(), data.len()).as_bytes());
    bytes.put_slice(&json);
    bytes.put_slice(data);
    bytes.put_u8(b'\n');
    Ok(bytes.freeze())
}

/// The whole frames at the beginning of a sidecar, with their data. A frame that is whole but not understood is an
/// error: another version wrote it.
pub(super) fn decode(bytes: &Bytes) -> serde_json::Result<Vec<(Frame, Bytes)>> {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some((json, data, end)) = next(bytes, at) {
        frames.push((serde_json::from_slice(&bytes.slice(json))?, bytes.slice(data)));
        at = end;
    }
    Ok(frames)
}

type Span = std::ops::Range<usize>;

/// Where the next whole frame's JSON and data are, and where it ends.
fn next(bytes: &Bytes, at: usize) -> Option<(Span, Span, usize)> {
    let rest = bytes.get(at..)?;
    // The longest line: a checksum and two lengths.
    let line_end = rest.iter().take(64).position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(rest.get(..line_end)?).ok()?;
    let mut words = line.split(' ');
    let sum = u32::from_str_radix(words.next()?, 16).ok()?;
    let json_length: usize = words.next()?.parse().ok()?;
    let data_length: usize = words.next()?.parse().ok()?;
    let json_from = at.checked_add(line_end)?.checked_add(1)?;
    let data_from = json_from.checked_add(json_length)?;
    let data_to = data_from.checked_add(data_length)?;
    let (json, data) = (bytes.get(json_from..data_from)?, bytes.get(data_from..data_to)?);
    if bytes.get(data_to) != Some(&b'\n') || checksum(json, data) != sum {
        return None;
    }
    Some((json_from..data_from, data_from..data_to, data_to.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(batch: &str) -> Frame {
        Frame::Write { batch: batch.into(), ranges: Vec::new(), retention: None }
    }

    #[test]
    fn a_torn_or_changed_frame_and_all_after_it_do_not_count() {
        let first = encode(&write("a"), b"1,2\n").unwrap();
        let second = encode(&write("b"), b"3,4\n").unwrap();
        let all: Vec<u8> = [&first[..], &second[..]].concat();
        for length in 0..all.len() {
            let frames = decode(&Bytes::copy_from_slice(&all[..length])).unwrap();
            assert_eq!(frames.len(), usize::from(length >= first.len()), "{length} bytes");
        }
        assert_eq!(decode(&all.clone().into()).unwrap().len(), 2);
        for at in first.len()..all.len() {
            let mut torn = all.clone();
            torn[at] ^= 1;
            let frames = decode(&torn.into()).unwrap();
            assert_eq!(frames[0], (write("a"), Bytes::from_static(b"1,2\n")));
            // A flipped letter case in the checksum's digits reads as the same number.
            assert!(frames.len() == 1 || frames[1].0 == write("b"), "byte {at}");
        }
    }
}
