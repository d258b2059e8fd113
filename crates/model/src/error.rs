//! Why a model could not be loaded, or does not fit its inputs.

use arrow_schema::DataType;

/// What went wrong, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pickle or joblib container could not be read, or holds something that is not allowed.
    #[error(transparent)]
    Pickle(#[from] foretell_pickle::Error),

    /// The bytes are not a kind of file that is known.
    #[error(
        "not a model file that is known: it is neither a pickle, a joblib file, a skops file, an XGBoost model (JSON, \
         UBJSON, binary), a LightGBM model text, a CatBoost model (`.cbm`, JSON), ONNX nor PMML; {}", begins(.start)
    )]
    UnknownFile {
        /// The first bytes, in hexadecimal; `None` where the file begins as a text, which may be somebody's data.
        start: Option<String>,
    },

    /// One of several files that make up a model.
    #[error("file {number} of {of}: {error}")]
    InFile {
        /// Counted from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// What is wrong with it.
        error: Box<Error>,
    },

    /// A kind of file that is known and is not a model that can be scored.
    #[error("this is {what}; {way}")]
    OtherFile {
        /// What it is.
        what: &'static str,
        /// What to do about it.
        way: &'static str,
    },

    /// A pickle that something happened to on its way.
    #[error("{error}; {what}")]
    Damaged {
        /// What the reader says.
        error: foretell_pickle::Error,
        /// What must have happened, and the way on.
        what: String,
    },

    /// The text or binary model inside breaks its own format.
    #[error("{format}: byte {offset}: {message}")]
    Format {
        /// `XGBoost JSON`, `XGBoost UBJSON`, `XGBoost binary`, `LightGBM text`, `CatBoost binary`, `CatBoost JSON`, `ONNX`,
        /// `PMML`.
        format: &'static str,
        /// Where, counted from the start of that model's bytes.
        offset: usize,
        /// What is wrong there.
        message: String,
    },

    /// An object's state is not what its class has.
    #[error("{}{message}", prefix(.place))]
    State {
        /// Path of the object, e.g. `steps[1][1].estimators_[3]`; empty at the root.
        place: String,
        /// What is missing or wrong.
        message: String,
    },

    /// The model was saved before it was fitted.
    #[error("{}the model was saved before it was fitted: call `fit`, then save it", prefix(.place))]
    Unfitted {
        /// Path of the estimator; empty at the root.
        place: String,
    },

    /// Two parts of an object that belong together have different lengths.
    #[error("{}{found} {what} for {expected} {of}", prefix(.place))]
    Counts {
        /// Path of the object; empty at the root.
        place: String,
        /// How many there are.
        found: usize,
        /// Of what, in the plural.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// For what, in the plural.
        of: &'static str,
    },

    /// A position that leads outside of what it points into.
    #[error("{}{what} is out of range", prefix(.place))]
    OutOfRange {
        /// Path of the object; empty at the root.
        place: String,
        /// What leads there: `column 7`.
        what: String,
    },

    /// An estimator inside of another does not answer what that one asks.
    #[error("{}{who} does not give {wanted}", prefix(.place))]
    NoSuchAnswer {
        /// Path of the estimator around it, or its own; empty at the root.
        place: String,
        /// Which estimator.
        who: &'static str,
        /// What it is asked for: `one number a row`.
        wanted: &'static str,
    },

    /// A transformer stands where a predictor is needed, or the other way round.
    #[error("{}{does}, where a {needed} is needed", prefix(.place))]
    WrongRole {
        /// Path of the estimator; empty at the root.
        place: String,
        /// What it does: `transforms`.
        does: &'static str,
        /// What is needed: `predictor`.
        needed: &'static str,
    },

    /// A step names a column that the step before it does not give.
    #[error("{}there is no column `{column}`", prefix(.place))]
    NoSuchColumn {
        /// Path of the object that names it.
        place: String,
        /// Its name.
        column: String,
    },

    /// More of something than any honest file has.
    #[error("{}more than {limit} {what}", prefix(.place))]
    Limit {
        /// Path of the object; empty at the root.
        place: String,
        /// What is limited, in the plural.
        what: &'static str,
        /// The limit.
        limit: usize,
    },

    /// A tree that could make predicting fail or never end.
    #[error("{}tree {tree}: node {node}: {message}", prefix(.place))]
    Tree {
        /// Path of the ensemble; empty where the file is nothing but the ensemble.
        place: String,
        /// Index of the tree.
        tree: usize,
        /// Index of the node in the tree.
        node: usize,
        /// What is wrong with it.
        message: String,
    },

    /// A class, objective or setting that this crate does not score.
    #[error("{}`{what}` is not supported; supported: {supported}", prefix(.place))]
    Unsupported {
        /// Path of the object in the file; empty at the root.
        place: String,
        /// The class or setting.
        what: String,
        /// What could stand there instead.
        supported: String,
    },

    /// A class that this crate does not score.
    #[error("{}`{class}` is not supported: {why}", prefix(.place))]
    UnknownClass {
        /// Path of the object in the file; empty at the root.
        place: String,
        /// The class.
        class: String,
        /// Why, and what comes nearest.
        why: String,
    },

    /// The file's root holds several models, or none, at the path asked for.
    #[error("{message}")]
    At {
        /// What is there instead, with every path that could be given.
        message: String,
    },

    /// A column that the model needs is not there.
    #[error("column `{column}`: the model needs it, {}", instead(.nearest, .columns))]
    MissingColumn {
        /// The feature's name.
        column: String,
        /// A column that differs from it in case only.
        nearest: Option<String>,
        /// The columns that there are.
        columns: Vec<String>,
    },

    /// A column has a type that the model does not take.
    #[error("column `{column}`: has the type {data_type}, but the model takes {takes}")]
    ColumnType {
        /// The feature's name, or `feature 3`.
        column: String,
        /// The column's type.
        data_type: DataType,
        /// What the model takes: `a number`, `text`.
        takes: &'static str,
    },

    /// The file does not tell how many features the model has: [`LoadOptions::columns`](crate::LoadOptions) can.
    #[error("{}does not tell how many features it has", prefix(.place))]
    UnknownWidth {
        /// Path of the object; empty at the root.
        place: String,
    },

    /// The number of columns is not the number of features.
    #[error("the model takes {takes} columns and knows no names for them, but {given} were given")]
    ColumnCount {
        /// How many features the model has.
        takes: usize,
        /// How many columns were given.
        given: usize,
    },
}

