//! Files of this machine by URL. [`Local`] itself is in `foretell_connect`, which has no dependency for it.

use std::sync::Arc;

use foretell_connect::storage::path::clean_local;
use foretell_connect::storage::{Error, ErrorKind, Local};

use crate::scheme::Scheme;

/// `file://`.
pub(super) const SCHEME: Scheme = Scheme {
    names: &["file"],
    example: "file:///path",
    shared: false,
    credentials: "leave it out",
    open: |address, _| match address.authority {
        "" => Ok((Arc::new(Local), clean_local(&format!("/{}", address.rest)))),
        _ => {
            let what = "a file URL has three slashes: `file:///folder/name`";
            Err(Error::new(ErrorKind::Settings, address.url, what))
        }
    },
    appends: true,
};
