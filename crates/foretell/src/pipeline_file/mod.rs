//! The pipeline file: YAML in, checked settings out, every error with its line.
//!
//! Three steps: the text becomes a tree that knows its lines (`node`), references are resolved and secrets and unknown
//! keys refused by the schema (`resolve`, `schema`), and each section becomes its settings. Nothing here reaches a
//! service or loads a model.

mod components;
mod encodings;
mod error;
mod node;
#[cfg(test)]
mod reference;
mod replay;
mod resolve;
mod schema;
mod set;
mod settings;
mod tables;
#[cfg(test)]
mod tests;
mod text;

use std::path::{Path, PathBuf};
use std::time::Duration;

use foretell_connect::human::{HumanDuration, HumanSize};
use foretell_connect::kind::{DecodeSpec, SettingsError, SinkSettings, SourceSettings, settings_of};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::components::LETTERS;
use crate::model_file;
pub(crate) use encodings::{EncodingEntry, Labels};
pub(crate) use error::{FileError, FileErrors, Wrong, list};
pub(crate) use foretell_suggest::nearest;
use node::{Data, Entry, Node};
use resolve::{ReferenceSources, resolve};
pub(crate) use schema::{REGISTRY, Registry, editor_schema, pipeline_schema};
pub(crate) use set::Setting;
pub(crate) use settings::{DriftSettings, ModelSettings, OnBadRecord, Trigger, TriggerMode};
pub(crate) use tables::TableEntry;

/// A pipeline as its file describes it; nothing is opened yet.
pub(crate) struct PipelineFile {
    /// The file as the user named it.
    pub(crate) path: PathBuf,
    /// Its folder: relative paths in settings are relative to it.
    pub(crate) base: PathBuf,
    /// The pipeline's name.
    pub(crate) name: String,
    /// Where records come from.
    pub(crate) source: Component<dyn SourceSettings>,
    /// Bytes to columns: with the query it decides what rows are made with.
    pub(crate) decode: Option<DecodeSpec>,
    /// Whether the source must look at its data for what `decode` leaves out.
    pub(crate) infer: bool,
    /// The models, in the file's order.
    pub(crate) models: Vec<ModelEntry>,
    /// The encodings, in the file's order.
    pub(crate) encodings: Vec<EncodingEntry>,
    /// The reference tables, in the file's order.
    pub(crate) tables: Vec<TableEntry>,
    /// The query; `SELECT * FROM records` where none is given.
    pub(crate) query: Located<String>,
    /// Where rows land, in the file's order: the first leads.
    pub(crate) sinks: Vec<SinkEntry>,
    /// Where bad records go.
    pub(crate) dead_letters: Option<Component<dyn SinkSettings>>,
    /// What a bad record does where there are no dead letters.
    pub(crate) on_bad_record: OnBadRecord,
    /// When batches begin.
    pub(crate) trigger: Trigger,
    /// The zone of times that are written without one: an IANA name, checked.
    pub(crate) timezone: Option<String>,
    /// The folder for models and recipes: a URL, or a path from `base`.
    pub(crate) state: String,
    /// Bytes in flight between the leader and the slowest sink.
    pub(crate) window: usize,
    /// How often a progress line is logged.
    pub(crate) progress: Duration,
    /// Where metrics, health and a page are served, if anywhere.
    pub(crate) http: Option<foretell_http::Settings>,
    /// Whether it reads the dead letters of the pipeline that its file describes.
    pub(crate) replays: bool,
    tree: Node,
    /// The file's text.
    text: String,
}

/// The settings of one component.
pub(crate) struct Component<S: ?Sized> {
    /// The kind's name, e.g. `kafka`.
    pub(crate) kind: &'static str,
    /// What the file says, parsed.
    pub(crate) settings: Box<S>,
}

/// A value and the line where it begins (of a `|` block: its first line of text).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located<T> {
    /// The value.
    pub(crate) value: T,
    /// From 1.
    pub(crate) line: usize,
}

/// One model.
#[derive(Debug, Clone)]
pub(crate) struct ModelEntry {
    /// The SQL function's name.
    pub(crate) name: String,
    /// What the file says of it.
    pub(crate) settings: ModelSettings,
    /// The model's files from the pipeline file's folder, in their order: mostly one.
    pub(crate) files: Vec<PathBuf>,
}

