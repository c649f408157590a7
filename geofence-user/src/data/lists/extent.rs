//! How much of the address space a list covers.
//!
//! Pure. A list is judged by addresses as well as by entries: a few short prefixes can cover the internet.

use ipnet::IpNet;

use super::sanity::SanityProblem;
use crate::model::list::Definition;
use crate::model::listing::{Entries, Entry};
use crate::model::special_use::special_use;

/// An entry is out of place if it is this short, per family, and shorter than the usual entry by so many bits.
const WIDE_LENGTHS: [u8; 2] = [9, 20];
const WIDE_BITS: u8 = 12;

/// What is wrong with the space that a list covers. With a bound of its own, the list is judged by that alone.
pub(super) fn problems(definition: &Definition, entries: &Entries) -> Vec<SanityProblem> {
    let max_percent = definition.share_max();
    let mut problems = Vec::new();
    for is_v6 in [false, true] {
        let percent = share_percent(entries, is_v6);
        if percent > f64::from(max_percent) {
            problems.push(SanityProblem::Share {
                family: if is_v6 { "IPv6" } else { "IPv4" },
                percent: percent.ceil() as u8,
                max_percent,
                widest: widest(entries, is_v6),
            });
        }
        if definition.max_share.is_none()
            && let Some((entry, usual)) = out_of_place(entries, is_v6)
        {
            problems.push(SanityProblem::OutOfPlace {
                entry,
                usual,
                percent: percent.ceil().max(1.0) as u8,
            });
        }
    }
    problems
}

/// The blocks that IANA has given to the registries of IPv6, of which sites get their addresses: the lines of
/// <https://www.iana.org/assignments/ipv6-unicast-address-assignments> that are "ALLOCATED" to a registry, as they were
/// at the end of 2024. 2001::/23 (special purposes) and 2002::/16 (6to4) are not given to one.
///
/// The rest of 2000::/3 is free, and a list that covers all of the internet covers little of that. Addresses of a block
/// that is missing here do not count.
const ALLOCATED_V6: [&str; 34] = [
    "2001:200::/23",  // APNIC
    "2001:400::/23",  // ARIN
    "2001:600::/23",  // RIPE NCC
    "2001:800::/22",  // RIPE NCC
    "2001:c00::/23",  // APNIC, with 2001:db8::/32 (documentation)
    "2001:e00::/23",  // APNIC
    "2001:1200::/23", // LACNIC
    "2001:1400::/22", // RIPE NCC
    "2001:1800::/23", // ARIN
    "2001:1a00::/23", // RIPE NCC
    "2001:1c00::/22", // RIPE NCC
    "2001:2000::/19", // RIPE NCC
    "2001:4000::/23", // RIPE NCC
    "2001:4200::/23", // AFRINIC
    "2001:4400::/23", // APNIC
    "2001:4600::/23", // RIPE NCC
    "2001:4800::/23", // ARIN
    "2001:4a00::/23", // RIPE NCC
    "2001:4c00::/23", // RIPE NCC
    "2001:5000::/20", // RIPE NCC
    "2001:8000::/19", // APNIC
    "2001:a000::/20", // APNIC
    "2001:b000::/20", // APNIC
    "2003::/18",      // RIPE NCC
    "2400::/12",      // APNIC
    "2410::/12",      // APNIC
    "2600::/12",      // ARIN
    "2610::/23",      // ARIN
    "2620::/23",      // ARIN
    "2630::/12",      // ARIN
    "2800::/12",      // LACNIC
    "2a00::/12",      // RIPE NCC
    "2a10::/12",      // RIPE NCC
    "2c00::/12",      // AFRINIC
];

fn size(net: &IpNet) -> f64 {
    2_f64.powi(i32::from(net.max_prefix_len()) - i32::from(net.prefix_len()))
}

/// How much of the public addresses of a family the entries cover: of IPv6, those of the registries.
fn share_percent(entries: &Entries, is_v6: bool) -> f64 {
    let allocated: Vec<IpNet> = if is_v6 {
        ALLOCATED_V6.iter().flat_map(|text| text.parse()).collect()
    } else {
        Vec::new()
    };
    let all = if is_v6 {
        allocated.iter().map(size).sum::<f64>()
    } else {
        let special = special_use().filter(|net| net.addr().is_ipv4());
        2_f64.powi(32) - special.map(|net| size(&net)).sum::<f64>()
    };
    // Two prefixes share the longer one, or nothing.
    let within = |net: &IpNet, block: &IpNet| {
        if block.contains(net) {
            size(net)
        } else if net.contains(block) {
            size(block)
        } else {
            0.0
        }
    };
    let public = |net: &IpNet| {
        if is_v6 {
            allocated.iter().map(|block| within(net, block)).sum()
        } else {
            size(net)
        }
    };
    let mut covered = 0.0;
    // In order of address, then length, so a prefix inside another comes after it.
    let mut outer: Option<IpNet> = None;
    for entry in entries
        .iter()
        .filter(|entry| entry.net.addr().is_ipv6() == is_v6)
    {
        if outer.is_none_or(|outer| !outer.contains(&entry.net)) {
            covered += public(&entry.net);
            outer = Some(entry.net);
        }
    }
    (100.0 * covered / all).min(100.0)
}

fn widest(entries: &Entries, is_v6: bool) -> Option<Entry> {
    let family = entries
        .iter()
        .filter(|entry| entry.net.addr().is_ipv6() == is_v6);
    family.min_by_key(|entry| entry.net.prefix_len()).copied()
}

/// An entry that is much shorter than the usual one of its family, and the length of that.
fn out_of_place(entries: &Entries, is_v6: bool) -> Option<(Entry, u8)> {
    let family = || {
        entries
            .iter()
            .filter(|entry| entry.net.addr().is_ipv6() == is_v6)
    };
    let mut lengths: Vec<u8> = family().map(|entry| entry.net.prefix_len()).collect();
    let middle = lengths.len() / 2;
    if middle == 0 {
        return None;
    }
    let (_, usual, _) = lengths.select_nth_unstable(middle);
    let usual = *usual;
    let entry = widest(entries, is_v6)?;
    let length = entry.net.prefix_len();
    let is_wide = length <= WIDE_LENGTHS[usize::from(is_v6)];
    (is_wide && length.saturating_add(WIDE_BITS) <= usual).then_some((entry, usual))
}
