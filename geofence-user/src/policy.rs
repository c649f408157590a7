//! A checked policy: what the operator wants, with every name resolved and every prefix parsed.
//!
//! `config` makes one from text, `compile` turns one and GeoIP data into an image. Nothing here can be invalid.

use std::collections::BTreeSet;

use geofence_common::class::Class;
use geofence_common::country::Country;
pub use geofence_common::image::Replies;
use geofence_common::verdict::Mode;
use ipnet::IpNet;

use crate::lists::Listing;

/// Everything a verdict depends on but the GeoIP data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub rule: CountryRule,
    /// What happens to a source that no database knows.
    pub unknown: Fate,
    /// What happens to a source in special-use space.
    pub special_use: Fate,
    pub mode: Mode,
    pub lookup: Lookup,
    pub mail: Mail,
    /// To which packets of ours a blocked country may reply.
    pub replies: Replies,
    /// Whether replies to HTTPS pass for the policies of MTA-STS.
    pub mta_sts: bool,
    pub services: Vec<Service>,
    /// Whether echo requests from blocked countries pass.
    pub icmp_echo: Fate,
    pub management: Vec<IpNet>,
    pub allow: Vec<IpNet>,
    pub deny: Vec<IpNet>,
    /// Lists from elsewhere, in the order of the configuration.
    pub lists: Vec<Listing>,
}

/// Which countries are blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CountryRule {
    /// These are blocked.
    Block(BTreeSet<Country>),
    /// All but these are blocked.
    AllowOnly(BTreeSet<Country>),
}

/// An answer an operator may give where geofence has a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Pass,
    Drop,
}

/// The engine that finds the class of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The trie of cache lines inside the image.
    ArrayTrie,
    /// The kernel's own longest-prefix trie, kept as the reference.
    LpmTrie,
}

/// Which mail ports are open to blocked countries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mail {
    /// Transfer, submission and access: 25, 465, 587, 143, 993, 110, 995.
    Full,
    /// Transfer only: 25.
    Mta,
    Off,
}

impl Mail {
    /// The TCP ports that are open.
    #[must_use]
    pub const fn ports(self) -> &'static [u16] {
        match self {
            Self::Full => &[25, 465, 587, 143, 993, 110, 995],
            Self::Mta => &[25],
            Self::Off => &[],
        }
    }
}

/// A protocol whose ports can be exempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceProtocol {
    Tcp,
    Udp,
}

/// Ports that stay open to blocked countries, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    pub protocol: ServiceProtocol,
    pub first: u16,
    pub last: u16,
}

impl Policy {
    /// Whether the policy blocks an address that the data gives this class, lists aside.
    #[must_use]
    pub fn blocks(&self, class: Class) -> bool {
        match class.country() {
            Country::UNKNOWN => self.unknown == Fate::Drop,
            // Special-use space has its own setting in the image's flags and no country to block.
            Country::SPECIAL | Country::NONE => false,
            country => match &self.rule {
                CountryRule::Block(blocked) => blocked.contains(&country),
                CountryRule::AllowOnly(allowed) => !allowed.contains(&country),
            },
        }
    }
}
