//! What `geofence report` shows, as JSON.

use std::collections::BTreeMap;

use geofence_common::action::{Action, Reason};
use geofence_common::country::Country;
use geofence_common::maps::Counter;
use serde::Serialize;
use serde_json::{Value, json};

use super::rows::{OTHER, Row};
use crate::daemon::active::ActivePolicy;
use crate::daemon::start::sentence;
use crate::daemon::state::Daemon;
use crate::daemon::sync::lock;
use crate::kernel::KernelError;
use crate::model::countries;
use crate::model::failure::{Cause, Failure};
use crate::model::policy::CountryRule;
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;

/// Packets of a country, a tenant or all, by what happened to them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Totals {
    dropped: Count,
    /// Passed by monitor mode, where enforce mode drops.
    would_drop: Count,
    passed: Count,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Count {
    packets: u64,
    bytes: u64,
}

impl Count {
    fn add(&mut self, counter: Counter) {
        self.packets += counter.packets;
        self.bytes += counter.bytes;
    }
}

impl Totals {
    fn add(&mut self, action: Action, reason: Reason, counter: Counter) {
        match (action, reason.action()) {
            (Action::Drop, _) => self.dropped.add(counter),
            (Action::Pass, Action::Drop) => self.would_drop.add(counter),
            (Action::Pass, Action::Pass) => self.passed.add(counter),
        }
    }

    /// What was dropped or would have been, then what passed.
    fn weight(&self) -> (u64, u64) {
        let stopped = self.dropped.packets + self.would_drop.packets;
        (stopped, self.passed.packets)
    }
}

impl Daemon {
    /// What was counted since a moment.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn report(&self, since: UnixSeconds) -> Result<Value, Failure> {
        let failed = |error: KernelError| Failure::new(Cause::Kernel, error);
        self.add_to_history().map_err(failed)?;
        let (row, oldest) = {
            let history = lock(&self.history);
            (history.since(since), history.oldest())
        };
        let ActivePolicy { config, facts, .. } = lock(&self.active).clone();
        let settings = &config.policy.settings;
        let mut report = report(&row, &settings.rule);
        report["oldest"] = json!(oldest.map(|at| at.to_string()));
        report["mode"] = settings.mode.word().into();
        report["policy"] = json!((!facts.is_last_good).then(|| sentence(&config.policy)));
        report["instance"] = config.instance.name().into();
        Ok(report)
    }
}

/// A row in the words of the report.
fn report(row: &Row, rule: &CountryRule) -> Value {
    let mut all = Totals::default();
    let mut by_country: BTreeMap<&str, Totals> = BTreeMap::new();
    let mut by_reason: BTreeMap<(Action, Reason), Count> = BTreeMap::new();
    let mut doors: BTreeMap<(&str, Reason), Count> = BTreeMap::new();
    for ((country, action, reason), counter) in &row.countries {
        all.add(*action, *reason, *counter);
        let of_country = by_country.entry(country).or_default();
        of_country.add(*action, *reason, *counter);
        by_reason
            .entry((*action, *reason))
            .or_default()
            .add(*counter);
        if is_door(*reason, is_blocked(country, rule)) {
            doors
                .entry((country.as_str(), *reason))
                .or_default()
                .add(*counter);
        }
    }
    let mut by_tenant: BTreeMap<&str, Totals> = BTreeMap::new();
    for ((tenant, action, reason), counter) in &row.tenants {
        let of_tenant = by_tenant.entry(tenant).or_default();
        of_tenant.add(*action, *reason, *counter);
    }
    let countries = sorted(by_country, Totals::weight)
        .into_iter()
        .map(|(code, totals)| {
            let mut one = json!(totals);
            one["country"] = code.into();
            one["name"] = name_of(code).into();
            one["blocked"] = is_blocked(code, rule).into();
            one
        });
    let reasons = sorted(by_reason, |count| *count);
    let reasons = reasons.into_iter().map(|((action, reason), count)| {
        json!({
            "action": action.name(),
            "reason": reason.name(),
            "meaning": reason.meaning(),
            "packets": count.packets,
            "bytes": count.bytes,
        })
    });
    let tenants = sorted(by_tenant, Totals::weight)
        .into_iter()
        .map(|(tenant, totals)| {
            let mut one = json!(totals);
            one["tenant"] = tenant.into();
            one
        });
    let doors = sorted(doors, |count| *count);
    let doors = doors.into_iter().map(|((country, reason), count)| {
        json!({
            "country": country,
            "name": name_of(country),
            "door": reason.name(),
            "packets": count.packets,
            "bytes": count.bytes,
        })
    });
    json!({
        "from": row.start.to_string(),
        "to": row.end.to_string(),
        "seconds": row.end.since(row.start).as_secs(),
        "all": all,
        "countries": countries.collect::<Vec<_>>(),
        "reasons": reasons.collect::<Vec<_>>(),
        "tenants": tenants.collect::<Vec<_>>(),
        "doors": doors.collect::<Vec<_>>(),
    })
}

