//! A checked policy: what the operator wants, with every name resolved and every prefix parsed.
//!
//! `config` makes one from text, `compile` turns one and GeoIP data into an image. Nothing here can be invalid.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
pub use geofence_common::action::Action;
use geofence_common::action::Mode;
use geofence_common::country::Country;
pub use geofence_common::image::Replies;
use geofence_common::image::class::Class;
use geofence_common::wire::protocol;
use ipnet::IpNet;

use super::listing::Listing;
use super::units::UnixSeconds;

/// Everything a verdict depends on but the GeoIP data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub rule: CountryRule,
    /// What happens to a source that no database knows.
    pub unknown: Action,
    /// What happens to a source in special-use space.
    pub special_use: Action,
    pub mode: Mode,
    pub lookup: Lookup,
    pub mail: Mail,
    /// To which packets of ours a blocked country may reply.
    pub replies: Replies,
    /// Whether replies to HTTPS pass for the policies of MTA-STS.
    pub mta_sts: bool,
    pub services: Vec<Service>,
    /// Whether echo requests from blocked countries pass.
    pub icmp_echo: Action,
    pub management: Vec<IpNet>,
    pub allow: Vec<IpNet>,
    pub deny: Vec<IpNet>,
    /// The autonomous systems that rules name, with the prefixes they have by the data.
    pub systems: Vec<System>,
    /// Whose word it takes that an address is blocked, where there is a second opinion.
    pub cross_check: CrossCheckRule,
    /// Lists from elsewhere, in the order of the configuration.
    pub lists: Vec<Listing>,
    pub tenants: Vec<Tenant>,
    /// Shared with other policies that have them too, because there may be a hundred thousand.
    pub exceptions: Vec<Arc<Exception>>,
    pub protections: Vec<Protection>,
    /// How many packets a second one source of a blocked country may send to exempted services, if that is bounded.
    pub rate_limit: Option<NonZeroU32>,
}

/// An autonomous system that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    pub number: u32,
    /// What its organisation is called; may be empty.
    pub name: String,
    pub rule: SystemRule,
    /// Sorted.
    pub prefixes: Vec<IpNet>,
}

/// The rule that names an autonomous system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemRule {
    Allow,
    Deny,
    /// The exception of this name.
    Exception(String),
}

impl System {
    /// The prefix of it that holds the address.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<IpNet> {
        let mut prefixes = self.prefixes.iter();
        prefixes.find(|net| net.contains(&address)).copied()
    }
}

/// `AS64500 (Example Org)`.
impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.number)?;
        if self.name.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", self.name)
    }
}

impl fmt::Display for SystemRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow => f.write_str("allow"),
            Self::Deny => f.write_str("deny"),
            Self::Exception(id) => write!(f, "exception {id}"),
        }
    }
}

/// Whose word it takes that an address is blocked, where there is a second opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossCheckRule {
    /// That of either database.
    Any,
    /// That of both.
    All,
}

/// Networks with settings of their own; what is not set is as for everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub name: String,
    /// From 1 up to the number of tenants there is room for; it counts by this number.
    pub number: u32,
    pub prefixes: Vec<IpNet>,
    pub rule: Option<CountryRule>,
    pub unknown: Option<Action>,
    pub special_use: Option<Action>,
    pub mode: Option<Mode>,
    pub mail: Option<Mail>,
    pub services: Option<Vec<Service>>,
    pub icmp_echo: Option<Action>,
}

/// Who may reach what although a list or a country says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// What people and counters know it by.
    pub id: String,
    /// The position of its counter, which no other exception or protection has.
    pub slot: u32,
    pub from: Vec<Origin>,
    pub to: Vec<Destination>,
    pub traffic: Vec<Traffic>,
    pub owner: String,
    pub reason: String,
    /// When it expires.
    pub until: Option<UnixSeconds>,
}

/// Ports that only these sources may reach, whatever any country's fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    pub id: String,
    /// The position of the counter of those who do reach it.
    pub slot: u32,
    pub services: Vec<Service>,
    pub from: Vec<IpNet>,
    pub to: Vec<Destination>,
}

/// Where a packet comes from, as exceptions say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Prefix(IpNet),
    Country(Country),
}

/// Where a packet goes, as exceptions and protections say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
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
    pub unknown: Action,
    pub special_use: Action,
    pub mode: Mode,
    pub mail: Mail,
    pub services: &'a [Service],
    pub icmp_echo: Action,
}

