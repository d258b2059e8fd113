//! Where is the model in what was kept?
//!
//! Services and registries keep a model in an archive (`model.tar.gz`, a zip) or a folder with a description beside it
//! (MLflow's `MLmodel`). [`load`] finds the one model file in such bytes, whatever is around it, and loads it; several are
//! refused by their names. Everything stays in memory, under the limits of the pickle reader: nothing of an archive is
//! written anywhere, so that its names lead nowhere.
//!
//! Several files can be one model, a chain: [`join`] makes one run of bytes of them, which [`load`] takes.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod archive;
mod chain;
mod json;
mod mlmodel;
mod open;

pub use chain::join;
pub use json::{described, json};
pub use mlmodel::{MlModel, SIZE as MLMODEL_SIZE};

use std::borrow::Cow;

use foretell_model::{LoadOptions, Model, Report};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model file could not be loaded.
    #[error(transparent)]
    Model(#[from] foretell_model::Error),

    /// An archive could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] foretell_pickle::Error),

    /// A zip archive that does not read.
    #[error("{0}; if it is not cut off, it may be a file of PyTorch or Keras, which are zip files too and not scored")]
    Zip(foretell_pickle::Error),

    /// A tar archive that does not read.
    #[error("the tar archive is damaged or cut off; fetch or save it again")]
    Tar,

    /// More of something than an archive of a model has.
    #[error("the archive has more than {limit} {what}")]
    Limit {
        /// What is limited, in the plural.
        what: &'static str,
        /// The limit.
        limit: u64,
    },

    /// An archive without a model in it.
    #[error("no model file is in the archive; it holds {0}")]
    None(String),

    /// An archive of several models.
    #[error("several model files are in the archive; unpack it, and give one of them, or a chain: {0}")]
    Several(String),

    /// A model of MLflow that is of another library.
    #[error(transparent)]
    MlModel(#[from] mlmodel::Wrong),
}

/// The model in bytes of any kind: a model file, an archive around one, or files that [`join`] put together.
///
/// # Errors
/// There is no model in it, or more than one, or it does not load.
pub fn load(bytes: &[u8], options: &LoadOptions) -> Result<Model, Error> {
    let opened = open::open(bytes, options)?;
    let files: Vec<&[u8]> = opened.files.iter().map(|file| &**file).collect();
    let options = opened.options(options);
    Ok(Model::load_chain(&files, &options)?)
}

/// What is in bytes of any kind, whether or not it can be scored.
///
/// # Errors
/// An archive has no model in it, or more than one.
pub fn inspect(bytes: &[u8], options: &LoadOptions) -> Result<Report, Error> {
    let opened = open::open(bytes, options)?;
    let options = opened.options(options);
    let [file] = opened.files.as_slice() else {
        // Of several files each says for itself what it names; the whole says what it does.
        let files: Vec<&[u8]> = opened.files.iter().map(|file| &**file).collect();
        let model = Model::load_chain(&files, &options);
        let alone = |at: &[u8]| foretell_model::inspect(at, &LoadOptions { at: Vec::new(), ..options.clone() });
        let mut reports = files.into_iter().map(alone);
        let first = reports.next().unwrap_or_else(|| foretell_model::inspect(&[], &options));
        let mut report = Report { model, ..first };
        for more in reports {
            report.container = format!("{}, {}", report.container, more.container);
            report.sha256 = format!("{}+{}", report.sha256, more.sha256);
            report.size = report.size.saturating_add(more.size);
            report.unpacked = report.unpacked.zip(more.unpacked).map(|(a, b)| a.saturating_add(b));
            report.globals.extend(more.globals);
            report.stopped = report.stopped.or(more.stopped);
        }
        return Ok(report);
    };
    let mut report = foretell_model::inspect(file, &options);
    if let Some(around) = &opened.around {
        report.container = format!("{} in {around}", report.container);
    }
    Ok(report)
}

/// The names of a model's inputs that stand beside it, where the model file is in an archive with a description.
///
/// # Errors
/// There is no model in it, or more than one.
pub fn columns(bytes: &[u8], options: &LoadOptions) -> Result<Vec<String>, Error> {
    Ok(open::open(bytes, options)?.columns)
}

/// Model files, each as it is or out of an archive.
struct Opened<'b> {
    files: Vec<Cow<'b, [u8]>>,
    /// What the file is packed in: `model.pkl of a tar archive`.
    around: Option<String>,
    /// The names of the inputs, where a description beside the model has them.
    columns: Vec<String>,
}

impl Opened<'_> {
    /// The options with what the description adds.
    fn options(&self, options: &LoadOptions) -> LoadOptions {
        let mut options = options.clone();
        if options.columns.is_empty() {
            options.columns.clone_from(&self.columns);
        }
        options
    }
}
