//! MLflow's description of a model: where its file is, of which library it is, and the names of its inputs.
//!
//! `MLmodel` is YAML as PyYAML writes it: maps in block style, texts that may run over several lines. Nothing else of YAML
//! is read, since a description may come in an archive from anywhere.

/// A longer description has no library.
pub const SIZE: usize = 4 << 20;

/// What a description says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MlModel {
    /// The model file, from the description's folder.
    pub path: String,
    /// The library as MLflow names it: `sklearn`, `xgboost`, `lightgbm`, `catboost`, `onnx`.
    pub flavour: String,
    /// The names of the inputs, in their order; none where there is no signature, or where it has no names.
    pub columns: Vec<String>,
}

/// Why a description is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Wrong {
    /// The model is of a library that is not scored.
    #[error(
        "the model is of MLflow's flavour `{0}`, and those of sklearn, xgboost, lightgbm, catboost and onnx are scored"
    )]
    Flavour(String),
    /// The description does not tell where the model is.
    #[error("`MLmodel` does not say which file the model is")]
    NoPath,
    /// The path of the model leads out of the folder.
    #[error("`MLmodel` names a model file that is not inside of its folder")]
    Outside,
    /// The description is not what MLflow writes.
    #[error("`MLmodel` is not a description as MLflow writes it")]
    Unreadable,
}

/// Libraries that are scored, each with the keys of the file.
const FLAVOURS: &[(&str, &[&str])] = &[
    ("sklearn", &["pickled_model"]),
    ("xgboost", &["data"]),
    ("lightgbm", &["data"]),
    ("catboost", &["data"]),
    ("onnx", &["data"]),
    ("python_function", &["model_path", "data"]),
];

impl MlModel {
    /// Reads a description.
    ///
    /// # Errors
    /// It is not one, does not name a file, or is of another library.
    pub fn read(text: &[u8]) -> Result<MlModel, Wrong> {
        let text = text.get(..SIZE).map_or(Some(text), |_| None).and_then(|text| std::str::from_utf8(text).ok());
        let entries = entries(text.ok_or(Wrong::Unreadable)?);
        let get = |path: &[&str]| entries.iter().find(|(at, _)| at == path).map(|(_, value)| value.as_str());
        let known = FLAVOURS.iter().find_map(|(flavour, keys)| {
            let file = keys.iter().find_map(|key| get(&["flavors", flavour, key]).filter(|file| !file.is_empty()))?;
            Some((*flavour, file))
        });
        let loader = get(&["flavors", "python_function", "loader_module"]).unwrap_or_default();
        let library = loader.strip_prefix("mlflow.").unwrap_or(loader);
        let Some((flavour, path)) = known else {
            let of_others =
                entries.iter().find(|(at, _)| at.first().is_some_and(|first| first == "flavors") && at.len() > 1);
            let named = of_others.and_then(|(at, _)| at.get(1)).filter(|name| *name != "python_function");
            let flavour = named.map(String::as_str).or_else(|| library.split('.').next()).unwrap_or_default();
            return Err(if flavour.is_empty() { Wrong::NoPath } else { Wrong::Flavour(flavour.to_string()) });
        };
        let flavour =
            if flavour == "python_function" { library.split('.').next().unwrap_or_default() } else { flavour };
        if !FLAVOURS.iter().any(|(known, _)| *known == flavour) {
            return Err(Wrong::Flavour(flavour.to_string()));
        }
        if !is_inside(path) {
            return Err(Wrong::Outside);
        }
        let columns = get(&["signature", "inputs"]).map(names).unwrap_or_default();
        Ok(MlModel { path: path.to_string(), flavour: flavour.to_string(), columns })
    }
}

/// Whether a path stays in the folder that it begins in.
pub(crate) fn is_inside(path: &str) -> bool {
    !path.starts_with('/') && !path.contains('\\') && !path.split('/').any(|part| part == ".." || part.is_empty())
}

