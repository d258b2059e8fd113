//! Tokens by client credentials (RFC 6749, 4.4), for services that want them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use foretell_flow::StageError;
use reqwest::{Certificate, Client, Url};
use serde_json::Value;

/// For one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// No answer with a token is longer.
const LONGEST: usize = 1 << 20;

/// Who asks which server for what.
#[derive(Clone)]
pub struct Grant {
    /// The server's address for tokens.
    pub url: String,
    /// Who asks.
    pub client_id: String,
    /// The proof of it.
    pub client_secret: String,
    /// Further members of the question, such as `scope` and `audience`.
    pub members: Vec<(&'static str, String)>,
    /// File with authorities to trust beside those of the system (PEM).
    pub ca: Option<PathBuf>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tokens of {} for {}", self.url, self.client_id)
    }
}

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Granted {
    /// Itself.
    pub token: String,
    /// How long it holds, where the server says so.
    pub seconds: Option<u64>,
}

impl Grant {
    /// Whether it can be asked for at all.
    ///
    /// # Errors
    /// An address that is none or holds a login, a file that cannot be read.
    pub fn check(&self) -> Result<(), StageError> {
        self.client().map(drop)
    }

    fn client(&self) -> Result<(Client, Url), StageError> {
        let url = Url::parse(&self.url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(url) = url.filter(|url| url.username().is_empty() && url.password().is_none()) else {
            let error = StageError::settings("`oauth`: `token_url` is not the address of a token server");
            return Err(error.remedy("write it as `https://HOST/PATH`, without a login"));
        };
        let mut client = Client::builder().timeout(ANSWER).pool_max_idle_per_host(0);
        if let Some(file) = &self.ca {
            let unreadable = |why: String| StageError::settings(format!("`oauth`: `ca`: {}: {why}", file.display()));
            let pem = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
            let authorities = Certificate::from_pem_bundle(&pem).map_err(|_| unreadable("not PEM".to_string()))?;
            client = authorities.into_iter().fold(client, reqwest::ClientBuilder::add_root_certificate);
        }
        let client = client.build();
        Ok((client.map_err(|error| StageError::settings(format!("`oauth`: no client: {error}")))?, url))
    }

    /// Asks for a token.
    ///
    /// # Errors
    /// The server is away, or refuses.
    pub async fn token(&self) -> Result<Granted, StageError> {
        let (client, url) = self.client()?;
        let mut form = vec![("grant_type", "client_credentials".to_owned())];
        form.extend(self.members.iter().cloned());
        let away = |error: reqwest::Error| {
            let mut why = String::new();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                why = format!(": {cause}");
                source = cause.source();
            }
            StageError::unavailable(format!("the token server {} cannot be reached{why}", self.url))
        };
        let asked = client.post(url).basic_auth(&self.client_id, Some(&self.client_secret)).form(&form);
        let mut answer = asked.send().await.map_err(away)?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(away)? {
            if bytes.len().saturating_add(chunk.len()) > LONGEST {
                return Err(self.odd("its answer is too long"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let answer: Option<Value> = serde_json::from_slice(&bytes).ok();
        let member = |name: &str| answer.as_ref().and_then(|answer| answer.get(name));
        if status.is_client_error() {
            // A word of the standard, such as `invalid_client`; what else there is may be about secrets.
            let word = member("error").and_then(Value::as_str).unwrap_or_default();
            let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let word = if is_word { format!(": {word}") } else { String::new() };
            let text = format!("the token server {} refuses{word} (status {})", self.url, status.as_u16());
            return Err(StageError::settings(text).remedy("check `client_id`, `client_secret`, `scope` and `audience`"));
        }
        if !status.is_success() {
            return Err(self.odd(&format!("it answers with status {}", status.as_u16())));
        }
        let token = member("access_token").and_then(Value::as_str);
        let token = token.ok_or_else(|| self.odd("its answer has no `access_token`"))?.to_owned();
        let seconds = member("expires_in");
        let seconds = seconds.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
        Ok(Granted { token, seconds })
    }

    fn odd(&self, why: &str) -> StageError {
        StageError::unavailable(format!("the token server {}: {why}", self.url))
    }
}
