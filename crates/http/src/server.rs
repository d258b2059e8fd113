//! The routes.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::metrics::{self, Format};
use crate::scoring::{self, Scoring};
use crate::telemetry::{Telemetry, lock};
use crate::{health, history, status};

/// The page, which loads nothing but `/status`.
const PAGE: &str = include_str!("page.html");

/// The page may run its own script and ask its own server, and nobody may frame it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; frame-ancestors 'none'";

const TEXT: &str = "text/plain; charset=utf-8";

/// Listens.
///
/// # Errors
/// Why it cannot: the address is in use, is not of this machine, or needs rights.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers until `stop`; an answer that is under way is finished. With `scoring` the pipeline's models answer, too.
///
/// # Errors
/// The system does not let it accept connections any more.
pub async fn serve(
    listener: TcpListener,
    telemetry: Arc<Telemetry>,
    scoring: Option<Arc<dyn Scoring>>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let remember = tokio::spawn(remember(telemetry.clone(), stop.clone()));
    let served = axum::serve(scoring::at_once(listener), router(telemetry, scoring))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    remember.abort();
    served
}

fn router(telemetry: Arc<Telemetry>, scoring: Option<Arc<dyn Scoring>>) -> Router {
    let pages = Router::new()
        .route("/", get(page))
        .route("/status", get(state))
        .route("/metrics", get(scrape))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(telemetry);
    match scoring {
        Some(scoring) => pages.merge(scoring::router(scoring)),
        None => pages.fallback(unknown),
    }
}

/// Adds to the history.
async fn remember(telemetry: Arc<Telemetry>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(history::EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        ticks.tick().await;
        let workers = telemetry.workers();
        lock(&telemetry.history).add(&workers);
    }
}

fn answer(status: StatusCode, content_type: &str, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (status, headers, body).into_response()
}

async fn page() -> Response {
    answer(StatusCode::OK, "text/html; charset=utf-8", PAGE.to_string())
}

async fn state(State(telemetry): State<Arc<Telemetry>>) -> Response {
    answer(StatusCode::OK, "application/json", status::json(&telemetry).to_string())
}

async fn scrape(State(telemetry): State<Arc<Telemetry>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::of(accept);
    match metrics::page(&telemetry, format) {
        Ok(page) => answer(StatusCode::OK, format.content_type(), page),
        Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the metrics cannot be written\n".to_string()),
    }
}

async fn livez(State(telemetry): State<Arc<Telemetry>>) -> Response {
    verdict(&health::dead(&telemetry))
}

async fn readyz(State(telemetry): State<Arc<Telemetry>>) -> Response {
    verdict(&health::unready(&telemetry))
}

fn verdict(reasons: &[String]) -> Response {
    match reasons {
        [] => answer(StatusCode::OK, TEXT, "ok\n".to_string()),
        reasons => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, reasons.join("\n") + "\n"),
    }
}

async fn unknown() -> Response {
    let body = "not here: there are /, /status, /metrics, /livez and /readyz\n";
    answer(StatusCode::NOT_FOUND, TEXT, body.to_string())
}
