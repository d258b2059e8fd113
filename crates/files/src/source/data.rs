//! Files that commands read from their beginning to their end, wherever they are; for threads that may wait.

use std::io::{self, Read};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use foretell_flow::StageError;
use foretell_storage::{StorageSettings, open_reading};
use tokio::runtime::Handle;

use super::find::find;
use super::input::Raw;
use super::magic::{HEAD, packed};
use super::settings::Compression;
use crate::encoding::{Encoding, Transcoder};
use foretell_connect::storage::{Reading, Stat};

/// Bytes are put into UTF-8 in blocks of this size.
const BLOCK: u64 = 1 << 16;

/// A file to be read.
pub struct DataFile {
    storage: Arc<dyn Reading>,
    path: String,
    stat: Stat,
    handle: Handle,
}

/// The files that a path, a folder, a glob or a URL means, by path; without empty and hidden ones, unless one is named.
/// Relative paths are relative to the working folder; S3 is reached as the environment says.
///
/// # Errors
/// A place that is not there, or cannot be reached.
pub fn data_files(url: &str, handle: &Handle) -> Result<Vec<DataFile>, StageError> {
    let base = std::env::current_dir().map_err(|error| StageError::settings(format!("working folder: {error}")))?;
    let (storage, path) = open_reading(url, &base, &StorageSettings::default())?;
    let found = handle.block_on(find(&*storage, &path))?;
    let file = |(path, stat)| DataFile { storage: storage.clone(), path, stat, handle: handle.clone() };
    Ok(found.into_iter().map(file).collect())
}

impl DataFile {
    /// Its path, or its URL.
    pub fn name(&self) -> String {
        self.storage.url(&self.path)
    }

    /// Its bytes as they are stored.
    pub fn size(&self) -> u64 {
        self.stat.length
    }

    /// Opens it.
    ///
    /// # Errors
    /// It is gone, or was written again since it was found.
    pub fn open(&self) -> Result<Box<dyn Read + Send>, StageError> {
        let reader = self.handle.block_on(self.storage.reader(&self.path, &self.stat))?;
        Ok(Box::new(Raw::new(self.handle.clone(), reader, (0, self.stat.length))))
    }
}

/// Unpacks a file whose name says that it is packed (`.gz`, `.zst`).
///
/// # Errors
/// It is not packed so.
pub fn unpack(name: &str, mut reader: Box<dyn Read + Send>) -> Result<Box<dyn Read + Send>, StageError> {
    let compression = Compression::of_name(name);
    if compression == Compression::None {
        return Ok(reader);
    }
    let broken = |error: io::Error| StageError::state(format!("{name}: {error}"));
    let mut head = Vec::new();
    reader.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(broken)?;
    packed(&head, compression).map_err(|(what, _)| {
        StageError::state(format!("{name}: {what}")).remedy("give it a name that says what it is")
    })?;
    let whole = io::Cursor::new(head).chain(reader);
    match compression {
        Compression::Gzip => Ok(Box::new(MultiGzDecoder::new(whole))),
        _ => Ok(Box::new(zstd::Decoder::new(whole).map_err(broken)?)),
    }
}

/// A text in UTF-8; what is not in its encoding is not UTF-8 either.
pub fn in_utf8(encoding: Encoding, reader: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
    Box::new(Transcoding { reader, transcoder: Transcoder::new(encoding), text: io::Cursor::default(), ended: false })
}

struct Transcoding {
    reader: Box<dyn Read + Send>,
    transcoder: Transcoder,
    /// What was read and not yet taken.
    text: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl Read for Transcoding {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let taken = self.text.read(buffer)?;
            if taken > 0 || self.ended || buffer.is_empty() {
                return Ok(taken);
            }
            let mut bytes = Vec::new();
            self.ended = self.reader.by_ref().take(BLOCK).read_to_end(&mut bytes)? == 0;
            let mut text = std::mem::take(&mut self.text).into_inner();
            text.clear();
            self.transcoder.push(&bytes, self.ended, &mut text);
            self.text = io::Cursor::new(text);
        }
    }
}
