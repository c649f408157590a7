//! The reference that look-up engines are compared with, and what to ask them. For tests and benchmarks.
//!
//! The oracle keeps the sources of truth apart and probes every prefix length, one hash table each; it shares no code
//! with the compiler and nothing it does is clever. Overlays and addresses are drawn from seeds, so that every run of
//! every engine is asked the same.

mod draw;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;

use geofence_common::action::Direction as Way;
use geofence_common::address::{Address, SPECIAL_USE_V4, SPECIAL_USE_V6, SpecialUse};
use geofence_common::country::Country;
use geofence_common::image::class::{Class, OperatorList};
use ipnet::IpNet;

use crate::data::geoip::Database;
use crate::data::lists::{Action, Direction, Listing};
use crate::model::policy::{Policy, SystemRule};

pub use draw::{Draw, default_policy, overlays, random_v4, random_v6};

/// Finds the value of the longest prefix by trying every length.
///
/// Addresses of both families are given as numbers of `bits` bits.
#[derive(Clone, Debug)]
pub struct LongestPrefix<T> {
    bits: u8,
    /// By length; lengths that no prefix has cost nothing.
    tables: Vec<HashMap<u128, T, BuildHasherDefault<Multiply>>>,
    lengths: Vec<u8>,
}

impl<T: Copy> LongestPrefix<T> {
    #[must_use]
    pub fn new(bits: u8) -> Self {
        Self {
            bits,
            tables: (0..=bits).map(|_| HashMap::default()).collect(),
            lengths: Vec::new(),
        }
    }

    /// The address with all but the first `length` bits zero.
    fn masked(&self, address: u128, length: u8) -> u128 {
        let host_bits = u32::from(self.bits - length);
        address
            .checked_shr(host_bits)
            .unwrap_or(0)
            .checked_shl(host_bits)
            .unwrap_or(0)
    }

    /// The value of exactly this prefix, `absent` if there was none.
    pub fn entry(&mut self, address: u128, length: u8, absent: T) -> &mut T {
        let masked = self.masked(address, length);
        if !self.lengths.contains(&length) {
            self.lengths.push(length);
            self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        }
        self.tables[usize::from(length)]
            .entry(masked)
            .or_insert(absent)
    }

    /// The values of all prefixes that hold the address, the longest prefix's first.
    pub fn all(&self, address: u128) -> impl Iterator<Item = T> {
        self.lengths.iter().filter_map(move |length| {
            let masked = self.masked(address, *length);
            self.tables[usize::from(*length)].get(&masked).copied()
        })
    }

    /// The value of the longest prefix that holds the address.
    #[must_use]
    pub fn get(&self, address: u128) -> Option<T> {
        self.all(address).next()
    }
}

/// Hashes one number by a multiplication: the keys are addresses, and nobody attacks a test.
#[derive(Clone, Copy, Debug, Default)]
pub struct Multiply(u64);

impl Hasher for Multiply {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn write_u128(&mut self, number: u128) {
        self.write_u64(number as u64);
        self.write_u64((number >> 64) as u64);
    }
}

/// One family's sources of truth, apart.
#[derive(Clone, Debug)]
struct Sources {
    countries: LongestPrefix<Country>,
    special_use: LongestPrefix<SpecialUse>,
    /// Every list prefix, as a class that is on the lists.
    lists: LongestPrefix<Class>,
}

impl Sources {
    fn new(bits: u8) -> Self {
        Self {
            countries: LongestPrefix::new(bits),
            special_use: LongestPrefix::new(bits),
            lists: LongestPrefix::new(bits),
        }
    }

    fn class(&self, address: u128) -> Class {
        let class = match self.special_use.get(address) {
            Some(kind) => Class::of_special_use(kind),
            None => Class::of_country(self.countries.get(address).unwrap_or(Country::UNKNOWN)),
        };
        self.lists.all(address).fold(class, Class::with_lists_of)
    }
}

/// Knows the class of every address under one policy and one database.
#[derive(Clone, Debug)]
pub struct Oracle {
    policy: Policy,
    v4: Sources,
    v6: Sources,
}

