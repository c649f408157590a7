//! The read-only HTTP server: /metrics, /healthz, /livez and a page for people. No request changes anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::daemon::facts::LastFailure;
use crate::daemon::{Backoff, Daemon, InterfaceState};
use crate::model::shortfall::{Part, Shortfall};
use crate::serve::connection_limit::ConnectionLimit;
use crate::serve::metrics;

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {cause}. Another program may use it (`ss -ltnp` shows which); choose another address \
     with --listen or `listen` in the configuration"
)]
pub struct ListenError {
    address: SocketAddr,
    cause: std::io::Error,
}

impl ListenError {
    /// What is missing, and what becomes of it.
    fn shortfall(&self) -> String {
        if self.cause.kind() == std::io::ErrorKind::PermissionDenied {
            let port = self.address.port();
            return format!(
                "NO METRICS: {self}. A running geofence may not bind port {port}, because it has given up \
                 CAP_NET_BIND_SERVICE: restart it when the address is free, or choose a port above 1023"
            );
        }
        format!("NO METRICS, geofence keeps trying: {self}")
    }
}

/// Binds the address, before anything is attached.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| ListenError { address, cause })
}

/// How many clients are connected at once; more than ever scrape, and few enough to cost little.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may last, also when the client does not read its answer.
const CONNECTION_MAX: Duration = Duration::from_secs(30);
/// The longest head of a request. Answers have no limit.
const BUFFER_BYTES_MAX: usize = 16 << 10;

/// Tries until the address is bound, and serves until the task is dropped.
pub async fn bind_and_serve(
    mut bound: Result<TcpListener, ListenError>,
    daemon: Arc<Daemon>,
) -> std::io::Result<()> {
    let mut backoff = Backoff::default();
    loop {
        match bound {
            Ok(listener) => {
                if daemon.make_good(Part::Metrics) {
                    info!(
                        "the metrics address is bound: http://{}/metrics",
                        listener.local_addr()?
                    );
                }
                return serve(listener, daemon).await;
            }
            Err(error) => {
                daemon.fall_short(Part::Metrics, error.shortfall());
                tokio::time::sleep(backoff.pause()).await;
                bound = listen(error.address).await;
            }
        }
    }
}

/// Answers until the task is dropped, one request a connection.
async fn serve(listener: TcpListener, daemon: Arc<Daemon>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/", get(page))
        .route("/metrics", get(scrape))
        .route("/healthz", get(health))
        .route("/livez", get(live))
        .with_state(daemon);
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX)
        .keep_alive(false);
    let mut connections = ConnectionLimit::new(CONNECTIONS_MAX);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!("cannot accept an HTTP connection: {error}");
                // The usual cause is a lack of file descriptors, until other connections are closed.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let connection = builder.serve_connection(TokioIo::new(stream), service.clone());
        connections.admit(|_| async move {
            // A client that is too slow, or has disconnected, gets no answer.
            let _ = tokio::time::timeout(CONNECTION_MAX, connection).await;
        });
    }
}

async fn scrape(State(daemon): State<Arc<Daemon>>, headers: HeaderMap) -> Response {
    let snapshot = match daemon.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response();
        }
    };
    let (content_type, text) = if wants_openmetrics(&headers) {
        (metrics::OPENMETRICS, metrics::openmetrics(snapshot))
    } else {
        (metrics::TEXT, metrics::text(snapshot))
    };
    match text {
        Ok(text) => ([(CONTENT_TYPE, content_type)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Whether the client accepts OpenMetrics; a weight of zero refuses it.
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

/// 200 if every configured interface is protected, also if the policy is not the one requested; otherwise 503.
async fn health(State(daemon): State<Arc<Daemon>>) -> Response {
    let interfaces = daemon.protection().await;
    let trouble = daemon.reloads().last_failure;
    let shortfalls = daemon.shortfalls();
    let is_protected = interfaces.iter().all(InterfaceState::is_protected);
    let status = match (is_protected, &trouble, shortfalls.is_empty()) {
        (false, ..) => "unprotected",
        (true, None, true) => "ok",
        (true, ..) => "degraded",
    };
    let body = json!({
        "status": status,
        "trouble": trouble.as_ref().map(LastFailure::to_json),
        "shortfalls": shortfalls.iter().map(Shortfall::to_json).collect::<Vec<_>>(),
        "interfaces": interfaces
            .iter()
            .map(|one| json!({
                "interface": one.name,
                "protected": one.is_protected(),
                "mode": one.mode(),
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

/// 200 while the daemon's loop runs, whatever it protects; otherwise 503, or no answer at all.
async fn live(State(daemon): State<Arc<Daemon>>) -> Response {
    let heartbeat = &daemon.heartbeat;
    let (code, status) = if heartbeat.is_alive() {
        (StatusCode::OK, "alive")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "wedged")
    };
    let body = json!({ "status": status, "heartbeat_age_seconds": heartbeat.age().as_secs() });
    (
        code,
        [(CONTENT_TYPE, "application/json")],
        format!("{body}\n"),
    )
        .into_response()
}

async fn page(State(daemon): State<Arc<Daemon>>) -> Response {
    match daemon.snapshot().await {
        Ok(snapshot) => Html(crate::serve::page::render(&snapshot)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_written_if_the_client_accepts_it() {
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
