//! The guard: whether new GeoIP data may take the place of the data in use.
//!
//! A damaged, truncated or mixed-up database can be well formed, and would then open the filter for a country or shut
//! it for another without anybody having asked for that. So new data is compared with the data in use, country by
//! country, and refused where a difference is larger than registries make. An operator who knows better overrides it.
//!
//! Pure: images or censuses in, refusals out. Nothing here reads a file, asks the kernel or knows the time.

mod census;
mod first;
mod report;

use std::fmt;

use geofence_common::country::Country;
use serde::Serialize;
use serde::ser::SerializeMap as _;

use crate::compile::{Extent, Family};
use crate::model::countries;
use crate::model::policy::{CountryRule, Policy};
use crate::model::text::grouped;
use crate::model::units::UnixSeconds;

pub use census::{Census, CensusError, Change, Comparison, Holdings};
pub use first::{First, FirstError};
pub use report::{Counts, Report};

/// A listed country that loses so much of a family's addresses is not believed, in percent.
const COUNTRY_LOSS_MAX: u128 = 30;
/// A whole family that loses so much is not believed, in percent.
const WHOLE_LOSS_MAX: u128 = 20;

/// A country with less IPv6 than the smallest allocation a provider gets (a /32) may lose it: databases differ about
/// whether such countries, North Korea for one, have any.
const IPV6_TOO_SMALL: u128 = 1 << 96;

/// Fewer IPv6 prefixes are no database of the world, and say nothing by becoming fewer still.
const WORLD_PREFIXES_MIN: u128 = 64;

/// A build time so far ahead of the clock is wrong, or the clock is.
const AHEAD_MAX_SECONDS: u64 = 86_400;

/// Why new data is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The data has no prefix of a listed country that it had prefixes of.
    Vanished { country: Country },
    /// A country, or several together, lost too much. Measured in addresses, but in prefixes for all of IPv6.
    Shrank {
        who: Who,
        family: Family,
        before: u128,
        after: u128,
    },
    /// The data was built before the data in use.
    Older { before: u64, after: u64 },
    /// The data was built after now.
    Ahead { built: u64, now: u64 },
}

/// Whose addresses became fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Country(Country),
    /// The blocked countries under `allow-only`, which are those that no list names.
    Unlisted,
    Whole,
    /// All autonomous systems of an ASN database.
    Systems,
}

impl Refusal {
    /// The spelling used in metrics and JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Vanished { .. } => "country_vanished",
            Self::Shrank { who, .. } => match who {
                Who::Country(_) => "country_shrank",
                Who::Unlisted => "blocked_shrank",
                Who::Whole => "whole_shrank",
                Who::Systems => "systems_shrank",
            },
            Self::Older { .. } => "older",
            Self::Ahead { .. } => "ahead_of_clock",
        }
    }

    /// The country it is about, if it is about one.
    #[must_use]
    pub const fn country(&self) -> Option<Country> {
        match self {
            Self::Vanished { country }
            | Self::Shrank {
                who: Who::Country(country),
                ..
            } => Some(*country),
            Self::Shrank { .. } | Self::Older { .. } | Self::Ahead { .. } => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vanished { country } => {
                write!(
                    f,
                    "it has no prefix of {}, which the policy lists",
                    countries::named(country.name())
                )
            }
            Self::Shrank {
                who,
                family,
                before,
                after,
            } => {
                let whose = match who {
                    Who::Country(country) => {
                        write!(f, "{} has lost ", countries::named(country.name()))?;
                        "its"
                    }
                    Who::Unlisted => {
                        f.write_str("the countries that are not listed have together lost ")?;
                        "their"
                    }
                    Who::Whole => {
                        f.write_str("all countries together have lost ")?;
                        "their"
                    }
                    Who::Systems => {
                        f.write_str("the autonomous systems have together lost ")?;
                        "their"
                    }
                };
                let told = |measured| match (who, family) {
                    (Who::Whole | Who::Systems, Family::V6) => grouped(measured),
                    _ => amount(*family, measured),
                };
                let unit = match (who, family) {
                    (Who::Whole | Who::Systems, Family::V6) => "IPv6 prefixes",
                    _ => unit(*family),
                };
                let (before_text, after_text) = (told(*before), told(*after));
                write!(
                    f,
                    "{} % of {whose} {unit}: {before_text} before, {after_text} now",
                    percent(before - after, *before)
                )
            }
            Self::Older { before, after } => write!(
                f,
                "it was built on {}, before the data in use, which is of {}",
                UnixSeconds(*after).date(),
                UnixSeconds(*before).date()
            ),
            Self::Ahead { built, now } => write!(
                f,
                "it was built on {}, which is in the future of this machine's clock ({})",
                UnixSeconds(*built).date(),
                UnixSeconds(*now).date()
            ),
        }
    }
}

