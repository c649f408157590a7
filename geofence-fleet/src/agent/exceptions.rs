//! Brings the exceptions and bans of the daemon in line with those of the fleet.
//!
//! Each round compares what is wanted with what the daemon has, so a round that was interrupted, a restart of either
//! side and a change that came twice need no thought. Only what is the fleet's is ever changed: exceptions by their
//! names, and bans that this agent has made. Nothing is removed before the engine was read. The kernel alone ends what
//! expires, so an expiry never needs a round.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use geofence_user::config::ExceptionSpec;
use geofence_user::daemon::Change;
use geofence_user::model::units::UnixSeconds;
use geofence_user::serve::control::FLEET;
use tracing::{info, warn};

use super::daemon::{DaemonError, Present};
use super::shared::{Shared, Wanted, lock};

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
    for step in steps {
        let id = step.id().to_owned();
        match carry_out(shared, step).await {
            Ok(()) => {}
            Err(error @ DaemonError::Away(_)) => return Err(error),
            Err(error) if error.is_passing() => is_whole = false,
            Err(error) => {
                refused.insert(id, error.to_string());
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

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Add(ExceptionSpec),
    /// Removes an exception, and adds the one that has its name now.
    Replace(ExceptionSpec),
    Extend {
        id: String,
        until: String,
    },
    Remove {
        id: String,
    },
    /// A ban of this agent has ended by itself.
    Forget {
        id: String,
    },
}

impl Step {
    fn id(&self) -> &str {
        match self {
            Self::Add(spec) | Self::Replace(spec) => &spec.id,
            Self::Extend { id, .. } | Self::Remove { id } | Self::Forget { id } => id,
        }
    }
}

/// What to do so that the daemon has what is wanted. `own_bans` are those that this agent has made.
fn steps(
    wanted: &BTreeMap<String, ExceptionSpec>,
    present: &[Present],
    own_bans: &BTreeSet<String>,
    now: UnixSeconds,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let present = present.iter().filter(|one| one.is_runtime);
    let present: BTreeMap<&str, &ExceptionSpec> = present
        .map(|one| (one.spec.id.as_str(), &one.spec))
        .collect();
    let is_own = |id: &str| id.starts_with(FLEET) || own_bans.contains(id);
    for id in present.keys().filter(|id| is_own(id)) {
        if !wanted.contains_key(*id) {
            steps.push(Step::Remove {
                id: (*id).to_owned(),
            });
        }
    }
    for id in own_bans {
        if !present.contains_key(id.as_str())
            && !wanted.get(id).is_some_and(|one| is_live(one, now))
        {
            steps.push(Step::Forget { id: id.clone() });
        }
    }
    for (id, spec) in wanted.iter().filter(|(_, spec)| is_live(spec, now)) {
        match present.get(id.as_str()) {
            None => steps.push(Step::Add(spec.clone())),
            Some(known) if is_same(known, spec) => {}
            // An operator of this machine has banned it for longer.
            Some(known) if spec.is_ban() && !is_own(id) && lasts_longer(known, spec) => {}
            Some(known) => match &spec.until {
                Some(until) if is_same_but_its_end(known, spec) => steps.push(Step::Extend {
                    id: id.clone(),
                    until: until.clone(),
                }),
                _ => steps.push(Step::Replace(spec.clone())),
            },
        }
    }
    steps
}

fn end(spec: &ExceptionSpec) -> Option<UnixSeconds> {
    spec.expiry().ok().flatten()
}

fn is_live(spec: &ExceptionSpec, now: UnixSeconds) -> bool {
    end(spec).is_none_or(|end| end > now)
}

/// Whether an end comes after another. What has no end lasts longest.
fn lasts_longer(one: &ExceptionSpec, other: &ExceptionSpec) -> bool {
    match (end(one), end(other)) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(one), Some(other)) => one >= other,
    }
}

fn is_same(one: &ExceptionSpec, other: &ExceptionSpec) -> bool {
    is_same_but_its_end(one, other) && end(one) == end(other)
}

fn is_same_but_its_end(one: &ExceptionSpec, other: &ExceptionSpec) -> bool {
    let key = |spec: &ExceptionSpec| {
        let ExceptionSpec {
            id,
            from,
            to,
            owner,
            reason,
            ..
        } = spec.clone();
        (id, from, to, owner, reason)
    };
    // Of a ban, only its source and its end matter.
    if one.is_ban() && other.is_ban() {
        return one.from == other.from;
    }
    key(one) == key(other) && one.services == other.services && one.is_ban() == other.is_ban()
}

async fn carry_out(shared: &Shared, step: Step) -> Result<(), DaemonError> {
    let removal = |id: &str| Change::Remove {
        id: id.to_owned(),
        reason: Some("the fleet no longer has it".to_owned()),
        force: false,
        required_peers: Vec::new(),
    };
    match step {
        Step::Add(spec) => add(shared, spec).await,
        Step::Replace(spec) => {
            shared.daemon.change(removal(&spec.id)).await?;
            add(shared, spec).await
        }
        Step::Extend { id, until } => {
            // A ban that the fleet has made longer is the fleet's to end.
            own(shared, &id)?;
            info!("{id} lasts until {until} now");
            shared.daemon.change(Change::Extend { id, until }).await?;
            Ok(())
        }
        Step::Remove { id } => {
            shared.daemon.change(removal(&id)).await?;
            info!("{id} is removed");
            forget(shared, &id);
            Ok(())
        }
        Step::Forget { id } => {
            forget(shared, &id);
            Ok(())
        }
    }
}