/// One sink.
pub(crate) struct SinkEntry {
    /// Its name: its positions are stored under it.
    pub(crate) name: String,
    /// Its settings.
    pub(crate) component: Component<dyn SinkSettings>,
    /// Its own query over `result`, if any.
    pub(crate) query: Option<Located<String>>,
    /// Where it has no position yet: whether it begins where a new pipeline would, not where the other sinks are.
    pub(crate) backfill: bool,
    /// Whether it is known to be a new one where it has no position yet.
    pub(crate) new: bool,
}

/// What a sink may have beside its kind.
const SINK_KEYS: [&str; 3] = ["query", "backfill", "new"];

const WINDOW: HumanSize = HumanSize(64 << 20);
const PROGRESS: HumanDuration = HumanDuration(Duration::from_secs(10));

impl PipelineFile {
    /// Reads a pipeline file with all kinds of components that there are, and puts the settings of the command line into
    /// it.
    ///
    /// # Errors
    /// All that is wrong with it, in the order of the file.
    pub(crate) fn load(path: &Path, settings: &[Setting]) -> Result<PipelineFile, FileErrors> {
        let text = text::read(path)?;
        PipelineFile::parse(path, &text, settings, REGISTRY, &|name| std::env::var(name))
    }

    /// The pipeline that reads the dead letters of the one in this file.
    ///
    /// # Errors
    /// All that is wrong with it, or that its dead letters cannot be read.
    pub(crate) fn load_replay(path: &Path, settings: &[Setting]) -> Result<PipelineFile, FileErrors> {
        let text = text::read(path)?;
        let registry = Registry { sources: LETTERS, ..REGISTRY };
        PipelineFile::read(path, &text, settings, true, registry, &|name| std::env::var(name))
    }

    /// Reads the text of a pipeline file.
    ///
    /// # Errors
    /// All that is wrong with it, in the order of the file.
    pub(crate) fn parse(
        path: &Path,
        text: &str,
        settings: &[Setting],
        registry: Registry,
        env: &dyn Fn(&str) -> Result<String, std::env::VarError>,
    ) -> Result<PipelineFile, FileErrors> {
        PipelineFile::read(path, text, settings, false, registry, env)
    }

    fn read(
        path: &Path,
        text: &str,
        settings: &[Setting],
        replays: bool,
        registry: Registry,
        env: &dyn Fn(&str) -> Result<String, std::env::VarError>,
    ) -> Result<PipelineFile, FileErrors> {
        let base = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let file = path.display().to_string();
        let mut tree = Node::parse(text).map_err(|unreadable| FileError {
            file: file.clone(),
            line: Some(unreadable.line),
            message: unreadable.message,
            ..FileError::default()
        })?;
        for setting in settings {
            setting.apply(&mut tree).map_err(|message| FileError {
                file: "--set".to_string(),
                message,
                ..FileError::default()
            })?;
        }
        if replays {
            replay::replay(&mut tree).map_err(|(place, message, remedy)| {
                Reader { file: file.clone(), tree: &tree }.error(place, message, remedy)
            })?;
        }
        let schema = pipeline_schema(registry);
        let unresolved = resolve(&mut tree, &schema, &ReferenceSources { env, base: &base });
        let read = Reader { file: file.clone(), tree: &tree }.pipeline(path, base, registry);
        if unresolved.is_empty() {
            return read.map(|parts| PipelineFile { tree: tree.clone(), text: text.to_string(), replays, ..parts });
        }
        // What is wrong at or around such a place follows from it.
        let covered = |path: &str| {
            let keys: Vec<String> = path.split('.').filter(|key| !key.is_empty()).map(str::to_string).collect();
            let under = |wrong: &[String]| match wrong {
                [] => keys.is_empty(),
                wrong => !keys.is_empty() && (keys.starts_with(wrong) || wrong.starts_with(&keys)),
            };
            unresolved.iter().any(|wrong| under(&wrong.path))
        };
        let mut wrong = Wrong::default();
        wrong.extend(read.err().into_iter().flat_map(|errors| errors.0).filter(|error| !covered(&error.path)));
        wrong.extend(unresolved.iter().map(|wrong| FileError {
            file: file.clone(),
            line: Some(wrong.line),
            path: wrong.path.join("."),
            message: wrong.message.clone(),
            remedy: wrong.remedy.clone(),
            ..FileError::default()
        }));
        Err(wrong.into_errors())
    }

