//! The first data a machine filters by, with nothing in use to compare it with: the embedded data has to do.
//!
//! Vendors differ by more than the guard allows one vendor's next release, so amounts are not compared. But a listed
//! country that the embedded data has and the data given has not is filtered by nobody, and that is never meant.

use geofence_common::country::Country;

use super::{Census, Holdings, IPV6_TOO_SMALL, Refusal};
use crate::compile::{Boot, BrokenImage, CompileError, Family, Target, compile};
use crate::data::geoip::Database;
use crate::data::mmdb::DatabaseError;
use crate::model::policy::{CountryRule, Policy};
use crate::prepare::Prepared;

/// What the guard has to say about first data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct First {
    pub refusals: Vec<Refusal>,
    /// What may well be meant, in sentences.
    pub warnings: Vec<String>,
}

/// Why first data cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum FirstError {
    #[error(transparent)]
    Image(#[from] BrokenImage),
    #[error(transparent)]
    Embedded(#[from] DatabaseError),
    #[error(transparent)]
    Compile(#[from] CompileError),
}

impl First {
    /// Judges the data of a prepared policy. The embedded database alone has nothing to be compared with.
    pub fn of(prepared: &Prepared) -> Result<Self, FirstError> {
        if prepared.config.databases.is_empty() && prepared.others.second.is_none() {
            return Ok(Self::default());
        }
        Self::judge(&prepared.config.policy, prepared.image.words())
    }

    /// Judges an image, given by its words, that was compiled from this policy and a database that is not the embedded
    /// one. The embedded database is read only if there is something to ask it.
    pub fn judge(policy: &Policy, words: &[u32]) -> Result<Self, FirstError> {
        let first = Census::of_image(words)?;
        let is_whole = |country: Country| {
            let Holdings { v4, v6 } = first.of(country);
            v4.addresses > 0 && v6.addresses > 0
        };
        if listed(policy).all(is_whole) {
            return Ok(Self::default());
        }
        let target = Target {
            generation: 0,
            slot: 0,
            compiled: 0,
            boot: Boot::default(),
            lines_max: u32::MAX,
        };
        let embedded = compile(policy, &Database::embedded()?, &target)?;
        Ok(Self::of_censuses(
            policy,
            &first,
            &Census::of_image(embedded.words())?,
        ))
    }

    pub(super) fn of_censuses(policy: &Policy, first: &Census, embedded: &Census) -> Self {
        let lacks = |country: &Country| {
            first.of(*country) == Holdings::default()
                && embedded.of(*country) != Holdings::default()
        };
        let refusals = listed(policy)
            .filter(lacks)
            .map(|country| Refusal::Vanished { country })
            .collect();
        let mut warnings = Vec::new();
        for family in Family::ALL {
            let amount = |census: &Census, country| census.of(country).of(family).addresses;
            let known_min = match family {
                Family::V4 => 1,
                Family::V6 => IPV6_TOO_SMALL,
            };
            let without: Vec<&str> = listed(policy)
                .filter(|country| !lacks(country))
                .filter(|country| amount(first, *country) == 0)
                .filter(|country| amount(embedded, *country) >= known_min)
                .map(Country::name)
                .collect();
            if !without.is_empty() {
                warnings.push(format!(
                    "the data has no {family} prefix of {}; their {family} addresses are treated as `unknown` says. \
                     Vendors who split the families need both files under `databases`",
                    without.join(", ")
                ));
            }
        }
        Self { refusals, warnings }
    }
}

fn listed(policy: &Policy) -> impl Iterator<Item = Country> {
    let (CountryRule::Block(listed) | CountryRule::AllowOnly(listed)) = &policy.settings.rule;
    listed.iter().copied()
}
