//! How many packets a second pass and are dropped now: the counters of this moment beside those of some seconds ago.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use geofence_common::action::{Action, Reason};
use geofence_common::country::Country;
use geofence_common::maps::Counter;
use serde_json::{Value, json};

use crate::kernel::TenantCounters;

/// Counters that are closer together say nothing.
const SPAN_MIN: Duration = Duration::from_millis(500);
/// How many countries and reasons are named.
const TOP: usize = 5;

/// What was counted, by country, action and reason.
pub type Counted = BTreeMap<(Country, Action, Reason), Counter>;

/// The counters of each interface and tenant at one moment, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) interfaces: BTreeMap<String, Counted>,
    pub(super) tenants: BTreeMap<String, TenantCounters>,
}

/// The counters of all interfaces at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    pub at: Instant,
    pub counted: Counted,
}

/// What was counted between two moments.
#[derive(Clone, Debug)]
pub struct NewCounts {
    pub seconds: f64,
    pub counted: Counted,
}

impl Sample {
    /// What was counted since an earlier moment.
    #[must_use]
    pub fn since(&self, before: &Self) -> NewCounts {
        let new = self.counted.iter().map(|(key, counter)| {
            let earlier = before.counted.get(key).copied().unwrap_or_default();
            let new = Counter {
                packets: counter.packets.saturating_sub(earlier.packets),
                bytes: counter.bytes.saturating_sub(earlier.bytes),
            };
            (*key, new)
        });
        NewCounts {
            seconds: self.at.duration_since(before.at).as_secs_f64(),
            counted: new.filter(|(_, new)| new.packets > 0).collect(),
        }
    }
}

impl NewCounts {
    /// So many packets or bits as a rate.
    #[must_use]
    pub fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.seconds
    }
}

/// The last two readings.
#[derive(Debug, Default)]
pub(super) struct RecentCounts([Option<Sample>; 2]);

impl RecentCounts {
    pub(super) fn push(&mut self, sample: Sample) {
        let [newest, previous] = &mut self.0;
        *previous = newest.replace(sample);
    }

    /// Packets and bits a second up to now, and the countries and reasons of which most is dropped; null if too little
    /// time has passed since the start.
    pub(super) fn rates(&self, now: &Sample) -> Value {
        self.until(now).as_ref().map_or(Value::Null, rates)
    }

    /// What was counted up to now; none if too little time has passed since the start.
    pub(super) fn until(&self, now: &Sample) -> Option<NewCounts> {
        Some(now.since(self.before(now.at)?))
    }

    /// The newest reading that is old enough for a rate.
    fn before(&self, now: Instant) -> Option<&Sample> {
        let mut samples = self.0.iter().flatten();
        samples.find(|sample| now.duration_since(sample.at) >= SPAN_MIN)
    }
}

fn rates(counts: &NewCounts) -> Value {
    let rate = |count| counts.per_second(count);
    let mut all = [Counter::default(); 2];
    let mut blocked = Counter::default();
    let mut countries: BTreeMap<&str, u64> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for (key, new) in &counts.counted {
        let (country, action, reason) = key;
        all[*action as usize] += *new;
        // In monitor mode the reasons of drops count as passed.
        if reason.action() == Action::Drop {
            blocked += *new;
            *countries.entry(country.name()).or_default() += new.packets;
            *reasons.entry(reason.name()).or_default() += new.packets;
        }
    }
    let top = |counts: BTreeMap<&str, u64>, label: &str| {
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, packets)| std::cmp::Reverse(*packets));
        let first = counts.into_iter().take(TOP);
        let first = first.map(|(name, packets)| json!({ label: name, "packets": rate(packets) }));
        first.collect::<Vec<_>>()
    };
    let flow = |counter: Counter| json!({ "packets": rate(counter.packets), "bits": rate(8 * counter.bytes) });
    json!({
        "seconds": counts.seconds,
        "passed": flow(all[Action::Pass as usize]),
        "dropped": flow(all[Action::Drop as usize]),
        "blocked": flow(blocked),
        "countries": top(countries, "country"),
        "reasons": top(reasons, "reason"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_time_between_two_readings() {
        let country = |code: &[u8; 2]| Country::from_code(*code).unwrap();
        let start = Instant::now();
        let sample = |seconds, packets: [u64; 3]| {
            let counter = |packets| Counter {
                packets,
                bytes: 100 * packets,
            };
            let [russia, china, germany] = packets;
            Sample {
                at: start + Duration::from_secs(seconds),
                counted: Counted::from([
                    (
                        (country(b"RU"), Action::Drop, Reason::CountryBlocked),
                        counter(russia),
                    ),
                    (
                        (country(b"CN"), Action::Drop, Reason::CountryBlocked),
                        counter(china),
                    ),
                    (
                        (country(b"DE"), Action::Pass, Reason::CountryAllowed),
                        counter(germany),
                    ),
                ]),
            }
        };
        let rates = rates(&sample(10, [1100, 507, 20]).since(&sample(0, [1000, 7, 0])));
        assert_eq!(rates["dropped"]["packets"], 60.0);
        assert_eq!(rates["dropped"]["bits"], 48_000.0);
        assert_eq!(rates["passed"]["packets"], 2.0);
        assert_eq!(
            rates["countries"],
            json!([{ "country": "CN", "packets": 50.0 }, { "country": "RU", "packets": 10.0 }])
        );
        assert_eq!(
            rates["reasons"],
            json!([{ "reason": "country_blocked", "packets": 60.0 }])
        );
    }

    #[test]
    fn a_reading_of_this_moment_is_passed_over_for_the_one_before() {
        let start = Instant::now();
        let sample = |seconds| Sample {
            at: start + Duration::from_secs(seconds),
            counted: Counted::new(),
        };
        let mut recent = RecentCounts::default();
        recent.push(sample(0));
        assert!(recent.before(start).is_none());
        recent.push(sample(10));
        let found = recent.before(start + Duration::from_secs(10)).unwrap();
        assert_eq!(found.at, start);
    }
}
