//! Overlays and addresses drawn from a seed, and a policy to lay them over.
//!
//! Uniform draws would miss what matters: nearly all of IPv6 is empty, and a random list prefix seldom touches a
//! border of the data. So half of what is drawn lies in the data, and some in special-use space.

use std::net::{Ipv4Addr, Ipv6Addr};

use geofence_common::address::{Address, SPECIAL_USE_V4, SPECIAL_USE_V6};
use geofence_user::config::Config;
use geofence_user::data::geoip::Database;
use geofence_user::model::policy::Policy;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Numbers that look random and are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn long(&mut self) -> u128 {
        u128::from(self.number()) << 64 | u128::from(self.number())
    }

    /// A number less than `limit`, which is not zero.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit as u64) as usize
    }

    /// One of these; nothing if there are none.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() {
            return None;
        }
        of.get(self.below(of.len()))
    }

    /// An address: anywhere, in the data or in special-use space.
    fn v4(&mut self, database: &Database) -> u32 {
        let anywhere = self.number() as u32;
        let within = match self.below(8) {
            0..4 => self
                .one_of(database.prefixes_v4())
                .map(|(net, _)| (net.network().to_bits(), net.prefix_len())),
            4 => self
                .one_of(SPECIAL_USE_V4)
                .map(|(base, length)| (u32::from_be_bytes(*base), *length)),
            _ => None,
        };
        within.map_or(anywhere, |(base, length)| {
            base | anywhere & u32::MAX.checked_shr(length.into()).unwrap_or(0)
        })
    }

    /// An address: anywhere, in the data or in special-use space.
    fn v6(&mut self, database: &Database) -> u128 {
        let anywhere = self.long();
        let within = match self.below(8) {
            0..4 => self
                .one_of(database.prefixes_v6())
                .map(|(net, _)| (net.network().to_bits(), net.prefix_len())),
            4 => self
                .one_of(SPECIAL_USE_V6)
                .map(|(base, length, _)| (*base, *length)),
            // Global unicast space, of which the data covers some.
            5 => Some((0x2000 << 112, 3)),
            _ => None,
        };
        within.map_or(anywhere, |(base, length)| {
            base | anywhere & u128::MAX.checked_shr(length.into()).unwrap_or(0)
        })
    }
}

/// This many IPv4 addresses: three eighths anywhere, half in the data's prefixes, the rest in special-use space.
pub fn random_v4(database: &Database, seed: u64, count: usize) -> impl Iterator<Item = Address> {
    let mut draw = Draw::new(seed);
    (0..count).map(move |_| Address::v4(draw.v4(database)))
}

/// This many IPv6 addresses: a quarter anywhere, an eighth in global unicast space, half in the data's prefixes, the
/// rest in special-use space.
pub fn random_v6(database: &Database, seed: u64, count: usize) -> impl Iterator<Item = Address> {
    let mut draw = Draw::new(seed);
    (0..count).map(move |_| Address::v6(draw.v6(database)))
}

/// Prefixes up to this length are so few that some hold most of the data.
const SHORT_V4: u8 = 8;
const SHORT_V6: u8 = 20;

/// The policy with this many random prefixes added to its lists, every length of both families among them.
///
/// A prefix of length n is drawn at most 2^n / 128 times, and once at least, and the short ones are all denied: else
/// nearly every address would be on every list, and then no other prefix would differ from any.
#[must_use]
pub fn overlays(policy: &Policy, database: &Database, seed: u64, count: usize) -> Policy {
    let mut draw = Draw::new(seed);
    let mut policy = policy.clone();
    let lengths_v4 = (0..=32).map(|length| (true, length));
    let lengths_v6 = (0..=128).map(|length| (false, length));
    let kinds: Vec<(bool, u8)> = lengths_v4.chain(lengths_v6).collect();
    let mut left = count;
    let mut round = 0;
    while left > 0 {
        for (is_v4, length) in &kinds {
            let enough = 1_usize
                .checked_shl(u32::from(*length))
                .unwrap_or(usize::MAX)
                / 128;
            if left == 0 || round >= enough.max(1) {
                continue;
            }
            let net = if *is_v4 {
                let address = Ipv4Addr::from_bits(draw.v4(database));
                Ipv4Net::new(address, *length).map(|net| IpNet::V4(net.trunc()))
            } else {
                let address = Ipv6Addr::from_bits(draw.v6(database));
                Ipv6Net::new(address, *length).map(|net| IpNet::V6(net.trunc()))
            };
            let short = if *is_v4 { SHORT_V4 } else { SHORT_V6 };
            let list = match draw.below(3) {
                0 if *length > short => &mut policy.management,
                1 if *length > short => &mut policy.allow,
                _ => &mut policy.deny,
            };
            list.extend(net.ok());
            left -= 1;
        }
        round += 1;
    }
    policy
}

/// A policy to start from: five countries blocked, no list.
#[must_use]
pub fn default_policy() -> Policy {
    Config::default().policy
}