impl Oracle {
    #[must_use]
    pub fn new(policy: &Policy, database: &Database) -> Self {
        let mut v4 = Sources::new(32);
        let mut v6 = Sources::new(128);
        for (net, country) in database.prefixes_v4() {
            v4.countries
                .entry(net.network().to_bits().into(), net.prefix_len(), *country);
        }
        for (net, country) in database.prefixes_v6() {
            v6.countries
                .entry(net.network().to_bits(), net.prefix_len(), *country);
        }
        for (base, length) in SPECIAL_USE_V4 {
            v4.special_use
                .entry(u32::from_be_bytes(*base).into(), *length, SpecialUse::Local);
        }
        for (base, length, kind) in SPECIAL_USE_V6 {
            v6.special_use.entry(*base, *length, *kind);
        }
        let system = |rule| policy.prefixes_of_systems(rule).copied();
        let denied = policy.deny.iter().copied();
        let denied: Vec<IpNet> = denied.chain(system(&SystemRule::Deny)).collect();
        let allowed = policy.allow.iter().copied();
        let allowed: Vec<IpNet> = allowed.chain(system(&SystemRule::Allow)).collect();
        let nobody = Class::of_country(Country::NONE);
        let of_others = policy.lists.iter().map(|list| {
            let nets = list.entries().iter().map(|entry| entry.net);
            (marked(nobody, list), nets.collect())
        });
        let own = [
            (OperatorList::Management, policy.management.clone()),
            (OperatorList::Allow, allowed),
            (OperatorList::Deny, denied),
        ];
        let own = own.map(|(list, nets)| (nobody.with_list(list), nets));
        for (member, nets) in own.into_iter().chain(of_others) {
            for net in &nets {
                let class = match net {
                    IpNet::V4(net) => {
                        v4.lists
                            .entry(net.addr().to_bits().into(), net.prefix_len(), nobody)
                    }
                    IpNet::V6(net) => {
                        v6.lists
                            .entry(net.addr().to_bits(), net.prefix_len(), nobody)
                    }
                };
                *class = class.with_lists_of(member);
            }
        }
        Self {
            policy: policy.clone(),
            v4,
            v6,
        }
    }

    /// The class of an address, with the policy's answer for its country.
    #[must_use]
    pub fn class(&self, address: &Address) -> Class {
        let class = match address.ip() {
            IpAddr::V4(ip) => self.v4.class(ip.to_bits().into()),
            IpAddr::V6(ip) => self.v6.class(ip.to_bits()),
        };
        class.with_blocked(self.policy.blocks(class))
    }
}

/// A class on a list of others as well.
fn marked(class: Class, list: &Listing) -> Class {
    let blocks = list.action == Action::Block;
    match list.direction {
        Direction::In => class.with_listing(Way::In, blocks),
        Direction::Out => class.with_listing(Way::Out, blocks),
        Direction::Both => class
            .with_listing(Way::In, blocks)
            .with_listing(Way::Out, blocks),
    }
}

/// Both ends of every prefix, and one address outside each end, of data, special-use space and lists, IPv4.
pub fn edges_v4(policy: &Policy, database: &Database) -> impl Iterator<Item = Address> {
    let special_use = SPECIAL_USE_V4
        .iter()
        .map(|(base, length)| (u32::from_be_bytes(*base), *length));
    let data = database
        .prefixes_v4()
        .iter()
        .map(|(net, _)| (net.network().to_bits(), net.prefix_len()));
    let lists = nets(policy).filter_map(|net| match net {
        IpNet::V4(net) => Some((net.network().to_bits(), net.prefix_len())),
        IpNet::V6(_) => None,
    });
    data.chain(special_use)
        .chain(lists)
        .flat_map(|(first, length)| {
            let last = first | u32::MAX.checked_shr(length.into()).unwrap_or(0);
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)].map(Address::v4)
        })
}

/// The same for IPv6.
pub fn edges_v6(policy: &Policy, database: &Database) -> impl Iterator<Item = Address> {
    let special_use = SPECIAL_USE_V6
        .iter()
        .map(|(base, length, _)| (*base, *length));
    let data = database
        .prefixes_v6()
        .iter()
        .map(|(net, _)| (net.network().to_bits(), net.prefix_len()));
    let lists = nets(policy).filter_map(|net| match net {
        IpNet::V4(_) => None,
        IpNet::V6(net) => Some((net.network().to_bits(), net.prefix_len())),
    });
    data.chain(special_use)
        .chain(lists)
        .flat_map(|(first, length)| {
            let last = first | u128::MAX.checked_shr(length.into()).unwrap_or(0);
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)].map(Address::v6)
        })
}

/// The prefixes of all lists.
fn nets(policy: &Policy) -> impl Iterator<Item = &IpNet> {
    policy
        .management
        .iter()
        .chain(&policy.allow)
        .chain(&policy.deny)
        .chain(policy.systems.iter().flat_map(|system| &system.prefixes))
        .chain(
            policy
                .lists
                .iter()
                .flat_map(|list| list.entries().iter().map(|entry| &entry.net)),
        )
}
