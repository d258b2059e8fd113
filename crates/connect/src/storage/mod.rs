//! Files, wherever they are: the operations that file sinks and manifests are built from.
//!
//! The few acts that exactly-once writing needs are named for what they promise, since file systems differ in how they
//! give it: *put if absent* (whole and durable, or not there), *rename without replacing*, *sync* (what was written
//! survives the writer), *recover* (a crashed writer's file is closed and its length is final). Paths are absolute and
//! without scheme; [`open`] turns a URL into a storage and a path.

mod hdfs;
mod local;
mod s3;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use foretell_flow::{Fault, StageError};

pub use hdfs::Hdfs;
pub use local::Local;
pub use s3::{S3, S3Settings};

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
    /// error either. Nobody ever sees a part of it.
    async fn create_new(&self, path: &str, bytes: Bytes) -> Result<(), Error>;

    /// Everything that was synced to a file. On HDFS a file that is still open hides its last block, so it is waited
    /// for shortly and then taken from its writer.
    async fn read(&self, path: &str) -> Result<Bytes, Error>;

    /// Bytes `[from, to)` of a file that is not open.
    async fn read_range(&self, path: &str, from: u64, to: u64) -> Result<Bytes, Error>;

    /// Deletes a file, or a folder with all that is in it. Nothing there is no error.
    async fn delete(&self, path: &str) -> Result<(), Error>;

    /// Moves a file to a name that must be free.
    async fn rename_new(&self, from: &str, to: &str) -> Result<(), Error>;

    /// Makes a folder and those above it.
    async fn mkdirs(&self, folder: &str) -> Result<(), Error>;

    /// Writes a new file, in a folder that must exist.
    async fn writer(&self, path: &str) -> Result<Box<dyn Writer>, Error>;

    /// Writes on at the end of a file, after [`recover`](Storage::recover).
    async fn append(&self, path: &str) -> Result<Box<dyn Writer>, Error>;

    /// Ends whatever writing of a file goes on, or was left by a crash: then its length is final until it is opened
    /// again, and its former writer can add nothing.
    async fn recover(&self, path: &str) -> Result<(), Error>;

    /// Whether [`lock`](Storage::lock) keeps others out.
    fn locks(&self) -> bool;

    /// Holds a lock file until the guard drops; [`Exists`](ErrorKind::Exists) where another process holds it. Storages
    /// whose [`recover`](Storage::recover) fences a former writer need none.
    async fn lock(&self, path: &str) -> Result<Box<dyn Send + Sync>, Error>;

    /// Checks, without leaving a trace, that a folder (or the nearest one above it that exists) can be written.
    async fn check_folder(&self, folder: &str) -> Result<(), Error>;

    /// Whether closing a file takes long enough to be done beside the next write.
    fn slow_close(&self) -> bool;

    /// Waits for what goes on in the background.
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
    /// Another text where the content is another: an ETag, or the time of the last change as finely as it is known.
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
    /// The file is not the one that was asked for any more.
    Changed,
}

impl Error {
    fn new(kind: ErrorKind, place: impl Into<String>, what: impl Into<String>) -> Self {
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
        StageError { fault, message: error.to_string(), remedy: String::new() }
    }
}