impl Serialize for Refusal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("refusal", self.name())?;
        if let Some(country) = self.country() {
            map.serialize_entry("country", country.name())?;
        }
        map.serialize_entry("text", &self.to_string())?;
        map.end()
    }
}

/// Judges new data, compared with the data in use. `now` is in seconds since 1970.
#[must_use]
pub fn refusals(policy: &Policy, comparison: &Comparison, now: u64) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let [before, after] = comparison.built;
    // A time of zero is none: data that came from no file.
    if after != 0 && after < before {
        refusals.push(Refusal::Older { before, after });
    }
    if after > before && after > now.saturating_add(AHEAD_MAX_SECONDS) {
        refusals.push(Refusal::Ahead { built: after, now });
    }
    let (CountryRule::Block(listed) | CountryRule::AllowOnly(listed)) = &policy.settings.rule;
    for country in listed {
        let change = comparison.of(*country);
        if change.has_vanished() {
            refusals.push(Refusal::Vanished { country: *country });
        } else {
            shrunk(
                &mut refusals,
                Who::Country(*country),
                &change,
                COUNTRY_LOSS_MAX,
            );
        }
    }
    if let CountryRule::AllowOnly(listed) = &policy.settings.rule {
        let unlisted = comparison.sum(|country| !listed.contains(&country));
        shrunk(&mut refusals, Who::Unlisted, &unlisted, COUNTRY_LOSS_MAX);
    }
    let whole = comparison.sum(|_| true);
    shrunk(&mut refusals, Who::Whole, &whole, WHOLE_LOSS_MAX);
    refusals
}

/// Judges a new ASN database by all that its systems have, compared with the one in use. Of single systems nothing is
/// expected: they come, go and move their prefixes day by day.
#[must_use]
pub fn systems_refusals(before: Holdings, after: Holdings) -> Vec<Refusal> {
    let change = Change {
        before,
        after,
        ..Change::default()
    };
    let mut refusals = Vec::new();
    shrunk(&mut refusals, Who::Systems, &change, WHOLE_LOSS_MAX);
    refusals
}

fn shrunk(refusals: &mut Vec<Refusal>, who: Who, change: &Change, loss_max: u128) {
    for family in Family::ALL {
        let [before, after] = [change.before, change.after].map(|all| measure(who, &all, family));
        let is_too_small = family == Family::V6
            && before
                < match who {
                    Who::Whole | Who::Systems => WORLD_PREFIXES_MIN,
                    Who::Country(_) | Who::Unlisted => IPV6_TOO_SMALL,
                };
        if !is_too_small && is_lost(before, after, loss_max) {
            refusals.push(Refusal::Shrank {
                who,
                family,
                before,
                after,
            });
        }
    }
}

/// What is measured: addresses, but prefixes of IPv6 as a whole. Some databases give the space that registries have not
/// handed out to this country or that, which outweighs the world five hundred times over in a few dozen prefixes.
const fn measure(who: Who, holdings: &Holdings, family: Family) -> u128 {
    let Extent {
        prefixes,
        addresses,
    } = holdings.of(family);
    match (who, family) {
        (Who::Whole | Who::Systems, Family::V6) => prefixes as u128,
        (Who::Whole | Who::Systems | Who::Country(_) | Who::Unlisted, Family::V4 | Family::V6) => {
            addresses
        }
    }
}

/// Whether at least so many percent are gone.
fn is_lost(before: u128, after: u128, percent: u128) -> bool {
    let shift = spare_shift(before);
    let lost = before.saturating_sub(after) >> shift;
    before > 0 && lost * 100 >= (before >> shift) * percent
}

/// A share in whole percent, rounded down.
fn percent(part: u128, whole: u128) -> u128 {
    let shift = spare_shift(whole);
    (part >> shift) * 100 / (whole >> shift).max(1)
}

/// A hundred times all of IPv6 has no number; of such amounts, the last bits are left out.
const fn spare_shift(amount: u128) -> u32 {
    if amount > u128::MAX / 100 { 7 } else { 0 }
}

/// New data is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub Vec<Refusal>);

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the GeoIP data is not believed:")?;
        for refusal in &self.0 {
            write!(f, "\n  {refusal}")?;
        }
        f.write_str(
            "\nName a complete database with --database or `databases`, or take this one all the same with --force",
        )
    }
}

/// The unit that a family's addresses are told in: single IPv6 addresses would be numbers nobody can read.
const fn unit(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4 addresses",
        Family::V6 => "IPv6 /48 sites",
    }
}

/// Addresses in the unit of their family.
const fn in_unit(family: Family, addresses: u128) -> u128 {
    match family {
        Family::V4 => addresses,
        Family::V6 => addresses >> 80,
    }
}

fn amount(family: Family, addresses: u128) -> String {
    grouped(in_unit(family, addresses))
}

#[cfg(test)]
mod tests;
