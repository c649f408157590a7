//! Tables larger than today's: as many prefixes as asked for, shaped like the embedded table.
//!
//! Each prefix has the length of one that exists and lies near it, so lengths are as mixed and space is as crowded here
//! and empty there as in reality; only there is more of it. Half of the prefixes are IPv4's. All from a seed.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use geofence_common::country::Country;
use geofence_tests::oracle::Draw;
use geofence_user::data::geoip::Database;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// How near "near" is: this many bits of the model's network part are drawn anew.
const NEAR_BITS: u8 = 6;

/// A table of this many prefixes.
pub(crate) fn database(model: &Database, count: usize, seed: u64) -> Result<Database> {
    let mut draw = Draw::new(seed);
    let countries: Vec<Country> = Country::all().collect();
    let country = move |draw: &mut Draw| {
        draw.one_of(&countries)
            .copied()
            .context("there are no countries")
    };
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    let mut known = HashSet::new();
    while v4.len() < count / 2 {
        let net = near_v4(&mut draw, model)?;
        if known.insert(IpNet::V4(net)) {
            v4.push((net, country(&mut draw)?));
        }
    }
    while v6.len() < count - count / 2 {
        let net = near_v6(&mut draw, model)?;
        if known.insert(IpNet::V6(net)) {
            v6.push((net, country(&mut draw)?));
        }
    }
    Ok(Database::from_prefixes(v4, v6))
}

/// Prefixes to put on lists: half IPv4's, near those of the model and no shorter than a site's.
pub(crate) fn prefixes(model: &Database, count: usize, seed: u64) -> Result<Vec<IpNet>> {
    let mut draw = Draw::new(seed);
    (0..count)
        .map(|number| {
            Ok(if number % 2 == 0 {
                let net = near_v4(&mut draw, model)?;
                IpNet::V4(Ipv4Net::new(net.network(), net.prefix_len().max(20))?.trunc())
            } else {
                let net = near_v6(&mut draw, model)?;
                IpNet::V6(Ipv6Net::new(net.network(), net.prefix_len().max(40))?.trunc())
            })
        })
        .collect()
}

/// Single addresses, half IPv4's, in prefixes of the model.
pub(crate) fn hosts(model: &Database, count: usize, seed: u64) -> Result<Vec<IpNet>> {
    let mut draw = Draw::new(seed);
    (0..count)
        .map(|number| {
            Ok(if number % 2 == 0 {
                let (net, _) = draw
                    .one_of(model.prefixes_v4())
                    .context("there is no IPv4")?;
                let host = draw.long() as u32 & u32::from(net.hostmask());
                IpNet::V4(Ipv4Net::from(Ipv4Addr::from_bits(
                    net.network().to_bits() | host,
                )))
            } else {
                let (net, _) = draw
                    .one_of(model.prefixes_v6())
                    .context("there is no IPv6")?;
                let host = draw.long() & u128::from(net.hostmask());
                IpNet::V6(Ipv6Net::from(Ipv6Addr::from_bits(
                    net.network().to_bits() | host,
                )))
            })
        })
        .collect()
}

fn near_v4(draw: &mut Draw, model: &Database) -> Result<Ipv4Net> {
    let any = draw.long() as u32;
    let (net, _) = draw
        .one_of(model.prefixes_v4())
        .context("there is no IPv4 to model on")?;
    let kept = u32::from(net.prefix_len().saturating_sub(NEAR_BITS));
    let mask = u32::MAX.checked_shr(kept).unwrap_or(0);
    let bits = net.network().to_bits() & !mask | any & mask;
    Ok(Ipv4Net::new(Ipv4Addr::from_bits(bits), net.prefix_len())?.trunc())
}

fn near_v6(draw: &mut Draw, model: &Database) -> Result<Ipv6Net> {
    let any = draw.long();
    let (net, _) = draw
        .one_of(model.prefixes_v6())
        .context("there is no IPv6 to model on")?;
    let kept = u32::from(net.prefix_len().saturating_sub(NEAR_BITS));
    let mask = u128::MAX.checked_shr(kept).unwrap_or(0);
    let bits = net.network().to_bits() & !mask | any & mask;
    Ok(Ipv6Net::new(Ipv6Addr::from_bits(bits), net.prefix_len())?.trunc())
}
