//! Real addresses of a country, taken from the database the filter uses.
//!
//! An address is picked where the answer is plain: in the largest prefix of its country that no other prefix and no
//! special-use block touches. Nothing here looks an address up the way the filter does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use geofence_common::address::{SPECIAL_USE_V4, SPECIAL_USE_V6};
use geofence_common::country::Country;
use geofence_user::data::geoip::Database;
use ipnet::{Ipv4Net, Ipv6Net};

/// Which host of a prefix sends: not its first address, which is often no host's.
const HOST: u8 = 77;
/// A shorter prefix may span several special-use blocks, a longer one has no host [`HOST`].
const LENGTHS_V4: std::ops::RangeInclusive<u8> = 8..=24;
const LENGTHS_V6: std::ops::RangeInclusive<u8> = 16..=64;

/// An IPv4 address of the country.
pub fn v4(database: &Database, code: &str) -> Result<Ipv4Addr> {
    let country = country(code)?;
    let prefixes = database.prefixes_v4();
    let best = prefixes
        .iter()
        .enumerate()
        .filter(|(_, (_, owner))| *owner == country)
        .filter(|(_, (prefix, _))| LENGTHS_V4.contains(&prefix.prefix_len()))
        // Sorted by address, then length: what lies inside a prefix follows it, what holds it comes before.
        .filter(|(at, (prefix, _))| {
            let next = prefixes.get(at + 1);
            next.is_none_or(|(next, _)| !prefix.contains(next))
        })
        .filter(|(_, (prefix, _))| !is_special_v4(prefix))
        .min_by_key(|(_, (prefix, _))| prefix.prefix_len());
    let (_, (prefix, _)) =
        best.with_context(|| format!("the embedded database has no IPv4 prefix of {code}"))?;
    Ok(Ipv4Addr::from_bits(
        prefix.network().to_bits() + u32::from(HOST),
    ))
}

/// An IPv6 address of the country, which not every country has.
pub fn v6(database: &Database, code: &str) -> Result<Option<Ipv6Addr>> {
    let country = country(code)?;
    let prefixes = database.prefixes_v6();
    let best = prefixes
        .iter()
        .enumerate()
        .filter(|(_, (_, owner))| *owner == country)
        .filter(|(_, (prefix, _))| LENGTHS_V6.contains(&prefix.prefix_len()))
        .filter(|(at, (prefix, _))| {
            let next = prefixes.get(at + 1);
            next.is_none_or(|(next, _)| !prefix.contains(next))
        })
        .filter(|(_, (prefix, _))| !is_special_v6(prefix))
        .min_by_key(|(_, (prefix, _))| prefix.prefix_len());
    Ok(best
        .map(|(_, (prefix, _))| Ipv6Addr::from_bits(prefix.network().to_bits() + u128::from(HOST))))
}

/// The 6to4 address (RFC 3056) that carries this IPv4 address.
pub fn six_to_four(address: Ipv4Addr) -> IpAddr {
    let bits = (0x2002 << 112) | u128::from(address.to_bits()) << 80 | u128::from(HOST);
    Ipv6Addr::from_bits(bits).into()
}

fn country(code: &str) -> Result<Country> {
    code.as_bytes()
        .try_into()
        .ok()
        .and_then(Country::from_code)
        .with_context(|| format!("{code} is not a country"))
}

fn is_special_v4(prefix: &Ipv4Net) -> bool {
    SPECIAL_USE_V4.iter().any(|(base, length)| {
        Ipv4Net::new((*base).into(), *length)
            .is_ok_and(|block| block.contains(prefix) || prefix.contains(&block))
    })
}

fn is_special_v6(prefix: &Ipv6Net) -> bool {
    SPECIAL_USE_V6.iter().any(|(base, length, _)| {
        Ipv6Net::new(Ipv6Addr::from_bits(*base), *length)
            .is_ok_and(|block| block.contains(prefix) || prefix.contains(&block))
    })
}