impl Rules<'_> {
    /// Whether an address that the data gives this class is blocked, lists aside.
    #[must_use]
    pub fn blocks(&self, class: Class) -> bool {
        match class.country() {
            Country::UNKNOWN => self.unknown == Action::Drop,
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

impl ServiceProtocol {
    /// The number in a packet.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => protocol::TCP,
            Self::Udp => protocol::UDP,
        }
    }
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

    /// The exceptions that have not expired.
    pub fn live_exceptions(&self, now: UnixSeconds) -> impl Iterator<Item = &Exception> {
        let exceptions = self.exceptions.iter().map(Arc::as_ref);
        exceptions.filter(move |exception| exception.until.is_none_or(|until| until > now))
    }

    /// The exceptions that expire within a week.
    pub fn expiring_exceptions(&self, now: UnixSeconds) -> impl Iterator<Item = &Exception> {
        const WEEK: Duration = Duration::from_secs(7 * 86_400);
        let soon = now.plus(WEEK);
        self.live_exceptions(now)
            .filter(move |exception| exception.until.is_some_and(|until| until <= soon))
    }

    /// Numbers tenants, exceptions and protections as they are in another policy, and new ones by what that leaves
    /// free, so that the counters of those that stay go on. Answers with the numbers that are new.
    pub fn keep_numbers(&mut self, before: &Self) -> NewNumbers {
        let (tenants, new_tenants) = renumbered(self.tenant_names(), before.tenant_names(), 1);
        let (slots, new_slots) = renumbered(self.slot_names(), before.slot_names(), 0);

        let numbers = self.tenants.iter().map(|one| one.number);
        let moved = numbers.zip(tenants.iter().copied());
        let moved: HashMap<u32, u32> = moved.filter(|(number, kept)| number != kept).collect();
        let is_moved = |aim: &Destination| matches!(aim, Destination::Tenant(number) if moved.contains_key(number));
        let renumber = |aims: &mut Vec<Destination>| {
            for aim in aims {
                if let Destination::Tenant(number) = aim
                    && let Some(kept) = moved.get(number)
                {
                    *number = *kept;
                }
            }
        };
        let mut slots = slots.into_iter();
        for (one, slot) in self.exceptions.iter_mut().zip(slots.by_ref()) {
            // What stays as it is stays shared.
            if one.slot != slot || one.to.iter().any(is_moved) {
                let one = Arc::make_mut(one);
                one.slot = slot;
                renumber(&mut one.to);
            }
        }
        for (one, slot) in self.protections.iter_mut().zip(slots) {
            one.slot = slot;
            renumber(&mut one.to);
        }
        for (tenant, number) in self.tenants.iter_mut().zip(tenants) {
            tenant.number = number;
        }
        NewNumbers {
            tenants: new_tenants,
            slots: new_slots,
        }
    }

    fn tenant_names(&self) -> impl Iterator<Item = (&str, u32)> {
        let tenants = self.tenants.iter();
        tenants.map(|tenant| (tenant.name.as_str(), tenant.number))
    }

    /// What has a counter, exceptions first: whether it is a protection and what it is called, and the counter.
    fn slot_names(&self) -> impl Iterator<Item = ((bool, &str), u32)> {
        let exceptions = self.exceptions.iter();
        let exceptions = exceptions.map(|one| ((false, one.id.as_str()), one.slot));
        let protections = self.protections.iter();
        let protections = protections.map(|one| ((true, one.id.as_str()), one.slot));
        exceptions.chain(protections)
    }

    /// The prefixes of the autonomous systems that the rule names.
    pub fn prefixes_of_systems(&self, rule: &SystemRule) -> impl Iterator<Item = &IpNet> {
        let systems = self.systems.iter().filter(move |one| one.rule == *rule);
        systems.flat_map(|system| &system.prefixes)
    }

    /// The tenant of this number.
    #[must_use]
    pub fn tenant(&self, number: u32) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.number == number)
    }
}

/// Numbers whose counters start anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewNumbers {
    pub tenants: Vec<u32>,
    pub slots: Vec<u32>,
}

/// The number of each name, which is the one it had if it had one; and those that are new.
fn renumbered<Name: Eq + Hash>(
    names: impl Iterator<Item = (Name, u32)>,
    before: impl Iterator<Item = (Name, u32)>,
    first: u32,
) -> (Vec<u32>, Vec<u32>) {
    let known: HashMap<Name, u32, FixedState> = before.collect();
    let kept: Vec<Option<u32>> = names.map(|(name, _)| known.get(&name).copied()).collect();
    let taken: HashSet<u32, FixedState> = kept.iter().copied().flatten().collect();
    let mut free = (first..).filter(|number| !taken.contains(number));
    let mut new = Vec::new();
    let numbers = kept.into_iter().map(|kept| {
        kept.unwrap_or_else(|| {
            let number = free.next().unwrap_or(u32::MAX);
            new.push(number);
            number
        })
    });
    (numbers.collect(), new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str, number: u32) -> Tenant {
        Tenant {
            name: name.into(),
            number,
            prefixes: Vec::new(),
            rule: None,
            unknown: None,
            special_use: None,
            mode: None,
            mail: None,
            services: None,
            icmp_echo: None,
        }
    }

    fn exception(id: &str, slot: u32, tenant: u32) -> Arc<Exception> {
        Arc::new(Exception {
            id: id.into(),
            slot,
            from: Vec::new(),
            to: vec![Destination::Tenant(tenant)],
            traffic: vec![Traffic::Any],
            owner: "test".into(),
            reason: "test".into(),
            until: None,
        })
    }

    #[test]
    fn who_stays_keeps_a_number_and_who_is_new_takes_a_free_one() {
        let blank = crate::oracle::default_policy();
        let before = Policy {
            tenants: vec![tenant("a", 1), tenant("b", 2), tenant("c", 3)],
            exceptions: vec![exception("x", 0, 1), exception("y", 1, 3)],
            ..blank.clone()
        };
        let mut after = Policy {
            tenants: vec![tenant("d", 1), tenant("c", 2), tenant("a", 3)],
            exceptions: vec![exception("y", 0, 2), exception("z", 1, 1)],
            ..blank
        };
        let new = after.keep_numbers(&before);
        let numbers: Vec<_> = after.tenants.iter().map(|tenant| tenant.number).collect();
        assert_eq!(numbers, [2, 3, 1]);
        assert_eq!(
            after.exceptions,
            [exception("y", 1, 3), exception("z", 0, 2)]
        );
        assert_eq!((new.tenants, new.slots), (vec![2], vec![0]));
    }
}
