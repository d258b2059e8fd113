//! Where a database is: what each kind makes of its URL, and what all of them share in reading it.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use foretell_flow::{Sharing, StageError};
use foretell_suggest::nearest;
use url::Url;

use super::database::{Database, Failure};
use super::dialect::Dialect;

/// A kind of database.
pub(super) struct DatabaseKind {
    /// The name in texts.
    pub(super) name: &'static str,
    /// The schemes of its URLs, each with its name in texts.
    pub(super) schemes: &'static [(&'static str, &'static str)],
    /// How a URL is written.
    pub(super) form: &'static str,
    /// Who may write at the same time.
    pub(super) sharing: Sharing,
    /// Reads a URL; the paths in it are relative to the folder. No message shows the URL, nor a part of one that cannot
    /// be read: it may hold a password.
    pub(super) address: ReadAddress,
}

/// Reads a URL.
pub(super) type ReadAddress = fn(&str, &Path) -> Result<Box<dyn Address>, StageError>;

/// A database's address.
#[async_trait]
pub(super) trait Address: Send + Sync {
    /// Its SQL, as far as it is known before there is a connection.
    fn dialect(&self) -> &'static dyn Dialect;

    /// Where it is, for texts: no user, no password.
    fn place(&self) -> String;

    /// The file, where it is one.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// Whether it is a file that is not there.
    fn absent(&self) -> bool {
        self.file().is_some_and(|file| !file.exists())
    }

    /// Connects. With `create`, a file that is not there is made.
    async fn connect(&self, create: bool) -> Result<Box<dyn Database>, Failure>;
}

const ENCODE: &str = "in a user, a password or a database's name write `%40` for `@`, `%2F` for `/`, `%3A` for `:`, `%3F` \
                      for `?`, `%23` for `#`, `%25` for `%`";

pub(super) fn wrong(why: impl Into<String>) -> StageError {
    StageError::settings(format!("`url`: {}", why.into()))
}

/// Reads a URL with a host. Where an `@` comes after the host, or anything after a `#`, a password was not encoded and what
/// looks like the host is a part of it: nothing of it may be looked up or shown.
pub(super) fn parse(text: &str, form: &str) -> Result<Url, StageError> {
    let Some((_, rest)) =
        text.split_once(':').and_then(|(_, rest)| rest.split_once("//")).filter(|(s, _)| s.is_empty())
    else {
        return Err(wrong("two slashes are missing after its scheme").remedy(format!("write {form}")));
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let after = rest.get(end..).unwrap_or_default();
    // Line ends and tabs are passed over by readers of URLs.
    if after.contains(['@', '#']) || text.contains(['\t', '\n', '\r']) {
        return Err(wrong("it holds a character that must be percent-encoded").remedy(ENCODE));
    }
    Url::parse(text).map_err(|error| wrong(error.to_string()).remedy(format!("write {form}; {ENCODE}")))
}

/// A file of certificates or of a key that an option names. The drivers' errors do not say which one is at fault.
pub(super) fn file(option: &str, path: &str, base: &Path) -> Result<PathBuf, StageError> {
    let path = base.join(path);
    let place = format!("`{option}`: {}", path.display());
    match std::fs::read(&path) {
        Ok(bytes) if bytes.windows(11).any(|part| part == b"-----BEGIN ") => Ok(path),
        Ok(_) => {
            Err(wrong(format!("{place}: it holds no PEM")).remedy("write it as text that begins with `-----BEGIN`"))
        }
        Err(error) => Err(wrong(format!("{place}: {error}")).remedy("the path is relative to the pipeline file")),
    }
}

/// What the driver says of a URL that it cannot parse: only the reason, which quotes at most one option.
pub(super) fn reason_of(error: sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(error) => error.to_string(),
        _ => "it cannot be read".to_owned(),
    }
}

/// The drivers pass over options that they do not know: a misspelt `ssl-mode` would mean no TLS.
pub(super) fn check_options(url: &Url, known: &[&str]) -> Result<(), StageError> {
    let keys = || url.query_pairs().map(|(k, _)| k.into_owned()).filter(|k| !k.starts_with("options["));
    // What follows an `&` in a password is not an option.
    if keys().any(|key| key == "password") && !keys().all(|key| known.contains(&key.as_str())) {
        return Err(wrong("an option beside `password` is not known").remedy("write `%26` for `&` in a password"));
    }
    check_keys(keys(), known)
}

pub(super) fn check_keys(keys: impl Iterator<Item = String>, known: &[&str]) -> Result<(), StageError> {
    for key in keys {
        if !known.contains(&key.as_str()) {
            let hint = nearest(&key, known.iter().copied()).map(|n| format!("did you mean `{n}`? "));
            let remedy = format!("{}there are {}", hint.unwrap_or_default(), known.join(", "));
            return Err(wrong(format!("the option `{key}` is not known")).remedy(remedy));
        }
    }
    Ok(())
}
