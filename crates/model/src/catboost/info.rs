//! What a model says of its training: the loss, the classes, the version.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// A class label.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Label {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

/// The classes, in the order of their scores.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Classes {
    pub(crate) labels: Vec<Label>,
    /// Whether whole numbers stand for fractions.
    pub(crate) are_floats: bool,
}

/// What is told beside the trees.
#[derive(Debug, Clone, Default)]
pub(crate) struct Info {
    /// The name of the loss: `Logloss`; empty where it is not told.
    pub(crate) loss: String,
    pub(crate) classes: Classes,
    /// `1.2.10`, where it is told.
    pub(crate) version: Option<String>,
    /// From which probability on the second of two classes is told, where it is not half.
    pub(crate) threshold: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Loss {
    #[serde(rename = "type")]
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    class_names: Option<Vec<Label>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Params {
    loss_function: Option<Loss>,
    data_processing_options: Data,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClassParams {
    class_label_type: Option<String>,
    class_names: Option<Vec<Label>>,
    class_to_label: Option<Vec<f64>>,
    classes_count: i64,
}

/// A value, or a text that holds it as JSON.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Told<T> {
    Text(String),
    Value(T),
}

/// What a file tells of a model, key by key.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entries {
    params: Option<Told<Params>>,
    loss_function: Option<Told<Loss>>,
    class_params: Option<Told<ClassParams>>,
    multiclass_params: Option<Told<ClassParams>>,
    catboost_version_info: Option<String>,
    binclass_probability_threshold: Option<String>,
}

/// Classes that are only counted: no honest model has more.
const COUNTED: usize = 1 << 16;

impl Entries {
    /// An entry of a `.cbm` file, where every value is a text.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        let value = value.to_string();
        match key {
            "params" => self.params = Some(Told::Text(value)),
            "loss_function" => self.loss_function = Some(Told::Text(value)),
            "class_params" => self.class_params = Some(Told::Text(value)),
            "multiclass_params" => self.multiclass_params = Some(Told::Text(value)),
            "catboost_version_info" => self.catboost_version_info = Some(value),
            "binclass_probability_threshold" => self.binclass_probability_threshold = Some(value),
            _ => {}
        }
    }

    /// What they say together.
    pub(super) fn info(self, format: &str) -> Result<Info, Error> {
        let params = told(self.params, "params", format)?.unwrap_or_default();
        let loss = told(self.loss_function, "loss_function", format)?;
        let classes = told(self.class_params, "class_params", format)?;
        let of_several = told(self.multiclass_params, "multiclass_params", format)?;
        let named = params.data_processing_options.class_names.unwrap_or_default();
        let classes = classes.or(of_several).map(ClassParams::classes).filter(|classes| !classes.labels.is_empty());
        Ok(Info {
            loss: params.loss_function.or(loss).unwrap_or_default().name,
            classes: classes.unwrap_or(Classes { labels: named, are_floats: false }),
            version: self.catboost_version_info.as_deref().and_then(version),
            threshold: self.binclass_probability_threshold.and_then(|text| text.parse().ok()),
        })
    }
}

impl ClassParams {
    fn classes(self) -> Classes {
        let count = usize::try_from(self.classes_count).unwrap_or(0).min(COUNTED);
        let are_floats = self.class_label_type.as_deref() == Some("Float");
        let names = self.class_names.filter(|names| !names.is_empty());
        let labels = match (names, self.class_to_label) {
            (Some(names), _) => names,
            (None, _) if count > 0 => (0..).take(count).map(Label::Int).collect(),
            (None, labels) => labels.unwrap_or_default().into_iter().map(|label| Label::Int(label as i64)).collect(),
        };
        Classes { labels, are_floats }
    }
}

fn told<T: DeserializeOwned>(value: Option<Told<T>>, key: &str, format: &str) -> Result<Option<T>, Error> {
    let parsed =
        |text: String| serde_json::from_str(&text).map_err(|error| Error::state(format, format!("`{key}`: {error}")));
    match value {
        None => Ok(None),
        Some(Told::Value(value)) => Ok(Some(value)),
        Some(Told::Text(text)) => parsed(text).map(Some),
    }
}

/// The release that a build was made from, as `Branch: tags/v1.2.10` says it.
fn version(build: &str) -> Option<String> {
    let (_, after) = build.split_once("tags/v")?;
    let version: String = after.chars().take_while(|one| one.is_ascii_digit() || *one == '.').collect();
    (!version.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(all: &[(&str, &str)]) -> Result<Info, Error> {
        let mut entries = Entries::default();
        all.iter().for_each(|(key, value)| entries.set(key, value));
        entries.info("CatBoost")
    }

    #[test]
    fn classes_and_loss_are_found_in_every_place_they_have_had() {
        let params = r#"{"loss_function":{"type":"Logloss","params":{}},"data_processing_options":{"class_names":["no","yes"]}}"#;
        let info = read(&[("params", params), ("catboost_version_info", "Branch: tags/v1.2.10\n")]).unwrap();
        assert_eq!((info.loss.as_str(), info.version.as_deref()), ("Logloss", Some("1.2.10")));
        assert_eq!(info.classes.labels, [Label::Text("no".into()), Label::Text("yes".into())]);
        let counted = r#"{"class_to_label":[0.0,2.0],"class_names":[],"classes_count":0}"#;
        assert_eq!(read(&[("multiclass_params", counted)]).unwrap().classes.labels, [Label::Int(0), Label::Int(2)]);
        let floats = r#"{"class_label_type":"Float","class_names":[1,2.5]}"#;
        let expected = Classes { labels: vec![Label::Int(1), Label::Float(2.5)], are_floats: true };
        assert_eq!(read(&[("class_params", floats)]).unwrap().classes, expected);
        let document = r#"{"params": {"loss_function": {"type": "RMSE"}}, "train_finish_time": "now"}"#;
        let entries: Entries = serde_json::from_str(document).unwrap();
        assert_eq!(entries.info("CatBoost").unwrap().loss, "RMSE");
        let error = read(&[("params", "{")]).unwrap_err().to_string();
        assert!(error.starts_with("CatBoost: `params`: EOF"), "{error}");
    }
}
