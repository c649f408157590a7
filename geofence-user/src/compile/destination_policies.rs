//! Destination policies: one record for each distinct combination of tenant and destination group, and the sections of
//! port rules that the records refer to.
//!
//! The longest prefix decides which tenant an address belongs to and, independently, which destination group.

use std::collections::{BTreeSet, HashMap};

use geofence_common::country::{COUNTRIES_MAX, Country};
use geofence_common::image::class::Class;
use geofence_common::image::destination::{blocked_bit, policy_record};
use geofence_common::image::list_set::identity;
use geofence_common::image::{LINE_SHIFT, LINE_WORDS, Line, TCP_SERVICES_LINE, UDP_SERVICES_LINE};

use super::exceptions::Exceptions;
use super::layer::{Layer, combine, layer};
use super::port_rules::section;
use super::prefix::{Family, Prefix};
use crate::model::policy::{Policy, ServiceProtocol};

/// The number of a tenant and of a destination group; 0 for none.
pub(super) type DestinationKey = (u32, u32);

/// The destination key of every address.
pub(super) fn destination_keys(
    policy: &Policy,
    exceptions: &Exceptions,
    family: Family,
) -> Layer<DestinationKey> {
    let mut tenants: Vec<(Prefix, u32)> = policy
        .tenants
        .iter()
        .flat_map(|tenant| {
            let prefixes = tenant.prefixes.iter();
            prefixes.filter_map(move |net| Some((Prefix::of(net, family)?, tenant.number)))
        })
        .collect();
    tenants.sort_unstable();
    let tenants = layer(tenants.into_iter(), 0);
    let groups = layer(exceptions.targets(family).iter().copied(), 0);
    combine(&tenants, &groups, |tenant, group| (tenant, group))
}

/// The distinct destination keys, in order, and the position of their records.
pub(super) struct DestinationPolicies {
    keys: Vec<DestinationKey>,
    first_line: usize,
}

impl DestinationPolicies {
    /// Appends the records of these destinations, and their sections of port rules, to an image.
    pub(super) fn write(
        lines: &mut Vec<Line>,
        policy: &Policy,
        exceptions: &Exceptions,
        flags: impl Fn(u32) -> u32,
        keys: impl Iterator<Item = DestinationKey>,
    ) -> Self {
        let distinct: BTreeSet<DestinationKey> = keys.collect();
        let keys: Vec<_> = distinct.into_iter().collect();
        let first_line = lines.len();
        lines.resize(first_line + keys.len(), [0; LINE_WORDS]);
        // The rules for destinations of no tenant are in the fixed sections, which come first.
        let mut sections: HashMap<Vec<Line>, u32> = HashMap::new();
        let mut tenants: HashMap<u32, [u32; 2]> = HashMap::new();
        let places = [
            (ServiceProtocol::Tcp, TCP_SERVICES_LINE),
            (ServiceProtocol::Udp, UDP_SERVICES_LINE),
        ];
        for (protocol, line) in places.into_iter().rev() {
            sections.insert(section(policy, 0, protocol), line as u32);
        }
        for (at, (tenant, group)) in (first_line..).zip(&keys) {
            let [tcp, udp] = *tenants.entry(*tenant).or_insert_with(|| {
                [ServiceProtocol::Tcp, ServiceProtocol::Udp].map(|protocol| {
                    let section = section(policy, *tenant, protocol);
                    let next = lines.len() as u32;
                    let line = *sections.entry(section.clone()).or_insert(next);
                    if line == next {
                        lines.extend(section);
                    }
                    line
                })
            });
            let record = &mut lines[at];
            record[policy_record::FLAGS as usize] = flags(*tenant);
            record[policy_record::TENANT as usize] = *tenant;
            let name = policy.tenant(*tenant).map(|tenant| tenant.name.as_bytes());
            record[policy_record::IDENTITY as usize] = name.map_or(0, identity);
            if exceptions.tenants.contains(tenant) {
                record[policy_record::TARGET_TENANT as usize] = *tenant;
            }
            record[policy_record::TARGET_GROUP as usize] = *group;
            record[policy_record::TCP_SERVICES as usize] = tcp;
            record[policy_record::UDP_SERVICES as usize] = udp;
            let settings = policy.settings_of(*tenant);
            for number in 0..COUNTRIES_MAX {
                let country = Country::from_number(number as u8);
                if settings.blocks(Class::of_country(country)) {
                    let (word, bit) = blocked_bit(country);
                    record[word] |= bit;
                }
            }
        }
        Self { keys, first_line }
    }

    /// The position of a record. Its key must be one of those given to `write`.
    pub(super) fn position(&self, key: DestinationKey) -> u32 {
        let at = self.keys.partition_point(|known| *known < key);
        ((self.first_line + at) as u32) << LINE_SHIFT
    }
}
