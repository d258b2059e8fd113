//! Files, wherever they are: the operations that file sinks and manifests are built from.
//!
//! The few acts that exactly-once writing needs are named for what they promise, since file systems differ in how they
//! give it: *put if absent* (whole and durable, or not there), *rename without replacing*, *sync* (what was written
//! survives the writer), *recover* (a crashed writer's file is closed and its length is final). Paths are absolute and
//! without scheme.

mod local;
pub mod path;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use foretell_flow::{Fault, StageError};

pub use local::Local;
pub use path::{escape, file_name, parent, unescape};

/// A place where files are found and read.
#[async_trait]
pub trait Reading: fmt::Debug + Send + Sync {
    /// What is in a folder, by name.
    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error>;

    /// What is at a path; `None` where nothing is.
    async fn stat(&self, path: &str) -> Result<Option<Stat>, Error>;

    /// Opens a file that is what `stat` says.
    async fn reader(&self, path: &str, stat: &Stat) -> Result<Box<dyn Reader>, Error>;

    /// A path as people write it, with scheme and host.
    fn url(&self, path: &str) -> String;
}

/// A file being read, at any place.
#[async_trait]
pub trait Reader: Send + Sync {
    /// Adds bytes `[from, to)` to a buffer; fewer only where the file ends.
    async fn read(&self, from: u64, to: u64, into: Vec<u8>) -> Result<Vec<u8>, Error>;
}

/// A place where files are written, too.
#[async_trait]
pub trait Storage: Reading {
    /// Puts a whole file where none is: after `Ok` it is there and survives a crash; after
    /// [`Exists`](ErrorKind::Exists) and [`Missing`](ErrorKind::Missing) (no such folder) it is not; after any other
    /// error it may be there or not. Nobody ever sees a part of it.
    async fn create_new(&self, path: &str, bytes: Bytes) -> Result<(), Error>;

    /// Everything that was synced to a file. On HDFS a file that is still open hides its last block, so it is waited
    /// for shortly and then taken from its writer.
    async fn read(&self, path: &str) -> Result<Bytes, Error>;

    /// Bytes `[from, to)` of a file that is not open.
    async fn read_range(&self, path: &str, from: u64, to: u64) -> Result<Bytes, Error>;

    /// Deletes a file, or a folder with all that is in it. It is not an error where nothing is there.
    async fn delete(&self, path: &str) -> Result<(), Error>;

    /// Moves a file to a name that must be free.
    async fn rename_new(&self, from: &str, to: &str) -> Result<(), Error>;

    /// Makes a folder and those above it.
    async fn mkdirs(&self, folder: &str) -> Result<(), Error>;

    /// Writes a new file, in a folder that must exist.
    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>, Error>;

    /// Appends to a file, after [`recover`](Storage::recover).
    async fn append(&self, path: &str) -> Result<Box<dyn Writer>, Error>;

    /// Ends any write to a file that is under way or was left by a crash: its length is then final until it is opened
    /// again, and its former writer can add nothing.
    async fn recover(&self, path: &str) -> Result<(), Error>;

    /// Whether [`lock`](Storage::lock) keeps others out.
    fn locks(&self) -> bool;

    /// Holds a lock file until the guard drops; [`Exists`](ErrorKind::Exists) where another process holds it. Storages
    /// whose [`recover`](Storage::recover) fences a former writer need none.
    async fn lock(&self, path: &str) -> Result<Box<dyn Send + Sync>, Error>;

    /// Checks, without leaving a trace, that a folder (or the nearest one above it that exists) can be written.
    async fn check_folder(&self, folder: &str) -> Result<(), Error>;

    /// Whether a file can only be put into a folder that is there, so that whoever put one knows that its folder has not
    /// gone meanwhile.
    fn folders(&self) -> bool {
        true
    }

    /// Tries out, where only the service can know, that [`create_new`](Storage::create_new) never replaces a file of a
    /// folder.
    async fn prove_puts(&self, _folder: &str) -> Result<(), Error> {
        Ok(())
    }

    /// Whether closing a file takes long enough to be done in the background of the next write.
    fn slow_close(&self) -> bool;

    /// Waits for work in the background.
    async fn settle(&self);
}

/// A file being written.
#[async_trait]
pub trait Writer: Send + Sync {
    /// Adds bytes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;

    /// What was written so far survives a crash of writer and machine.
    async fn sync(&mut self) -> Result<(), Error>;

    /// Ends the file. Implies nothing about durability: `sync` first.
    async fn close(&mut self) -> Result<(), Error>;
}

/// What is in a folder, by name; empty where the folder is not there.
///
/// # Errors
/// The folder cannot be read.
pub async fn list_if_there<S: Reading + ?Sized>(storage: &S, folder: &str) -> Result<Vec<Entry>, Error> {
    match storage.list(folder).await {
        Err(error) if error.kind == ErrorKind::Missing => Ok(Vec::new()),
        listed => listed,
    }
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name within the folder.
    pub name: String,
    /// What it is.
    pub stat: Stat,
}

/// What is at a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stat {
    /// Bytes; of a folder 0.
    pub length: u64,
    /// Whether it is a folder.
    pub folder: bool,
    /// When it was changed last, in milliseconds since the epoch.
    pub modified: i64,
    /// Differs whenever the content differs: an ETag, or the time of the last change as precisely as it is known.
    pub version: String,
}

/// What went wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Error {
    /// What follows from it.
    pub kind: ErrorKind,
    /// The file or service.
    pub place: String,
    /// What happened.
    pub what: String,
}

/// What follows from an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The name is taken; nothing was done.
    Exists,
    /// The file, or the folder it should be in, is not there; nothing was done.
    Missing,
    /// Only a person can change it: a permission, a wrong address, a file where a folder is needed.
    Settings,
    /// The service is away or busy, or the outcome is unknown.
    Unavailable,
    /// The file is no longer the one that was asked for.
    Changed,
}

impl Error {
    /// An error at a place.
    pub fn new(kind: ErrorKind, place: impl Into<String>, what: impl Into<String>) -> Self {
        Error { kind, place: place.into(), what: what.into() }
    }
}

impl From<Error> for StageError {
    fn from(error: Error) -> Self {
        let fault = match error.kind {
            ErrorKind::Settings => Fault::Settings,
            ErrorKind::Changed => Fault::State,
            ErrorKind::Exists | ErrorKind::Missing | ErrorKind::Unavailable => Fault::Unavailable,
        };
        StageError::new(fault, error.to_string()).caused_by(error)
    }
}