fn begins(start: &Option<String>) -> String {
    match start.as_deref() {
        None => "it begins as a text, as data does".into(),
        Some(start) => format!("it starts with the bytes `{start}`"),
    }
}

fn instead(nearest: &Option<String>, columns: &[String]) -> String {
    if let Some(nearest) = nearest {
        return format!("and there is only `{nearest}` (case matters)");
    }
    let all: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
    format!("but it is not there; there are: {}", all.join(", "))
}

fn prefix(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!("{place}: ") }
}

impl Error {
    pub(crate) fn state(place: impl Into<String>, message: impl Into<String>) -> Self {
        Error::State { place: place.into(), message: message.into() }
    }

    pub(crate) fn counts(
        place: impl Into<String>,
        (found, what): (usize, &'static str),
        (expected, of): (usize, &'static str),
    ) -> Self {
        Error::Counts { place: place.into(), found, what, expected, of }
    }

    pub(crate) fn out_of_range(place: impl Into<String>, what: impl Into<String>) -> Self {
        Error::OutOfRange { place: place.into(), what: what.into() }
    }

    pub(crate) fn no_such_answer(place: impl Into<String>, who: &'static str, wanted: &'static str) -> Self {
        Error::NoSuchAnswer { place: place.into(), who, wanted }
    }

    pub(crate) fn missing_column<'a>(feature: &str, columns: impl Iterator<Item = &'a String>) -> Self {
        let columns: Vec<String> = columns.cloned().collect();
        let nearest = columns.iter().find(|column| column.eq_ignore_ascii_case(feature)).cloned();
        Error::MissingColumn { column: feature.to_string(), nearest, columns }
    }

    pub(crate) fn unsupported(place: impl Into<String>, what: impl Into<String>, supported: impl Into<String>) -> Self {
        Error::Unsupported { place: place.into(), what: what.into(), supported: supported.into() }
    }
}
