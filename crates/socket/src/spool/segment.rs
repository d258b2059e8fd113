//! A segment: a file of frames, named after the offset of its first line.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use foretell_flow::StageError;

use super::frame::{HEADER, Header};

/// One file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// The offset of its first line.
    pub(super) first: i64,
    /// Its length.
    pub(super) bytes: u64,
}

impl Segment {
    pub(super) fn path(folder: &Path, first: i64) -> PathBuf {
        folder.join(format!("{first:020}.lines"))
    }

    /// The segments of a folder, in order.
    pub(super) fn list(folder: &Path) -> io::Result<Vec<Segment>> {
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let first = name.to_str().and_then(|name| name.strip_suffix(".lines")?.parse().ok());
            if let Some(first) = first {
                segments.push(Segment { first, bytes: entry.metadata()?.len() });
            }
        }
        segments.sort_by_key(|segment| segment.first);
        Ok(segments)
    }
}

/// Reads the header at a place; `None` where no frame begins there that the file could hold.
pub(super) fn header(file: &File, at: u64, length: u64) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER];
    let payload = at.saturating_add(HEADER as u64);
    if payload > length {
        return Ok(None);
    }
    file.read_exact_at(&mut bytes, at)?;
    Ok(Header::decode(&bytes).filter(|header| payload.saturating_add(header.length.into()) <= length))
}

/// Where the whole frames of a segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    /// The byte behind the last whole frame.
    pub(super) bytes: u64,
    /// The offset behind its last line.
    pub(super) end: i64,
}

/// Finds the end of the last segment. What an append left unfinished does not count; a frame that does not read with a
/// whole one behind it is damage, since one append is one frame, and the next begins when it is synced.
pub(super) fn tail(folder: &Path, segment: Segment, id: uuid::Uuid) -> Result<Tail, StageError> {
    let path = Segment::path(folder, segment.first);
    let failed = |error: io::Error| unreadable(&path, &error);
    let file = File::open(&path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut tail = Tail { bytes: 0, end: segment.first };
    let mut payload = Vec::new();
    while let Some(header) = header(&file, tail.bytes, length).map_err(failed)? {
        payload.resize(header.length as usize, 0);
        file.read_exact_at(&mut payload, tail.bytes.saturating_add(HEADER as u64)).map_err(failed)?;
        if header.first != tail.end || !header.fits(id, &payload) {
            break;
        }
        tail.bytes = header.behind(tail.bytes);
        tail.end = header.end();
    }
    let mut rest = vec![0; usize::try_from(length.saturating_sub(tail.bytes)).unwrap_or_default()];
    file.read_exact_at(&mut rest, tail.bytes).map_err(failed)?;
    match (1..rest.len()).find_map(|at| frame_at(&rest, at, id)) {
        None => Ok(tail),
        Some(next) => Err(damaged(&path, tail.bytes, Some(next.first))),
    }
}

/// The whole frame that begins at this place, if one does.
fn frame_at(bytes: &[u8], at: usize, id: uuid::Uuid) -> Option<Header> {
    let header = Header::decode(bytes.get(at..)?)?;
    let payload = bytes.get(at.checked_add(HEADER)?..)?.get(..header.length as usize)?;
    header.fits(id, payload).then_some(header)
}

/// A file that the system does not read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> StageError {
    StageError::state(format!("spool: {}: {error}", path.display()))
}

/// A file that was changed after it was written; `next` is the offset from which lines can be read again.
pub(super) fn damaged(path: &Path, at: u64, next: Option<i64>) -> StageError {
    let error = StageError::state(format!("spool: {} is damaged at byte {at}", path.display()));
    error.remedy(match next {
        Some(next) => format!(
            "bring the file back; or give up what is between: move the spool away, begin a new one, and forget the \
             positions with `foretell positions forget` (whole lines begin again at offset {next})"
        ),
        None => "bring the file back; or begin a new spool, and forget the positions with `foretell positions forget`"
            .to_string(),
    })
}
