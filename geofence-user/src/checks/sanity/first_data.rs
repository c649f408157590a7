//! Judges the first data of a machine. No data is in use, so it is compared with the embedded data.
//!
//! Vendors differ by more than the rules allow between two releases of one vendor, so amounts are not compared. But a
//! listed country that is in the embedded data and missing from the new data would not be filtered at all.

use std::collections::BTreeSet;

use geofence_common::country::Country;

use super::address_counts::AddressCounts;
use super::refusal::{Refusal, settle};
use super::rules::IPV6_TOO_SMALL;
use crate::compile::{Boot, BrokenImage, CompileError, Extents, Family, Target, compile};
use crate::data::geoip::Database;
use crate::data::mmdb::DatabaseError;
use crate::model::policy::{CountryRule, Policy};
use crate::model::units::UnixSeconds;
use crate::prepare::Prepared;

/// The judgement of first data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstData {
    pub refusals: Vec<Refusal>,
    /// What may be intended, in sentences.
    pub warnings: Vec<String>,
}

/// Why first data cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum FirstDataError {
    #[error(transparent)]
    Image(#[from] BrokenImage),
    #[error(transparent)]
    Embedded(#[from] DatabaseError),
    #[error(transparent)]
    Compile(#[from] CompileError),
}

impl FirstData {
    /// Judges the data of a prepared policy. The embedded database needs no judgement.
    pub fn of(prepared: &Prepared) -> Result<Self, FirstDataError> {
        if prepared.config.databases.is_empty() && prepared.others.cross_check.is_none() {
            return Ok(Self::default());
        }
        let mut first = Self::judge(&prepared.config.policy, prepared.image.words())?;
        if prepared.is_vendor_accepted() {
            let (stay, accepted) = settle(std::mem::take(&mut first.refusals));
            first.refusals = stay;
            first.warnings.extend(accepted);
        }
        Ok(first)
    }

    /// Judges an image, given by its words, that was compiled from this policy and from databases. The embedded
    /// database is read only if a listed country lacks addresses.
    pub(super) fn judge(policy: &Policy, words: &[u32]) -> Result<Self, FirstDataError> {
        let first = AddressCounts::of_image(words)?;
        let is_whole = |country: Country| {
            let Extents { v4, v6 } = first.of(country);
            v4.addresses > 0 && v6.addresses > 0
        };
        // A policy may list no country for everyone, and some for a tenant.
        let has_families = Family::ALL.iter().all(|family| has(&first, *family));
        if has_families && listed(policy).all(is_whole) {
            return Ok(Self::default());
        }
        let target = Target {
            generation: 0,
            slot: 0,
            compiled: UnixSeconds(0),
            boot: Boot::default(),
            lines_max: u32::MAX,
        };
        let embedded = compile(policy, &Database::embedded()?, &target)?;
        Ok(Self::compare(
            policy,
            &first,
            &AddressCounts::of_image(embedded.words())?,
        ))
    }

    pub(super) fn compare(
        policy: &Policy,
        first: &AddressCounts,
        embedded: &AddressCounts,
    ) -> Self {
        let lacks = |country: &Country| {
            first.of(*country) == Extents::default() && embedded.of(*country) != Extents::default()
        };
        let vanished = listed(policy).filter(lacks);
        let mut refusals: Vec<_> = vanished
            .map(|country| Refusal::Vanished { country })
            .collect();
        let missing = |family: &Family| has(embedded, *family) && !has(first, *family);
        let missing: Vec<Family> = Family::ALL.into_iter().filter(missing).collect();
        refusals.extend(
            missing
                .iter()
                .map(|family| Refusal::NoFamily { family: *family }),
        );
        let mut warnings = Vec::new();
        for family in Family::ALL
            .into_iter()
            .filter(|family| !missing.contains(family))
        {
            let amount = |counts: &AddressCounts, country| counts.of(country).of(family).addresses;
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
                    "the data has no {family} prefix of {}; the key `unknown` decides about their {family} \
                     addresses. If the vendor splits the families, name both files under `databases`",
                    without.join(", ")
                ));
            }
        }
        Self { refusals, warnings }
    }
}

/// The countries that the rules name, for everyone or for a tenant.
fn listed(policy: &Policy) -> impl Iterator<Item = Country> {
    let tenants = policy.tenants.iter();
    let rules = tenants.filter_map(|tenant| tenant.own.rule.as_ref());
    let rules = rules.chain([&policy.settings.rule]);
    let listed = rules.flat_map(|rule| match rule {
        CountryRule::Block(listed) | CountryRule::AllowOnly(listed) => listed.iter().copied(),
    });
    listed.collect::<BTreeSet<_>>().into_iter()
}

/// Whether there is any address of a family.
fn has(counts: &AddressCounts, family: Family) -> bool {
    let mut all = counts.iter();
    all.any(|(_, extents)| extents.of(family).addresses > 0)
}
