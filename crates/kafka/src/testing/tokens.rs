//! A token server: it gives unsecured tokens, which a broker for tests takes, to one client.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A server; its thread ends with the tests.
pub(crate) struct TokenServer {
    pub(crate) url: String,
    issued: Arc<AtomicUsize>,
    /// Whether it knows its client no more.
    closed: Arc<AtomicBool>,
}

impl TokenServer {
    /// Its tokens live for so many seconds.
    pub(crate) fn new(seconds: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let issued = Arc::new(AtomicUsize::new(0));
        let closed = Arc::new(AtomicBool::new(false));
        let (count, refuses) = (issued.clone(), closed.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if answer(stream, seconds, refuses.load(Ordering::SeqCst)).is_some() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        TokenServer { url, issued, closed }
    }

    /// From now on it refuses its client, or takes it again.
    pub(crate) fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::SeqCst);
    }

    /// How many tokens it has given.
    pub(crate) fn issued(&self) -> usize {
        self.issued.load(Ordering::SeqCst)
    }

    /// The `security` of a client whose secret is this; `right` is.
    pub(crate) fn security(&self, secret: &str) -> Value {
        let oauth = json!({ "token_url": self.url, "client_id": "app", "client_secret": secret, "scope": "kafka" });
        json!({ "sasl": { "mechanism": "OAUTHBEARER", "oauth": oauth } })
    }
}

/// The token that was given.
fn answer(mut stream: TcpStream, seconds: u64, closed: bool) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    // The form ends the question, and `scope` is its last member.
    while !text.ends_with("scope=kafka") {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
            _ => return None,
        }
    }
    let login = format!("authorization: Basic {}", STANDARD.encode("app:right"));
    let known = text.lines().any(|line| line.eq_ignore_ascii_case(&login));
    let asked = !closed && known && text.contains("grant_type=client_credentials");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({ "sub": "app", "iat": now, "exp": now + seconds });
    let token = format!("{}.{}.", part(json!({ "alg": "none" })), part(claims));
    let (status, body) = match asked {
        true => ("200 OK", json!({ "access_token": token, "token_type": "Bearer", "expires_in": seconds })),
        false => ("401 Unauthorized", json!({ "error": "invalid_client", "error_description": "app:wrong" })),
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).ok()?;
    asked.then_some(token)
}
