//! Prefixes of both families in one form: left-aligned in 128 bits, so that one algorithm serves both.

use geofence_common::address::{Address, Embedding, SPECIAL_USE_V4, SPECIAL_USE_V6, SpecialUse};
use geofence_common::country::Country;
use geofence_common::image::class::{Class, OperatorList};
use ipnet::{IpNet, Ipv6Net};

use crate::data::geoip::Database;
use crate::model::policy::{AsRule, Policy};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// How many of the 128 bits of a left-aligned address the family does not use.
    #[must_use]
    pub const fn spare_bits(self) -> u32 {
        match self {
            Self::V4 => 96,
            Self::V6 => 0,
        }
    }

    /// The address with these left-aligned bits.
    #[must_use]
    pub const fn address(self, bits: u128) -> Address {
        match self {
            Self::V4 => Address::v4((bits >> self.spare_bits()) as u32),
            Self::V6 => Address::v6(bits),
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A prefix; in order of address, then length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix {
    /// The first address. An IPv4 address takes the upper 32 bits.
    pub(super) start: u128,
    pub(super) length: u8,
}

impl Prefix {
    pub(super) const ALL: Self = Self {
        start: 0,
        length: 0,
    };

    /// The last address; the bits after an IPv4 address are set.
    pub(super) fn end(self) -> u128 {
        self.start | u128::MAX.checked_shr(u32::from(self.length)).unwrap_or(0)
    }

    /// Whether the other prefix is this one or a part of it.
    pub(super) fn contains(self, other: Self) -> bool {
        self.length <= other.length && self.start <= other.start && other.start <= self.end()
    }

    /// The prefix in this form, if it is of the family.
    pub(super) fn of(net: &IpNet, family: Family) -> Option<Self> {
        let (bits, length) = match (net, family) {
            (IpNet::V4(net), Family::V4) => {
                (u128::from(net.network().to_bits()) << 96, net.prefix_len())
            }
            (IpNet::V6(net), Family::V6) => (net.network().to_bits(), net.prefix_len()),
            (IpNet::V4(_), Family::V6) | (IpNet::V6(_), Family::V4) => return None,
        };
        Some(Self {
            start: bits,
            length,
        })
    }
}

/// The database's prefixes, sorted.
pub(super) fn countries(
    database: &Database,
    family: Family,
) -> impl Iterator<Item = (Prefix, Country)> {
    let (v4, v6) = match family {
        Family::V4 => (database.prefixes_v4(), [].as_slice()),
        Family::V6 => ([].as_slice(), database.prefixes_v6()),
    };
    let v4 = v4.iter().map(|(net, country)| {
        let start = u128::from(net.network().to_bits()) << 96;
        (start, net.prefix_len(), *country)
    });
    let v6 = v6
        .iter()
        .map(|(net, country)| (net.network().to_bits(), net.prefix_len(), *country));
    v4.chain(v6)
        .map(|(start, length, country)| (Prefix { start, length }, country))
}

/// The special-use blocks and the policy's translation prefixes, sorted.
pub(super) fn special_use(policy: &Policy, family: Family) -> Vec<(Prefix, Class)> {
    let mut blocks: Vec<_> = match family {
        Family::V4 => SPECIAL_USE_V4
            .iter()
            .map(|(base, length)| {
                let start = u128::from(u32::from_be_bytes(*base)) << 96;
                (start, *length, SpecialUse::Local)
            })
            .collect(),
        Family::V6 => {
            let translation = policy.translation_prefixes.iter().map(|prefix| {
                let start = prefix.network().to_bits();
                (
                    start,
                    prefix.prefix_len(),
                    SpecialUse::Embedded(Embedding::Nat64),
                )
            });
            let mut blocks: Vec<_> = SPECIAL_USE_V6.to_vec();
            // The operator's word comes first.
            blocks.retain(|(start, length, _)| {
                let has_same = |prefix: &Ipv6Net| {
                    prefix.network().to_bits() == *start && prefix.prefix_len() == *length
                };
                !policy.translation_prefixes.iter().any(has_same)
            });
            blocks.extend(translation);
            blocks
        }
    }
    .into_iter()
    .map(|(start, length, kind)| (Prefix { start, length }, Class::of_special_use(kind)))
    .collect();
    blocks.sort_unstable();
    blocks
}

/// The prefixes of one of the policy's lists, sorted.
pub(super) fn list(policy: &Policy, list: OperatorList, family: Family) -> Vec<Prefix> {
    let (nets, rule) = match list {
        OperatorList::Management => (&policy.management, None),
        OperatorList::Allow => (&policy.allow, Some(AsRule::Allow)),
        OperatorList::Deny => (&policy.deny, Some(AsRule::Deny)),
    };
    let systems = rule.iter();
    let systems = systems.flat_map(|rule| policy.prefixes_of_systems(rule));
    let mut prefixes: Vec<_> = nets
        .iter()
        .chain(systems)
        .filter_map(|net| Prefix::of(net, family))
        .collect();
    prefixes.sort_unstable();
    prefixes
}

/// Every list of the policy.
pub(super) const LISTS: [OperatorList; 3] = [
    OperatorList::Management,
    OperatorList::Allow,
    OperatorList::Deny,
];
