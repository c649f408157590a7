//! What a policy changes for tenants, where that differs from what it changes for everyone else.

use std::collections::BTreeMap;

use geofence_common::country::Country;
use serde::Serialize;

use super::destination::{Destination, Destinations};
use super::services::ServiceChange;
use super::settings::{Setting, of_destination};
use super::side::{Compared, Side};
use super::verdicts::{self, VerdictChange};

/// What changes for some tenants, whose settings are equal before and equal after. The names of the fields are those of
/// the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct TenantChange {
    /// The tenants, by their name after the change; of a tenant that goes, by its name before.
    pub tenants: Vec<String>,
    pub blocked: Vec<&'static str>,
    pub unblocked: Vec<&'static str>,
    pub services: ServiceChange,
    pub settings: Vec<Setting>,
    pub verdicts: Vec<VerdictChange>,
}

impl TenantChange {
    /// Whether nothing changes for them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocked.is_empty()
            && self.unblocked.is_empty()
            && self.services.is_empty()
            && self.settings.is_empty()
            && self.verdicts.is_empty()
    }
}

/// What changes for each group of tenants; also the groups for which nothing changes, unless that is so for everyone.
pub(super) fn changes(
    (old, new): (Side<'_>, Side<'_>),
    (before, after): (&Destinations<'_>, &Destinations<'_>),
    families: &Compared,
) -> Vec<TenantChange> {
    let signatures =
        |(old, new): (u32, u32)| (before.get(old).signature(), after.get(new).signature());
    let everyone = signatures((0, 0));
    let mut groups: BTreeMap<_, Vec<(u32, u32)>> = BTreeMap::new();
    for pair in before.pairs(after) {
        let signature = signatures(pair);
        if signature != everyone {
            groups.entry(signature).or_default().push(pair);
        }
    }
    let name = |(before, after): &(u32, u32)| match after {
        0 => old.tenant(*before),
        number => new.tenant(*number),
    };
    let change = |pairs: Vec<(u32, u32)>| {
        let (one, other) = pairs.first().copied().unwrap_or_default();
        let (before, after) = (before.get(one), after.get(other));
        let mut tenants: Vec<String> = pairs.iter().map(name).collect();
        tenants.sort_unstable();
        tenants.dedup();
        TenantChange {
            tenants,
            blocked: countries((old, before), (new, after), true),
            unblocked: countries((old, before), (new, after), false),
            services: ServiceChange::new(before, after),
            settings: of_destination(before, after),
            verdicts: verdicts::changes(families, before, after),
        }
    };
    groups.into_values().map(change).collect()
}

/// The countries that come to be blocked for a destination, or no longer are.
pub(super) fn countries(
    (old, before): (Side<'_>, Destination<'_>),
    (new, after): (Side<'_>, Destination<'_>),
    is_blocked: bool,
) -> Vec<&'static str> {
    let blocks = |side: Side<'_>, destination: Destination<'_>, country| {
        destination
            .blocks_country(country)
            .or_else(|| side.blocks(country))
    };
    Country::all()
        .filter(|country| {
            blocks(old, before, *country) == Some(!is_blocked)
                && blocks(new, after, *country) == Some(is_blocked)
        })
        .map(Country::name)
        .collect()
}
