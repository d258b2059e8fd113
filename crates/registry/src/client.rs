//! Questions to the registry.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foretell_connect::schemas::{Language, Schema, Schemas};
use foretell_flow::StageError;
use parking_lot::Mutex;
use reqwest::{Certificate, Client, Method, StatusCode, Url};
use serde_json::{Value, json};

use crate::settings::Settings;

/// For one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// A question is asked so often before the registry is said to be away.
const TRIES: u32 = 3;
/// Before it is asked again, doubled each time.
const PAUSE: Duration = Duration::from_millis(200);
/// No schema is longer: larger answers are not read to their end.
const LONGEST: usize = 8 << 20;
/// That a number means nothing is believed this long: a producer registers a schema before it writes, but mirrors lag.
const UNKNOWN: Duration = Duration::from_secs(30);
/// Schemas that refer to each other are followed to so many.
const REFERENCES: usize = 100;

/// A registry.
#[derive(Clone)]
pub struct Registry {
    client: Client,
    url: Url,
    login: Login,
    known: Arc<Mutex<HashMap<u32, Known>>>,
}

#[derive(Clone)]
enum Login {
    None,
    User(String, Option<String>),
    Token(String),
}

#[derive(Clone)]
enum Known {
    Schema(Arc<Schema>),
    /// There was none then.
    Unknown(Instant),
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "registry {}", self.url)
    }
}

/// An answer that is not an error of the connection.
enum Answer {
    Found(Value),
    /// The registry knows no such schema, subject or version.
    Missing,
    /// It does not take what was handed to it: its own words.
    Refused(String),
}