    /// Where a place in a query's text stands in the file: line and column, both from 1. `None` where the file has the text
    /// in another form.
    pub(crate) fn place(&self, query: &Located<String>, (line, column): (usize, usize)) -> Option<(usize, usize)> {
        let own = query.value.lines().nth(line.checked_sub(1)?)?;
        let at = query.line.checked_add(line)?.checked_sub(1)?;
        let before = self.text.lines().nth(at.checked_sub(1)?)?;
        let begin = before.find(own.trim_end())?;
        Some((at, before.get(..begin)?.chars().count() + column))
    }

    /// An error at a place of this file, for what only shows when things are opened: `error(&["sinks", "db"], …)`.
    pub(crate) fn error(&self, path: &[&str], message: impl Into<String>, remedy: impl Into<String>) -> FileError {
        let reader = Reader { file: self.path.display().to_string(), tree: &self.tree };
        reader.error(path.iter().copied(), message, remedy)
    }
}

/// Another YAML file beside it, as JSON.
///
/// # Errors
/// It is not YAML: the line, and what is wrong.
pub(crate) fn read_yaml(path: &Path, text: &str) -> Result<Value, FileError> {
    let tree = Node::parse(text).map_err(|error| FileError {
        file: path.display().to_string(),
        line: Some(error.line),
        message: error.message,
        ..FileError::default()
    })?;
    Ok(tree.to_json())
}

/// Turns the resolved tree into settings.
struct Reader<'a> {
    file: String,
    tree: &'a Node,
}

