//! Which traffic that a filter counts today would be treated differently.
//!
//! Counters know the country of a packet and its verdict, but neither its address nor its port. If all of a country
//! changes, all of its packets do; if a part changes, or a port, only some of them do, and which is not known.

use geofence_common::action::{Action, Reason};
use serde::Serialize;

use super::counters::Counters;
use super::policy_diff::Diff;
use super::verdicts::{Treatment, VerdictChange};

/// A country of which packets would be treated differently.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Affected {
    pub country: String,
    pub before: Treatment,
    pub after: Treatment,
    /// Whether all of these packets are; otherwise some of them are.
    pub whole: bool,
    /// Since the filter was started.
    pub packets: u64,
    /// The current rate, if two readings were taken.
    pub per_second: Option<f64>,
}

/// Finds the counted packets that a policy would treat differently. `later` was read this many seconds after `first`.
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
        before: Treatment::Blocked,
        after: Treatment::Dropped,
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
                .filter(|((_, action, reason), _)| concerns(change, action, reason, is_released))
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

/// Whether packets with this action and reason are among those that a change concerns.
fn concerns(
    change: &VerdictChange,
    action: &str,
    reason: &str,
    [management, allowed]: [bool; 2],
) -> bool {
    let Some(reason) = Reason::ALL.iter().find(|known| known.name() == reason) else {
        return false;
    };
    let (is_passed, is_cut) = (action == Action::Pass.name(), change.after < change.before);
    // No policy decides about these; or they leave, and their country is that of the destination.
    let is_beyond_policy = matches!(
        reason,
        Reason::NonIp
            | Reason::Encapsulated
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
        is_cut && change.after == Treatment::Dropped
    } else if *reason == Reason::Management {
        is_cut && management
    } else if *reason == Reason::Allowed {
        is_cut && allowed
    } else if *reason == Reason::Denied {
        is_passed == is_cut && (is_passed || change.before == Treatment::Dropped)
    } else if change.before == Treatment::Blocked && is_cut {
        // Other packets from there were dropped already.
        false
    } else {
        is_passed == is_cut
    }
}
