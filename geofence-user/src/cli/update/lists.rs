//! Lists: fetched from their URL or read from their file, and stored if they are good.

use std::collections::BTreeMap;

use geofence_common::action::Action;
use geofence_common::country::Country;
use serde_json::{Value, json};

use super::progress::Progress;
use crate::checks::diff::counters;
use crate::config::Config;
use crate::daemon::candidate::traffic_of;
use crate::data::lists::store::{Store, StoreError};
use crate::data::lists::{self, LocalAddresses, Traffic, UpdateOptions, UpdateOutcome};
use crate::kernel::Running;
use crate::model::list::Definition;
use crate::model::text::grouped;
use crate::model::units::UnixSeconds;

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
    let listen = daemon["listen"].as_str()?;
    let counted = counters(&format!("http://{listen}/metrics")).ok()?;
    let running = Running::find(&config.instance).ok()??;
    let mut passed = BTreeMap::new();
    for ((code, action, _), packets) in counted.countries {
        let code = code.as_bytes().try_into().ok().and_then(Country::from_code);
        if let Some(country) = code.filter(|_| action == Action::Pass.name()) {
            *passed.entry(country).or_default() += packets;
        }
    }
    traffic_of(running.words(), &passed)
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
            "{name}: not asked, because the server wants no request before {until}; {}. To ask it all the same: \
             geofence update {name}",
            stays(entries)
        ),
        UpdateOutcome::Rejected { why, entries } => format!(
            "{name}: REJECTED, {}:\n{why}\nIf the new text is right, accept it: geofence update {name} --force",
            stays(entries)
        ),
        UpdateOutcome::Failed { why, entries } => {
            format!("{name}: FAILED, {}:\n{why}", stays(entries))
        }
    }
}
