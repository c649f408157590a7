//! The controller's own metrics and its sign of life, over HTTP.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::prometheus_text::{self, CONTENT_TYPE as TEXT};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tracing::warn;

use crate::context::Context;

pub(crate) async fn serve(listener: TcpListener, context: Arc<Context>) {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .with_state(context);
    if let Err(error) = axum::serve(listener, routes).await {
        warn!("the metrics have ended: {error}");
    }
}

async fn metrics(State(context): State<Arc<Context>>) -> impl IntoResponse {
    let mut registry = Registry::with_prefix("geofence_controller");
    let connected = Gauge::<f64, AtomicU64>::default();
    connected.set(f64::from(u8::from(context.engine.is_connected().await)));
    registry.register(
        "engine_connected",
        "Whether the controller is connected to the engine",
        connected,
    );
    context.metrics.register(&mut registry);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = prometheus_text::encode(&mut text, &registry);
    ([(CONTENT_TYPE, TEXT)], text)
}
