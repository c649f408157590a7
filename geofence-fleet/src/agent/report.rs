//! Says in the engine how this node is, when that has changed: under a lease, so that a node that is away says nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use geofence_user::model::units::UnixSeconds;
use geofence_user::serve::control::Request;

use super::shared::{Shared, lock};
use crate::backoff::within;
use crate::engine::{Engine, EngineError};
use crate::node_status::{FilterStatus, NodeStatus, ReleaseStatus};

/// How long a node that is away still counts as connected.
const LEASE: Duration = Duration::from_secs(60);
/// How often the lease is extended.
const KEEP: Duration = Duration::from_secs(20);
/// How often the daemon is looked at, if nothing else happens.
const LOOK: Duration = Duration::from_secs(10);
/// A change that all nodes make at once is reported within this time by each.
const SPREAD: Duration = Duration::from_secs(2);

/// How many refusals are reported, and how much of each text: a status has to fit into a value of the engine.
const REFUSED_MAX: usize = 50;
const TEXT_MAX: usize = 500;

fn shortened(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

/// What was said last, and under which lease.
struct Said {
    status: NodeStatus,
    lease: i64,
    kept: Instant,
}

pub(super) async fn report(shared: Arc<Shared>) {
    let mut said: Option<Said> = None;
    loop {
        tokio::select! {
            () = shared.progress.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        tokio::time::sleep(within(SPREAD)).await;
        let Some(mut engine) = shared.engine() else {
            continue;
        };
        let status = status(&shared).await;
        match say(&shared, &mut engine, status, said.take()).await {
            Ok(now) => said = Some(now),
            Err(error) => tracing::debug!("cannot report to the engine: {error}"),
        }
    }
}

async fn say(
    shared: &Shared,
    engine: &mut Engine,
    status: NodeStatus,
    said: Option<Said>,
) -> Result<Said, EngineError> {
    let mut said = match said {
        Some(mut said) => {
            if said.kept.elapsed() >= KEEP {
                engine.keep(said.lease).await?;
                said.kept = Instant::now();
            }
            let is_same = NodeStatus {
                since: said.status.since,
                ..status.clone()
            } == said.status;
            if is_same {
                return Ok(said);
            }
            said
        }
        None => Said {
            status: status.clone(),
            lease: engine.lease(LEASE).await?,
            kept: Instant::now(),
        },
    };
    let text = serde_json::to_vec(&status).unwrap_or_default();
    let key = shared.keys.status(&shared.node);
    engine.put(&key, text, Some(said.lease)).await?;
    said.status = status;
    Ok(said)
}

async fn status(shared: &Shared) -> NodeStatus {
    let asked = shared.daemon.ask(Request::Status).await;
    let (filter, daemon_error) = match asked {
        Ok(answer) => (Some(FilterStatus::of(&answer)), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let done = lock(&shared.done).clone();
    let refused = done.refused.into_iter().take(REFUSED_MAX);
    let releases = done.releases.into_iter();
    NodeStatus {
        node: shared.node.clone(),
        // The operator says which one it is.
        group: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: done.revision,
        since: UnixSeconds::now(),
        filter,
        daemon_error,
        exceptions: done.exceptions,
        bans: done.bans,
        refused: refused.map(|(id, why)| (id, shortened(&why))).collect(),
        releases: releases
            .map(|(subject, one)| {
                let why = one.why.as_deref().map(shortened);
                (subject.path(), ReleaseStatus { why, ..one })
            })
            .collect(),
    }
}
