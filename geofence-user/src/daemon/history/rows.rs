//! A row: what was counted in a minute or an hour.

use std::collections::BTreeMap;

use geofence_common::action::{Action, Reason};
use geofence_common::maps::Counter;

use crate::daemon::recent_counts::Counts;
use crate::model::units::UnixSeconds;

/// Packets by country, action and reason. The country is a name, because a row has one for "all others".
pub(super) type ByCountry = BTreeMap<(String, Action, Reason), Counter>;
/// Packets by tenant, action and reason.
pub(super) type ByTenant = BTreeMap<(String, Action, Reason), Counter>;

/// The country or tenant of what has no entry of its own.
pub(super) const OTHER: &str = "other";
/// The entries of a row. Senders choose countries and reasons by what they send.
const COUNTRIES_MAX: usize = 400;
const TENANTS_MAX: usize = 200;

/// What was counted in a span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) start: UnixSeconds,
    pub(super) end: UnixSeconds,
    pub(super) countries: ByCountry,
    pub(super) tenants: ByTenant,
}

impl Row {
    /// The row of these counts, which were new between two moments.
    pub(super) fn new(start: UnixSeconds, end: UnixSeconds, new: &Counts) -> Self {
        let mut row = Self {
            start,
            end,
            ..Self::default()
        };
        for ((country, action, reason), counter) in new.interfaces.values().flatten() {
            let key = (country.name().to_owned(), *action, *reason);
            add(&mut row.countries, COUNTRIES_MAX, key, *counter);
        }
        for (tenant, counters) in &new.tenants {
            for ((action, reason), counter) in counters {
                let key = (tenant.clone(), *action, *reason);
                add(&mut row.tenants, TENANTS_MAX, key, *counter);
            }
        }
        row
    }

    /// Adds what another row has, which follows this one.
    pub(super) fn extend(&mut self, other: &Self) {
        self.end = self.end.max(other.end);
        for (key, counter) in &other.countries {
            add(&mut self.countries, COUNTRIES_MAX, key.clone(), *counter);
        }
        for (key, counter) in &other.tenants {
            add(&mut self.tenants, TENANTS_MAX, key.clone(), *counter);
        }
    }
}

fn add(
    to: &mut BTreeMap<(String, Action, Reason), Counter>,
    max: usize,
    key: (String, Action, Reason),
    counter: Counter,
) {
    if counter.packets == 0 {
        return;
    }
    let has_room = to.len() < max || to.contains_key(&key);
    let (_, action, reason) = key;
    let key = if has_room {
        key
    } else {
        (OTHER.to_owned(), action, reason)
    };
    *to.entry(key).or_default() += counter;
}

/// What was counted since an earlier reading. Counters that are smaller than before were set to zero meanwhile, so all
/// that they have is new.
pub(super) fn new_since(before: &Counts, now: &Counts) -> Counts {
    Counts {
        interfaces: new_by_name(&before.interfaces, &now.interfaces),
        tenants: new_by_name(&before.tenants, &now.tenants),
    }
}

fn new_by_name<K: Clone + Ord>(
    before: &BTreeMap<String, BTreeMap<K, Counter>>,
    now: &BTreeMap<String, BTreeMap<K, Counter>>,
) -> BTreeMap<String, BTreeMap<K, Counter>> {
    let none = BTreeMap::new();
    let new = now.iter().map(|(name, now)| {
        let mut before = before.get(name).unwrap_or(&none);
        let is_smaller = |(key, earlier): (&K, &Counter)| {
            now.get(key).map_or(0, |later| later.packets) < earlier.packets
        };
        if before.iter().any(is_smaller) {
            before = &none;
        }
        let new = now.iter().map(|(key, counter)| {
            let earlier = before.get(key).copied().unwrap_or_default();
            let new = Counter {
                packets: counter.packets.saturating_sub(earlier.packets),
                bytes: counter.bytes.saturating_sub(earlier.bytes),
            };
            (key.clone(), new)
        });
        (name.clone(), new.collect())
    });
    new.collect()
}

#[cfg(test)]
mod tests {
    use geofence_common::country::Country;

    use super::*;
    use crate::daemon::recent_counts::Counted;

    fn counts(packets: u64) -> Counts {
        let key = (
            Country::from_code(*b"RU").unwrap(),
            Action::Drop,
            Reason::CountryBlocked,
        );
        let counter = Counter {
            packets,
            bytes: 60 * packets,
        };
        Counts {
            interfaces: [("eth0".to_owned(), Counted::from([(key, counter)]))].into(),
            ..Counts::default()
        }
    }

    fn packets(counts: &Counts) -> u64 {
        let counters = counts.interfaces.values().flatten();
        counters.map(|(_, counter)| counter.packets).sum()
    }

    #[test]
    fn counters_that_start_again_are_new_as_a_whole() {
        assert_eq!(packets(&new_since(&counts(10), &counts(25))), 15);
        assert_eq!(packets(&new_since(&counts(10), &counts(3))), 3);
        assert_eq!(packets(&new_since(&Counts::default(), &counts(3))), 3);
        assert_eq!(packets(&new_since(&counts(3), &Counts::default())), 0);
    }

    #[test]
    fn a_row_has_a_bound_and_loses_no_packet() {
        let mut counted = Counted::new();
        for country in Country::all() {
            for reason in [Reason::CountryBlocked, Reason::Mail, Reason::Reply] {
                let counter = Counter {
                    packets: 1,
                    bytes: 60,
                };
                counted.insert((country, reason.action(), reason), counter);
            }
        }
        let all = counted.len() as u64;
        let new = Counts {
            interfaces: [("eth0".to_owned(), counted)].into(),
            ..Counts::default()
        };
        let row = Row::new(UnixSeconds(0), UnixSeconds(60), &new);
        assert!(row.countries.len() <= COUNTRIES_MAX + 3);
        let kept: u64 = row.countries.values().map(|one| one.packets).sum();
        assert_eq!(kept, all);
        let of_others = row.countries.keys().filter(|(name, ..)| name == OTHER);
        assert!(of_others.count() > 0);
    }
}
