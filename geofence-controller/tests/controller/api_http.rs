//! How the API server is asked: the paths, the kinds of patches, and the lines of a watch.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, patch};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Shared;

type Cluster = State<Arc<Shared>>;

pub(crate) fn routes(cluster: Arc<Shared>) -> Router {
    let group = "/apis/geofence.internal/v1alpha1";
    Router::new()
        .route(&format!("{group}/{{plural}}"), get(list))
        .route(&format!("{group}/{{plural}}/{{name}}"), patch(change))
        .route(
            &format!("{group}/{{plural}}/{{name}}/status"),
            patch(change_status),
        )
        .route(
            "/api/v1/namespaces/default/configmaps/{name}",
            get(config_map),
        )
        .layer(from_fn_with_state(Arc::clone(&cluster), fail))
        .with_state(cluster)
}

fn json_text(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// A failure as Kubernetes describes it.
fn status(code: StatusCode, message: &str) -> Response {
    (code, json_text(&failure(code, message))).into_response()
}

fn failure(code: StatusCode, message: &str) -> Value {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::GONE => "Expired",
        StatusCode::UNPROCESSABLE_ENTITY => "Invalid",
        _ => "InternalError",
    };
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    })
}

async fn fail(State(cluster): Cluster, request: Request, next: Next) -> Response {
    {
        let mut cluster = cluster.lock();
        if cluster.is_failing {
            cluster.failures += 1;
            return status(StatusCode::INTERNAL_SERVER_ERROR, "it fails on purpose");
        }
    }
    next.run(request).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    watch: Option<String>,
    resource_version: Option<String>,
}

async fn list(
    State(cluster): Cluster,
    Path(plural): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    if asked.watch.is_none() {
        let list = cluster.lock().list(&plural);
        return json_text(&list);
    }
    let after = asked.resource_version.and_then(|text| text.parse().ok());
    let changed = cluster.changed.subscribe();
    let watch = Watch {
        cluster,
        changed,
        plural,
        after: after.unwrap_or_default(),
    };
    let lines = stream::unfold(Some(watch), |watch| async { watch?.next().await });
    (
        [(CONTENT_TYPE, "application/json")],
        Body::from_stream(lines),
    )
        .into_response()
}

/// A running watch.
struct Watch {
    cluster: Arc<Shared>,
    changed: tokio::sync::watch::Receiver<u64>,
    plural: String,
    after: u64,
}

impl Watch {
    /// The next event, and the watch unless it has ended.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Option<Self>)> {
        loop {
            self.changed.borrow_and_update();
            let (event, is_over) = self.look();
            if let Some(event) = event {
                let line = Ok(Bytes::from(format!("{event}\n")));
                return Some((line, (!is_over).then_some(self)));
            }
            if is_over {
                return None;
            }
            self.changed.changed().await.ok()?;
        }
    }

    fn look(&mut self) -> (Option<Value>, bool) {
        let cluster = self.cluster.lock();
        if cluster.is_failing {
            return (None, true);
        }
        if self.after < cluster.oldest {
            let gone = failure(StatusCode::GONE, "too old resource version");
            return (Some(json!({"type": "ERROR", "object": gone})), true);
        }
        let mut events = cluster.events.iter();
        let next = events.find(|(version, kind, _)| *version > self.after && *kind == self.plural);
        let event = next.map(|(version, _, event)| {
            self.after = *version;
            event.clone()
        });
        (event, false)
    }
}

async fn change(
    State(cluster): Cluster,
    Path((plural, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    apply(&cluster, (&plural, &name), false, &headers, &body)
}

async fn change_status(
    State(cluster): Cluster,
    Path((plural, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    apply(&cluster, (&plural, &name), true, &headers, &body)
}

fn apply(
    cluster: &Shared,
    (plural, name): (&str, &str),
    is_status: bool,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    let is_merge = kind == Some(b"application/merge-patch+json");
    let Ok(patch) = serde_json::from_slice(body) else {
        return status(StatusCode::BAD_REQUEST, "no JSON");
    };
    let changed =
        cluster.change(|cluster| cluster.patch(plural, name, is_status, is_merge, &patch));
    match changed {
        Ok(Some(object)) => json_text(&object),
        Ok(None) => status(StatusCode::NOT_FOUND, "there is no such object"),
        Err(error) => status(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    }
}

async fn config_map(State(cluster): Cluster, Path(name): Path<String>) -> Response {
    match cluster.lock().config_maps.get(&name) {
        Some(map) => json_text(map),
        None => status(StatusCode::NOT_FOUND, "there is no such ConfigMap"),
    }
}
