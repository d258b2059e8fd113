//! What a kind of storage declares of itself, so that addresses find it by walking a list.

use std::sync::Arc;

use foretell_connect::storage::path::clean;
use foretell_connect::storage::{Error, Storage};

use crate::settings::StorageSettings;

/// A kind of storage.
pub struct Scheme {
    /// What stands before `://` in its addresses.
    pub names: &'static [&'static str],
    /// An address, for messages.
    pub example: &'static str,
    /// Whether several machines see the same files.
    pub shared: bool,
    /// Where user and password come from, since an address holds neither.
    pub credentials: &'static str,
    /// The storage that an address names, and the path there. Reaches nothing yet.
    pub open: Open,
    /// Whether a file that is there can be appended to.
    pub appends: bool,
}

/// Opens what an address names.
pub type Open = fn(&Address, &StorageSettings) -> Result<(Arc<dyn Storage>, String), Error>;

/// An address in its parts.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// The whole, for messages.
    pub url: &'a str,
    /// What stands before the first slash behind `://`; may be empty.
    pub authority: &'a str,
    /// The rest, without that slash.
    pub rest: &'a str,
}

impl Address<'_> {
    /// The path in its one spelling.
    pub fn path(&self) -> String {
        clean(&format!("/{}", self.rest))
    }
}
