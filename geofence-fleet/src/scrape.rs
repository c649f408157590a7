//! Metrics and a sign of life over HTTP, for the agent and for other programs of a fleet.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus_client::encoding::prometheus_text::{self, CONTENT_TYPE as TEXT};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tracing::warn;

/// Answers `/metrics` with what the function gathers, and `/livez`.
pub async fn serve<G, R>(listener: TcpListener, gather: G)
where
    G: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Registry> + Send,
{
    let metrics = move || {
        let gather = gather.clone();
        async move {
            let mut text = String::new();
            // Writing to a string cannot fail.
            let _ = prometheus_text::encode(&mut text, &gather().await);
            ([(CONTENT_TYPE, TEXT)], text)
        }
    };
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }));
    if let Err(error) = axum::serve(listener, routes).await {
        warn!("the metrics have ended: {error}");
    }
}
