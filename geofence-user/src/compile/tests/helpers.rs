//! A database and lists that try each rule once, and what an image answers.

use std::collections::BTreeSet;

use geofence_common::action::Direction;
use geofence_common::address::Address;
use geofence_common::country::Country;
use geofence_common::image::class::Class;
use geofence_common::image::list_set::{ListMatch, each_list, identity};
use geofence_common::image::{Lookup as _, Words as _, class_record};
use ipnet::IpNet;

use crate::compile::{Boot, Image, Target};
use crate::data::geoip::Database;
use crate::data::lists;
use crate::model::list::{Action as ListAction, Direction as ListDirection, Format};
use crate::model::listing::{Listing, naming};
use crate::model::policy::Policy;
use crate::model::units::UnixSeconds;
use crate::oracle::default_policy;

pub(super) const TARGET: Target = Target {
    generation: 7,
    slot: 1,
    compiled: UnixSeconds(0x1_0000_0002),
    boot: Boot { id: 1, now: 5 },
    lines_max: 1 << 20,
};

pub(super) fn country(code: &str) -> Country {
    Country::from_code(code.as_bytes().try_into().unwrap()).unwrap()
}

pub(super) fn database(prefixes: &[(&str, &str)]) -> Database {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for (prefix, code) in prefixes {
        match prefix.parse().unwrap() {
            IpNet::V4(net) => v4.push((net, country(code))),
            IpNet::V6(net) => v6.push((net, country(code))),
        }
    }
    Database::from_prefixes(v4, v6)
}

pub(super) fn address(text: &str) -> Address {
    Address::from(text.parse::<std::net::IpAddr>().unwrap())
}

pub(super) fn class_in(image: &Image, address: &Address) -> Class {
    let position = image.words().class_lookup(address).unwrap();
    image.words().class_at(position).unwrap()
}

pub(super) fn class_of(image: &Image, text: &str) -> Class {
    class_in(image, &address(text))
}

/// A database and lists that try each rule once.
pub(super) fn example() -> (Policy, Database) {
    let mut policy = default_policy();
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    policy.management = nets(&["198.51.100.0/25", "81.2.69.142/32", "2002:5102::/32"]);
    policy.allow = nets(&["81.0.0.0/8", "81.2.69.142/32", "2a02:100::1/128"]);
    policy.deny = nets(&["81.2.69.128/25", "0.0.0.0/1"]);
    let database = database(&[
        ("81.2.0.0/16", "GB"),
        ("81.2.69.0/24", "RU"),
        ("192.168.3.0/24", "AU"),
        ("128.0.0.0/2", "CN"),
        ("2a02:100::/24", "DE"),
        ("2a02:100::/128", "KP"),
        ("2002::/16", "US"),
        ("fc00:1::/32", "US"),
    ]);
    (policy, database)
}

/// A list with these prefixes; the direction is 0 for in, 1 for out, 2 for both.
pub(super) fn listing(name: &str, blocks: bool, direction: u8, nets: &[IpNet]) -> Listing {
    let text: String = nets.iter().map(|net| format!("{net}\n")).collect();
    let read = lists::read(
        format!("#\n{text}").as_bytes(),
        Format::Plain,
        "x",
        UnixSeconds(0),
    );
    let action = if blocks {
        ListAction::Block
    } else {
        ListAction::Alert
    };
    let direction =
        [ListDirection::In, ListDirection::Out, ListDirection::Both][usize::from(direction)];
    Listing::new(name, action, direction, read.unwrap().entries)
}

/// The lists in the list set of a class record, by identity.
pub(super) fn lists_in(image: &Image, position: u32, direction: Direction) -> BTreeSet<u32> {
    let set = image.words()[position as usize + class_record::LISTS as usize];
    let listed = ListMatch {
        sets: [set, 0],
        tenant: 0,
    };
    let mut found = BTreeSet::new();
    each_list(&[].as_slice(), &listed, direction, &image.words(), |list| {
        assert!(found.insert(list.identity), "a list given twice");
    });
    found
}

/// The lists that an address is on, by looking it up on each of them.
pub(super) fn lists_on(policy: &Policy, address: &Address, direction: Direction) -> BTreeSet<u32> {
    naming(&policy.lists, address.ip())
        .filter(|(list, _)| list.direction.is(direction))
        .map(|(list, _)| identity(list.name.as_bytes()))
        .collect()
}
