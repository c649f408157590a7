//! The class of every address by the rules themselves: special-use space, countries and lists in tables of their own.

use std::net::IpAddr;

use geofence_common::action::Direction as Way;
use geofence_common::address::{Address, SPECIAL_USE_V4, SPECIAL_USE_V6, SpecialUse};
use geofence_common::country::Country;
use geofence_common::image::class::{Class, OperatorList};
use geofence_user::data::geoip::Database;
use geofence_user::model::list::{Action, Direction};
use geofence_user::model::listing::Listing;
use geofence_user::model::policy::{AsRule, Policy};
use ipnet::IpNet;

use super::longest_prefix::LongestPrefix;

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
        let denied: Vec<IpNet> = denied.chain(system(&AsRule::Deny)).collect();
        let allowed = policy.allow.iter().copied();
        let allowed: Vec<IpNet> = allowed.chain(system(&AsRule::Allow)).collect();
        let unknown = Class::of_country(Country::NONE);
        let of_others = policy.lists.iter().map(|list| {
            let nets = list.entries().iter().map(|entry| entry.net);
            (marked(unknown, list), nets.collect())
        });
        let own = [
            (OperatorList::Management, policy.management.clone()),
            (OperatorList::Allow, allowed),
            (OperatorList::Deny, denied),
        ];
        let own = own.map(|(list, nets)| (unknown.with_list(list), nets));
        for (member, nets) in own.into_iter().chain(of_others) {
            for net in &nets {
                let class = match net {
                    IpNet::V4(net) => {
                        v4.lists
                            .entry(net.addr().to_bits().into(), net.prefix_len(), unknown)
                    }
                    IpNet::V6(net) => {
                        v6.lists
                            .entry(net.addr().to_bits(), net.prefix_len(), unknown)
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
