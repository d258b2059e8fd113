//! What a file names, without building it: for files that are refused.

use crate::machine::{Machine, NamedGlobal};
use crate::unpack::{Unpacked, unpack_some};
use crate::{Allow, Container, Error, ErrorKind, Limits, skops};

/// What a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// What the file is packed with.
    pub container: Container,
    /// The pickle protocol that the stream declares; 0 for protocols 0 and 1, which declare none.
    pub protocol: u8,
    /// Bytes after decompression.
    pub unpacked: u64,
    /// Opcodes up to the end, or to where the scan stopped.
    pub opcodes: u64,
    /// Every global, in the order of first use.
    pub globals: Vec<NamedGlobal>,
    /// Bytes after the pickle's end.
    pub trailing: u64,
    /// Why the scan stopped before the end; globals may follow that it did not see.
    pub stopped: Option<Error>,
}

/// Runs the machine of [`read`](crate::read) over the file with every name let through and nothing built of them:
/// finds the names that are put together on the stack, and steps over joblib's array bytes as the reader does.
///
/// A compressed stream that is damaged is searched up to there, as Python would run it up to there.
///
/// # Errors
/// Nothing of the file can be unpacked.
pub fn scan(bytes: Vec<u8>, limits: &Limits) -> Result<Scan, Error> {
    let (container, unpacked, scanned) = if Container::sniff(&bytes) == Some(Container::Zip) {
        let unpacked = skops::unpack(&bytes, limits)?;
        (Container::Zip, unpacked.data.len(), Machine::scan_skops(&unpacked, &Allow::new(&[]), limits)?)
    } else {
        let Unpacked { container, data, broken } = unpack_some(bytes, limits).map_err(ErrorKind::of_file)?;
        let mut scanned = Machine::scan(&data, &Allow::new(&[]), limits);
        scanned.stopped = scanned.stopped.map(|end| broken.map_or(end, ErrorKind::of_file));
        (container, data.len(), scanned)
    };
    Ok(Scan {
        container,
        protocol: scanned.protocol,
        unpacked: crate::wide::wide(unpacked),
        opcodes: scanned.opcodes,
        globals: scanned.found,
        trailing: scanned.trailing,
        stopped: scanned.stopped,
    })
}
