//! Destination policies: the settings of one destination, where they differ from everyone's.
//!
//! A record is one line and complete: a tenant that sets nothing has every answer in its own record. If exceptions and
//! settings are the same for every destination, there are no records; the header and the class then hold the answers.

use crate::address::Address;
use crate::country::Country;
use crate::explain::{Observer, Step};
use crate::image::class::Class;
use crate::image::layout::{TCP_SERVICES_LINE, UDP_SERVICES_LINE};
use crate::image::lookup::Lookup as _;
use crate::image::settings::{Flags, PortRule, flag};
use crate::image::words::Words;
use crate::opaque::opaque;
use crate::wire::protocol;

/// The most tenants a policy may have; they are numbered from 1.
pub const TENANTS_MAX: u32 = 1024;

/// Words of a policy record, by position.
pub mod policy_record {
    /// As in the header.
    pub const FLAGS: u32 = 0;
    /// The number of the tenant, 0 for none.
    pub const TENANT: u32 = 1;
    /// The same number, or 0 when no exception names the tenant.
    pub const TARGET_TENANT: u32 = 2;
    /// The key of the group of prefixes that exceptions name, 0 for none.
    pub const TARGET_GROUP: u32 = 3;
    /// The lines of the services sections.
    pub const TCP_SERVICES: u32 = 4;
    pub const UDP_SERVICES: u32 = 5;
    /// The tenant's identity, 0 for none; see `crate::image::list_set`.
    pub const IDENTITY: u32 = 6;
    /// A bit for each country that is blocked, eight words.
    pub const BLOCKED: u32 = 8;
}

/// The policy for the destination of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestinationPolicy {
    /// The position of the record. 0, which is the header's, stands for everyone's policy.
    at: u32,
    pub flags: Flags,
}

opaque!(DestinationPolicy { at, flags });

impl DestinationPolicy {
    /// The policy that applies where destinations do not differ.
    #[must_use]
    #[inline(always)]
    pub const fn everywhere(flags: Flags) -> Self {
        Self { at: 0, flags }
    }

    /// Looks up the policy for an address of ours, if a verdict can depend on it.
    #[inline(always)]
    pub fn of<W: Words, O: Observer>(
        address: &Address,
        is_target: bool,
        flags: Flags,
        words: &W,
        observer: &mut O,
    ) -> Option<Self> {
        let differs = flags.has(flag::TENANTS) || is_target && flags.has(flag::TARGETS);
        if !W::HAS_RULES || !differs {
            return Some(Self::everywhere(flags));
        }
        let at = words.policy_lookup(address)?;
        let policy = Self {
            at,
            flags: Flags(words.word(at.wrapping_add(policy_record::FLAGS))?),
        };
        observer.step(Step::DestinationPolicy {
            address: *address,
            tenant: policy.tenant(words),
        });
        Some(policy)
    }

    /// Whether it is everyone's policy, which the header and the class hold.
    #[inline(always)]
    const fn is_everywhere<W: Words>(&self) -> bool {
        !W::HAS_RULES || self.at == 0
    }

    #[inline(always)]
    fn read<W: Words>(&self, at: u32, words: &W) -> u32 {
        if self.is_everywhere::<W>() {
            return 0;
        }
        words.word(self.at.wrapping_add(at)).unwrap_or(0)
    }

    /// The number of the tenant, 0 for none.
    #[inline(always)]
    pub fn tenant<W: Words>(&self, words: &W) -> u32 {
        self.read(policy_record::TENANT, words)
    }

    /// The position of the record, 0 for everyone's policy.
    #[inline(always)]
    pub(crate) const fn at(&self) -> u32 {
        self.at
    }

    /// The names that exceptions have for this destination: a group of prefixes, a tenant; 0 for none.
    #[inline(always)]
    pub(crate) fn targets<W: Words>(&self, words: &W) -> [u32; 2] {
        [policy_record::TARGET_GROUP, policy_record::TARGET_TENANT].map(|at| self.read(at, words))
    }

    /// Whether sources of this class are blocked here, lists apart.
    #[inline(always)]
    pub fn blocks<W: Words>(&self, class: Class, words: &W) -> bool {
        if self.is_everywhere::<W>() {
            return class.is_blocked();
        }
        let country = u32::from(class.country().number());
        let word = self.read(policy_record::BLOCKED.wrapping_add(country >> 5), words);
        word >> (country & 31) & 1 != 0
    }

    /// The rule for a port. Only TCP and UDP have port rules.
    #[inline(always)]
    pub fn port_rule<W: Words>(&self, transport: u8, port: u16, words: &W) -> PortRule {
        let (everywhere, here) = match transport {
            protocol::TCP => (TCP_SERVICES_LINE as u32, policy_record::TCP_SERVICES),
            protocol::UDP => (UDP_SERVICES_LINE as u32, policy_record::UDP_SERVICES),
            _ => return PortRule::None,
        };
        let section = if self.is_everywhere::<W>() {
            everywhere
        } else {
            self.read(here, words)
        };
        words.port_rule(section, port).unwrap_or(PortRule::None)
    }
}

/// The word and the bit of a policy record that say whether a country is blocked.
#[must_use]
pub const fn blocked_bit(country: Country) -> (usize, u32) {
    let number = country.number() as u32;
    (
        (policy_record::BLOCKED + (number >> 5)) as usize,
        1 << (number & 31),
    )
}
