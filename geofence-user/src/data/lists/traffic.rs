//! How much of the traffic that passes now a list would drop.
//!
//! Pure. The kernel counts packets by country, so a list's part of a country's addresses stands for its part of the
//! country's packets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use geofence_common::country::Country;

use crate::model::list::{Action, Definition, Direction};
use crate::model::listing::Entries;

/// Fewer packets say nothing about what usually passes.
const PACKETS_MIN: u64 = 10_000;

/// The packets that have passed, and the addresses that they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// By country.
    pub passed: BTreeMap<Country, u64>,
    /// The country of every address, by the start of each range, for IPv4 and for IPv6. Addresses are left-aligned, as
    /// in an image.
    pub ranges: [Vec<(u128, Country)>; 2],
}

/// The traffic that a list would drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Of all that passes.
    pub(super) percent: u8,
    /// Where most of it comes from.
    pub(super) country: Country,
}

impl Traffic {
    /// The traffic that the list would drop, if it is more than its configuration allows.
    pub(super) fn excess(&self, definition: &Definition, entries: &Entries) -> Option<Dropped> {
        let all: u64 = self.passed.values().sum();
        let drops = definition.action == Action::Block && definition.direction != Direction::Out;
        if all < PACKETS_MIN || !drops {
            return None;
        }
        let mut dropped: BTreeMap<Country, f64> = BTreeMap::new();
        for is_v6 in [false, true] {
            for (country, share) in self.shares(entries, is_v6) {
                let packets = self.passed.get(&country).copied().unwrap_or(0) as f64 * share;
                let most = dropped.entry(country).or_default();
                // The counters do not say which family a packet is of.
                *most = most.max(packets);
            }
        }
        let sum: f64 = dropped.values().sum();
        let percent = 100.0 * sum / all as f64;
        let (country, _) = dropped
            .iter()
            .max_by(|one, other| one.1.total_cmp(other.1))?;
        (percent > f64::from(definition.share_max())).then(|| Dropped {
            percent: percent.ceil().min(100.0) as u8,
            country: *country,
        })
    }

    /// Which part of each country's addresses the entries cover.
    fn shares(&self, entries: &Entries, is_v6: bool) -> BTreeMap<Country, f64> {
        let ranges = &self.ranges[usize::from(is_v6)];
        let end = |at: usize| {
            ranges
                .get(at + 1)
                .map_or(u128::MAX, |(next, _)| next.saturating_sub(1))
        };
        let mut all: BTreeMap<Country, (f64, f64)> = BTreeMap::new();
        for (at, (start, country)) in ranges.iter().enumerate() {
            all.entry(*country).or_default().1 += size(*start, end(at));
        }
        let mut at = 0;
        // In order of address, then length, so a prefix inside another comes after it.
        let mut covered_to = None;
        for entry in entries
            .iter()
            .filter(|entry| entry.net.addr().is_ipv6() == is_v6)
        {
            let first = bits(entry.net.network());
            let behind = u128::MAX.checked_shr(entry.net.prefix_len().into());
            let to = first | behind.unwrap_or(0);
            if covered_to.is_some_and(|covered| to <= covered) {
                continue;
            }
            covered_to = Some(to);
            while at < ranges.len() && end(at) < first {
                at += 1;
            }
            let mut reached = at;
            while let Some((start, country)) = ranges.get(reached).filter(|(start, _)| *start <= to)
            {
                let part = size(first.max(*start), to.min(end(reached)));
                all.entry(*country).or_default().0 += part;
                reached += 1;
            }
        }
        let shares = all.into_iter();
        shares
            .map(|(country, (part, whole))| (country, part / whole))
            .collect()
    }
}

fn size(first: u128, last: u128) -> f64 {
    last.saturating_sub(first) as f64 + 1.0
}

/// An address as an image has it.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(Ipv4Addr::to_bits(v4)) << 96,
        IpAddr::V6(v6) => Ipv6Addr::to_bits(v6),
    }
}
