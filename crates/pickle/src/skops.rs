//! skops files: a zip of `schema.json`, which is a tree of nodes, and of files with the arrays' bytes.
//!
//! The nodes become the values that a pickle of the same model would have given, under the same list and budgets.
//! Every byte that an error names is one of `schema.json`.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::archive::{self, Entry};
use crate::{ErrorKind, Limits, Result};

/// The tree of nodes.
const SCHEMA: &str = "schema.json";

/// The unpacked bytes of a skops file, `schema.json` first.
pub(crate) struct Unpacked {
    pub(crate) data: Vec<u8>,
    schema: usize,
    files: BTreeMap<String, Range<usize>>,
}

/// Unpacks a file, and the sparse matrices in it, which are zips themselves: `12.npz` becomes `12.npz/data.npy` and
/// so on.
pub(crate) fn unpack(bytes: &[u8], limits: &Limits) -> Result<Unpacked> {
    let of_file = |kind: ErrorKind| kind.of_file();
    let mut data = Vec::new();
    let entries = archive::unpack(bytes, bytes.len(), SCHEMA, &mut data, limits).map_err(of_file)?;
    let schema = entries.first().filter(|entry| entry.name == SCHEMA).map(|entry| entry.data.end);
    let schema = schema.ok_or_else(|| ErrorKind::Zip("has no `schema.json`, as skops files do").of_file())?;
    let mut files = BTreeMap::new();
    for Entry { name, data: place } in entries {
        if name.ends_with(".npz") {
            let packed = data.get(place.clone()).unwrap_or(&[]).to_vec();
            for inner in archive::unpack(&packed, bytes.len(), "", &mut data, limits).map_err(of_file)? {
                files.insert(format!("{name}/{}", inner.name), inner.data);
            }
        }
        files.insert(name, place);
    }
    data.shrink_to_fit();
    Ok(Unpacked { data, schema, files })
}

impl Unpacked {
    pub(crate) fn schema(&self) -> &[u8] {
        self.data.get(..self.schema).unwrap_or(&[])
    }

    /// Where the bytes of a file are.
    pub(crate) fn file(&self, name: &str) -> Option<Range<usize>> {
        self.files.get(name).cloned()
    }
}
