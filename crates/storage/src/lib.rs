//! Where are the files?
//!
//! What a URL or a path names: this machine, HDFS or S3, behind the traits of `foretell_connect::storage`. The only crate
//! that knows the HDFS and the S3 client.

mod hdfs;
mod s3;

use std::path::Path;
use std::sync::Arc;

use foretell_connect::storage::path::{clean, clean_local, host, local};
use foretell_connect::storage::{Error, ErrorKind, Local, Reading, Storage};

pub use hdfs::Hdfs;
pub use s3::{S3, S3Settings};

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
        None => Ok((Arc::new(Local), local(url, base)?)),
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

#[cfg(test)]
mod services;
#[cfg(test)]
mod tests;
