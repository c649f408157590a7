//! The addresses at which answers change: the ends of every prefix and their neighbours.

use geofence_common::address::{Address, SPECIAL_USE_V4, SPECIAL_USE_V6};
use geofence_user::data::geoip::Database;
use geofence_user::model::policy::Policy;
use ipnet::IpNet;

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
        .chain(
            policy
                .autonomous_systems
                .iter()
                .flat_map(|system| &system.prefixes),
        )
        .chain(
            policy
                .lists
                .iter()
                .flat_map(|list| list.entries().iter().map(|entry| &entry.net)),
        )
}
