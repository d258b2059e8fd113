//! `encodings`: what a notebook's encoding step learned, as SQL functions.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use foretell_model::Unknown;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::{Map, Value};

use super::settings::ModelLimits;
use super::{FileError, Reader};

/// Labels and their codes, as an SQL function: `dept(DEPT)` gives the code, `dept_label(DEPT_n)` the label.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EncodingSettings {
    /// The file: a scikit-learn `LabelEncoder` or `OrdinalEncoder` as pickle or joblib, or a CSV file (`.csv`) with a
    /// header and two columns, label and code. Relative to the pipeline file.
    #[serde(default)]
    pub(crate) file: Option<String>,
    /// Instead of a file: the labels and their codes, `{ CT: 0, MRI: 1 }`.
    #[serde(default)]
    #[schemars(with = "Option<std::collections::BTreeMap<String, f64>>")]
    pub(crate) lookup: Option<Map<String, Value>>,
    /// What a label becomes that the encoding does not have, or that is missing: a code, or `null`. By default the row
    /// is refused, since the encoder would raise an error; an `OrdinalEncoder` with an `unknown_value` of its own gives
    /// that value.
    #[serde(default)]
    pub(crate) unknown: UnknownSetting,
    /// For an `OrdinalEncoder` of several columns: which one, by its name, or by its number (from 0) where it has none.
    #[serde(default)]
    pub(crate) column: Option<String>,
    /// Where the encoder is, in a file that holds several things: `encoder`, `steps[2].dept`.
    #[serde(default)]
    pub(crate) at: Option<String>,
    /// The file's SHA-256 in hexadecimal: any other file is refused.
    #[serde(default)]
    pub(crate) sha256: Option<String>,
    /// Other limits for reading the file.
    #[serde(default)]
    pub(crate) limits: ModelLimits,
}

/// What an unseen label becomes; nothing where the file does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct UnknownSetting(pub(crate) Option<Unknown>);

impl<'de> Deserialize<'de> for UnknownSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(UnknownSetting(Some(Unknown::Null))),
            Value::Number(number) => Ok(UnknownSetting(number.as_f64().map(Unknown::Code))),
            _ => Err(D::Error::custom("a code such as `-1`, or `null`, is needed")),
        }
    }
}

impl JsonSchema for UnknownSetting {
    fn schema_name() -> Cow<'static, str> {
        "Unknown".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": ["number", "null"] })
    }
}

/// One encoding.
#[derive(Debug, Clone)]
pub(crate) struct EncodingEntry {
    /// The SQL function's name.
    pub(crate) name: String,
    /// What the file says of it.
    pub(crate) settings: EncodingSettings,
    /// Where its labels are.
    pub(crate) labels: Labels,
}

/// Where the labels of an encoding are.
#[derive(Debug, Clone)]
pub(crate) enum Labels {
    /// In this file: `settings.file` from the pipeline file's folder.
    File(PathBuf),
    /// In the pipeline file.
    Here(Vec<(String, f64)>),
}

impl Reader<'_> {
    pub(super) fn encodings(&self, base: &Path) -> Result<Vec<EncodingEntry>, FileError> {
        const FORM: &str = "NAME: { file: PATH }` or `NAME: { lookup: { LABEL: CODE } }";
        let Some(encodings) = self.tree.get("encodings") else { return Ok(Vec::new()) };
        self.expect_map(encodings, &["encodings"], &format!("`{FORM}`"))?;
        let mut entries = Vec::new();
        for entry in encodings.entries() {
            let path = ["encodings", entry.key.as_str()];
            self.check_function(&path, &entry.key, "an encoding")?;
            let settings: EncodingSettings = self.required(&path, FORM)?;
            self.check_sha256(&path, settings.sha256.as_deref())?;
            let labels = match (&settings.file, &settings.lookup) {
                (Some(file), None) => Labels::File(base.join(file)),
                (None, Some(lookup)) => Labels::Here(self.lookup(&entry.key, lookup)?),
                _ => return Err(self.error(path, "either `file` or `lookup` is needed", format!("write `{FORM}`"))),
            };
            let of_files = [("column", settings.column.is_some()), ("at", settings.at.is_some())];
            if let (Labels::Here(_), Some((key, _))) = (&labels, of_files.iter().find(|(_, given)| *given)) {
                return Err(self.error(["encodings", &entry.key, key], "a `lookup` has nothing of the kind", ""));
            }
            entries.push(EncodingEntry { name: entry.key.clone(), settings, labels });
        }
        Ok(entries)
    }

    fn lookup(&self, name: &str, lookup: &Map<String, Value>) -> Result<Vec<(String, f64)>, FileError> {
        let pair = |(label, code): (&String, &Value)| match code.as_f64() {
            Some(code) => Ok((label.clone(), code)),
            None => Err(self.error(["encodings", name, "lookup", label], "a code is a number", "e.g. `CT: 0`")),
        };
        lookup.iter().map(pair).collect()
    }
}
