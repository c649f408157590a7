//! Follows the engine: reads all that the fleet wants, and every change from then on.
//!
//! Each connection reads everything again. To go on from the revision that was seen last would spare that, but an
//! engine that was restored counts its revisions anew, and changes would be missed.
//!
//! Which group the node is in is the engine's word, which the operator writes: of policies, the node reads and watches
//! that of this group only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use geofence_user::config::{BAN, ExceptionSpec};
use geofence_user::serve::control::FLEET;
use tracing::{info, warn};

use super::shared::{Shared, Wanted, lock};
use crate::authority::{group_in, group_of};
use crate::backoff::Backoff;
use crate::engine::{Change, Engine, EngineError};
use crate::keys::{Subject, Watched};

/// A member that says nothing for so long, not even that it lives, is given up. etcd reports progress every ten minutes
/// where nothing changes, and a lost connection shows by its own pings.
const SILENCE_MAX: Duration = Duration::from_secs(20 * 60);

/// How many causes are named of why the engine cannot be followed.
const UNREACHED_MAX: usize = 16;

pub(super) async fn follow(shared: Arc<Shared>) {
    let mut backoff = Backoff::default();
    let mut unreached = BTreeSet::new();
    loop {
        match session(&shared, &mut backoff).await {
            Ok(Moved) => {
                lock(&shared.connection).engine = None;
                info!("this node was put in another group: reading everything again");
                continue;
            }
            Err(EngineError::Compacted(revision)) => {
                info!("the engine no longer has revision {revision}: reading everything again");
            }
            Err(error) => {
                let mut connection = lock(&shared.connection);
                if connection.engine.take().is_some() {
                    connection.losses += 1;
                    warn!("lost the engine; this node keeps filtering with what it has: {error}");
                    backoff.spread();
                    unreached.clear();
                } else {
                    let text = error.to_string();
                    // Each cause once, until the engine was followed.
                    if unreached.len() < UNREACHED_MAX && unreached.insert(text) {
                        warn!(
                            "cannot follow the engine; this node keeps filtering with what it has: {error}"
                        );
                    }
                }
            }
        }
        lock(&shared.connection).engine = None;
        tokio::time::sleep(backoff.pause()).await;
    }
}

/// The node is in another group than before.
struct Moved;

/// One connection, until it is lost.
async fn session(shared: &Shared, backoff: &mut Backoff) -> Result<Moved, EngineError> {
    let mut engine = Engine::connect(&shared.settings).await?;
    let range = shared.keys.shared();
    let (mut entries, after) = engine.list_range(&range).await?;
    // What is read after that is watched from there as well, so that nothing is missed between.
    let known = shared.keys.known_node(&shared.node);
    // An empty engine would want no exception and no ban. One that does not know this node says nothing about it.
    let group = group_of(&mut engine, &shared.keys, &shared.node).await?;
    let group = group.ok_or_else(|| EngineError::UnknownNode(shared.node.clone()))?;
    let policy = shared.keys.release(&Subject::Policy(group.clone()));
    entries.extend(engine.get(&policy).await?);
    let mut wanted = Wanted {
        revision: Some(after),
        group: Some(group),
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
    let mut watch = engine.watch(&range, after).await?;
    watch.add(&known, after).await?;
    watch.add(&policy, after).await?;
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
        let group = shared.wanted.borrow().group.clone();
        let (moves, changes): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| change.key == known);
        if let Some(last) = moves.last()
            && last.value.as_deref().and_then(group_in) != group
        {
            return Ok(Moved);
        }
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
        None => warn!("this version of the agent does not know {key}; update the agent"),
    }
}

/// Reads an exception or a ban, which must have the name of its key, and one that the daemon takes from an agent.
fn exception(id: &str, value: &[u8]) -> Result<ExceptionSpec, String> {
    let spec: ExceptionSpec = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let (what, start) = if spec.is_ban() {
        ("a ban", BAN)
    } else {
        ("an exception", FLEET)
    };
    if spec.id != id {
        Err(format!("it calls itself {:?}", spec.id))
    } else if !id.starts_with(start) {
        Err(format!(
            "it is {what}, and its name does not begin with {start:?}"
        ))
    } else {
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_daemon_takes_from_an_agent_are_read() {
        let read = |id: &str, action: &str| {
            let text = format!(
                r#"{{"id":"{id}","from":["192.0.2.1"],"to":["any"],"owner":"a","reason":"b","action":"{action}"}}"#
            );
            exception(id, text.as_bytes())
        };
        for (id, action, is_read) in [
            ("fleet-a", "pass", true),
            ("fleet-a", "drop", false),
            ("ban-192.0.2.1", "drop", true),
            ("ban-192.0.2.1", "pass", false),
            ("a", "pass", false),
        ] {
            assert_eq!(read(id, action).is_ok(), is_read, "{id} {action}");
        }
        assert!(exception("fleet-b", br#"{"id":"fleet-a"}"#).is_err());
        assert!(exception("fleet-b", b"{}").is_err());
    }
}
