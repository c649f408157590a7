//! Which addresses are treated differently, counted under the country that they have today.

use std::collections::BTreeMap;

use geofence_common::action::Mode;
use geofence_common::country::Country;
use geofence_common::image::Flags;
use geofence_common::image::class::Class;
use serde::Serialize;

use super::Side;
use crate::checks::sanity::{Counts, Holdings};
use crate::compile::{BrokenImage, Family, ranges, side_by_side};

/// How far an address gets, from least to furthest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Nothing of it passes but what keeps the link alive.
    Dropped,
    /// Only mail and exempted services pass.
    Blocked,
    /// All of it passes.
    Passes,
}

impl Standing {
    /// How an address of this class is treated; nothing where that is the business of the IPv4 address inside.
    fn of(class: Class, flags: Flags) -> Option<Self> {
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
        } else if class.is_blocked() {
            Self::Blocked
        } else {
            Self::Passes
        })
    }
}

/// Addresses of one country that get further than before, or less far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerdictChange {
    /// The country they are counted under today, by the spelling of metrics.
    pub country: &'static str,
    pub before: Standing,
    pub after: Standing,
    /// Whether these are all addresses of the country.
    pub whole: bool,
    #[serde(flatten)]
    pub counts: Counts,
}

pub(super) fn changes(old: Side<'_>, new: Side<'_>) -> Result<Vec<VerdictChange>, BrokenImage> {
    type Treated = (Country, Option<Standing>);
    let layer = |side: Side<'_>, family, by_country: bool| -> Result<Vec<_>, BrokenImage> {
        let flags = side.flags();
        let mut layer: Vec<(u128, Treated)> = ranges(side.words, family)?
            .into_iter()
            .map(|(start, class)| {
                let country = if by_country {
                    class.country()
                } else {
                    Country::NONE
                };
                (start, (country, Standing::of(class, flags)))
            })
            .collect();
        layer.dedup_by_key(|(_, treated)| *treated);
        Ok(layer)
    };
    let mut all: BTreeMap<Country, Holdings> = BTreeMap::new();
    let mut changed: BTreeMap<(Country, Standing, Standing), Holdings> = BTreeMap::new();
    for family in Family::ALL {
        for segment in side_by_side(&layer(old, family, true)?, &layer(new, family, false)?) {
            let (country, before) = segment.before;
            let (_, after) = segment.after;
            all.entry(country)
                .or_default()
                .add(family, segment.start, segment.end);
            if let (Some(before), Some(after)) = (before, after)
                && before != after
            {
                let key = (country, before, after);
                changed
                    .entry(key)
                    .or_default()
                    .add(family, segment.start, segment.end);
            }
        }
    }
    let change = |((country, before, after), holdings): (_, Holdings)| {
        let addresses =
            |holdings: Option<&Holdings>| holdings.map(|all| [all.v4.addresses, all.v6.addresses]);
        VerdictChange {
            country: Country::name(country),
            before,
            after,
            whole: addresses(all.get(&country)) == addresses(Some(&holdings)),
            counts: Counts::of(&holdings),
        }
    };
    Ok(changed.into_iter().map(change).collect())
}
