//! Which addresses are treated differently, counted by the country that they have today.

use std::collections::BTreeMap;

use geofence_common::action::Mode;
use geofence_common::country::Country;
use geofence_common::image::class::Class;
use serde::Serialize;

use super::destination::Destination;
use super::side::Compared;
use crate::checks::sanity::Counts;
use crate::compile::{Extents, Ranges, side_by_side};

/// What a policy does with packets of an address, from strictest to most permissive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Treatment {
    /// Only packets that keep the link working pass.
    Dropped,
    /// Only mail and exempted services pass.
    Blocked,
    /// Everything passes.
    Passes,
}

impl Treatment {
    /// The treatment of an address of this class; none if the IPv4 address inside it decides.
    fn of(class: Class, destination: Destination<'_>) -> Option<Self> {
        let flags = destination.flags();
        if flags.mode() == Mode::Monitor || class.is_management() || class.is_allowed() {
            return Some(Self::Passes);
        }
        if class.is_mapped() || class.is_denied() {
            return Some(Self::Dropped);
        }
        if class.embedding().is_some() {
            return None;
        }
        let is_special = class.country() == Country::SPECIAL;
        Some(if is_special && flags.blocks_special_use() {
            Self::Dropped
        } else if destination.blocks(class) {
            Self::Blocked
        } else {
            Self::Passes
        })
    }
}

/// Addresses of one country that are treated differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerdictChange {
    /// The country that they have today, in the spelling of metrics.
    pub country: &'static str,
    pub before: Treatment,
    pub after: Treatment,
    /// Whether these are all the addresses of the country.
    pub whole: bool,
    #[serde(flatten)]
    pub counts: Counts,
}

/// The changes for one destination, from its settings before to those after.
pub(super) fn changes(
    families: &Compared,
    before: Destination<'_>,
    after: Destination<'_>,
) -> Vec<VerdictChange> {
    type Treated = (Country, Option<Treatment>);
    let layer = |ranges: &Ranges, destination: Destination<'_>, by_country: bool| {
        let mut layer: Vec<(u128, Treated)> = ranges
            .iter()
            .map(|(start, class)| {
                let country = if by_country {
                    class.country()
                } else {
                    Country::NONE
                };
                (*start, (country, Treatment::of(*class, destination)))
            })
            .collect();
        layer.dedup_by_key(|(_, treated)| *treated);
        layer
    };
    let mut all: BTreeMap<Country, Extents> = BTreeMap::new();
    let mut changed: BTreeMap<(Country, Treatment, Treatment), Extents> = BTreeMap::new();
    for (family, [old, new]) in families {
        for segment in side_by_side(&layer(old, before, true), &layer(new, after, false)) {
            let (country, before) = segment.before;
            let (_, after) = segment.after;
            all.entry(country)
                .or_default()
                .add(*family, segment.start, segment.end);
            if let (Some(before), Some(after)) = (before, after)
                && before != after
            {
                let key = (country, before, after);
                changed
                    .entry(key)
                    .or_default()
                    .add(*family, segment.start, segment.end);
            }
        }
    }
    let change = |((country, before, after), holdings): (_, Extents)| {
        let addresses =
            |holdings: Option<&Extents>| holdings.map(|all| [all.v4.addresses, all.v6.addresses]);
        VerdictChange {
            country: Country::name(country),
            before,
            after,
            whole: addresses(all.get(&country)) == addresses(Some(&holdings)),
            counts: Counts::of(holdings),
        }
    };
    changed.into_iter().map(change).collect()
}
