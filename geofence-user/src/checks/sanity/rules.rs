//! The rules of the sanity check, and their thresholds.

use super::comparison::{Change, Comparison};
use super::refusal::{Refusal, Who};
use super::units::is_lost;
use super::vendor::Vendor;
use crate::compile::{Extents, Family};
use crate::model::policy::{CountryRule, Policy};
use crate::model::units::UnixSeconds;

/// The loss at which a listed country's data is refused, in percent of a family's addresses.
const COUNTRY_LOSS_MAX: u128 = 30;
/// The loss at which a whole family's data is refused, in percent.
const WHOLE_LOSS_MAX: u128 = 20;
/// The same where another vendor's data replaces what is in use.
const COUNTRY_LOSS_MAX_OF_VENDORS: u128 = 70;
const WHOLE_LOSS_MAX_OF_VENDORS: u128 = 50;

/// A country with fewer IPv4 addresses may lose them, as long as it keeps some: a few moved prefixes are a large share
/// of so little. North Korea has some thousand.
const IPV4_TOO_SMALL: u128 = 1 << 16;

/// A country with less IPv6 than the smallest allocation to a provider (a /32) may lose it: databases disagree whether
/// such countries, North Korea for one, have any.
pub(super) const IPV6_TOO_SMALL: u128 = 1 << 96;

/// A database with fewer IPv6 prefixes does not cover the world, and may lose more of them.
const WORLD_PREFIXES_MIN: u128 = 64;

/// How far ahead of the clock a build time may be, in seconds. Beyond that, one of the two is wrong.
pub(super) const AHEAD_MAX_SECONDS: u64 = 86_400;

/// Judges new data against the data in use.
#[must_use]
pub fn refusals(
    policy: &Policy,
    comparison: &Comparison,
    vendor: Vendor,
    now: UnixSeconds,
) -> Vec<Refusal> {
    let (country_loss_max, whole_loss_max) = match vendor {
        Vendor::Same => (COUNTRY_LOSS_MAX, WHOLE_LOSS_MAX),
        Vendor::Other => (COUNTRY_LOSS_MAX_OF_VENDORS, WHOLE_LOSS_MAX_OF_VENDORS),
    };
    let losses =
        |who, change: &Change, loss_max| losses(who, change, vendor, loss_max).collect::<Vec<_>>();
    let mut refusals = Vec::new();
    let [before, after] = comparison.built;
    // A time of zero is none: data that comes from no file.
    if after != UnixSeconds(0) && after < before {
        refusals.push(Refusal::Older { before, after });
    }
    if after > before && after.0 > now.0.saturating_add(AHEAD_MAX_SECONDS) {
        refusals.push(Refusal::Ahead { built: after, now });
    }
    let (CountryRule::Block(listed) | CountryRule::AllowOnly(listed)) = &policy.settings.rule;
    for country in listed {
        let change = comparison.of(*country);
        if change.has_vanished() {
            refusals.push(Refusal::Vanished { country: *country });
        } else {
            let who = Who::Country(*country);
            refusals.extend(losses(who, &change, country_loss_max));
        }
    }
    if let CountryRule::AllowOnly(listed) = &policy.settings.rule {
        let unlisted = comparison.sum(|country| !listed.contains(&country));
        refusals.extend(losses(Who::Unlisted, &unlisted, country_loss_max));
    }
    let whole = comparison.sum(|_| true);
    refusals.extend(losses(Who::Whole, &whole, whole_loss_max));
    refusals
}

/// Judges a new ASN database against the one in use, by what all autonomous systems hold together. Single systems come,
/// go and move their prefixes daily, so no rule covers them.
#[must_use]
pub fn as_database_refusals(before: Extents, after: Extents) -> Vec<Refusal> {
    let change = Change {
        before,
        after,
        ..Change::<Extents>::default()
    };
    losses(
        Who::AutonomousSystems,
        &change,
        Vendor::Same,
        WHOLE_LOSS_MAX,
    )
    .collect()
}

/// The families of which too much was lost.
fn losses(
    who: Who,
    change: &Change,
    vendor: Vendor,
    loss_max: u128,
) -> impl Iterator<Item = Refusal> {
    Family::ALL.into_iter().filter_map(move |family| {
        let measure = |holdings: Extents| {
            let extent = holdings.of(family);
            if who.counts_prefixes(family) {
                u128::from(extent.prefixes)
            } else {
                extent.addresses
            }
        };
        let (before, after) = (measure(change.before), measure(change.after));
        let least = match (family, who) {
            (Family::V4, _) => 0,
            (Family::V6, Who::Whole | Who::AutonomousSystems) => WORLD_PREFIXES_MIN,
            (Family::V6, Who::Country(_) | Who::Unlisted) => IPV6_TOO_SMALL,
        };
        let loss_max = match (family, who) {
            (Family::V4, Who::Country(_)) if before < IPV4_TOO_SMALL => 100,
            // Some vendors assign space that no registry has allocated, so amounts of two vendors do not compare.
            (Family::V6, _) if vendor == Vendor::Other => 100,
            (Family::V4 | Family::V6, _) => loss_max,
        };
        let refusal = Refusal::Shrank {
            who,
            family,
            before,
            after,
        };
        (before >= least && is_lost(before, after, loss_max)).then_some(refusal)
    })
}
