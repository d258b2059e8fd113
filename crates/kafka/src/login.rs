//! Tokens to log in with: fetched or read, kept until they are old, shared by the clients of a connection.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foretell_flow::StageError;
use foretell_registry::Grant;
use parking_lot::Mutex;
use serde_json::Value;

/// Where tokens come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Server(Grant),
    File(PathBuf),
}

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Whom it is of, for the client's own texts.
    pub(crate) principal: String,
    /// Milliseconds since 1970.
    pub(crate) until: i64,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a token of {}", self.principal)
    }
}

/// Tokens of one source.
#[derive(Debug)]
pub(crate) struct Tokens {
    source: Source,
    /// The latest, and from when on another one is wanted, in milliseconds since 1970.
    latest: Mutex<Option<(Token, i64)>>,
}

/// How long a token is believed that does not say how long it holds.
const UNTOLD: u64 = 300;

impl Tokens {
    pub(crate) fn new(source: Source) -> Self {
        Tokens { source, latest: Mutex::new(None) }
    }

    /// Whether tokens can be asked for at all.
    pub(crate) fn check(&self) -> Result<(), StageError> {
        match &self.source {
            Source::Server(grant) => grant.check(),
            Source::File(_) => Ok(()),
        }
    }

    /// A token that holds for some while. Waits for the server where the latest has lived four fifths of its life; clients
    /// ask for a new one then.
    pub(crate) fn token(&self) -> Result<Token, StageError> {
        let mut latest = self.latest.lock();
        if let Some((token, renew)) = &*latest
            && now() < *renew
        {
            return Ok(token.clone());
        }
        let token = match &self.source {
            Source::File(file) => {
                let unreadable =
                    |why: String| StageError::unavailable(format!("`oauth`: `token_file`: {}: {why}", file.display()));
                let text = std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?;
                let text = text.trim();
                if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(unreadable("it holds no token".to_owned()));
                }
                of(text.to_owned(), "", None)
            }
            Source::Server(grant) => {
                let granted = fetched(grant.clone())?;
                of(granted.token, &grant.client_id, granted.seconds)
            }
        };
        let left = token.until.saturating_sub(now());
        if left <= 0 {
            return Err(StageError::unavailable("`oauth`: the token that came has run out already")
                .remedy("look at the clocks, and at what keeps the token fresh"));
        }
        // A file is cheap to read.
        let life = if matches!(self.source, Source::File(_)) { 0 } else { left.saturating_mul(7) / 10 };
        *latest = Some((token.clone(), now().saturating_add(life)));
        Ok(token)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Asks the server, on a thread of its own: who asks is a thread of the Kafka client, or one of a runtime, and waits.
fn fetched(grant: Grant) -> Result<foretell_registry::Granted, StageError> {
    let lost = || StageError::defect("the thread that fetches tokens is gone");
    let fetch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|_| lost())?.block_on(grant.token())
    };
    std::thread::spawn(fetch)
        .join()
        .unwrap_or_else(|_| Err(StageError::defect("the thread that fetches tokens is gone")))
}

/// A token with what it says of itself, where it is a JWT.
fn of(text: String, client: &str, seconds: Option<u64>) -> Token {
    let claims = text.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok());
    let claims: Option<Value> = claims.and_then(|json| serde_json::from_slice(&json).ok());
    let claim = |name: &str| claims.as_ref().and_then(|claims| claims.get(name));
    let principal = claim("sub").and_then(Value::as_str).unwrap_or(client).to_owned();
    let told = seconds.map(|seconds| {
        let millis = i64::try_from(Duration::from_secs(seconds).as_millis()).unwrap_or(i64::MAX);
        now().saturating_add(millis)
    });
    let claimed = claim("exp").and_then(Value::as_f64).map(|seconds| (seconds * 1000.0) as i64);
    let untold = i64::try_from(UNTOLD.saturating_mul(1_000)).unwrap_or(i64::MAX);
    // The earlier of both, where both are told.
    let until = told.into_iter().chain(claimed).min().unwrap_or_else(|| now().saturating_add(untold));
    Token { text, principal: if principal.is_empty() { "foretell".to_owned() } else { principal }, until }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_tells_how_long_it_holds() {
        let token = of(jwt(r#"{"sub":"me","exp":1700000000.5}"#), "client", None);
        assert_eq!((token.principal.as_str(), token.until), ("me", 1_700_000_000_500));
        let opaque = of("opaque".to_owned(), "client", Some(60));
        assert_eq!(opaque.principal, "client");
        assert!((now() + 50_000..=now() + 60_000).contains(&opaque.until));
        for odd in ["", "..", "a.b.c", "a.!.c"] {
            assert!(of(odd.to_owned(), "", None).until > now());
        }
        assert!(!format!("{opaque:?}").contains("opaque"));
    }

    #[test]
    fn a_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let tokens = Tokens::new(Source::File(file.clone()));
        assert!(tokens.token().unwrap_err().message.contains("token_file"));
        std::fs::write(&file, "one\n").unwrap();
        assert_eq!(tokens.token().unwrap().text, "one");
        std::fs::write(&file, "two").unwrap();
        assert_eq!(tokens.token().unwrap().text, "two");
        std::fs::write(&file, jwt(r#"{"exp":1}"#)).unwrap();
        assert!(tokens.token().unwrap_err().message.contains("has run out already"));
    }
}
