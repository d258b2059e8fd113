//! Where are the files?
//!
//! An address (a URL, or a path on this machine) names a storage and a path there: [`open`] for what is written, too,
//! [`open_reading`] for what is only read. The storages themselves are behind the traits of `foretell_connect::storage`. The
//! only crate that knows the HDFS and the S3 client; it knows no formats and no pipelines.
//!
//! ```
//! # async fn example() -> Result<(), foretell_connect::storage::Error> {
//! let settings = foretell_storage::StorageSettings::default();
//! let (storage, path) = foretell_storage::open("out/rows.csv", std::path::Path::new("/data"), &settings)?;
//! assert_eq!(path, "/data/out/rows.csv");
//! storage.mkdirs("/data/out").await?;
//! // Whole and durable, or not there; an error where the name is taken.
//! storage.create_new(&path, "1,2\n".into()).await?;
//! # Ok(())
//! # }
//! ```

mod hdfs;
mod local;
mod s3;
mod scheme;
mod settings;

use std::path::Path;
use std::sync::Arc;

use foretell_connect::storage::{Error, ErrorKind, Local, Reading, Storage};

pub use hdfs::Hdfs;
pub use s3::S3;
pub use scheme::{Address, Open, Scheme};
pub use settings::{S3Settings, StorageSettings};

/// Every kind of storage.
pub const SCHEMES: &[Scheme] = &[local::SCHEME, hdfs::SCHEME, s3::SCHEME];

/// The storage and the path that a URL or local path names; relative paths are relative to `base`.
///
/// # Errors
/// A scheme that is not known, an address that cannot be right, missing credentials.
pub fn open(url: &str, base: &Path, settings: &StorageSettings) -> Result<(Arc<dyn Storage>, String), Error> {
    let Some((name, rest)) = split(url) else {
        let path = foretell_connect::storage::path::local(url, base)?;
        return Ok((Arc::new(Local), path));
    };
    let scheme = find(name);
    no_user(name, rest, scheme)?;
    let Some(scheme) = scheme else {
        let others = SCHEMES.iter().filter(|scheme| scheme.shared);
        let others: Vec<String> = others.map(|scheme| format!("`{}`", scheme.example)).collect();
        let what = format!("`{name}://` is not supported; local paths and {} are", others.join(" and "));
        return Err(Error::new(ErrorKind::Settings, url, what));
    };
    let (authority, rest) = rest.split_once('/').unwrap_or((rest, ""));
    (scheme.open)(&Address { url, authority, rest }, settings)
}

/// As [`open`], of what is only read.
///
/// # Errors
/// As [`open`].
pub fn open_reading(url: &str, base: &Path, settings: &StorageSettings) -> Result<(Arc<dyn Reading>, String), Error> {
    let (storage, path) = open(url, base, settings)?;
    Ok((storage, path))
}

/// Whether files at a URL can be appended to.
pub fn appends(url: &str) -> bool {
    split(url).and_then(|(name, _)| find(name)).is_none_or(|scheme| scheme.appends)
}

/// Whether a URL's files are seen by several machines.
pub fn shared(url: &str) -> bool {
    split(url).and_then(|(name, _)| find(name)).is_some_and(|scheme| scheme.shared)
}

/// The scheme of a URL, and what stands behind `://`.
fn split(url: &str) -> Option<(&str, &str)> {
    url.split_once("://")
}

fn find(name: &str) -> Option<&'static Scheme> {
    SCHEMES.iter().find(|scheme| scheme.names.contains(&name))
}

/// Refuses a URL that names a user, and shows nothing of it: it may hold a password, too.
fn no_user(name: &str, rest: &str, scheme: Option<&Scheme>) -> Result<(), Error> {
    let authority = rest.split('/').next().unwrap_or_default();
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let hidden = port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit())) && rest.contains('@');
    if !authority.contains('@') && !hidden {
        return Ok(());
    }
    let remedy = scheme.map_or("leave it out", |scheme| scheme.credentials);
    let what = format!("a user or a password has no place in this URL: {remedy}");
    Err(Error::new(ErrorKind::Settings, format!("{name}://…"), what))
}
#[cfg(test)]
mod services;
#[cfg(test)]
mod tests;
