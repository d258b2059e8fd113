//! MLflow's model registry: which version of a model an alias names, and the files of that version.

use std::fmt;
use std::time::Duration;

use foretell_flow::{Fault, StageError};
use reqwest::{Client, StatusCode, Url};
use serde_json::Value;

/// For a question; files may take longer.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two pieces of a file.
const SILENCE: Duration = Duration::from_secs(30);
/// No answer but a file is longer.
const LONGEST: usize = 1 << 20;
/// A question is asked so often before the server is said to be away, with this pause, doubled each time.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// A model in the registry, as MLflow's own addresses name it: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredModel {
    /// Its name.
    pub name: String,
    /// Which of its versions.
    pub which: Which,
}

/// A version by its number, or by an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By its number.
    Version(u64),
    /// By an alias, which may be given to another version at any time.
    Alias(String),
}

impl RegisteredModel {
    /// Reads an address; `None` where it is no address of a registry.
    ///
    /// # Errors
    /// What is wrong with one that begins as such.
    pub fn parse(address: &str) -> Option<Result<RegisteredModel, StageError>> {
        let rest = address.strip_prefix("models:/")?;
        let named = match (rest.rsplit_once('@'), rest.rsplit_once('/')) {
            (Some((name, alias)), _) if !alias.is_empty() && !alias.contains('/') => {
                Some((name, Which::Alias(alias.to_string())))
            }
            (None, Some((name, version))) => version.parse().ok().map(|version| (name, Which::Version(version))),
            _ => None,
        };
        let named = named.filter(|(name, _)| !name.is_empty() && !name.contains('/'));
        let wrong = || {
            StageError::settings("the address of a registered model is not whole")
                .remedy("write `models:/NAME@ALIAS` or `models:/NAME/VERSION`")
        };
        Some(named.map(|(name, which)| RegisteredModel { name: name.to_string(), which }).ok_or_else(wrong))
    }
}

/// A server of MLflow.
pub struct Mlflow {
    client: Client,
    url: Url,
    login: Option<(String, Option<String>)>,
    token: Option<String>,
}

impl fmt::Debug for Mlflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MLflow {}", self.url)
    }
}

impl Mlflow {
    /// The server that the variables of MLflow's own clients name. Connects nothing yet.
    ///
    /// # Errors
    /// None is named, or by an address that does not read.
    pub fn of(variable: &dyn Fn(&str) -> Option<String>) -> Result<Mlflow, StageError> {
        let remedy = "set MLFLOW_TRACKING_URI to the server's address, such as `http://mlflow.local:5000`";
        let Some(address) = variable("MLFLOW_REGISTRY_URI").or_else(|| variable("MLFLOW_TRACKING_URI")) else {
            return Err(StageError::settings("the MLflow server is not known").remedy(remedy));
        };
        let url = Url::parse(&address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(mut url) = url else {
            return Err(StageError::settings("MLFLOW_TRACKING_URI is not the address of a server").remedy(remedy));
        };
        if !url.username().is_empty() || url.password().is_some() {
            let error = StageError::settings("MLFLOW_TRACKING_URI holds a login");
            return Err(error.remedy("put it into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let client = Client::builder().connect_timeout(ANSWER).read_timeout(SILENCE).pool_max_idle_per_host(0).build();
        let client = client.map_err(|error| StageError::settings(format!("no client for MLflow: {error}")))?;
        let login = variable("MLFLOW_TRACKING_USERNAME").map(|user| (user, variable("MLFLOW_TRACKING_PASSWORD")));
        Ok(Mlflow { client, url, login, token: variable("MLFLOW_TRACKING_TOKEN") })
    }

    /// The number of the version that is meant now.
    ///
    /// # Errors
    /// The server does not answer or does not let us in; there is no such model, version or alias.
    pub async fn version(&self, model: &RegisteredModel) -> Result<u64, StageError> {
        let found = match &model.which {
            Which::Version(version) => {
                let version = version.to_string();
                self.ask(&["model-versions", "get"], &[("name", &model.name), ("version", &version)]).await?
            }
            Which::Alias(alias) => {
                self.ask(&["registered-models", "alias"], &[("name", &model.name), ("alias", alias)]).await?
            }
        };
        let version = found.get("model_version").and_then(|version| version.get("version"));
        let number = version.and_then(|version| version.as_u64().or_else(|| version.as_str()?.parse().ok()));
        number.ok_or_else(|| self.odd("the answer has no version"))
    }

    /// Where the files of a version are: `mlflow-artifacts:/…`, of which [`file`](Self::file) gives them, or another address.
    ///
    /// # Errors
    /// As [`version`](Self::version).
    pub async fn folder(&self, name: &str, version: u64) -> Result<String, StageError> {
        let version = version.to_string();
        let found = self.ask(&["model-versions", "get-download-uri"], &[("name", name), ("version", &version)]).await?;
        let folder = found.get("artifact_uri").and_then(Value::as_str);
        folder.map(str::to_string).ok_or_else(|| self.odd("the answer has no address of the model's files"))
    }

    /// A file that the server keeps itself; `None` where there is none.
    ///
    /// # Errors
    /// As [`version`](Self::version); an address of another kind.
    pub async fn file(&self, folder: &str, path: &str) -> Result<Option<Vec<u8>>, StageError> {
        let Some(inside) = folder.strip_prefix("mlflow-artifacts:") else {
            return Err(self.odd("the model's files are not kept by the server"));
        };
        // With or without the server's own name before the path.
        let inside = match inside.strip_prefix("//") {
            Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
            None => inside,
        };
        let parts = inside.split('/').chain(path.split('/')).filter(|part| !part.is_empty());
        let url = self.address(["api", "2.0", "mlflow-artifacts", "artifacts"].into_iter().chain(parts))?;
        match self.get(url, usize::MAX).await? {
            (status, bytes) if status.is_success() => Ok(Some(bytes)),
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, bytes) => Err(self.refusal(status, &bytes)),
        }
    }

    fn address<'p>(&self, parts: impl Iterator<Item = &'p str>) -> Result<Url, StageError> {
        let mut url = self.url.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(parts)),
            Err(()) => return Err(StageError::settings("MLFLOW_TRACKING_URI takes no path")),
        }
        Ok(url)
    }

