//! Lists: fetched from their URL or read from their file, and stored if they are good.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{Write as _, stderr};

use geofence_common::action::Action;
use geofence_common::country::Country;
use serde_json::{Value, json};

use super::progress::Progress;
use crate::config::Config;
use crate::daemon::candidate::traffic_of;
use crate::data::lists::store::{Store, StoreError};
use crate::data::lists::{self, LocalAddresses, Traffic, UpdateOptions, UpdateOutcome};
use crate::kernel::Running;
use crate::model::list::Definition;
use crate::model::text::grouped;
use crate::model::units::UnixSeconds;
use crate::serve::control::{Answer, Request, ask};

/// What lists are compared with.
pub(super) struct Lists {
    store: Store,
    local: LocalAddresses,
    options: UpdateOptions,
}

impl Lists {
    pub(super) fn new(
        config: &Config,
        store: Store,
        daemon: &Value,
        options: UpdateOptions,
    ) -> Self {
        let local = LocalAddresses {
            traffic: traffic(config, daemon),
            ..LocalAddresses::of_this_machine(&config.policy.management)
        };
        Self {
            store,
            local,
            options,
        }
    }

    /// Brings a list up to date.
    pub(super) fn update(&self, definition: &Definition) -> Result<UpdateOutcome, StoreError> {
        let progress = Progress::new(&definition.name);
        let now = UnixSeconds::now();
        let mut report = |done, length| progress.report(done, length);
        let (local, store) = (&self.local, &self.store);
        lists::update(definition, local, store, self.options, now, &mut report)
    }
}

/// Whether an update left the list as it should be.
pub(super) fn is_good(updated: &UpdateOutcome) -> bool {
    !matches!(
        updated,
        UpdateOutcome::Rejected { .. } | UpdateOutcome::Failed { .. }
    )
}

/// The traffic that passes the running filter, if one runs and tells.
fn traffic(config: &Config, daemon: &Value) -> Option<Traffic> {
    if daemon.is_null() {
        return None;
    }
    // The metrics may be for named users only, or not served at all.
    let counters = match ask(&config.instance, &Request::Counters) {
        Ok(Answer::Done(counters)) => counters,
        Ok(Answer::Refused { error, .. }) => return unknown(error),
        Err(error) => return unknown(error),
    };
    let running = match Running::find(&config.instance) {
        Ok(running) => running?,
        Err(error) => return unknown(error),
    };
    let mut passed = BTreeMap::new();
    let interfaces = counters["interfaces"].as_array().into_iter().flatten();
    for one in interfaces.flat_map(|one| one["packets"].as_array().into_iter().flatten()) {
        let code = one["country"].as_str().unwrap_or_default().as_bytes();
        let country = code.try_into().ok().and_then(Country::from_code);
        if let Some(country) = country.filter(|_| one["action"] == Action::Pass.name()) {
            *passed.entry(country).or_default() += one["packets"].as_u64().unwrap_or_default();
        }
    }
    traffic_of(running.words(), &passed)
}

/// Without the counters, lists are judged by their entries and the space that they cover alone.
fn unknown(why: impl Display) -> Option<Traffic> {
    // Where standard error is closed, the warning has no reader.
    let _ = writeln!(
        stderr(),
        "warning: lists are not compared with the traffic that passes now: {why}"
    );
    None
}

pub(super) fn object(name: &str, updated: &UpdateOutcome) -> Value {
    let (what, entries, before, why) = match updated {
        UpdateOutcome::Updated { entries, before } => ("updated", Some(*entries), *before, None),
        UpdateOutcome::Unchanged { entries } => ("unchanged", Some(*entries), Some(*entries), None),
        UpdateOutcome::Postponed { entries, .. } => ("postponed", *entries, *entries, None),
        UpdateOutcome::Rejected { why, entries } => ("refused", *entries, *entries, Some(why)),
        UpdateOutcome::Failed { why, entries } => ("failed", *entries, *entries, Some(why)),
    };
    let mut object = json!({
        "list": name,
        "outcome": what,
        "entries": entries,
        "before": before,
        "error": why,
    });
    if let UpdateOutcome::Postponed { until, .. } = updated {
        object["until"] = until.0.into();
    }
    object
}

pub(super) fn line(definition: &Definition, updated: &UpdateOutcome) -> String {
    let name = &definition.name;
    let count = |entries: usize| grouped(entries as u64);
    let stays = |entries: &Option<usize>| match entries {
        Some(entries) => format!(
            "the last good text with {} entries stays active",
            count(*entries)
        ),
        None => "there is no earlier good text".to_owned(),
    };
    match updated {
        UpdateOutcome::Updated {
            entries,
            before: Some(before),
        } => format!(
            "{name}: {} entries, {} before",
            count(*entries),
            count(*before)
        ),
        UpdateOutcome::Updated {
            entries,
            before: None,
        } => format!("{name}: {} entries, for the first time", count(*entries)),
        UpdateOutcome::Unchanged { entries } => {
            format!("{name}: unchanged, {} entries", count(*entries))
        }
        UpdateOutcome::Postponed { until, entries } => format!(
            "{name}: not fetched, because the server asks to wait until {until}; {}. To fetch it anyway: \
             geofence update {name}",
            stays(entries)
        ),
        UpdateOutcome::Rejected { why, entries } => {
            format!("{name}: REJECTED, {}:\n{why}", stays(entries))
        }
        UpdateOutcome::Failed { why, entries } => {
            format!("{name}: FAILED, {}:\n{why}", stays(entries))
        }
    }
}
