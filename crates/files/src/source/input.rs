//! A file's bytes in order, as they are or unpacked.

#![allow(clippy::arithmetic_side_effects, reason = "places in a file")]

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use foretell_flow::StageError;
use tokio::runtime::Handle;

use super::magic;
use super::settings::{Compression, ReadOptions};
use crate::encoding::Transcoder;
use foretell_connect::storage::Reader;

/// Packed bytes read at once.
const PACKED_BLOCK: u64 = 1 << 20;

/// A text's bytes in UTF-8, one after the other.
pub(super) struct Input {
    bytes: Bytes,
    /// Where nothing can be looked for in the bytes as they are.
    transcoder: Option<Transcoder>,
}

/// Bytes, one after the other.
enum Bytes {
    /// A part of a file as it is.
    Plain(Raw),
    /// A compressed file.
    Packed { url: String, decoder: Box<dyn Read + Send> },
}

/// A file as it is, from somewhere on.
pub(super) struct Raw {
    handle: Handle,
    reader: Box<dyn Reader>,
    at: u64,
    size: u64,
    /// What was read and not yet taken, where it is taken a few bytes at a time.
    rest: io::Cursor<Vec<u8>>,
}

impl Input {
    /// A file from byte `at` on. On a thread that may wait.
    pub(super) fn new(
        handle: Handle,
        reader: Box<dyn Reader>,
        url: &str,
        options: ReadOptions,
        (at, size): (u64, u64),
    ) -> Result<Input, StageError> {
        let compression = options.compression;
        let transcoder = options.transcoded_first().map(Transcoder::new);
        let mut raw = Raw::new(handle, reader, (at, size));
        if compression != Compression::None {
            raw.fill().map_err(|error| damaged(url, &error))?;
            let packed = magic::packed(raw.rest.get_ref(), compression);
            packed.map_err(|(what, remedy)| StageError::state(format!("{url}: {what}")).remedy(remedy))?;
        }
        let packed = |decoder| Bytes::Packed { url: url.to_string(), decoder };
        let bytes = match compression {
            Compression::None => Bytes::Plain(raw),
            Compression::Gzip => packed(Box::new(MultiGzDecoder::new(raw))),
            Compression::Zstd => packed(Box::new(zstd::Decoder::new(raw).map_err(|error| damaged(url, &error))?)),
        };
        Ok(Input { bytes, transcoder })
    }

    /// Adds what `want` bytes of the file are; fewer only at the end, which it tells.
    pub(super) fn more(&mut self, want: usize, mut into: Vec<u8>) -> Result<(Vec<u8>, bool), StageError> {
        let Some(transcoder) = &mut self.transcoder else { return self.bytes.more(want, into) };
        let (read, ended) = self.bytes.more(want, Vec::new())?;
        transcoder.push(&read, ended, &mut into);
        Ok((into, ended))
    }
}

impl Bytes {
    /// Adds `want` bytes; fewer only at the end, which it tells.
    fn more(&mut self, want: usize, mut into: Vec<u8>) -> Result<(Vec<u8>, bool), StageError> {
        match self {
            Bytes::Plain(raw) => {
                let to = raw.size.min(raw.at + want as u64);
                let before = into.len();
                let into = raw.handle.block_on(raw.reader.read(raw.at, to, into))?;
                raw.at += (into.len() - before) as u64;
                let ended = raw.at >= raw.size || into.len() == before;
                Ok((into, ended))
            }
            Bytes::Packed { url, decoder } => {
                let taken = decoder.by_ref().take(want as u64).read_to_end(&mut into);
                let taken = taken.map_err(|error| damaged(url, &error))?;
                Ok((into, taken < want))
            }
        }
    }
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.rest.read(buffer)?;
        if taken > 0 || self.at >= self.size {
            return Ok(taken);
        }
        self.fill()?;
        self.rest.read(buffer)
    }
}

impl Raw {
    /// A file of `size` bytes, from byte `at` on.
    pub(super) fn new(handle: Handle, reader: Box<dyn Reader>, (at, size): (u64, u64)) -> Raw {
        Raw { handle, reader, at, size, rest: io::Cursor::default() }
    }

    /// Reads the next block into `rest`, which was all taken.
    fn fill(&mut self) -> io::Result<()> {
        let mut block = std::mem::take(&mut self.rest).into_inner();
        block.clear();
        let read = self.reader.read(self.at, self.size.min(self.at + PACKED_BLOCK), block);
        let block = self.handle.block_on(read).map_err(|error| io::Error::other(StageError::from(error)))?;
        self.at += block.len() as u64;
        self.rest = io::Cursor::new(block);
        Ok(())
    }
}

/// An error on the way through a decoder: the storage's own, or what the decoder says of the data.
fn damaged(url: &str, error: &io::Error) -> StageError {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<StageError>()) {
        return error.clone();
    }
    StageError::state(format!("{url}: the compressed data does not unpack: {error}"))
        .remedy("give `compression` where the name's ending does not tell it; a damaged file must be replaced before it is read")
}