/// The storage and the path that a URL or local path names; relative paths are relative to `base`.
///
/// # Errors
/// A scheme that is not supported, or an address that cannot be right.
pub fn open(url: &str, base: &Path) -> Result<(Arc<dyn Storage>, String), Error> {
    no_user(url)?;
    let settings = |what: &str| Error::new(ErrorKind::Settings, url, what);
    match url.split_once("://") {
        Some(("hdfs", rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let hdfs = Hdfs::connect(&host(authority))?;
            Ok((Arc::new(hdfs), clean(&format!("/{path}"))))
        }
        Some(("file", rest)) if rest.starts_with('/') => Ok((Arc::new(Local), clean_local(rest))),
        Some(("file", _)) => Err(settings("a file URL has three slashes: `file:///folder/name`")),
        Some((scheme, _)) => {
            Err(settings(&format!("`{scheme}://` is not supported; local paths and `hdfs://host:port/path` are")))
        }
        None if url.is_empty() => Err(settings("the path is empty")),
        None => {
            let path = std::path::absolute(base.join(url)).map_err(|e| settings(&e.to_string()))?;
            let path = path.to_str().ok_or_else(|| settings("the path is not UTF-8"))?;
            Ok((Arc::new(Local), clean_local(path)))
        }
    }
}

/// As [`open`], of a place that is only read: also `s3://bucket/path`.
///
/// # Errors
/// As [`open`]; missing credentials.
pub fn open_reading(url: &str, base: &Path, s3: &S3Settings) -> Result<(Arc<dyn Reading>, String), Error> {
    no_user(url)?;
    match url.split_once("://") {
        Some(("s3" | "s3a", rest)) => {
            let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
            Ok((Arc::new(S3::connect(bucket, s3)?), clean(&format!("/{path}"))))
        }
        _ => open(url, base).map(|(storage, path)| (storage as Arc<dyn Reading>, path)),
    }
}

/// Refuses a URL that names a user, and shows nothing of it: it may hold a password, too.
fn no_user(url: &str) -> Result<(), Error> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(()) };
    let authority = rest.split('/').next().unwrap_or_default();
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let hidden = port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit())) && rest.contains('@');
    let remedy = match scheme {
        "hdfs" => "the user comes from the environment variable HADOOP_USER_NAME",
        "s3" | "s3a" => "credentials come from `s3: { access_key_id: …, secret_access_key: … }` or the environment",
        _ => "leave it out",
    };
    match authority.contains('@') || hidden {
        true => {
            let what = format!("a user or a password has no place in this URL: {remedy}");
            Err(Error::new(ErrorKind::Settings, format!("{scheme}://…"), what))
        }
        false => Ok(()),
    }
}

/// Whether a URL's files can be written by several machines.
pub fn shared(url: &str) -> bool {
    url.starts_with("hdfs://")
}

/// One spelling of a path: without doubled and trailing slashes, `.` and `..`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// As [`clean`], of a path on this machine, where `..` behind a symbolic link leads elsewhere than the text says.
fn clean_local(path: &str) -> String {
    let Some(at) = path.rfind("/..").filter(|at| matches!(path.as_bytes().get(at + 3), None | Some(b'/'))) else {
        return clean(path);
    };
    let (up, rest) = path.split_at(at + 3);
    match std::fs::canonicalize(up).ok().and_then(|up| Some(format!("{}/{rest}", up.to_str()?))) {
        Some(path) => clean(&path),
        None => clean(path),
    }
}

/// A host in the one spelling that it has; the name of a service, which has no port, stays as it is.
fn host(authority: &str) -> String {
    if authority.contains(':') { authority.to_ascii_lowercase() } else { authority.to_string() }
}

/// The one spelling of a URL that was written down before there was one.
pub(crate) fn one_spelling(url: &str) -> String {
    match url.split_once("://") {
        None => clean_local(url),
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("{scheme}://{}{}", host(authority), clean(&format!("/{path}")))
        }
    }
}

/// The folder that a path is in.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

/// The last part of a path.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Any text as one file name: letters, digits, `-`, `_` and inner `.` stay, other bytes become `%XX`; cut and made
/// unique by a checksum where it would be longer than file systems allow.
pub fn escape(text: &str) -> String {
    const LONGEST: usize = 150;
    let mut name = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => name.push(byte as char),
            // A name that begins with these is hidden from, or means something to, other tools.
            b'_' | b'.' if at > 0 => name.push(byte as char),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if name.is_empty() {
        return "%".into();
    }
    if name.len() > LONGEST {
        let mut sum = flate2::Crc::new();
        sum.update(text.as_bytes());
        name.truncate(LONGEST);
        name.push_str(&format!("%{:08x}{:x}", sum.sum(), text.len()));
    }
    name
}

/// What [`escape`] made a name of; none where that was cut.
pub fn unescape(name: &str) -> Option<String> {
    let mut text = Vec::with_capacity(name.len());
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(text).ok().filter(|text| escape(text) == name)
}

#[cfg(test)]
mod tests;
