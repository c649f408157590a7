//! Brings the exceptions and bans of the daemon in line with those of the fleet.
//!
//! Each round compares what is wanted with what the daemon has, so a round that was interrupted, a restart of either
//! side and a change that came twice need no thought. Only what is the fleet's is ever changed: exceptions by their
//! names, and bans that this agent has made. Nothing is removed before the engine was read. The kernel alone ends what
//! expires, so an expiry never needs a round. What a round changes is asked for in a few requests, because the daemon
//! compiles an image for each.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use geofence_user::model::units::UnixSeconds;
use geofence_user::serve::control::FLEET;
use tracing::{info, warn};

use super::daemon::DaemonError;
use super::shared::{Shared, Wanted, lock};
use super::steps::{Step, groups, is_live, steps};

/// A daemon that does not answer, or tries a policy, is asked again after this time.
const RETRY: Duration = Duration::from_millis(300);
/// Everything is compared again after this time, because an operator may have changed the daemon's exceptions.
const ROUND: Duration = Duration::from_secs(60);

pub(super) async fn reconcile(shared: Arc<Shared>) {
    let mut changes = shared.wanted.subscribe();
    loop {
        let wanted = changes.borrow_and_update().clone();
        let pause = match round(&shared, &wanted).await {
            Ok(true) => ROUND,
            Ok(false) => RETRY,
            Err(error) => {
                tracing::debug!("the daemon does not answer: {error}");
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = changes.changed() => {}
        }
    }
}

/// One comparison; returns whether all is in line, or is refused for good.
async fn round(shared: &Shared, wanted: &Wanted) -> Result<bool, DaemonError> {
    let Some(revision) = wanted.revision else {
        return Ok(true);
    };
    let present = shared.daemon.exceptions().await?;
    let steps = steps(
        &wanted.exceptions,
        &present,
        &shared.own_bans(),
        UnixSeconds::now(),
    );
    let mut refused = wanted.unreadable.clone();
    let mut is_whole = true;
    let mut groups = VecDeque::from(groups(steps));
    while let Some(group) = groups.pop_front() {
        match carry_out(shared, &group).await {
            Ok(others) => refused.extend(others),
            Err(error @ DaemonError::Away(_)) => return Err(error),
            Err(error) if error.is_passing() => {
                is_whole = false;
                break;
            }
            // One that the daemon does not take from an agent stops no other.
            Err(_) if group.len() > 1 => {
                for step in group.into_iter().rev() {
                    groups.push_front(vec![step]);
                }
            }
            Err(error) => {
                let all = group.iter().map(|step| step.id().to_owned());
                refused.extend(all.map(|id| (id, error.to_string())));
            }
        }
    }
    let before = lock(&shared.done).refused.clone();
    for (id, why) in &refused {
        if before.get(id) != Some(why) {
            warn!("{id} is refused: {why}");
        }
    }
    let now = UnixSeconds::now();
    let live = wanted.exceptions.iter();
    let live = live.filter(|(id, spec)| is_live(spec, now) && !refused.contains_key(*id));
    let (bans, exceptions): (Vec<_>, Vec<_>) = live.partition(|(_, spec)| spec.is_ban());
    let (bans, exceptions) = (bans.len(), exceptions.len());
    shared.advance(|done| {
        if is_whole {
            done.revision = revision;
        }
        done.exceptions = exceptions;
        done.bans = bans;
        done.refused = refused;
    });
    Ok(is_whole)
}

/// Takes steps with one request; returns what was refused, and why.
async fn carry_out(
    shared: &Shared,
    steps: &[Step],
) -> Result<BTreeMap<String, String>, DaemonError> {
    let mut refused = BTreeMap::new();
    let mut changes = Vec::new();
    for step in steps {
        let recorded = if step.makes_own() {
            own(shared, step.id())
        } else {
            Ok(())
        };
        match recorded {
            Ok(()) => changes.extend(step.changes()),
            Err(error) => {
                refused.insert(step.id().to_owned(), error);
            }
        }
    }
    if !changes.is_empty() {
        for (id, why) in shared.daemon.change(changes).await? {
            // Of a removal and an addition, the first says what is wrong.
            refused.entry(id).or_insert(why);
        }
    }
    for step in steps.iter().filter(|step| !refused.contains_key(step.id())) {
        let id = step.id();
        match step {
            Step::Add(_) | Step::Replace(_) => info!("{id} is in force"),
            Step::Extend { until, .. } => info!("{id} lasts until {until} now"),
            Step::Remove { .. } => {
                info!("{id} is removed");
                forget(shared, id);
            }
            Step::Forget { .. } => forget(shared, id),
        }
    }
    Ok(refused)
}

/// Records that a ban is this agent's, before it is made: what the agent may have made, it may end.
fn own(shared: &Shared, id: &str) -> Result<(), String> {
    if id.starts_with(FLEET) {
        return Ok(());
    }
    let recorded = lock(&shared.store).add_ban(id);
    recorded.map_err(|error| format!("cannot record it in the agent's state: {error}"))
}

fn forget(shared: &Shared, id: &str) {
    if let Err(error) = lock(&shared.store).remove_ban(id) {
        warn!("cannot record that {id} is gone: {error}");
    }
}