/// The names in a signature; none unless all have one.
fn names(signature: &str) -> Vec<String> {
    let inputs: Vec<serde_json::Value> = serde_json::from_str(signature).unwrap_or_default();
    let name = |input: &serde_json::Value| input.get("name")?.as_str().map(str::to_string);
    inputs.iter().map(name).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// The scalars of nested maps, each with the keys that lead to it.
fn entries(text: &str) -> Vec<(Vec<String>, String)> {
    let mut entries = Vec::new();
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let indent = line.len().saturating_sub(line.trim_start().len());
        let Some((key, value)) = line.trim().split_once(':').filter(|_| !line.trim_start().starts_with(['#', '-']))
        else {
            continue;
        };
        open.retain(|(at, _)| *at < indent);
        open.push((indent, key.trim_matches(['\'', '"']).to_string()));
        let value = value.trim();
        let quote = value.chars().next().filter(|first| matches!(first, '\'' | '"'));
        let value = match quote {
            None => value.to_string(),
            Some(quote) => quoted(value, quote, &mut lines),
        };
        entries.push((open.iter().map(|(_, key)| key.clone()).collect(), value));
    }
    entries
}

/// A text in quotes that may run over several lines, a space between each two.
fn quoted<'t>(first: &'t str, quote: char, lines: &mut impl Iterator<Item = &'t str>) -> String {
    let mut out = String::new();
    let mut line = first.strip_prefix(quote).unwrap_or(first);
    loop {
        let mut chars = line.chars().peekable();
        let mut goes_on = false;
        while let Some(char) = chars.next() {
            match char {
                '\'' if quote == '\'' => {
                    if chars.next_if_eq(&'\'').is_none() {
                        return out;
                    }
                    out.push('\'');
                }
                '"' if quote == '"' => return out,
                '\\' if quote == '"' => match chars.next() {
                    None => goes_on = true,
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('u') => {
                        let digits: String = chars.by_ref().take(4).collect();
                        out.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
                    }
                    Some(other) => out.push(other),
                },
                other => out.push(other),
            }
        }
        if !goes_on {
            out.push(' ');
        }
        let Some(next) = lines.next() else { return out };
        line = next.trim();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKLEARN: &str = "\
artifact_path: model
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    model_path: model.pkl
    predict_fn: predict
    python_version: 3.11.2
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
    sklearn_version: 1.5.2
mlflow_version: 2.17.0
signature:
  inputs: '[{\"type\": \"double\", \"name\": \"it''s a\", \"required\": true}, {\"type\": \"double\",
    \"name\": \"b\", \"required\": true}]'
  outputs: '[{\"type\": \"tensor\", \"tensor-spec\": {\"dtype\": \"int64\", \"shape\": [-1]}}]'
";

    #[test]
    fn the_file_and_the_names_are_found() {
        let expected =
            MlModel { path: "model.pkl".into(), flavour: "sklearn".into(), columns: vec!["it's a".into(), "b".into()] };
        assert_eq!(MlModel::read(SKLEARN.as_bytes()), Ok(expected));
        let xgboost = "flavors:\n  python_function:\n    data: model.xgb\n    loader_module: mlflow.xgboost\n  xgboost:\n    \
                       data: model.xgb\n    model_class: xgboost.core.Booster\nsignature:\n  inputs: \"[{\\\"type\\\": \
                       \\\"double\\\", \\\n    \\ \\\"name\\\": \\\"a\\\"}]\"\n";
        let expected = MlModel { path: "model.xgb".into(), flavour: "xgboost".into(), columns: vec!["a".into()] };
        assert_eq!(MlModel::read(xgboost.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_of_no_use_is_said_so() {
        let read = |text: &str| MlModel::read(text.as_bytes()).unwrap_err();
        let keras =
            "flavors:\n  keras:\n    data: data\n  python_function:\n    loader_module: mlflow.keras\n    data: data\n";
        assert_eq!(read(keras), Wrong::Flavour("keras".into()));
        assert_eq!(read("a: b\n"), Wrong::NoPath);
        for path in ["../model.pkl", "/etc/passwd", "a/../../b", "a\\b", "a//b"] {
            assert_eq!(read(&SKLEARN.replace("model.pkl", path)), Wrong::Outside, "{path}");
        }
        assert_eq!(MlModel::read(b"\xff"), Err(Wrong::Unreadable));
        for cut in 0..SKLEARN.len() {
            let _ = MlModel::read(&SKLEARN.as_bytes()[..cut]);
        }
    }
}
