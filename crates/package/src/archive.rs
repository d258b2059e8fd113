//! Tar and zip archives: which of their files is the model.

use std::io::Read;

use foretell_model::{Limits, looks_like_model};
use foretell_pickle::{Container, peek, unzip};

use crate::{Error, MlModel};

/// What kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tar,
    Zip,
}

/// The model file that was found.
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// The names of the inputs, where a description in the archive has them.
    pub(crate) columns: Vec<String>,
}

/// More files than an archive of a model has.
const FILES: usize = 10_000;
/// Where the header of a tar archive has its mark, and its checksum.
const MARK: std::ops::Range<usize> = 257..262;
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// Bytes of either end of a zip that are searched for names.
const LOOKED_AT: usize = 1 << 20;
/// Names that are told where a file is not clear.
const TOLD: usize = 20;

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Tar => "tar archive",
            Kind::Zip => "zip archive",
        }
    }

    /// Whether the bytes are an archive of files of which one may be a model: not a skops file, nor one of the zips that
    /// other libraries keep their own models in.
    pub(crate) fn of(bytes: &[u8]) -> Option<Kind> {
        if Container::sniff(bytes) == Some(Container::Zip) {
            // The directory is at the end; what is cut off has only the entries' own headers.
            let ends = [
                bytes.get(..LOOKED_AT).unwrap_or(bytes),
                bytes.get(bytes.len().saturating_sub(LOOKED_AT)..).unwrap_or(bytes),
            ];
            let files = |wanted: &[u8]| ends.iter().any(|end| end.windows(wanted.len()).any(|window| window == wanted));
            let of_others =
                [b"schema.json".as_slice(), b"data.pkl", b"model.weights.h5", b"saved_model.pb", b"xl/workbook.xml"];
            return (!of_others.iter().any(|name| files(name))).then_some(Kind::Zip);
        }
        is_tar(bytes).then_some(Kind::Tar)
    }
}

/// By the mark, or, as old programs wrote none, by the checksum of the header.
pub(crate) fn is_tar(bytes: &[u8]) -> bool {
    let Some(header) = bytes.get(..512) else { return false };
    if header.get(MARK) == Some(b"ustar") {
        return true;
    }
    let told = header.get(CHECKSUM).and_then(|text| std::str::from_utf8(text).ok());
    let told = told.and_then(|text| u32::from_str_radix(text.trim_matches([' ', '\0']), 8).ok());
    let sum = |byte: (usize, &u8)| u32::from(if CHECKSUM.contains(&byte.0) { b' ' } else { *byte.1 });
    told.is_some_and(|told| told > 0 && told == header.iter().enumerate().map(sum).fold(0, u32::saturating_add))
}

/// The one model in an archive.
pub(crate) fn find(bytes: &[u8], kind: Kind, limits: &Limits) -> Result<Found, Error> {
    let mut files = match kind {
        Kind::Tar => tar(bytes, limits)?,
        Kind::Zip => unzip(bytes, &is_wanted, limits).map_err(Error::Zip)?,
    };
    let named = files.iter().find(|(name, _)| file_name(name) == "MLmodel");
    let description = named
        .map(|(name, text)| MlModel::read(text).map(|described| (folder(name).to_string(), described)))
        .transpose()?;
    let columns = description.as_ref().map(|(_, described)| described.columns.clone()).unwrap_or_default();
    let wanted = description.map(|(folder, described)| format!("{folder}{}", described.path));
    if let Some(place) = files.iter().position(|(name, _)| Some(name) == wanted.as_ref()) {
        let (name, bytes) = files.swap_remove(place);
        return Ok(Found { name, bytes, columns });
    }
    let all = told(files.iter().map(|(name, _)| name.as_str()));
    let mut models: Vec<(String, Vec<u8>)> = files.into_iter().filter(|(name, bytes)| is_model(name, bytes)).collect();
    match (models.pop(), models.as_slice()) {
        (None, _) => Err(Error::None(if all.is_empty() { "no files".to_string() } else { all })),
        (Some((name, bytes)), []) => Ok(Found { name, bytes, columns }),
        (Some((last, _)), others) => {
            Err(Error::Several(told(others.iter().map(|(name, _)| name.as_str()).chain([last.as_str()]))))
        }
    }
}

/// The files of a tar archive. Links and devices are not files.
fn tar(bytes: &[u8], limits: &Limits) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut archive = tar::Archive::new(bytes);
    let mut files = Vec::new();
    let mut total = 0u64;
    for (count, entry) in archive.entries().map_err(|_| Error::Tar)?.enumerate() {
        if count >= FILES {
            return Err(Error::Limit { what: "files", limit: FILES as u64 });
        }
        let mut entry = entry.map_err(|_| Error::Tar)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !entry.header().entry_type().is_file() || !is_wanted(&name) {
            continue;
        }
        // An archive holds its files as they are: no more than its own bytes, but for what stands there twice.
        total = total.saturating_add(entry.size());
        if total > limits.unpacked {
            return Err(Error::Limit { what: "bytes", limit: limits.unpacked });
        }
        let mut data = Vec::new();
        let read = entry.by_ref().take(limits.unpacked).read_to_end(&mut data).map_err(|_| Error::Tar)?;
        if read as u64 != entry.size() {
            return Err(Error::Tar);
        }
        files.push((name, data));
    }
    Ok(files)
}

/// What is left by systems and programs beside the files that were meant.
fn is_wanted(name: &str) -> bool {
    let file = file_name(name);
    !file.is_empty()
        && !file.starts_with('.')
        && !name.split('/').any(|part| part == "__MACOSX" || part == "__pycache__")
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The folder of a file, with its slash.
fn folder(path: &str) -> &str {
    path.strip_suffix(file_name(path)).unwrap_or_default()
}

/// Endings under which models are kept.
const ENDINGS: &[&str] = &[
    "bin", "dump", "gz", "joblib", "lz4", "mdl", "model", "p", "pckl", "pickle", "pk", "pkl", "sav", "skops", "xz", "z",
];

/// Whether a file of an archive is a model: by its content, and where that may be anything by its name.
pub(crate) fn is_model(name: &str, bytes: &[u8]) -> bool {
    if looks_like_model(bytes) {
        return true;
    }
    let ending = file_name(name).rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    let named = ENDINGS.contains(&ending.as_str());
    match Container::sniff(bytes) {
        Some(Container::Plain) => named && bytes.trim_ascii_end().ends_with(b"."),
        Some(Container::Zip) => ending == "skops",
        Some(Container::Zf) => named,
        Some(_) => peek(bytes, 1024)
            .is_some_and(|start| looks_like_model(&start) || (named && Container::sniff(&start).is_some())),
        None => false,
    }
}

/// Names, each in backticks.
fn told<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown: Vec<String> = names.iter().take(TOLD).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(TOLD);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
