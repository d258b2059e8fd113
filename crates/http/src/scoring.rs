//! Models that answer over HTTP; what they say, and in which protocol, is known outside.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::serve::{Listener, ListenerExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Larger requests are not read: many rows belong in a file or on a stream.
const LARGEST: usize = 32 << 20;

/// A request of more bytes is answered on a thread of its own, so that it holds up no other one.
const LARGE: usize = 16 << 10;

/// The header of KServe's protocol that tells how much of a body is JSON.
const JSON_LENGTH: &str = "inference-header-content-length";

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Whether it is a POST; else it is a GET.
    pub posts: bool,
    /// The path, from its first `/` on.
    pub path: &'a str,
    /// `Content-Type`, in lower case; empty where there is none.
    pub content_type: &'a str,
    /// `Inference-Header-Content-Length`: how much of the body is JSON, where values follow it as bytes.
    pub json_length: Option<usize>,
    /// What was sent.
    pub body: &'a [u8],
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// What is sent.
    pub body: Vec<u8>,
}

/// Answers requests, from any thread.
pub trait Scoring: Send + Sync + 'static {
    /// The answer, or `None` where there is nothing under this path.
    fn answer(&self, asked: &Asked<'_>) -> Option<Answer>;
}

/// Answers until `stop`, with nothing else beside it but `/livez` and `/readyz`.
///
/// # Errors
/// The system does not let it accept connections any more.
pub async fn serve_models(
    listener: TcpListener,
    scoring: Arc<dyn Scoring>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let ok = || async { "ok\n" };
    let router = Router::new()
        .route("/livez", axum::routing::get(ok))
        .route("/readyz", axum::routing::get(ok))
        .fallback(asked)
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(scoring);
    axum::serve(at_once(listener), router).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// Connections on which an answer is sent when it is there, and waits for no other one.
pub(crate) fn at_once(listener: TcpListener) -> impl Listener<Addr = SocketAddr> {
    listener.tap_io(|connection| {
        // One that is gone already is told by its next read.
        let _ = connection.set_nodelay(true);
    })
}

/// The routes of models beside others.
pub(crate) fn router(scoring: Arc<dyn Scoring>) -> Router {
    Router::new().fallback(asked).layer(DefaultBodyLimit::max(LARGEST)).with_state(scoring)
}

async fn asked(
    State(scoring): State<Arc<dyn Scoring>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let posts = match method {
        Method::POST => true,
        Method::GET | Method::HEAD => false,
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let json_length = headers.get(JSON_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let (content_type, path) = (content_type.to_ascii_lowercase(), uri.path().to_string());
    let large = body.len() > LARGE;
    let work =
        move || scoring.answer(&Asked { posts, path: &path, content_type: &content_type, json_length, body: &body });
    let answer = match large {
        true => tokio::task::spawn_blocking(work).await.unwrap_or(None),
        false => work(),
    };
    let Some(answer) = answer else {
        return (StatusCode::NOT_FOUND, "not here: there are /predict, /v2 and the pages of the pipeline\n")
            .into_response();
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}