impl Registry {
    /// Connects nothing yet; relative paths are relative to `base`.
    ///
    /// # Errors
    /// An address that does not read or holds a password, a file that cannot be read.
    pub fn new(settings: &Settings, base: &Path) -> Result<Registry, StageError> {
        let url = Url::parse(&settings.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(mut url) = url else {
            let error = StageError::settings("`registry`: `url` is not the address of a registry");
            return Err(error.remedy("write it as `https://HOST:8081`"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            let error = StageError::settings("`registry`: `url` holds a login");
            return Err(error.remedy("put it into `username` and `password: { env: NAME }`"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let login = match (&settings.username, &settings.password, &settings.token) {
            (None, None, None) => Login::None,
            (Some(user), password, None) => {
                Login::User(user.clone(), password.as_ref().map(|secret| secret.reveal().to_string()))
            }
            (None, None, Some(token)) => Login::Token(token.reveal().to_string()),
            _ => {
                let error = StageError::settings("`registry`: the login is not clear");
                return Err(error.remedy("give `username` and `password`, or a `token` alone"));
            }
        };
        // No connection is kept: questions are few, and come from several runtimes.
        let mut client = Client::builder().timeout(ANSWER).pool_max_idle_per_host(0);
        if let Some(ca) = &settings.ca {
            let file = base.join(ca);
            let unreadable = |why: String| StageError::settings(format!("`registry`: `ca`: {}: {why}", file.display()));
            let pem = std::fs::read(&file).map_err(|error| unreadable(error.to_string()))?;
            let authorities = Certificate::from_pem_bundle(&pem).map_err(|_| unreadable("not PEM".to_string()))?;
            client = authorities.into_iter().fold(client, reqwest::ClientBuilder::add_root_certificate);
        }
        let client = client.build();
        let client = client.map_err(|error| StageError::settings(format!("`registry`: no client: {error}")))?;
        Ok(Registry { client, url, login, known: Arc::default() })
    }

    /// The schema of this number.
    ///
    /// # Errors
    /// The registry does not answer, or does not let us in.
    pub async fn by_id(&self, id: u32) -> Result<Option<Arc<Schema>>, StageError> {
        // Registries count with 31 bits, and know no word for more: that is a record's number, and no schema's.
        if i32::try_from(id).is_err() {
            return Ok(None);
        }
        match self.known.lock().get(&id) {
            Some(Known::Schema(schema)) => return Ok(Some(schema.clone())),
            Some(Known::Unknown(since)) if since.elapsed() < UNKNOWN => return Ok(None),
            _ => {}
        }
        let found = match self.ask(Method::GET, &["schemas", "ids", &id.to_string()], None).await? {
            Answer::Found(found) => Some(Arc::new(self.schema_of(id, &found).await?)),
            Answer::Missing => None,
            Answer::Refused(why) => return Err(self.odd(&why)),
        };
        let known = found.clone().map_or_else(|| Known::Unknown(Instant::now()), Known::Schema);
        self.known.lock().insert(id, known);
        Ok(found)
    }

    /// A subject's latest schema; `None` where there is no such subject.
    ///
    /// # Errors
    /// As [`by_id`](Self::by_id).
    pub async fn latest(&self, subject: &str) -> Result<Option<Schema>, StageError> {
        match self.ask(Method::GET, &["subjects", subject, "versions", "latest"], None).await? {
            Answer::Found(found) => {
                let id = self.number(&found)?;
                Ok(Some(self.schema_of(id, &found).await?))
            }
            Answer::Missing => Ok(None),
            Answer::Refused(why) => Err(self.odd(&why)),
        }
    }

    /// The number of a schema under a subject, where it is registered already.
    ///
    /// # Errors
    /// As [`by_id`](Self::by_id).
    pub async fn look_up(&self, subject: &str, language: Language, text: &str) -> Result<Option<u32>, StageError> {
        match self.ask(Method::POST, &["subjects", subject], Some(body(language, text))).await? {
            Answer::Found(found) => self.number(&found).map(Some),
            Answer::Missing => Ok(None),
            Answer::Refused(why) => Err(self.refused(subject, &why)),
        }
    }

    /// Registers a schema under a subject, where it is not yet; its number.
    ///
    /// # Errors
    /// As [`by_id`](Self::by_id); and a schema that the subject's rules do not allow.
    pub async fn register(&self, subject: &str, language: Language, text: &str) -> Result<u32, StageError> {
        match self.ask(Method::POST, &["subjects", subject, "versions"], Some(body(language, text))).await? {
            Answer::Found(found) => self.number(&found),
            Answer::Missing => Err(self.refused(subject, "it knows no such subject")),
            Answer::Refused(why) => Err(self.refused(subject, &why)),
        }
    }

    /// Whether it can be reached and lets us in.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), StageError> {
        self.ask(Method::GET, &["subjects"], None).await.map(drop)
    }

    fn refused(&self, subject: &str, why: &str) -> StageError {
        StageError::settings(format!("registry {}: subject `{subject}`: the schema is refused: {why}", self.url))
            .remedy("change the result's columns, or the subject's compatibility in the registry, or name another `subject`")
    }

    fn odd(&self, why: &str) -> StageError {
        StageError::unavailable(format!("registry {}: {why}", self.url))
    }

    fn number(&self, found: &Value) -> Result<u32, StageError> {
        let id = found.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| self.odd("the answer has no schema number"))
    }

    /// A schema with those that it refers to.
    async fn schema_of(&self, id: u32, found: &Value) -> Result<Schema, StageError> {
        let mut schema = self.read(id, found)?;
        // Those that are to be read, and whether their own were put before them already.
        let mut open: Vec<(String, String, u64)> = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        let mut ordered: Vec<(String, String)> = Vec::new();
        open.extend(references(found));
        while let Some((name, subject, version)) = open.pop() {
            if seen.contains(&name) {
                continue;
            }
            if seen.len() >= REFERENCES {
                return Err(self.odd(&format!("schema {id} refers to more than {REFERENCES} others")));
            }
            let place = ["subjects", &subject, "versions", &version.to_string()];
            let Answer::Found(found) = self.ask(Method::GET, &place, None).await? else {
                return Err(self.odd(&format!("schema {id} refers to `{name}`, which is not there")));
            };
            let text = self.read(id, &found)?.text;
            open.extend(references(&found));
            seen.push(name.clone());
            ordered.push((name, text));
        }
        // What was found later is what the earlier ones refer to.
        ordered.reverse();
        schema.references = ordered;
        Ok(schema)
    }

    fn read(&self, id: u32, found: &Value) -> Result<Schema, StageError> {
        let language = match found.get("schemaType").and_then(Value::as_str) {
            None | Some("AVRO") => Language::Avro,
            Some("JSON") => Language::Json,
            Some("PROTOBUF") => Language::Protobuf,
            Some(_) => return Err(self.odd(&format!("schema {id} is in a language that is not known here"))),
        };
        let text = found.get("schema").and_then(Value::as_str);
        let text = text.ok_or_else(|| self.odd(&format!("the answer for schema {id} has no schema")))?.to_string();
        Ok(Schema { id, language, text, references: Vec::new() })
    }

    async fn ask(&self, method: Method, path: &[&str], body: Option<Value>) -> Result<Answer, StageError> {
        let mut url = self.url.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(path)),
            Err(()) => return Err(StageError::settings("`registry`: `url` takes no path")),
        }
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            let error = match self.once(&method, &url, body.as_ref()).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.fault != foretell_flow::Fault::Unavailable || tries >= TRIES => return Err(error),
                Err(error) => error,
            };
            tracing::debug!("{error}: trying again");
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
            tries = tries.saturating_add(1);
        }
    }