impl Reader<'_> {
    fn error<'p>(
        &self,
        path: impl IntoIterator<Item = &'p str>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> FileError {
        let path: Vec<&str> = path.into_iter().collect();
        FileError {
            file: self.file.clone(),
            line: Some(self.tree.follow(path.iter().copied()).1),
            path: path.join("."),
            message: message.into(),
            remedy: remedy.into(),
            ..FileError::default()
        }
    }

    fn pipeline(&self, path: &Path, base: PathBuf, registry: Registry) -> Result<PipelineFile, FileErrors> {
        if !matches!(self.tree.data, Data::Map(_)) {
            return Err(self.error([], "a pipeline is a map of settings", "begin with `pipeline: NAME`").into());
        }
        let mut wrong = Wrong::default();
        let name = wrong.keep(self.name());
        let timezone = wrong.keep(self.timezone());
        let source = wrong.keep(self.component(registry.sources, &["source"], "source"));
        // Of a source that does not read, nobody knows whether it finds the columns itself.
        let infers = source.as_ref().is_none_or(|source| source.settings.infers());
        let decode = wrong.keep(self.decode(registry, infers));
        let models = self.models(&base, &mut wrong);
        let encodings = wrong.keep(self.encodings(&base));
        let tables = wrong.keep(self.tables(registry.tables));
        let query = wrong.keep(self.query());
        let sinks = self.sinks(registry, &mut wrong);
        let dead_letters = match self.tree.get("dead_letters") {
            Some(_) => wrong.keep(self.component(registry.sinks, &["dead_letters"], "sink")),
            None => None,
        };
        let on_bad_record = wrong.keep(self.optional(&["on_bad_record"]));
        let trigger = wrong.keep(self.optional(&["trigger"]));
        let state = wrong.keep(self.optional(&["state"]));
        let window = wrong.keep(self.optional(&["window"]));
        let progress = wrong.keep(self.optional(&["progress"]));
        let http = wrong.keep(self.http());
        wrong.none()?;
        // Each of these is there, or something is wrong.
        let missing = || FileErrors::from(self.error([], "the file cannot be read", ""));
        let (decode, infer) = decode.ok_or_else(missing)?;
        Ok(PipelineFile {
            path: path.to_path_buf(),
            name: name.ok_or_else(missing)?,
            source: source.ok_or_else(missing)?,
            decode,
            infer,
            models,
            encodings: encodings.ok_or_else(missing)?,
            tables: tables.ok_or_else(missing)?,
            query: query.ok_or_else(missing)?,
            sinks,
            dead_letters,
            on_bad_record: on_bad_record.flatten().unwrap_or_default(),
            trigger: trigger.flatten().unwrap_or_default(),
            timezone: timezone.flatten(),
            state: state.flatten().unwrap_or_else(|| ".foretell".to_string()),
            window: window.flatten().unwrap_or(WINDOW).0,
            progress: progress.flatten().unwrap_or(PROGRESS).0,
            http: http.flatten(),
            base,
            replays: false,
            tree: Node { line: 1, data: Data::Scalar(Value::Null), reference: None },
            text: String::new(),
        })
    }

    fn name(&self) -> Result<String, FileError> {
        let name: String = self.required(&["pipeline"], "pipeline: NAME")?;
        self.check_name(&["pipeline"], &name)?;
        Ok(name)
    }

    fn timezone(&self) -> Result<Option<String>, FileError> {
        let timezone: Option<String> = self.optional(&["timezone"])?;
        let unknown = timezone.as_deref().filter(|zone| zone.parse::<chrono_tz::Tz>().is_err());
        let Some(zone) = unknown else { return Ok(timezone) };
        let near = nearest(zone, chrono_tz::TZ_VARIANTS.iter().map(|known| known.name()));
        let remedy = near.map_or_else(
            || "write its IANA name, e.g. `Asia/Shanghai`".to_string(),
            |near| format!("did you mean `{near}`?"),
        );
        Err(self.error(["timezone"], "not a known time zone", remedy))
    }

    fn query(&self) -> Result<Located<String>, FileError> {
        Ok(match self.optional(&["query"])? {
            Some(value) => Located { value, line: self.tree.follow(["query"]).0.line },
            None => Located { value: "SELECT * FROM records".to_string(), line: 1 },
        })
    }

    fn http(&self) -> Result<Option<foretell_http::Settings>, FileError> {
        let Some(node) = self.tree.get("http") else { return Ok(None) };
        // `http:` without settings means all defaults.
        let value = match node.to_json() {
            Value::Null => Value::Object(serde_json::Map::new()),
            value => value,
        };
        settings_of(value).map(Some).map_err(|error| self.settings_error(&["http"], &error))
    }

    fn models(&self, base: &Path, wrong: &mut Wrong) -> Vec<ModelEntry> {
        let Some(models) = self.tree.get("models") else { return Vec::new() };
        if wrong.keep(self.expect_map(models, &["models"], "`NAME: { file: PATH }`")).is_none() {
            return Vec::new();
        }
        let names: Vec<&str> = models.entries().iter().map(|entry| entry.key.as_str()).collect();
        wrong.keep_all(models.entries().iter().map(|entry| {
            let model = self.model(&entry.key, base)?;
            self.check_beside(&model, &names)?;
            Ok(model)
        }))
    }

    /// What is set beside a model: its challenger, and what its rows are compared with.
    fn check_beside(&self, model: &ModelEntry, names: &[&str]) -> Result<(), FileError> {
        let name = model.name.as_str();
        if let Some(shadow) = &model.settings.shadow {
            let path = ["models", name, "shadow"];
            if shadow == name {
                return Err(self.error(path, "a model is not its own challenger", "name another model of `models`"));
            }
            if !names.contains(&shadow.as_str()) {
                let near = nearest(shadow, names.iter().copied());
                let remedy = near.map_or_else(
                    || format!("add it: `models: {{ {shadow}: {{ file: PATH }} }}`"),
                    |near| format!("did you mean `{near}`?"),
                );
                return Err(self.error(path, "there is no model of this name", remedy));
            }
        }
        let Some(drift) = &model.settings.drift else { return Ok(()) };
        let wrong =
            |key: &str, message: &str, remedy: &str| Err(self.error(["models", name, "drift", key], message, remedy));
        match (&drift.baseline, drift.first) {
            (Some(_), None) => {}
            (None, Some(100..=1_000_000)) => {}
            (None, Some(_)) => {
                return wrong("first", "a baseline is made of 100 to 1000000 rows", "e.g. `first: 10000`");
            }
            _ => {
                let remedy = "`baseline: FILE`, which `foretell baseline MODEL DATA -o FILE` writes, or `first: 10000`";
                return Err(self.error(["models", name, "drift"], "either `baseline` or `first` is needed", remedy));
            }
        }
        if !(100..=100_000_000).contains(&drift.window) {
            return wrong("window", "a window holds 100 to 100000000 rows", "e.g. `window: 10000`");
        }
        for (key, threshold) in [("psi", drift.psi), ("ks", drift.ks)] {
            if threshold.is_nan() || threshold <= 0.0 {
                return wrong(key, "a distance from which on it is told is above 0", "e.g. `0.2`");
            }
        }
        Ok(())
    }

    fn model(&self, name: &str, base: &Path) -> Result<ModelEntry, FileError> {
        let path = ["models", name];
        self.check_function(&path, name, "a model")?;
        let settings: ModelSettings = self.required(&path, "NAME: { file: PATH }")?;
        for sha256 in settings.sha256.all() {
            self.check_sha256(&path, Some(sha256))?;
        }
        let files = match (&settings.file, settings.files.as_slice()) {
            (Some(file), []) => vec![model_file::place(base, file)],
            (None, files @ [_, ..]) => files.iter().map(|file| model_file::place(base, file)).collect(),
            _ => {
                let remedy = "write `NAME: { file: PATH }`, or `NAME: { files: [PATH, PATH] }` for a chain";
                return Err(self.error(path, "either `file` or `files` is needed", remedy));
            }
        };
        let pinned = settings.sha256.all().len();
        if pinned > 0 && pinned != files.len() {
            let path = ["models", name, "sha256"];
            return Err(self.error(
                path,
                format!("{pinned} for {} files", files.len()),
                "one for each file, in their order",
            ));
        }
        if settings.iterations.is_some_and(|i| i.range().0 >= i.range().1) {
            let path = ["models", name, "iterations"];
            return Err(self.error(path, "no iteration is in this range", "`[from, to]` with `from` below `to`"));
        }
        if settings.refresh.is_some_and(|refresh| refresh.0.is_zero()) {
            return Err(self.error(["models", name, "refresh"], "no time lies between", "e.g. `10s`; left out: never"));
        }
        if settings.refresh.is_some() && pinned > 0 {
            let message = "the file is pinned by `sha256`, so that no other one is taken";
            return Err(self.error(["models", name, "refresh"], message, "leave one of them out"));
        }
        Ok(ModelEntry { name: name.to_string(), settings, files })
    }

    /// Whether a name may be an SQL function's.
    fn check_function(&self, path: &[&str], name: &str, what: &str) -> Result<(), FileError> {
        self.check_word(path, name, what, "it becomes an SQL function")
    }

    /// Whether a name may stand in SQL as it is.
    fn check_word(&self, path: &[&str], name: &str, what: &str, why: &str) -> Result<(), FileError> {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Ok(());
        }
        let remedy = format!("letters, digits and `_`, not a digit first: {why}");
        Err(self.error(path.iter().copied(), format!("not a name for {what}"), remedy))
    }

    fn check_sha256(&self, path: &[&str], sha256: Option<&str>) -> Result<(), FileError> {
        let hexadecimal = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if sha256.is_none_or(hexadecimal) {
            return Ok(());
        }
        let path = path.iter().copied().chain(["sha256"]);
        Err(self.error(path, "not a SHA-256", "64 hexadecimal digits, as `sha256sum` prints"))
    }

    fn sinks(&self, registry: Registry, wrong: &mut Wrong) -> Vec<SinkEntry> {
        let sinks = match self.tree.get("sinks") {
            None => Err(self.error(
                [],
                "`sinks` is missing",
                "where should the rows land? e.g. `sinks: { out: { console: {} } }`",
            )),
            Some(sinks) => match self.expect_map(sinks, &["sinks"], "`NAME: { KIND: … }`") {
                Ok(()) if sinks.entries().is_empty() => {
                    Err(self.error(["sinks"], "at least one sink is needed", "e.g. `out: { console: {} }`"))
                }
                fine => fine.map(|()| sinks),
            },
        };
        let Some(sinks) = wrong.keep(sinks) else { return Vec::new() };
        wrong.keep_all(sinks.entries().iter().map(|entry| self.sink(registry, entry)))
    }

    fn sink(&self, registry: Registry, entry: &Entry) -> Result<SinkEntry, FileError> {
        let path = ["sinks", entry.key.as_str()];
        self.check_name(&path, &entry.key)?;
        let query = self.optional(&["sinks", entry.key.as_str(), "query"])?;
        let line = entry.node.get("query").map_or(entry.line, |query| query.line);
        Ok(SinkEntry {
            name: entry.key.clone(),
            component: self.component(registry.sinks, &path, "sink")?,
            query: query.map(|value| Located { value, line }),
            backfill: self.optional(&["sinks", entry.key.as_str(), "backfill"])?.unwrap_or(false),
            new: self.optional(&["sinks", entry.key.as_str(), "new"])?.unwrap_or(false),
        })
    }

    fn required<T: DeserializeOwned>(&self, path: &[&str], example: &str) -> Result<T, FileError> {
        match self.optional(path)? {
            Some(value) => Ok(value),
            None => {
                let key = path.last().copied().unwrap_or_default();
                Err(self.error([], format!("`{key}` is missing"), format!("write `{example}`")))
            }
        }
    }

    fn optional<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, FileError> {
        let (parent, key) = match path {
            [parent @ .., key] => (self.tree.follow(parent.iter().copied()).0, key),
            [] => return Ok(None),
        };
        let Some(node) = parent.get(key) else { return Ok(None) };
        settings_of(node.to_json()).map(Some).map_err(|error| self.settings_error(path, &error))
    }

    /// A settings error at its place, without the values of references.
    fn settings_error(&self, prefix: &[&str], error: &SettingsError) -> FileError {
        let path: Vec<&str> = prefix.iter().copied().chain(error.path.iter().map(String::as_str)).collect();
        let (node, _) = self.tree.follow(path.iter().copied());
        let expected = error.message.rsplit_once(", expected ").map(|(_, expected)| expected);
        let message = match (&node.reference, expected) {
            (Some(reference), Some(expected)) => {
                format!("the value of `{reference}` does not fit: expected {expected}")
            }
            (Some(reference), None) => format!("the value of `{reference}` is not accepted"),
            (None, _) => self.tree.references().iter().fold(error.message.clone(), |message, node| match &node.data {
                Data::Scalar(Value::String(text)) if !text.is_empty() => message.replace(text.as_str(), "***"),
                _ => message,
            }),
        };
        self.error(path.iter().copied(), plain_words(&message), remedy(&message, node))
    }

    fn expect_map(&self, node: &Node, path: &[&str], form: &str) -> Result<(), FileError> {
        match node.data {
            Data::Map(_) => Ok(()),
            _ => Err(self.error(path.iter().copied(), "a map is needed here", format!("write {form}"))),
        }
    }

    fn check_name(&self, path: &[&str], name: &str) -> Result<(), FileError> {
        let fine = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if fine && name.len() <= 100 {
            return Ok(());
        }
        let remedy = "1 to 100 letters, digits, `.`, `_` or `-`: positions are stored under it";
        Err(self.error(path.iter().copied(), "not a name", remedy))
    }
}

/// Serde's words for people who write YAML.
pub(crate) fn plain_words(message: &str) -> String {
    let message = match message.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected a map of settings"),
        None => message.to_string(),
    };
    let message = message
        .replace("invalid type: map", "a map stands here")
        .replace("invalid type: sequence", "a list stands here");
    let message =
        message.replace("invalid type: ", "wrong type: ").replace("unit value", "nothing").replace("null", "nothing");
    let message = message.replace("missing field `", "missing key `").replace("unknown field `", "unknown key `");
    message.replace("unknown variant `", "unknown value `")
}

fn remedy(message: &str, node: &Node) -> &'static str {
    let number = matches!(node.data, Data::Scalar(Value::Number(_) | Value::Bool(_)));
    if number && node.reference.is_none() && message.ends_with("expected a string") { "put it in quotes" } else { "" }
}
