//! Which packet counters of an interface have a series of their own.
//!
//! Senders choose countries and reasons by what they send, so the number of series has a bound. What is beyond it is
//! summed under the country `other`, so sums stay exact. A series stays for as long as the daemon runs, and what is in
//! `other` stays there: a counter never goes down. The series that an operator waits for exist from the first scrape,
//! because `rate()` does not see the packets that a series starts with.

use std::collections::{BTreeMap, BTreeSet};

use geofence_common::action::{Action, Mode, Reason};
use geofence_common::country::Country;
use geofence_common::maps::Counter;

use crate::model::policy::{self, Settings};

/// The country of packets without a series of their own.
const OTHER: &str = "other";
/// Series of countries, of which each is a counter of packets and one of bytes. With those of `other`, two for each
/// reason, an interface has fewer than 1,500.
const OWN_MAX: usize = 660;
/// How many of them may have another reason than the country alone, so that each country has its first.
const OTHER_REASONS_MAX: usize = 400;
/// How many exist before a packet was counted.
const EXPECTED_MAX: usize = 300;

/// Reasons of packets whose source was not read.
const OF_NONE: [Reason; 6] = [
    Reason::NonIp,
    Reason::Encapsulated,
    Reason::MalformedIpv4,
    Reason::MalformedIpv6,
    Reason::TooManyTags,
    Reason::NoPolicy,
];
/// Reasons of packets from special-use space.
const OF_SPECIAL: [Reason; 10] = [
    Reason::SpecialUse,
    Reason::SpecialUseBlocked,
    Reason::LinkControl,
    Reason::Mapped,
    Reason::Management,
    Reason::Allowed,
    Reason::Denied,
    Reason::Exception,
    Reason::ProtectedAccess,
    Reason::ProtectedService,
];
/// Reasons of packets from a blocked country, the most frequent first.
const OF_BLOCKED: [Reason; 16] = [
    Reason::CountryBlocked,
    Reason::Mail,
    Reason::UnprovenReply,
    Reason::Reply,
    Reason::Service,
    Reason::LaterFragment,
    Reason::Fragment,
    Reason::MalformedTransport,
    Reason::UnprovenIcmpError,
    Reason::IcmpError,
    Reason::RateLimit,
    Reason::ExtensionHeaders,
    Reason::ShortFirstFragment,
    Reason::SourceRoute,
    Reason::DoubleFragment,
    Reason::OverlappingFragment,
];

