//! A checked policy: what the operator wants, with every name resolved and every prefix parsed.
//!
//! `config` makes one from text, `compile` turns one and GeoIP data into an image. Nothing here can be invalid.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use geofence_common::class::Class;
use geofence_common::country::Country;
pub use geofence_common::image::Replies;
use geofence_common::verdict::Mode;
use ipnet::IpNet;

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
    pub tenants: Vec<Tenant>,
    pub exceptions: Vec<Exception>,
    pub protections: Vec<Protection>,
    /// How many packets a second one source of a blocked country may send to exempted services, if that is bounded.
    pub pressure: Option<NonZeroU32>,
}

/// Networks with settings of their own; what is not set is as for everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub name: String,
    /// From 1 up to the number of tenants there is room for; it counts by this number.
    pub number: u32,
    pub prefixes: Vec<IpNet>,
    pub rule: Option<CountryRule>,
    pub unknown: Option<Fate>,
    pub special_use: Option<Fate>,
    pub mode: Option<Mode>,
    pub mail: Option<Mail>,
    pub services: Option<Vec<Service>>,
    pub icmp_echo: Option<Fate>,
}

/// Who may reach what although a list or a country says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// What people and counters know it by.
    pub id: String,
    /// The position of its counter, which no other exception or protection has.
    pub slot: u32,
    pub from: Vec<Origin>,
    pub to: Vec<Aim>,
    pub traffic: Vec<Traffic>,
    pub owner: String,
    pub reason: String,
    /// When it lapses, seconds since 1970.
    pub until: Option<u64>,
}

/// Ports that only these sources may reach, whatever any country's fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    pub id: String,
    /// The position of the counter of those who do reach it.
    pub slot: u32,
    pub services: Vec<Service>,
    pub from: Vec<IpNet>,
    pub to: Vec<Aim>,
}

/// Where a packet comes from, as exceptions say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Prefix(IpNet),
    Country(Country),
}

/// Where a packet goes, as exceptions and protections say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aim {
    Anywhere,
    /// A tenant, by number. What a longer prefix gives to another tenant is not meant.
    Tenant(u32),
    Prefix(IpNet),
}

/// What a packet is, as exceptions say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    Any,
    /// An IP protocol, whatever its ports; of ICMP, either version.
    Protocol(u8),
    Service(Service),
}

/// The settings that a tenant may have of its own.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub rule: &'a CountryRule,
    pub unknown: Fate,
    pub special_use: Fate,
    pub mode: Mode,
    pub mail: Mail,
    pub services: &'a [Service],
    pub icmp_echo: Fate,
}

impl Rules<'_> {
    /// Whether an address that the data gives this class is blocked, lists aside.
    #[must_use]
    pub fn blocks(&self, class: Class) -> bool {
        match class.country() {
            Country::UNKNOWN => self.unknown == Fate::Drop,
            // Special-use space has its own setting in the image's flags and no country to block.
            Country::SPECIAL | Country::NONE => false,
            country => match self.rule {
                CountryRule::Block(blocked) => blocked.contains(&country),
                CountryRule::AllowOnly(allowed) => !allowed.contains(&country),
            },
        }
    }
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
    /// Whether the policy blocks an address that the data gives this class, lists and tenants aside.
    #[must_use]
    pub fn blocks(&self, class: Class) -> bool {
        self.rules().blocks(class)
    }

    /// The settings for everybody who has none of their own.
    #[must_use]
    pub fn rules(&self) -> Rules<'_> {
        Rules {
            rule: &self.rule,
            unknown: self.unknown,
            special_use: self.special_use,
            mode: self.mode,
            mail: self.mail,
            services: &self.services,
            icmp_echo: self.icmp_echo,
        }
    }

    /// The settings for the tenant of this number; there is none of number 0, for whom they are everybody's.
    #[must_use]
    pub fn rules_of(&self, tenant: u32) -> Rules<'_> {
        let rules = self.rules();
        let Some(own) = self.tenant(tenant) else {
            return rules;
        };
        Rules {
            rule: own.rule.as_ref().unwrap_or(rules.rule),
            unknown: own.unknown.unwrap_or(rules.unknown),
            special_use: own.special_use.unwrap_or(rules.special_use),
            mode: own.mode.unwrap_or(rules.mode),
            mail: own.mail.unwrap_or(rules.mail),
            services: own.services.as_deref().unwrap_or(rules.services),
            icmp_echo: own.icmp_echo.unwrap_or(rules.icmp_echo),
        }
    }

    /// The tenant of this number.
    #[must_use]
    pub fn tenant(&self, number: u32) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.number == number)
    }
}