/// The entries, those with most packets first.
fn sorted<K, V, W: Ord>(entries: BTreeMap<K, V>, weight: impl Fn(&V) -> W) -> Vec<(K, V)> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by_key(|(_, value)| std::cmp::Reverse(weight(value)));
    entries
}

fn country(code: &str) -> Option<Country> {
    Country::from_code(code.as_bytes().try_into().ok()?)
}

fn is_blocked(code: &str, rule: &CountryRule) -> bool {
    country(code).is_some_and(|country| rule.blocks(country))
}

fn name_of(code: &str) -> String {
    match code {
        OTHER => "all other countries".to_owned(),
        code => country(code).map_or_else(|| code.to_owned(), countries::name),
    }
}

/// Whether packets from a blocked country come in by this reason.
fn is_door(reason: Reason, is_blocked: bool) -> bool {
    use Reason::{
        Allowed, Exception, Fragment, IcmpError, Mail, Management, ProtectedAccess, Reply, Service,
    };
    // Only packets from blocked countries have these.
    matches!(reason, Mail | Service | Reply | IcmpError | Fragment)
        || is_blocked && matches!(reason, Allowed | Exception | Management | ProtectedAccess)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn report_says_what_was_dropped_and_by_which_door_packets_came_in() {
        let counter = |packets| Counter {
            packets,
            bytes: 60 * packets,
        };
        let key = |country: &str, action, reason| (country.to_owned(), action, reason);
        let row = Row {
            start: UnixSeconds(0),
            end: UnixSeconds(3600),
            countries: [
                (
                    key("RU", Action::Drop, Reason::CountryBlocked),
                    counter(100),
                ),
                (key("CN", Action::Pass, Reason::CountryBlocked), counter(70)),
                (key("RU", Action::Pass, Reason::Mail), counter(5)),
                (key("RU", Action::Pass, Reason::Allowed), counter(2)),
                (key("DE", Action::Pass, Reason::Allowed), counter(9)),
            ]
            .into(),
            tenants: [(key("a", Action::Drop, Reason::CountryBlocked), counter(3))].into(),
        };
        let report = report(&row, &Config::default().policy.settings.rule);
        assert_eq!(report["seconds"], 3600);
        assert_eq!(report["all"]["dropped"]["packets"], 100);
        assert_eq!(report["all"]["would_drop"]["packets"], 70);
        assert_eq!(report["all"]["passed"]["packets"], 16);
        let first = &report["countries"][0];
        assert_eq!(
            (&first["country"], &first["blocked"]),
            (&json!("RU"), &json!(true))
        );
        assert_eq!(report["reasons"][0]["reason"], "country_blocked");
        assert_eq!(report["tenants"][0]["dropped"]["packets"], 3);
        let doors: Vec<_> = report["doors"].as_array().unwrap().iter().collect();
        let doors: Vec<_> = doors
            .iter()
            .map(|one| {
                (
                    one["country"].as_str().unwrap(),
                    one["door"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(doors, [("RU", "mail"), ("RU", "allowed")]);
    }
}
