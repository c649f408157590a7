//! Exceptions and protections: sources that pass although a rule blocks them, and ports that only some sources reach.

use geofence_common::country::Country;
use ipnet::IpNet;

use super::service::Service;
use crate::model::units::UnixSeconds;

/// Sources that may reach destinations although a list or a country rule blocks them, or that are banned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    /// The name that people and counters know it by.
    pub id: String,
    /// The position of its counter, which no other exception or protection has.
    pub slot: u32,
    /// Whether it is a ban: all packets of the sources are dropped.
    pub is_ban: bool,
    pub from: Vec<Origin>,
    pub to: Vec<Destination>,
    pub traffic: Vec<Traffic>,
    pub owner: String,
    pub reason: String,
    /// When it expires.
    pub until: Option<UnixSeconds>,
}

/// Ports that only these sources may reach, whatever the country rules say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    pub id: String,
    /// The position of the counter of packets that reach the ports.
    pub slot: u32,
    pub services: Vec<Service>,
    pub from: Vec<IpNet>,
    pub to: Vec<Destination>,
}

/// Where a packet comes from, for an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Prefix(IpNet),
    Country(Country),
}

/// Where a packet goes, for an exception or a protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    Anywhere,
    /// A tenant, by number, without what a longer prefix gives to another tenant.
    Tenant(u32),
    Prefix(IpNet),
}

/// The traffic of an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    Any,
    /// An IP protocol, whatever its ports; of ICMP, either version.
    Protocol(u8),
    Service(Service),
}
