//! Follows the engine: reads all that the fleet wants once, and every change from then on.
//!
//! A connection that was lost goes on from the revision that was seen last. If the engine no longer has what changed
//! since, everything is read again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::shared::{Shared, Wanted, lock};
use crate::backoff::Backoff;
use crate::engine::{Change, Engine, EngineError};
use crate::keys::Watched;

/// A member that says nothing for so long, not even that it lives, is given up. etcd reports progress every ten minutes
/// where nothing changes, and a lost connection shows by its own pings.
const SILENCE_MAX: Duration = Duration::from_secs(20 * 60);

pub(super) async fn follow(shared: Arc<Shared>) {
    let mut backoff = Backoff::default();
    loop {
        match session(&shared, &mut backoff).await {
            Ok(never) => match never {},
            Err(EngineError::Compacted(revision)) => {
                info!("the engine no longer has revision {revision}: reading everything again");
                shared.wanted.send_modify(|wanted| wanted.revision = None);
            }
            Err(error) => {
                let mut connection = lock(&shared.connection);
                if connection.engine.take().is_some() {
                    connection.losses += 1;
                    warn!("the engine is away, this node filters on by what it has: {error}");
                    backoff.spread();
                } else {
                    tracing::debug!("cannot reach the engine: {error}");
                }
            }
        }
        lock(&shared.connection).engine = None;
        tokio::time::sleep(backoff.pause()).await;
    }
}

enum Never {}

/// One connection, until it is lost.
async fn session(shared: &Shared, backoff: &mut Backoff) -> Result<Never, EngineError> {
    let mut engine = Engine::connect(&shared.settings).await?;
    let prefix = shared.keys.watched();
    let known = shared.wanted.borrow().revision;
    let after = match known {
        Some(revision) => revision,
        None => {
            let (entries, revision) = engine.list(&prefix).await?;
            let mut wanted = Wanted {
                revision: Some(revision),
                ..Wanted::default()
            };
            for entry in entries {
                let change = Change {
                    key: entry.key,
                    value: Some(entry.value),
                };
                apply(shared, &mut wanted, change);
            }
            shared.wanted.send_replace(wanted);
            revision
        }
    };
    let mut watch = engine.watch(&prefix, after).await?;
    info!(
        "following the fleet at {} from revision {after}",
        engine.endpoint()
    );
    {
        let mut connection = lock(&shared.connection);
        connection.engine = Some(engine);
        connection.heard = Some(Instant::now());
    }
    shared.progress.notify_one();
    loop {
        let next = tokio::time::timeout(SILENCE_MAX, watch.next()).await;
        let (changes, revision) = next.map_err(|_| EngineError::Silent)??;
        backoff.reset();
        lock(&shared.connection).heard = Some(Instant::now());
        shared.wanted.send_modify(|wanted| {
            for change in changes {
                apply(shared, wanted, change);
            }
            wanted.revision = Some(revision);
        });
    }
}

/// Puts a change into what is wanted. What cannot be read is as if it were not there: one bad key must not keep a node
/// from the others.
fn apply(shared: &Shared, wanted: &mut Wanted, change: Change) {
    let Change { key, value } = change;
    match shared.keys.read(&key) {
        Some(Watched::Freeze) => wanted.is_frozen = value.is_some(),
        Some(Watched::Exception(id)) => {
            put(&mut wanted.exceptions, id, value, &key);
        }
        Some(Watched::Release(subject)) => put(&mut wanted.releases, subject, value, &key),
        None => warn!("{key} is nothing that this version of the agent knows"),
    }
}

fn put<K: Ord, V: serde::de::DeserializeOwned>(
    all: &mut std::collections::BTreeMap<K, V>,
    name: K,
    value: Option<Vec<u8>>,
    key: &str,
) {
    let Some(value) = value else {
        all.remove(&name);
        return;
    };
    match serde_json::from_slice(&value) {
        Ok(read) => {
            all.insert(name, read);
        }
        Err(error) => {
            warn!("{key} cannot be read, and is left out: {error}");
            all.remove(&name);
        }
    }
}
