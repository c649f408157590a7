//! The units in which addresses are reported: single IPv6 addresses would be numbers too long to read.

use crate::compile::Family;
use crate::model::text::grouped;

/// The unit of a family.
pub(super) const fn unit(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4 addresses",
        Family::V6 => "IPv6 /48 sites",
    }
}

/// Addresses in the unit of their family.
pub(super) const fn in_unit(family: Family, addresses: u128) -> u128 {
    match family {
        Family::V4 => addresses,
        Family::V6 => addresses >> 80,
    }
}

/// Addresses in the unit of their family, as text.
pub(super) fn amount(family: Family, addresses: u128) -> String {
    grouped(in_unit(family, addresses))
}

/// A share in whole percent, rounded down.
pub(super) fn percent(part: u128, whole: u128) -> u128 {
    let shift = spare_shift(whole);
    (part >> shift) * 100 / (whole >> shift).max(1)
}

/// Whether at least this many percent are gone.
pub(super) fn is_lost(before: u128, after: u128, percent: u128) -> bool {
    let shift = spare_shift(before);
    let lost = before.saturating_sub(after) >> shift;
    before > 0 && lost * 100 >= (before >> shift) * percent
}

/// A hundred times all of IPv6 does not fit the type, so the last bits of such amounts are dropped.
const fn spare_shift(amount: u128) -> u32 {
    if amount > u128::MAX / 100 { 7 } else { 0 }
}
