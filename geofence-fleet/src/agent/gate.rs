//! The gates that a policy on trial has to pass on a node: what must hold before the node confirms it.

use geofence_user::serve::control::Request;

use super::shared::Shared;
use super::traffic::{Passed, Rates, rates, read};
use crate::keys::Subject;
use crate::node_status::FilterStatus;
use crate::release::Trial;
use std::time::Instant;

/// A reason with fewer packets in the time of the trial says nothing by its rate.
const PACKETS_MIN: f64 = 50.0;

/// What held before the trial.
#[derive(Clone, Debug)]
pub(super) struct Before {
    pub(super) filter: FilterStatus,
    pub(super) usual: Rates,
}

/// Looks at the node at the end of the observation; `start` is a reading at its beginning.
///
/// # Errors
/// The gate that failed, and its figures.
pub(super) async fn check(
    shared: &Shared,
    subject: &Subject,
    trial: Trial,
    before: &Before,
    start: &(Instant, Passed),
) -> Result<(), String> {
    let status = shared.daemon.ask(Request::Status).await;
    let status = status.map_err(|error| format!("gate daemon: it does not answer: {error}"))?;
    if status["trial"].is_null() {
        return Err("gate trial: the trial has ended before it was confirmed".to_owned());
    }
    filter(&before.filter, &FilterStatus::of(&status))?;
    let end = read(&shared.daemon).await;
    let end = end.map_err(|error| format!("gate daemon: it does not answer: {error}"))?;
    traffic(&before.usual, &rates(start, &end), start, &end, trial.band)?;
    engine(shared, subject).await
}

/// Every interface that was protected still is, and nothing else is missing that was there.
fn filter(before: &FilterStatus, now: &FilterStatus) -> Result<(), String> {
    for interface in &before.protected {
        if !now.protected.contains(interface) {
            return Err(format!(
                "gate interfaces: {interface} is no longer protected"
            ));
        }
    }
    let new = now
        .shortfalls
        .iter()
        .find(|one| !before.shortfalls.contains(one));
    match new {
        Some(text) => Err(format!("gate shortfalls: {text}")),
        None => Ok(()),
    }
}

/// Of each reason that usually lets packets pass, enough still do.
fn traffic(
    usual: &Rates,
    now: &Rates,
    start: &(Instant, Passed),
    end: &(Instant, Passed),
    band: f64,
) -> Result<(), String> {
    let seconds = end.0.saturating_duration_since(start.0).as_secs_f64();
    for (reason, before) in usual
        .iter()
        .filter(|(_, rate)| *rate * seconds >= PACKETS_MIN)
    {
        let rate = now.get(reason).copied().unwrap_or_default();
        if rate < before * band {
            return Err(format!(
                "gate traffic: {rate:.1} packets a second passed as {reason}, {before:.1} usually do, and at least \
                 {:.1} must",
                before * band
            ));
        }
    }
    Ok(())
}

/// The engine can still be asked through the new policy.
async fn engine(shared: &Shared, subject: &Subject) -> Result<(), String> {
    let Some(mut engine) = shared.engine() else {
        return Err("gate engine: the connection to the engine was lost".to_owned());
    };
    let key = shared.keys.release(subject);
    let asked = engine.get(&key).await;
    asked.map_err(|error| format!("gate engine: {error}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn gate(usual: &[(&str, f64)], now: &[(&str, f64)], band: f64) -> Result<(), String> {
        let rates =
            |some: &[(&str, f64)]| some.iter().map(|(r, n)| ((*r).to_owned(), *n)).collect();
        let start = (Instant::now(), Passed::new());
        let end = (start.0 + Duration::from_secs(10), Passed::new());
        traffic(&rates(usual), &rates(now), &start, &end, band)
    }

    #[test]
    fn traffic_that_stays_within_the_band_passes() {
        let usual = [("mail", 100.0), ("allowed", 2.0)];
        assert_eq!(gate(&usual, &[("mail", 51.0)], 0.5), Ok(()));
        let error = gate(&usual, &[("mail", 49.0)], 0.5).unwrap_err();
        for part in ["gate traffic", "49.0", "100.0", "50.0", "mail"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(
            gate(&usual, &[], 0.0),
            Ok(()),
            "a band of 0 looks at nothing"
        );
        // Two packets a second in ten seconds prove nothing.
        assert_eq!(gate(&usual[1..], &[], 0.5), Ok(()));
    }

    #[test]
    fn interface_that_was_not_protected_before_is_no_failure() {
        let status = |protected: &[&str], shortfalls: &[&str]| FilterStatus {
            version: String::new(),
            mode: String::new(),
            policy_hash: String::new(),
            generation: 1,
            protected: protected.iter().map(|one| (*one).to_owned()).collect(),
            unprotected: Vec::new(),
            shortfalls: shortfalls.iter().map(|one| (*one).to_owned()).collect(),
        };
        let before = status(&["eth0"], &["a"]);
        assert_eq!(filter(&before, &status(&["eth0"], &["a"])), Ok(()));
        assert!(filter(&before, &status(&[], &[])).is_err());
        assert!(filter(&before, &status(&["eth0"], &["a", "b"])).is_err());
    }
}
