//! Follows the engine: reads all that the fleet wants, and every change from then on.
//!
//! Each connection reads everything again. To go on from the revision that was seen last would spare that, but an
//! engine that was restored counts its revisions anew, and changes would be missed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use geofence_user::config::ExceptionSpec;
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
    let (entries, after) = engine.list(&prefix).await?;
    let mut wanted = Wanted {
        revision: Some(after),
        ..Wanted::default()
    };
    let before = shared.wanted.borrow().exceptions.clone();
    for entry in entries {
        let change = Change {
            key: entry.key,
            value: Some(entry.value),
        };
        apply(shared, &mut wanted, change);
    }
    // What cannot be read now stays as it was.
    for (id, spec) in before {
        if wanted.unreadable.contains_key(&id) {
            wanted.exceptions.insert(id, spec);
        }
    }
    shared.wanted.send_replace(wanted);
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

/// Puts a change into what is wanted. A value that cannot be read, perhaps because a newer command has written it,
/// leaves in place what was there before, and is reported.
fn apply(shared: &Shared, wanted: &mut Wanted, change: Change) {
    let Change { key, value } = change;
    match shared.keys.read(&key) {
        Some(Watched::Freeze) => wanted.is_frozen = value.is_some(),
        Some(Watched::Exception(id)) => {
            wanted.unreadable.remove(&id);
            let read = value.map(|value| exception(&id, &value));
            match read {
                None => {
                    wanted.exceptions.remove(&id);
                }
                Some(Ok(spec)) => {
                    wanted.exceptions.insert(id, spec);
                }
                Some(Err(why)) => {
                    warn!("{key} cannot be read, and is left as it was: {why}");
                    wanted.unreadable.insert(id, why);
                }
            }
        }
        Some(Watched::Release(subject)) => {
            match value.map(|value| serde_json::from_slice(&value)) {
                None => {
                    wanted.releases.remove(&subject);
                }
                Some(Ok(release)) => {
                    wanted.releases.insert(subject, release);
                }
                Some(Err(error)) => warn!("{key} cannot be read, and is left out: {error}"),
            }
        }
        None => warn!("{key} is nothing that this version of the agent knows"),
    }
}

/// Reads an exception, which must have the name of its key.
fn exception(id: &str, value: &[u8]) -> Result<ExceptionSpec, String> {
    let spec: ExceptionSpec = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    if spec.id == id {
        return Ok(spec);
    }
    Err(format!("it calls itself {:?}", spec.id))
}
