//! The read-only answers: metrics, health for people and for orchestrators, and the page. No request changes anything.
//!
//! All but one are worked out on the daemon's loop. Whether that loop still runs is answered without it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response, Sse};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::daemon::facts::LastFailure;
use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::{Daemon, InterfaceState};
use crate::model::shortfall::Shortfall;
use crate::serve::metrics::{self, Exporter};
use crate::serve::page::live::Live;
use crate::serve::page::{self, Query as Asked};

/// What every answer is made from.
pub(super) struct App {
    daemon: Arc<Daemon>,
    exporter: Exporter,
    live: Live,
}

/// The daemon's loop: where most answers are worked out, and whether it still runs.
#[derive(Clone)]
struct Loop {
    runtime: Handle,
    heartbeat: Arc<Heartbeat>,
}

/// How often it is examined whether the loop that works out an answer still runs.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// The paths and their answers. It is called on the daemon's loop, and the answers may be asked for elsewhere.
pub(super) fn router(daemon: Arc<Daemon>) -> Router {
    let daemons_loop = Loop {
        runtime: Handle::current(),
        heartbeat: Arc::clone(&daemon.heartbeat),
    };
    let alive = Router::new()
        .route("/livez", get(live))
        .route("/-/healthy", get(live))
        .with_state(Arc::clone(&daemon.heartbeat));
    let app = App {
        live: Live::start(&daemon),
        daemon,
        exporter: Exporter::default(),
    };
    Router::new()
        .route("/", get(page))
        .route("/page/live", get(live_figures))
        .route(
            "/page/style.css",
            get(|| async { asset("text/css", page::STYLE) }),
        )
        .route(
            "/page/script.js",
            get(|| async { asset("text/javascript", page::SCRIPT) }),
        )
        .route(
            "/page/icon.svg",
            get(|| async { asset("image/svg+xml", page::ICON) }),
        )
        .route("/metrics", get(scrape))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/-/ready", get(ready))
        .with_state(Arc::new(app))
        .layer(middleware::from_fn_with_state(daemons_loop, on_the_loop))
        .merge(alive)
}

/// Has the daemon's loop work out an answer; if it stands still, the answer is 503.
async fn on_the_loop(State(daemon): State<Loop>, request: Request, next: Next) -> Response {
    // Dropped with the connection, it ends the work.
    let mut work = JoinSet::new();
    work.spawn_on(next.run(request), &daemon.runtime);
    loop {
        match tokio::time::timeout(LOOK_PERIOD, work.join_next()).await {
            Ok(Some(Ok(response))) => return response,
            Ok(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Err(_) if daemon.heartbeat.is_alive() => {}
            Err(_) => return liveness(&daemon.heartbeat),
        }
    }
}

async fn scrape(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let snapshot = match app.daemon.snapshot().await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response();
        }
    };
    let (content_type, text) = if wants_openmetrics(&headers) {
        (metrics::OPENMETRICS, app.exporter.openmetrics(snapshot))
    } else {
        (metrics::TEXT, app.exporter.text(snapshot))
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
async fn health(State(app): State<Arc<App>>) -> Response {
    let interfaces = app.daemon.protection().await;
    let trouble = app.daemon.reloads().last_failure;
    let shortfalls = app.daemon.shortfalls();
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
    answer(is_protected, &body)
}

/// 200 while the daemon's loop runs, whatever it protects; otherwise 503.
async fn live(State(heartbeat): State<Arc<Heartbeat>>) -> Response {
    liveness(&heartbeat)
}

fn liveness(heartbeat: &Heartbeat) -> Response {
    let is_alive = heartbeat.is_alive();
    let status = if is_alive { "alive" } else { "wedged" };
    let body = json!({ "status": status, "heartbeat_age_seconds": heartbeat.age().as_secs() });
    answer(is_alive, &body)
}

/// 200 if every configured interface is protected; otherwise 503 and what is missing. What else was asked for and is
/// missing is named as well, because a restart would not bring it.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let interfaces = app.daemon.protection().await;
    let missing: Vec<String> = interfaces
        .iter()
        .filter(|one| !one.is_protected())
        .map(InterfaceState::missing)
        .collect();
    let is_ready = missing.is_empty();
    let body = json!({
        "status": if is_ready { "ready" } else { "not ready" },
        "missing": missing,
        "degraded": app.daemon.shortfalls().iter().map(|one| &one.text).collect::<Vec<_>>(),
    });
    answer(is_ready, &body)
}

fn answer(is_well: bool, body: &Value) -> Response {
    let code = if is_well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = format!("{body}\n");
    (code, [(CONTENT_TYPE, "application/json")], body).into_response()
}

async fn page(State(app): State<Arc<App>>, Query(asked): Query<Asked>) -> Response {
    match page::render(&app.daemon, &asked).await {
        Ok(html) => {
            let headers = [
                (CONTENT_SECURITY_POLICY, page::POLICY),
                (CACHE_CONTROL, "no-store"),
                (REFERRER_POLICY, "no-referrer"),
            ];
            (headers, Html(html)).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}

/// The figures of the page as they change.
async fn live_figures(State(app): State<Arc<App>>) -> Response {
    match app.live.stream() {
        Some(stream) => Sse::new(stream).into_response(),
        None => {
            let text = "503: too many pages receive live figures; reload this page to update it\n";
            let retry = [(RETRY_AFTER, "30")];
            (StatusCode::SERVICE_UNAVAILABLE, retry, text).into_response()
        }
    }
}

/// A file of the page; its address names the version.
fn asset(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "max-age=3600"),
    ];
    (headers, text).into_response()
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
