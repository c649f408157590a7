//! Which traffic that a filter counts today would be treated differently.
//!
//! Counters know the country of a packet and its verdict, but neither its address nor its port. If all of a country
//! changes, all of its packets do; if a part changes, or a port, only some of them do, and which is not known. Counters
//! of countries include packets to tenants, and counters of tenants have no country: a tenant's rules concern at most
//! the packets of the country, and at most those of the tenant.

use std::collections::BTreeSet;

use geofence_common::action::{Action, Reason};
use serde::Serialize;

use super::counters::Counters;
use super::policy_diff::Diff;
use super::services::ServiceChange;
use super::verdicts::{Treatment, VerdictChange};

/// A country of which packets would be treated differently.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Affected {
    pub country: String,
    /// The tenants whose packets these are; empty for the destinations that are treated as everyone's.
    pub tenants: Vec<String>,
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
    let separate: Vec<String> = diff
        .tenants
        .iter()
        .flat_map(|group| group.tenants.iter().cloned())
        .collect();
    let mut affected = Vec::new();
    let mut add = |tenants: &[String], country: &str, change: &Change| {
        let of_country =
            |counters: &Counters| change.sum(&counters.countries, |of| of == country, is_released);
        let of_tenants = |counters: &Counters, tenants: &[String]| {
            change.sum(
                &counters.tenants,
                |of| tenants.iter().any(|name| name == of),
                is_released,
            )
        };
        let sum = |counters: &Counters| match tenants {
            [] => of_country(counters),
            tenants => of_country(counters).min(of_tenants(counters, tenants)),
        };
        let packets = sum(newest);
        if packets > 0 {
            let is_apart = tenants.is_empty() && of_tenants(newest, &separate) == 0;
            affected.push(Affected {
                country: country.to_owned(),
                tenants: tenants.to_vec(),
                before: change.before,
                after: change.after,
                whole: change.whole && is_apart,
                packets,
                per_second: later
                    .map(|(_, seconds)| packets.saturating_sub(sum(first)) as f64 / seconds),
            });
        }
    };
    let countries = newest
        .countries
        .keys()
        .map(|(country, _, _)| country.as_str());
    let countries: BTreeSet<&str> = countries.collect();
    let everyone = (&[] as &[String], &diff.verdicts, &diff.services);
    let tenants = diff.tenants.iter();
    let tenants = tenants.map(|one| (one.tenants.as_slice(), &one.verdicts, &one.services));
    for (tenants, verdicts, services) in std::iter::once(everyone).chain(tenants) {
        for change in verdicts {
            add(tenants, change.country, &Change::of(change));
        }
        for change in Change::of_ports(services) {
            for country in &countries {
                add(tenants, country, &change);
            }
        }
    }
    affected.sort_by_key(|one| std::cmp::Reverse(one.packets));
    affected
}

/// A change of what happens to packets of a country.
#[derive(Clone, Copy)]
struct Change {
    before: Treatment,
    after: Treatment,
    whole: bool,
    /// Whether it is about packets to some ports, from every country.
    ports: Option<Ports>,
}

/// How the rule of some ports changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ports {
    /// Blocked countries no longer reach them.
    Closed,
    /// Only named sources reach them from now on, or did until now.
    Protected,
    Released,
}

impl Change {
    fn of(change: &VerdictChange) -> Self {
        Self {
            before: change.before,
            after: change.after,
            whole: change.whole,
            ports: None,
        }
    }

    fn of_ports(services: &ServiceChange) -> impl Iterator<Item = Self> {
        use Treatment::{Blocked, Dropped, Passes};
        let changes = [
            (&services.closed, Ports::Closed, Blocked, Dropped),
            (&services.protected, Ports::Protected, Passes, Dropped),
            (&services.released, Ports::Released, Dropped, Passes),
        ];
        let changes = changes.into_iter().filter(|(ports, ..)| !ports.is_empty());
        changes.map(|(_, ports, before, after)| Self {
            before,
            after,
            whole: false,
            ports: Some(ports),
        })
    }

    /// The packets that it concerns, of the countries or tenants that are meant.
    fn sum<'a>(
        &self,
        counters: impl IntoIterator<Item = (&'a (String, String, String), &'a u64)>,
        is_meant: impl Fn(&str) -> bool,
        is_released: [bool; 2],
    ) -> u64 {
        let counters = counters.into_iter();
        let concerned = counters.filter(|((of, action, reason), _)| {
            is_meant(of) && self.concerns(action, reason, is_released)
        });
        concerned.map(|(_, packets)| packets).sum()
    }

    /// Whether packets with this action and reason are among those that the change concerns.
    fn concerns(&self, action: &str, reason: &str, [management, allowed]: [bool; 2]) -> bool {
        let Some(reason) = Reason::ALL.iter().find(|known| known.name() == reason) else {
            return false;
        };
        let (is_passed, is_cut) = (action == Action::Pass.name(), self.after < self.before);
        // No policy decides about these, or a ban does, which lasts whatever the policy; or they leave, and their
        // country is that of the destination.
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
                | Reason::Banned
                | Reason::ListedDestination
        );
        if is_beyond_policy {
            return false;
        }
        match self.ports {
            Some(Ports::Closed) => matches!(reason, Reason::Mail | Reason::Service),
            Some(Ports::Released) => *reason == Reason::ProtectedService && !is_passed,
            Some(Ports::Protected) => {
                // Management, exceptions and proven replies come before.
                is_passed
                    && !matches!(
                        reason,
                        Reason::Management
                            | Reason::Exception
                            | Reason::ProtectedAccess
                            | Reason::Reply
                            | Reason::Fragment
                    )
            }
            None if matches!(reason, Reason::Mail | Reason::Service) => {
                is_cut && self.after == Treatment::Dropped
            }
            None if *reason == Reason::Management => is_cut && management,
            None if *reason == Reason::Allowed => is_cut && allowed,
            None if *reason == Reason::Denied => {
                is_passed == is_cut && (is_passed || self.before == Treatment::Dropped)
            }
            // Other packets from there were dropped already.
            None if self.before == Treatment::Blocked && is_cut => false,
            None => is_passed == is_cut,
        }
    }
}