async fn add(shared: &Shared, spec: ExceptionSpec) -> Result<(), DaemonError> {
    let id = spec.id.clone();
    let change = if spec.is_ban() {
        own(shared, &id)?;
        Change::Ban {
            ban: spec,
            force: false,
            required_peers: Vec::new(),
        }
    } else {
        Change::Add(spec)
    };
    shared.daemon.change(change).await?;
    info!("{id} is in force");
    Ok(())
}

/// Records that a ban is this agent's, before it is made: what the agent may have made, it may end.
fn own(shared: &Shared, id: &str) -> Result<(), DaemonError> {
    if id.starts_with(FLEET) {
        return Ok(());
    }
    let recorded = lock(&shared.store).add_ban(id);
    recorded.map_err(|error| DaemonError::Refused {
        cause: "state".to_owned(),
        text: format!("cannot record it in the agent's state: {error}"),
    })
}

fn forget(shared: &Shared, id: &str) {
    if let Err(error) = lock(&shared.store).remove_ban(id) {
        warn!("cannot record that {id} is gone: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn spec(id: &str, until: Option<u64>) -> ExceptionSpec {
        ExceptionSpec {
            id: id.to_owned(),
            from: vec!["192.0.2.1".to_owned()],
            to: vec!["any".to_owned()],
            owner: "a".to_owned(),
            reason: "b".to_owned(),
            until: until.map(|until| UnixSeconds(until).to_string()),
            ..ExceptionSpec::default()
        }
    }

    fn ban(id: &str, until: u64) -> ExceptionSpec {
        ExceptionSpec {
            action: Some("drop".to_owned()),
            ..spec(id, Some(until))
        }
    }

    fn asked(wanted: &[ExceptionSpec], present: &[ExceptionSpec], own: &[&str]) -> Vec<Step> {
        let wanted = wanted.iter().map(|one| (one.id.clone(), one.clone()));
        let present: Vec<_> = present
            .iter()
            .map(|spec| Present {
                spec: spec.clone(),
                is_runtime: true,
            })
            .collect();
        let own = own.iter().map(|id| (*id).to_owned()).collect();
        steps(&wanted.collect(), &present, &own, NOW)
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_the_fleets_is_removed() {
        let (a, b) = (spec("fleet-a", None), spec("fleet-b", Some(1_900_000_000)));
        assert_eq!(
            asked(&[a.clone(), b.clone()], &[], &[]),
            [Step::Add(a.clone()), Step::Add(b.clone())]
        );
        assert!(asked(&[a.clone(), b.clone()], &[a.clone(), b.clone()], &[]).is_empty());
        let local = spec("ticket-1", None);
        let id = "fleet-b".to_owned();
        assert_eq!(
            asked(
                std::slice::from_ref(&a),
                &[local, a.clone(), b.clone()],
                &[]
            ),
            [Step::Remove { id }]
        );
    }

    #[test]
    fn another_end_extends_and_other_words_replace() {
        let known = spec("fleet-a", Some(1_900_000_000));
        let later = spec("fleet-a", Some(1_950_000_000));
        let until = later.until.clone().unwrap();
        let id = "fleet-a".to_owned();
        assert_eq!(
            asked(
                std::slice::from_ref(&later),
                std::slice::from_ref(&known),
                &[]
            ),
            [Step::Extend { id, until }]
        );
        let endless = spec("fleet-a", None);
        assert_eq!(
            asked(
                std::slice::from_ref(&endless),
                std::slice::from_ref(&known),
                &[]
            ),
            [Step::Replace(endless)]
        );
        let mut other = known.clone();
        other.to = vec!["192.0.2.9".to_owned()];
        assert_eq!(
            asked(std::slice::from_ref(&other), &[known], &[]),
            [Step::Replace(other)]
        );
    }

    #[test]
    fn ban_of_an_operator_is_never_ended_by_the_fleet() {
        let one = ban("ban-192.0.2.1", 1_900_000_000);
        assert!(asked(&[], std::slice::from_ref(&one), &[]).is_empty());
        let id = one.id.clone();
        assert_eq!(
            asked(&[], std::slice::from_ref(&one), &["ban-192.0.2.1"]),
            [Step::Remove { id: id.clone() }]
        );
        assert_eq!(asked(&[], &[], &["ban-192.0.2.1"]), [Step::Forget { id }]);
    }

    #[test]
    fn ban_of_an_operator_that_lasts_longer_stays_and_a_shorter_one_is_extended() {
        let (short, long) = (
            ban("ban-192.0.2.1", 1_900_000_000),
            ban("ban-192.0.2.1", 1_950_000_000),
        );
        assert!(
            asked(
                std::slice::from_ref(&short),
                std::slice::from_ref(&long),
                &[]
            )
            .is_empty()
        );
        let steps = asked(
            std::slice::from_ref(&long),
            std::slice::from_ref(&short),
            &[],
        );
        assert!(matches!(&steps[..], [Step::Extend { .. }]), "{steps:?}");
        // Its own ban follows the fleet in either direction.
        let steps = asked(
            std::slice::from_ref(&short),
            std::slice::from_ref(&long),
            &[&short.id],
        );
        assert!(matches!(&steps[..], [Step::Extend { .. }]), "{steps:?}");
    }

    #[test]
    fn what_has_expired_is_not_added() {
        let old = spec("fleet-a", Some(1_700_000_000));
        assert!(asked(std::slice::from_ref(&old), &[], &[]).is_empty());
        assert!(asked(std::slice::from_ref(&old), std::slice::from_ref(&old), &[]).is_empty());
    }
}
