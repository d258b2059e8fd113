//! What is inside this file?
//!
//! Reads a pickle, joblib or skops file into inert values and runs nothing of it. The pickle machine is complete (every
//! opcode of protocols 0 to 5), but a global is a name on an exact list ([`Allow`]), calling one makes an [`Object`]
//! that remembers what it was called with, and every step is charged against [`Limits`] before memory is taken. Where the
//! caller wants it ([`Allow::and_opaque`]), a name that is not listed is kept too, as an opaque value that means nothing;
//! one that runs code or reaches the system where Python loads the file is refused always.
//!
//! This crate does no I/O, has no unsafe code, and knows nothing of scikit-learn: who calls it brings the classes,
//! it adds the containers itself (numpy arrays, joblib's wrappers, Python's built-in types).
//!
//! ```
//! use foretell_pickle::{Allow, Entry, Limits, read};
//!
//! let allow = Allow::new(&[Entry::class("shop", "Basket")]);
//! let file = b"\x80\x02cshop\nBasket\n)\x81}U\x05countK\x03sb.".to_vec();
//! let document = read(file, &allow, &Limits::default())?;
//! let basket = document.root();
//! assert!(basket.is("shop", "Basket"));
//! assert_eq!(basket.attr("count")?.as_i64()?, 3);
//! # Ok::<(), foretell_pickle::Error>(())
//! ```
//!
//! What holds for every input: it ends, without panic and without recursion (not even in `Drop`); it takes at most
//! 64 MiB plus 20 times its decompressed size; what is refused is named with the byte where it stands.
#![forbid(unsafe_code)]
// A folder's own file is its `mod.rs`.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod allow;
mod archive;
mod array;
mod array_view;
mod blob;
mod builtin;
mod common;
mod container;
mod document;
mod dtype;
mod entry;
mod error;
mod json;
mod limits;
mod literal;
mod machine;
mod meter;
mod npy;
mod opaque;
mod opcode;
mod path;
mod scalar;
mod scan;
mod skops;
mod stream;
mod unpack;
mod value;
mod view;
mod wide;

pub use allow::Allow;
pub use array::{Array, Data};
pub use array_view::ArrayView;
pub use blob::{Blob, Id};
pub use builtin::Builtin;
pub use container::Container;
pub use document::Document;
pub use dtype::{Dtype, Field, Kind};
pub use entry::{Entry, Role, State};
pub use error::{Error, ErrorKind, Place};
pub use limits::Limits;
pub use machine::NamedGlobal;
pub use scan::{Scan, scan};
pub use value::{Global, Object, Value};
pub use view::View;

/// The first `count` bytes of what a compressed file holds; `None` where it is damaged, or not a compressed file.
#[must_use]
pub fn peek(bytes: &[u8], count: usize) -> Option<Vec<u8>> {
    unpack::peek(bytes, count)
}

/// Unpacks a compressed file whatever is in it.
///
/// # Errors
/// It is damaged, or larger than the limits allow.
pub fn unpack(bytes: Vec<u8>, limits: &Limits) -> Result<Vec<u8>> {
    unpack::unpack(bytes, limits).map(|(_, data)| data).map_err(ErrorKind::of_file)
}

/// The files of a zip archive that are wanted, by their names; none is written anywhere.
///
/// # Errors
/// It is damaged, encrypted, or larger than the limits allow.
pub fn unzip(bytes: &[u8], wanted: &dyn Fn(&str) -> bool, limits: &Limits) -> Result<Vec<(String, Vec<u8>)>> {
    archive::files(bytes, wanted, limits).map_err(ErrorKind::of_file)
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Reads a file: finds out what it is packed with, unpacks it, and runs the pickle (or builds the nodes) in it.
///
/// # Errors
/// [`Error`] says at which byte of the unpacked stream and at which opcode the file was refused.
pub fn read(bytes: Vec<u8>, allow: &Allow, limits: &Limits) -> Result<Document> {
    let (container, data, built) = if Container::sniff(&bytes) == Some(Container::Zip) {
        let unpacked = skops::unpack(&bytes, limits)?;
        drop(bytes);
        let built = machine::Machine::read_skops(&unpacked, allow, limits)?;
        (Container::Zip, unpacked.data, built)
    } else {
        let (container, data) = unpack::unpack(bytes, limits).map_err(ErrorKind::of_file)?;
        let built = machine::Machine::read(&data, allow, limits)?;
        (container, data, built)
    };
    Ok(Document {
        data,
        decoded: built.decoded,
        nodes: built.nodes,
        globals: built.globals,
        root: built.root,
        container,
        protocol: built.protocol,
        trailing: built.trailing,
        nesting: limits.nesting,
        attributes: limits.attributes,
        visits: 0.into(),
        given: 0.into(),
    })
}
