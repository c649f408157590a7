//! Why new data is refused, in words and as JSON.

use std::fmt;

use geofence_common::country::Country;
use serde::Serialize;
use serde::ser::SerializeMap as _;

use super::units::{amount, percent, unit};
use super::vendor::accepting_line;
use crate::compile::Family;
use crate::model::countries;
use crate::model::text::grouped;
use crate::model::units::UnixSeconds;

/// Why new data is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A listed country had prefixes and has none.
    Vanished { country: Country },
    /// A country, or several together, lost too much. Measured in addresses, but in prefixes for all of IPv6.
    Shrank {
        who: Who,
        family: Family,
        before: u128,
        after: u128,
    },
    /// There is no prefix of a family, whose packets would all pass as unknown.
    NoFamily { family: Family },
    /// The data was built before the data in use.
    Older {
        before: UnixSeconds,
        after: UnixSeconds,
    },
    /// The data was built after the present.
    Ahead {
        built: UnixSeconds,
        now: UnixSeconds,
    },
}

/// Whose addresses became fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Country(Country),
    /// The blocked countries under `allow-only`, which are those that no list names.
    Unlisted,
    Whole,
    /// All autonomous systems of an ASN database.
    AutonomousSystems,
}

impl Who {
    /// Whether IPv6 is measured in prefixes. Some databases assign the space that registries have not allocated, which
    /// outweighs the allocated space five hundred times in a few dozen prefixes.
    pub(super) const fn counts_prefixes(self, family: Family) -> bool {
        matches!(
            (self, family),
            (Self::Whole | Self::AutonomousSystems, Family::V6)
        )
    }
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
                Who::AutonomousSystems => "systems_shrank",
            },
            Self::NoFamily { .. } => "family_missing",
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
            Self::Shrank { .. }
            | Self::NoFamily { .. }
            | Self::Older { .. }
            | Self::Ahead { .. } => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vanished { country } => {
                let country = countries::named(country.name());
                write!(f, "it has no prefix of {country}, which the policy lists")
            }
            Self::Shrank {
                who,
                family,
                before,
                after,
            } => {
                match who {
                    Who::Country(country) => {
                        write!(f, "{} has lost ", countries::named(country.name()))?;
                    }
                    Who::Unlisted => {
                        f.write_str("the countries that are not listed have together lost ")?;
                    }
                    Who::Whole => f.write_str("all countries together have lost ")?,
                    Who::AutonomousSystems => {
                        f.write_str("the autonomous systems have together lost ")?;
                    }
                }
                let whose = match who {
                    Who::Country(_) => "its",
                    Who::Unlisted | Who::Whole | Who::AutonomousSystems => "their",
                };
                let share = percent(before - after, *before);
                let (unit, before, after) = if who.counts_prefixes(*family) {
                    ("IPv6 prefixes", grouped(*before), grouped(*after))
                } else {
                    let amount = |addresses| amount(*family, addresses);
                    (unit(*family), amount(*before), amount(*after))
                };
                write!(
                    f,
                    "{share} % of {whose} {unit}: {before} before, {after} now"
                )
            }
            Self::NoFamily { family } => write!(
                f,
                "it has no {family} prefix at all, so every {family} packet would have an unknown country; if the \
                 vendor splits the families, name both files under `databases`"
            ),
            Self::Older { before, after } => write!(
                f,
                "it was built on {}, before the data in use, which is of {}",
                after.date(),
                before.date()
            ),
            Self::Ahead { built, now } => write!(
                f,
                "it was built on {}, which is in the future of this machine's clock ({})",
                built.date(),
                now.date()
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

/// The sanity check rejected new data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub refusals: Vec<Refusal>,
    /// The types of the databases, if the configuration can accept their vendor.
    pub vendor: Vec<String>,
}

impl std::error::Error for Refused {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sanity check rejected the new data:")?;
        for refusal in &self.refusals {
            write!(f, "\n  {refusal}")?;
        }
        f.write_str(
            "\nName a complete database with --database or `databases`, or accept this one with --force",
        )?;
        if self.vendor.is_empty() {
            return Ok(());
        }
        let line = accepting_line(&self.vendor);
        write!(
            f,
            ". Vendors differ; to accept this one for good, write into the configuration: {line}"
        )
    }
}

/// The refusals that stay for data of a vendor that the configuration accepts, and the others as warnings: how vendors
/// differ is accepted, and a file that is broken or of another time is not.
#[must_use]
pub fn settle(refusals: Vec<Refusal>) -> (Vec<Refusal>, Vec<String>) {
    let (accepted, stay): (Vec<_>, Vec<_>) =
        refusals.into_iter().partition(|refusal| match refusal {
            Refusal::Vanished { .. } | Refusal::Shrank { .. } | Refusal::Older { .. } => true,
            Refusal::NoFamily { .. } | Refusal::Ahead { .. } => false,
        });
    let accepted = accepted.iter();
    let accepted = accepted.map(|one| format!("accepted by `accept-database-types`: {one}"));
    (stay, accepted.collect())
}
