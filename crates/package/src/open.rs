//! From bytes of any kind to the model files in them, layer by layer.

use std::borrow::Cow;

use foretell_model::{LoadOptions, looks_like_model};
use foretell_pickle::{Container, peek, unpack};

use crate::archive::{self, Kind};
use crate::{Error, Opened, chain};

/// Layers around a model: a zip of a `tar.gz` has four with the model's own.
const LAYERS: usize = 4;
/// What tells a tar archive is in its first 512 bytes.
const START: usize = 1024;

/// Finds the model files.
pub(crate) fn open<'b>(bytes: &'b [u8], options: &LoadOptions) -> Result<Opened<'b>, Error> {
    let Some(files) = chain::split(bytes) else { return one(bytes, options) };
    let mut all = Opened { files: Vec::new(), around: None, columns: Vec::new() };
    for file in files {
        let opened = one(file, options)?;
        if all.files.is_empty() {
            all.columns = opened.columns;
        }
        all.files.extend(opened.files);
    }
    Ok(all)
}

fn one<'b>(bytes: &'b [u8], options: &LoadOptions) -> Result<Opened<'b>, Error> {
    let limits = &options.limits;
    let mut opened = Opened { files: Vec::new(), around: None, columns: Vec::new() };
    let mut data = Cow::Borrowed(bytes);
    let mut around: Vec<String> = Vec::new();
    for _ in 0..LAYERS {
        if let Some(kind) = Kind::of(&data) {
            let found = archive::find(&data, kind, limits)?;
            around.insert(0, format!("`{}` of a {}", found.name, kind.name()));
            if !found.columns.is_empty() {
                opened.columns = found.columns;
            }
            data = Cow::Owned(found.bytes);
            continue;
        }
        // What joblib packs is read as it is; around anything else the packing is taken off.
        let Some(start) = peek(&data, START).filter(|start| is_packed_otherwise(&data, start)) else { break };
        let packed = Container::sniff(&data).map(|container| container.to_string()).unwrap_or_default();
        drop(start);
        data = Cow::Owned(unpack(data.into_owned(), limits)?);
        around.insert(0, packed);
    }
    opened.around = (!around.is_empty()).then(|| around.join(" in "));
    opened.files.push(data);
    Ok(opened)
}

/// Whether a packed file is not one that the reader of pickles unpacks itself. Bytes that only look packed, as a model of
/// XGBoost may, hold nothing.
fn is_packed_otherwise(data: &[u8], start: &[u8]) -> bool {
    if archive::is_tar(start) {
        return true;
    }
    let is_pickle = matches!(start, [0x80, 2..=5, ..])
        || matches!(start, [b'(' | b'c' | b']' | b'}', ..]) && !looks_like_model(start);
    !start.is_empty() && !looks_like_model(data) && !is_pickle
}
