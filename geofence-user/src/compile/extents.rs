//! How much address space a set of addresses covers.

use serde::Serialize;

use super::cover::cover;
use super::prefix::Family;

/// How much of a family's address space is covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// The smallest number of prefixes that cover exactly these addresses.
    pub prefixes: u64,
    /// The number of addresses. All of IPv6 counts as one less, the largest number that fits.
    pub addresses: u128,
}

impl Extent {
    /// The extent of the addresses from `start` to the last before `end`.
    #[must_use]
    pub fn of(family: Family, start: u128, end: u128) -> Self {
        let (first, last) = (
            start >> family.spare_bits(),
            end.wrapping_sub(1) >> family.spare_bits(),
        );
        Self {
            prefixes: cover(first, last).count() as u64,
            addresses: (last - first).saturating_add(1),
        }
    }
}

impl std::ops::AddAssign for Extent {
    fn add_assign(&mut self, other: Self) {
        self.prefixes += other.prefixes;
        self.addresses = self.addresses.saturating_add(other.addresses);
    }
}

/// How much of both families is covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Extents {
    pub v4: Extent,
    pub v6: Extent,
}

impl Extents {
    /// The part of one family.
    #[must_use]
    pub const fn of(&self, family: Family) -> Extent {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// Adds the addresses from `start` to the last before `end`.
    pub fn add(&mut self, family: Family, start: u128, end: u128) {
        let extent = match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        };
        *extent += Extent::of(family, start, end);
    }
}

impl std::ops::AddAssign for Extents {
    fn add_assign(&mut self, other: Self) {
        self.v4 += other.v4;
        self.v6 += other.v6;
    }
}
