//! The settings for one destination, read from an image: everyone's, or a tenant's.

use std::collections::{BTreeSet, HashMap};

use geofence_common::country::{COUNTRIES_MAX, Country};
use geofence_common::image::class::Class;
use geofence_common::image::destination::{blocked_bit, policy_record};
use geofence_common::image::{
    Flags, PortRule, TCP_SERVICES_LINE, UDP_SERVICES_LINE, Words as _, flag,
};

use crate::compile::{BrokenImage, Family, destinations, side_by_side};
use crate::model::policy::ServiceProtocol;

/// The settings for one destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination<'a> {
    words: &'a [u32],
    /// The position of the policy record; 0, where the header is, for everyone's settings.
    at: u32,
}

/// What verdicts for a destination depend on. Tenants with equal settings have equal ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Signature {
    flags: u32,
    blocked: Vec<u32>,
    sections: [u32; 2],
}

impl<'a> Destination<'a> {
    pub(super) const fn new(words: &'a [u32], at: u32) -> Self {
        Self { words, at }
    }

    fn read(&self, at: u32) -> u32 {
        self.words.word(self.at.wrapping_add(at)).unwrap_or(0)
    }

    pub(super) fn flags(&self) -> Flags {
        if self.at == 0 {
            self.words.flags().unwrap_or(Flags(0))
        } else {
            Flags(self.read(policy_record::FLAGS))
        }
    }

    /// The number of the tenant, 0 for none.
    pub(super) fn tenant(&self) -> u32 {
        if self.at == 0 {
            0
        } else {
            self.read(policy_record::TENANT)
        }
    }

    /// Whether sources of this class are blocked, lists apart.
    pub(super) fn blocks(&self, class: Class) -> bool {
        if self.at == 0 {
            return class.is_blocked();
        }
        let (word, bit) = blocked_bit(class.country());
        self.read(word as u32) & bit != 0
    }

    /// The rule of a port.
    pub(super) fn port_rule(&self, protocol: ServiceProtocol, port: u16) -> PortRule {
        let section = self.sections()[protocol as usize];
        self.words
            .port_rule(section, port)
            .unwrap_or(PortRule::None)
    }

    fn sections(&self) -> [u32; 2] {
        if self.at == 0 {
            [TCP_SERVICES_LINE, UDP_SERVICES_LINE].map(|line| line as u32)
        } else {
            [policy_record::TCP_SERVICES, policy_record::UDP_SERVICES].map(|at| self.read(at))
        }
    }

    /// What distinguishes it from others of the same image.
    pub(super) fn signature(&self) -> Signature {
        const RULES: u32 =
            flag::MONITOR | flag::SPECIAL_USE_BLOCKED | flag::ICMP_ECHO | flag::PROTECTED;
        let words = (0..COUNTRIES_MAX as u32 / 32).map(|word| match self.at {
            0 => 0,
            _ => self.read(policy_record::BLOCKED + word),
        });
        Signature {
            flags: self.flags().0 & RULES,
            blocked: words.collect(),
            sections: self.sections(),
        }
    }

    /// Whether a country is blocked; nothing if only the classes of an image say it.
    pub(super) fn blocks_country(&self, country: Country) -> Option<bool> {
        (self.at != 0).then(|| self.blocks(Class::of_country(country)))
    }
}

/// The destinations that an image distinguishes.
pub(super) struct Destinations<'a> {
    words: &'a [u32],
    /// The tenant of every address, by family.
    layers: [Vec<(u128, u32)>; 2],
    /// The position of a policy record of each tenant.
    records: HashMap<u32, u32>,
}

impl<'a> Destinations<'a> {
    pub(super) fn of(words: &'a [u32]) -> Result<Self, BrokenImage> {
        let mut records = HashMap::new();
        let mut layers = [Vec::new(), Vec::new()];
        for (layer, family) in layers.iter_mut().zip(Family::ALL) {
            for (start, at) in destinations(words, family)? {
                let tenant = Destination::new(words, at).tenant();
                records.entry(tenant).or_insert(at);
                layer.push((start, tenant));
            }
            layer.dedup_by_key(|(_, tenant)| *tenant);
        }
        Ok(Self {
            words,
            layers,
            records,
        })
    }

    /// The settings of a tenant; of number 0, those of everyone else.
    pub(super) fn get(&self, tenant: u32) -> Destination<'a> {
        let at = self.records.get(&tenant).copied().unwrap_or(0);
        Destination::new(self.words, at)
    }

    /// The pairs of tenants that some address has in this image and in another, except for addresses of none in both.
    pub(super) fn pairs(&self, other: &Self) -> BTreeSet<(u32, u32)> {
        let layers = self.layers.iter().zip(&other.layers);
        let segments = layers.flat_map(|(one, other)| side_by_side(one, other));
        let pairs = segments.map(|segment| (segment.before, segment.after));
        pairs.filter(|pair| *pair != (0, 0)).collect()
    }
}
