//! Packets added up as the page shows them: by country, and by country, action and reason.

use std::collections::BTreeMap;

use geofence_common::action::{Action, Reason};
use geofence_common::country::Country;
use geofence_common::maps::Counter;

use crate::daemon::facts::InterfaceCounters;
use crate::daemon::{Counted, NewCounts};

/// What was counted under a key, and how much of it a second.
pub(super) type Key = (Country, Action, Reason);

/// Packets of a country, or of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    /// Dropped, or in monitor mode what would have been.
    pub(super) blocked: Counter,
    pub(super) passed: Counter,
}

impl Sums {
    pub(super) fn add(&mut self, reason: Reason, counter: Counter) {
        match reason.action() {
            Action::Drop => self.blocked += counter,
            Action::Pass => self.passed += counter,
        }
    }

    pub(super) fn of<'a>(counted: impl IntoIterator<Item = (&'a Key, &'a Counter)>) -> Self {
        let mut sums = Self::default();
        for ((_, _, reason), counter) in counted {
            sums.add(*reason, *counter);
        }
        sums
    }
}

/// The counters of all interfaces together.
pub(super) fn total(interfaces: &[InterfaceCounters]) -> Counted {
    let mut total = Counted::new();
    for (key, counter) in interfaces.iter().flat_map(|one| &one.counters) {
        *total.entry(*key).or_default() += *counter;
    }
    total
}

/// The sums of each country.
pub(super) fn by_country(counted: &Counted) -> BTreeMap<Country, Sums> {
    let mut countries: BTreeMap<Country, Sums> = BTreeMap::new();
    for ((country, _, reason), counter) in counted {
        countries
            .entry(*country)
            .or_default()
            .add(*reason, *counter);
    }
    countries
}

/// The packets a second under a key, or 0.
pub(super) fn rate_of(counts: Option<&NewCounts>, key: &Key) -> f64 {
    let rate = counts.and_then(|counts| {
        let new = counts.counted.get(key)?;
        Some(counts.per_second(new.packets))
    });
    rate.unwrap_or_default()
}

/// The name of a key in the page and in its live figures.
pub(super) fn name_of((country, action, reason): &Key) -> String {
    format!("{} {} {}", country.name(), action.name(), reason.name())
}