    async fn ask(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, StageError> {
        let mut url = self.address(["api", "2.0", "mlflow"].into_iter().chain(path.iter().copied()))?;
        url.query_pairs_mut().extend_pairs(query);
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            let answered = match self.get(url.clone(), LONGEST).await {
                Ok((status, bytes)) if status.is_success() => {
                    return serde_json::from_slice(&bytes).map_err(|_| self.odd("the answer is not JSON"));
                }
                Ok((status, bytes)) => self.refusal(status, &bytes),
                Err(error) => error,
            };
            if answered.fault != Fault::Unavailable || tries >= TRIES {
                return Err(answered);
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
            tries = tries.saturating_add(1);
        }
    }

    async fn get(&self, url: Url, most: usize) -> Result<(StatusCode, Vec<u8>), StageError> {
        let mut request = self.client.get(url);
        request = match (&self.login, &self.token) {
            (Some((user, password)), _) => request.basic_auth(user, password.as_deref()),
            (None, Some(token)) => request.bearer_auth(token),
            (None, None) => request,
        };
        let away = |error: reqwest::Error| {
            let why = if error.is_timeout() { "no answer in time" } else { "no connection" };
            StageError::unavailable(format!("MLflow {} cannot be reached: {why}", self.url))
                .remedy("is the server up, and MLFLOW_TRACKING_URI its address?")
        };
        let mut response = request.send().await.map_err(away)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if bytes.len().saturating_add(chunk.len()) > most {
                return Err(self.odd("an answer is longer than any is"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((status, bytes))
    }

    fn refusal(&self, status: StatusCode, bytes: &[u8]) -> StageError {
        let answer: Option<Value> = serde_json::from_slice(bytes).ok();
        let words = answer.as_ref().and_then(|answer| answer.get("message")?.as_str());
        let words: String = words.unwrap_or_default().chars().take(300).collect();
        let words = if words.is_empty() { String::new() } else { format!(": {words}") };
        let message = format!("MLflow {} answers {status}{words}", self.url);
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StageError::settings(message)
                .remedy("check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                StageError::unavailable(message)
            }
            _ => StageError::settings(message),
        }
    }

    fn odd(&self, why: &str) -> StageError {
        StageError::settings(format!("MLflow {}: {why}", self.url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_models_are_those_of_mlflow() {
        let parse = |address: &str| RegisteredModel::parse(address).map(|parsed| parsed.map_err(|error| error.message));
        let model = |name: &str, which| Some(Ok(RegisteredModel { name: name.to_string(), which }));
        assert_eq!(parse("models:/mri@champion"), model("mri", Which::Alias("champion".to_string())));
        assert_eq!(parse("models:/re admit/3"), model("re admit", Which::Version(3)));
        assert_eq!(parse("hdfs://host/models:/a"), None);
        for wrong in ["models:/mri", "models:/mri@", "models:/@a", "models:/mri/latest", "models:/a/b/3", "models:/"] {
            assert!(parse(wrong).unwrap().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_server_is_named_by_the_variables_of_mlflow() {
        let of = |pairs: &'static [(&'static str, &'static str)]| {
            Mlflow::of(&|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string()))
        };
        assert!(of(&[]).unwrap_err().remedy.contains("MLFLOW_TRACKING_URI"));
        assert!(of(&[("MLFLOW_TRACKING_URI", "sqlite:///a.db")]).is_err());
        let error = of(&[("MLFLOW_TRACKING_URI", "http://me:geheim@host")]).unwrap_err();
        assert!(!error.message.contains("geheim") && error.message.contains("holds a login"));
        let server = of(&[("MLFLOW_TRACKING_URI", "http://host:5000/ml")]).unwrap();
        assert_eq!(format!("{server:?}"), "MLflow http://host:5000/ml/");
    }
}
