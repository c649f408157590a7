//! The read-only HTTP face: /metrics, /healthz and a page for people. Nothing here changes anything.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

use crate::daemon::{Daemon, Place};
use crate::metrics;

/// Why the listener cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {cause}. Another program may use it (`ss -ltnp` shows which); choose another address \
     with --listen or `listen` in the configuration"
)]
pub struct ListenError {
    address: SocketAddr,
    cause: std::io::Error,
}

/// Takes the address, before anything is attached.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| ListenError { address, cause })
}

/// Answers until the task is dropped.
pub async fn serve(listener: TcpListener, daemon: Arc<Daemon>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(page))
        .route("/metrics", get(scrape))
        .route("/healthz", get(health))
        .with_state(daemon);
    axum::serve(listener, router).await
}

async fn scrape(State(daemon): State<Arc<Daemon>>, headers: HeaderMap) -> Response {
    let snapshot = match daemon.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response();
        }
    };
    let Ok(openmetrics) = metrics::openmetrics(snapshot) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if wants_openmetrics(&headers) {
        ([(CONTENT_TYPE, metrics::OPENMETRICS)], openmetrics).into_response()
    } else {
        ([(CONTENT_TYPE, metrics::TEXT)], metrics::text(&openmetrics)).into_response()
    }
}

/// Whether the client names OpenMetrics and does not refuse it with a weight of zero.
fn wants_openmetrics(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| {
            let mut parts = range.split(';').map(str::trim);
            parts.next() == Some("application/openmetrics-text") && !parts.any(|part| part == "q=0")
        })
}

/// 200 where every interface is protected, also where a reload has failed and an older policy filters; 503 where one is
/// not.
async fn health(State(daemon): State<Arc<Daemon>>) -> Response {
    let places = daemon.protection().await;
    let trouble = daemon.reloads().trouble;
    let is_protected = places.iter().all(Place::is_protected);
    let status = match (is_protected, &trouble) {
        (false, _) => "unprotected",
        (true, Some(_)) => "degraded",
        (true, None) => "ok",
    };
    let body = json!({
        "status": status,
        "trouble": trouble.map(|trouble| json!({
            "cause": trouble.failure.cause.name(),
            "text": trouble.failure.text,
            "since": trouble.since,
        })),
        "interfaces": places
            .iter()
            .map(|one| json!({
                "interface": one.attached.interface,
                "protected": one.is_protected(),
                "mode": one.attached.mode,
            }))
            .collect::<Vec<_>>(),
    });
    let code = if is_protected {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        code,
        [(CONTENT_TYPE, "application/json")],
        format!("{body}\n"),
    )
        .into_response()
}

async fn page(State(daemon): State<Arc<Daemon>>) -> Response {
    match daemon.snapshot().await {
        Ok(snapshot) => Html(crate::page::render(&snapshot)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_given_to_whoever_asks_for_it() {
        let wants = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            wants_openmetrics(&headers)
        };
        assert!(wants(
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
        ));
        assert!(!wants("text/plain"));
        assert!(!wants("application/openmetrics-text;q=0, */*"));
        assert!(!wants_openmetrics(&HeaderMap::new()));
    }
}
