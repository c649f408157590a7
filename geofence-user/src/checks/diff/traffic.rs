//! Which traffic that a filter counts today would be treated differently.
//!
//! Counters know a packet's country and what became of it, and neither its address nor its port. So a whole country's
//! packets are told apart from packets of a country of which only a part changes sides, and packets to ports that are
//! opened from no others at all.

use std::collections::BTreeMap;
use std::time::Duration;

use geofence_common::action::{Action, Reason};
use serde::Serialize;

use super::{Diff, Standing, VerdictChange};

/// How long a filter may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Packets by country, action and reason, in the spelling of metrics.
pub type Counters = BTreeMap<(String, String, String), u64>;

/// Why there are no counters.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    #[error("asking {url} for counters: {source}")]
    Http {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("{url} has no counters of geofence")]
    Foreign { url: String },
}

/// Reads the counters of a running filter from its metrics.
pub fn counters(url: &str) -> Result<Counters, CountersError> {
    let failed = |source| CountersError::Http {
        url: url.to_owned(),
        source: Box::new(source),
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .max_redirects(0)
        .build()
        .into();
    let mut answer = agent.get(url).call().map_err(failed)?;
    let text = answer.body_mut().read_to_string().map_err(failed)?;
    // A filter that has seen no packet yet has a heading and no series.
    if !text.contains("geofence_build_info") {
        return Err(CountersError::Foreign {
            url: url.to_owned(),
        });
    }
    Ok(parse(&text))
}

/// The packet counters in the text format, summed over interfaces.
fn parse(text: &str) -> Counters {
    let mut counters = Counters::new();
    for line in text.lines() {
        let series = line
            .strip_prefix("geofence_packets_total{")
            .and_then(|rest| rest.rsplit_once("} "));
        let Some((labels, value)) = series else {
            continue;
        };
        let Ok(value) = value.trim().parse::<u64>() else {
            continue;
        };
        // The other labels have values of closed sets; an interface's name comes first and may hold anything.
        let label = |name: &str| {
            let (_, rest) = labels.rsplit_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        if let (Some(country), Some(action), Some(reason)) =
            (label("country"), label("action"), label("reason"))
        {
            *counters.entry((country, action, reason)).or_default() += value;
        }
    }
    counters
}

/// A country whose packets would be treated differently, all or some of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Affected {
    pub country: String,
    pub before: Standing,
    pub after: Standing,
    /// Whether all these packets change sides; otherwise some of them do.
    pub whole: bool,
    /// Since the filter was started.
    pub packets: u64,
    /// Just now, where two readings were taken.
    pub per_second: Option<f64>,
}

/// Holds counters against what changes. `later` was read so many seconds after `first`.
#[must_use]
pub fn affected(diff: &Diff, first: &Counters, later: Option<(&Counters, f64)>) -> Vec<Affected> {
    let newest = later.map_or(first, |(later, _)| later);
    let is_removed = |name: &str| {
        let mut lists = diff.lists.iter();
        lists.any(|change| change.list == name && !change.removed.is_empty())
    };
    let is_released = [is_removed("management"), is_removed("allow")];
    let of_ports = |country: &str| VerdictChange {
        country: "",
        before: Standing::Blocked,
        after: Standing::Dropped,
        whole: false,
        counts: diff
            .verdicts
            .iter()
            .find(|change| change.country == country)
            .map(|change| change.counts)
            .unwrap_or_default(),
    };
    let mut affected = Vec::new();
    let mut add = |country: &str, change: &VerdictChange| {
        let sum = |counters: &Counters| -> u64 {
            let of_country = counters.iter().filter(|((of, _, _), _)| of == country);
            of_country
                .filter(|((_, action, reason), _)| {
                    changes_sides(change, action, reason, is_released)
                })
                .map(|(_, packets)| packets)
                .sum()
        };
        let packets = sum(newest);
        if packets > 0 {
            affected.push(Affected {
                country: country.to_owned(),
                before: change.before,
                after: change.after,
                whole: change.whole,
                packets,
                per_second: later
                    .map(|(_, seconds)| packets.saturating_sub(sum(first)) as f64 / seconds),
            });
        }
    };
    for change in &diff.verdicts {
        add(change.country, change);
    }
    if !diff.services.closed.is_empty() {
        let mut countries: Vec<&str> = newest
            .keys()
            .map(|(country, _, _)| country.as_str())
            .collect();
        countries.dedup();
        for country in countries {
            add(country, &of_ports(country));
        }
    }
    affected.sort_by_key(|one| std::cmp::Reverse(one.packets));
    affected
}

/// Whether packets that were counted so are among those a change concerns.
fn changes_sides(
    change: &VerdictChange,
    action: &str,
    reason: &str,
    [management, allowed]: [bool; 2],
) -> bool {
    let Some(reason) = Reason::ALL.iter().find(|known| known.name() == reason) else {
        return false;
    };
    let (is_passed, is_cut) = (action == Action::Pass.name(), change.after < change.before);
    // Whoever sends these, a policy has no say; or they leave, and their country is another's.
    let is_beyond_policy = matches!(
        reason,
        Reason::NonIp
            | Reason::LinkControl
            | Reason::NoPolicy
            | Reason::MalformedIpv4
            | Reason::MalformedIpv6
            | Reason::TooManyTags
            | Reason::Mapped
            | Reason::ListedDestination
    );
    if is_beyond_policy {
        false
    } else if matches!(reason, Reason::Mail | Reason::Service) {
        is_cut && change.after == Standing::Dropped
    } else if *reason == Reason::Management {
        is_cut && management
    } else if *reason == Reason::Allowed {
        is_cut && allowed
    } else if *reason == Reason::Denied {
        is_passed == is_cut && (is_passed || change.before == Standing::Dropped)
    } else if change.before == Standing::Blocked && is_cut {
        // What else came from there was dropped already.
        false
    } else {
        is_passed == is_cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_over_interfaces_whatever_those_are_called() {
        let text = concat!(
            "# HELP geofence_packets_total Packets\n",
            "geofence_packets_total{interface=\"a\",country=\"RU\",action=\"drop\",reason=\"country_blocked\"} 3\n",
            "geofence_packets_total{interface=\"x,country=\\\"CN\",country=\"RU\",action=\"drop\",",
            "reason=\"country_blocked\"} 4\n",
            "geofence_packets_total{interface=\"a\",country=\"RU\",action=\"pass\",reason=\"mail\"} 1\n",
            "geofence_bytes_total{interface=\"a\",country=\"RU\",action=\"pass\",reason=\"mail\"} 60\n",
        );
        let key = |action: &str, reason: &str| ("RU".into(), action.into(), reason.into());
        assert_eq!(
            parse(text),
            Counters::from([
                (key("drop", "country_blocked"), 7),
                (key("pass", "mail"), 1)
            ])
        );
    }
}