type Key = (Country, Action, Reason);
/// A series: country, action, reason, and what was counted.
pub(super) type PacketSeries = (&'static str, Action, Reason, Counter);

/// The series of one interface.
#[derive(Debug, Default)]
pub(super) struct OwnSeries(BTreeSet<Key>);

impl OwnSeries {
    /// The series to write for these counters.
    pub(super) fn of(
        &mut self,
        counters: &BTreeMap<Key, Counter>,
        settings: &Settings,
    ) -> Vec<PacketSeries> {
        for keys in expected(settings) {
            // A country without a series that the next one has would look open.
            if self.0.len() + keys.len() <= EXPECTED_MAX {
                self.0.extend(keys);
            }
        }
        let mut new: Vec<_> = counters
            .iter()
            .filter(|(key, _)| !self.0.contains(key))
            .collect();
        new.sort_by_key(|(_, counter)| std::cmp::Reverse(counter.packets));
        let mut rest = self.0.iter().filter(|key| !is_first(key)).count();
        for (key, _) in new {
            if self.0.len() < OWN_MAX && (is_first(key) || rest < OTHER_REASONS_MAX) {
                rest += usize::from(!is_first(key));
                self.0.insert(*key);
            }
        }
        let own = self.0.iter().map(|key| {
            let (country, action, reason) = *key;
            let counter = counters.get(key).copied().unwrap_or_default();
            (country.name(), action, reason, counter)
        });
        let mut others: BTreeMap<(Action, Reason), Counter> = BTreeMap::new();
        for ((_, action, reason), counter) in
            counters.iter().filter(|(key, _)| !self.0.contains(key))
        {
            *others.entry((*action, *reason)).or_default() += *counter;
        }
        let others = others
            .into_iter()
            .map(|((action, reason), counter)| (OTHER, action, reason, counter));
        own.chain(others).collect()
    }
}

/// Whether it is the series of packets that their country alone decides.
fn is_first((_, _, reason): &Key) -> bool {
    matches!(reason, Reason::CountryAllowed | Reason::CountryBlocked)
}

/// The series that exist before a packet was counted, in groups of which each is whole or absent.
fn expected(settings: &Settings) -> Vec<Vec<Key>> {
    let key = |country, reason: Reason| {
        let action = match settings.mode {
            Mode::Enforce => reason.action(),
            Mode::Monitor => Action::Pass,
        };
        (country, action, reason)
    };
    let unknown = match settings.unknown {
        policy::Action::Pass => Reason::CountryUnknown,
        policy::Action::Drop => Reason::CountryUnknownBlocked,
    };
    let blocked = Country::all().filter(|country| settings.rule.blocks(*country));
    let blocked: Vec<Country> = blocked.collect();
    let mut groups = vec![
        OF_NONE.map(|reason| key(Country::NONE, reason)).to_vec(),
        OF_SPECIAL
            .map(|reason| key(Country::SPECIAL, reason))
            .to_vec(),
        vec![key(Country::UNKNOWN, unknown)],
    ];
    groups.extend(OF_BLOCKED.map(|reason| {
        let countries = blocked.iter();
        countries.map(|country| key(*country, reason)).collect()
    }));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::model::policy::CountryRule;

    fn every_counter() -> BTreeMap<Key, Counter> {
        let mut counters = BTreeMap::new();
        let others = [Country::NONE, Country::SPECIAL, Country::UNKNOWN];
        for country in Country::all().chain(others) {
            for reason in Reason::ALL.iter().copied() {
                for action in [Action::Pass, Action::Drop] {
                    let packets = u64::from(country.number()) + 1;
                    let counter = Counter {
                        packets,
                        bytes: 60 * packets,
                    };
                    counters.insert((country, action, reason), counter);
                }
            }
        }
        counters
    }

    fn sums(series: &[PacketSeries]) -> BTreeMap<(Action, Reason), u64> {
        let mut sums = BTreeMap::new();
        for (_, action, reason, counter) in series {
            *sums.entry((*action, *reason)).or_default() += counter.packets;
        }
        sums
    }

    #[test]
    fn series_stay_below_the_bound_and_their_sums_are_exact_under_any_traffic() {
        let mut settings = Config::default().policy.settings;
        for rule in [settings.rule.clone(), CountryRule::AllowOnly([].into())] {
            settings.rule = rule;
            let counters = every_counter();
            let series = OwnSeries::default().of(&counters, &settings);
            // Packets and bytes of each, and the gauges of the interface.
            assert!(2 * series.len() + 10 <= 1500, "{}", series.len());
            let mut exact = BTreeMap::new();
            for ((_, action, reason), counter) in &counters {
                *exact.entry((*action, *reason)).or_default() += counter.packets;
            }
            assert_eq!(sums(&series), exact);
        }
    }

    #[test]
    fn no_counter_goes_down_when_more_countries_and_reasons_come() {
        let settings = Config::default().policy.settings;
        let all = every_counter();
        let mut own = OwnSeries::default();
        let mut before = BTreeMap::new();
        for part in 1..=40 {
            let some = all.iter().take(all.len() * part / 40);
            let now: BTreeMap<_, _> = own
                .of(
                    &some.map(|(key, counter)| (*key, *counter)).collect(),
                    &settings,
                )
                .into_iter()
                .map(|(country, action, reason, counter)| ((country, action, reason), counter))
                .collect();
            for (key, counter) in &before {
                let later: &Counter = &now[key];
                let earlier: &Counter = counter;
                assert!(later.packets >= earlier.packets, "{key:?}");
            }
            before = now;
        }
    }

    #[test]
    fn blocked_countries_and_every_reason_without_a_country_exist_before_the_first_packet() {
        let settings = Config::default().policy.settings;
        let series = OwnSeries::default().of(&BTreeMap::new(), &settings);
        let has = |country: &str, action: Action, reason: Reason| {
            series.iter().any(|(name, act, why, counter)| {
                (*name, *act, *why) == (country, action, reason) && counter.packets == 0
            })
        };
        for country in ["RU", "UA", "BY", "CN", "KP"] {
            assert!(has(country, Action::Drop, Reason::CountryBlocked));
            assert!(has(country, Action::Pass, Reason::Mail));
        }
        assert!(has("none", Action::Drop, Reason::MalformedIpv4));
        assert!(has("special", Action::Pass, Reason::SpecialUse));
        assert!(has("unknown", Action::Pass, Reason::CountryUnknown));
    }

    #[test]
    fn an_inverse_policy_has_a_series_for_each_blocked_country() {
        let mut settings = Config::default().policy.settings;
        let allowed = Country::from_code(*b"DE").unwrap();
        settings.rule = CountryRule::AllowOnly([allowed].into());
        let series = OwnSeries::default().of(&BTreeMap::new(), &settings);
        let blocked = series
            .iter()
            .filter(|(_, _, reason, _)| *reason == Reason::CountryBlocked);
        assert_eq!(blocked.count(), Country::all().count() - 1);
    }
}