    async fn once(&self, method: &Method, url: &Url, body: Option<&Value>) -> Result<Answer, StageError> {
        let mut request = self.client.request(method.clone(), url.clone());
        request = match &self.login {
            Login::None => request,
            Login::User(user, password) => request.basic_auth(user, password.as_deref()),
            Login::Token(token) => request.bearer_auth(token),
        };
        if let Some(body) = body {
            request = request.header("content-type", "application/vnd.schemaregistry.v1+json").body(body.to_string());
        }
        let away = |error: &reqwest::Error| {
            let mut why: String = error.without_url_text();
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                why = cause.to_string();
                source = cause.source();
            }
            StageError::unavailable(format!("registry {} cannot be reached: {why}", self.url))
                .remedy("check `registry: { url: … }`")
        };
        let mut response = request.send().await.map_err(|error| away(&error))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| away(&error))? {
            if bytes.len().saturating_add(chunk.len()) > LONGEST {
                return Err(self.odd(&format!("an answer is longer than {LONGEST} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer: Option<Value> = serde_json::from_slice(&bytes).ok();
        let code = answer.as_ref().and_then(|answer| answer.get("error_code")?.as_u64());
        let words = || {
            let message =
                answer.as_ref().and_then(|answer| answer.get("message")?.as_str()).unwrap_or("without a reason");
            message.chars().take(500).collect::<String>()
        };
        match (status, answer.as_ref()) {
            (status, Some(_)) if status.is_success() => Ok(Answer::Found(answer.unwrap_or_default())),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                let error = StageError::settings(format!("registry {} refuses the login ({status})", self.url));
                Err(error.remedy("check `registry`: `username` and `password`, or `token`"))
            }
            // 40401: subject, 40402: version, 40403: schema.
            (StatusCode::NOT_FOUND, Some(_)) if code.is_some_and(|code| (40_400..=40_499).contains(&code)) => {
                Ok(Answer::Missing)
            }
            (StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST, Some(_)) => {
                Ok(Answer::Refused(words()))
            }
            (status, _) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(StageError::unavailable(format!("registry {} answers {status}", self.url)))
            }
            (status, _) => {
                let error =
                    StageError::settings(format!("registry {} answers {status}, not as a registry does", self.url));
                Err(error.remedy("check `registry: { url: … }`; Apicurio's ends in `/apis/ccompat/v7`"))
            }
        }
    }
}

/// What an error of the client says, without the address.
trait WithoutUrl {
    fn without_url_text(&self) -> String;
}

impl WithoutUrl for reqwest::Error {
    fn without_url_text(&self) -> String {
        let what = if self.is_timeout() { "no answer in time" } else { "no connection" };
        what.to_string()
    }
}

fn body(language: Language, text: &str) -> Value {
    match language {
        Language::Avro => json!({ "schema": text }),
        Language::Json => json!({ "schema": text, "schemaType": "JSON" }),
        Language::Protobuf => json!({ "schema": text, "schemaType": "PROTOBUF" }),
    }
}

/// What a schema refers to: the name there, subject and version.
fn references(found: &Value) -> Vec<(String, String, u64)> {
    let list = found.get("references").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let one = |reference: &Value| {
        let text = |key: &str| Some(reference.get(key)?.as_str()?.to_string());
        Some((text("name")?, text("subject")?, reference.get("version")?.as_u64()?))
    };
    list.iter().filter_map(one).collect()
}

impl Schemas for Registry {
    fn schema(&self, id: u32) -> Result<Option<Arc<Schema>>, StageError> {
        if let Some(Known::Schema(schema)) = self.known.lock().get(&id) {
            return Ok(Some(schema.clone()));
        }
        // A thread of its own: whoever decodes may or may not be within a runtime.
        let asked = std::thread::scope(|scope| {
            let ask = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|error| StageError::unavailable(format!("no runtime: {error}")))?;
                runtime.block_on(self.by_id(id))
            };
            scope.spawn(ask).join()
        });
        asked.unwrap_or_else(|_| Err(StageError::defect("the registry's client panicked")))
    }
}
