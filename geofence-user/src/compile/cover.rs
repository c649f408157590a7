//! Ranges of addresses as prefixes.

use std::net::{Ipv4Addr, Ipv6Addr};

use geofence_common::country::Country;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::layer::{Layer, spans};
use super::prefix::Family;

/// Prefixes of each family with their countries.
#[derive(Default)]
pub(super) struct CountryPrefixes {
    pub(super) v4: Vec<(Ipv4Net, Country)>,
    pub(super) v6: Vec<(Ipv6Net, Country)>,
}

impl CountryPrefixes {
    /// Adds the prefixes that cover exactly the addresses with a country.
    pub(super) fn add(&mut self, family: Family, countries: &Layer<Country>) {
        for (start, end, country) in spans(countries) {
            if country == Country::UNKNOWN {
                continue;
            }
            for net in prefixes(family, start, end) {
                match net {
                    IpNet::V4(net) => self.v4.push((net, country)),
                    IpNet::V6(net) => self.v6.push((net, country)),
                }
            }
        }
    }
}

/// The prefixes that cover exactly the addresses from `start` to the last before `end`.
pub fn prefixes(family: Family, start: u128, end: u128) -> impl Iterator<Item = IpNet> {
    let spare = family.spare_bits();
    cover(start >> spare, end.wrapping_sub(1) >> spare).filter_map(move |(first, free)| {
        let length = u8::try_from(128 - spare - free).ok()?;
        let address = match family {
            Family::V4 => Ipv4Addr::from_bits(first as u32).into(),
            Family::V6 => Ipv6Addr::from_bits(first).into(),
        };
        IpNet::new(address, length).ok()
    })
}

/// The smallest set of prefixes that covers exactly these addresses: the first address and the free low bits of each.
pub(super) fn cover(first: u128, last: u128) -> impl Iterator<Item = (u128, u32)> {
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let start = next.filter(|start| *start <= last)?;
        let room = (last - start).checked_add(1).map_or(128, u128::ilog2);
        let free = start.trailing_zeros().min(room);
        let size = 1_u128.checked_shl(free);
        next = size.and_then(|size| start.checked_add(size));
        Some((start, free))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compile::Extent;

    #[test]
    fn cover_is_the_smallest_set_of_prefixes() {
        for (first, last, expected) in [
            (0, u128::MAX, vec![(0, 128)]),
            (0, 0, vec![(0, 0)]),
            (1, 2, vec![(1, 0), (2, 0)]),
            (8, 15, vec![(8, 3)]),
            (3, 12, vec![(3, 0), (4, 2), (8, 2), (12, 0)]),
            (u128::MAX, u128::MAX, vec![(u128::MAX, 0)]),
        ] {
            assert_eq!(cover(first, last).collect::<Vec<_>>(), expected);
        }
        let extent = |family, start, end| {
            let Extent {
                prefixes,
                addresses,
            } = Extent::of(family, start, end);
            (prefixes, addresses)
        };
        assert_eq!(extent(Family::V4, 0, 0), (1, 1 << 32));
        assert_eq!(extent(Family::V4, 3 << 96, 5 << 96), (2, 2));
        assert_eq!(extent(Family::V6, 0, 0), (1, u128::MAX));
        let texts = |family, start, end| -> Vec<String> {
            prefixes(family, start, end)
                .map(|net| net.to_string())
                .collect()
        };
        assert_eq!(
            texts(Family::V4, 0x0a00_0001 << 96, 0x0a00_0003 << 96),
            ["10.0.0.1/32", "10.0.0.2/32"]
        );
        assert_eq!(texts(Family::V6, 0, 0), ["::/0"]);
    }

    proptest! {
        #[test]
        fn cover_has_no_gaps_and_no_overlaps(one: u128, other: u128) {
            let (first, last) = (one.min(other), one.max(other));
            let mut next = Some(first);
            for (start, free) in cover(first, last) {
                prop_assert_eq!(Some(start), next);
                prop_assert!(start.trailing_zeros() >= free);
                next = 1_u128.checked_shl(free).and_then(|size| start.checked_add(size));
            }
            prop_assert_eq!(next, last.checked_add(1));
        }
    }
}
