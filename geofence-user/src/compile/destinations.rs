//! Zones: every distinct combination of tenant and destination group, each with the services sections it needs.
//!
//! The layers are as those of sources (`super::layers`): the longest prefix decides which tenant an address belongs to,
//! and by itself which group of destinations.

use std::collections::{BTreeSet, HashMap};

use geofence_common::country::{COUNTRIES_MAX, Country};
use geofence_common::image::class::Class;
use geofence_common::image::destination::{blocked_bit, policy_record};
use geofence_common::image::list_set::identity;
use geofence_common::image::{
    LINE_SHIFT, LINE_WORDS, Line, PortRule, SERVICES_LINES, TCP_SERVICES_LINE, UDP_SERVICES_LINE,
    flag,
};

use super::exceptions::Exceptions;
use super::layers::{Layer, combine, layer};
use super::prefix::{Family, Prefix};
use crate::model::policy::{Action, Destination, Policy, ServiceProtocol};

/// A tenant's number and the name of a group of destinations; 0 for none.
pub(super) type DestinationKey = (u32, u32);

/// The destination of every address.
pub(super) fn destinations(
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

/// The distinct destinations, in order, and where their records stand.
pub(super) struct Zones {
    destinations: Vec<DestinationKey>,
    first_line: usize,
}

impl Zones {
    /// Writes the zones of these destinations, and sections of services, behind an image's lines.
    pub(super) fn write(
        lines: &mut Vec<Line>,
        policy: &Policy,
        exceptions: &Exceptions,
        flags: impl Fn(u32) -> u32,
        destinations: impl Iterator<Item = DestinationKey>,
    ) -> Self {
        let distinct: BTreeSet<DestinationKey> = destinations.collect();
        let destinations: Vec<_> = distinct.into_iter().collect();
        let first_line = lines.len();
        lines.resize(first_line + destinations.len(), [0; LINE_WORDS]);
        // What everybody has stands in the fixed sections, which come first.
        let mut sections: HashMap<Vec<Line>, u32> = HashMap::new();
        let mut tenants: HashMap<u32, [u32; 2]> = HashMap::new();
        let places = [
            (ServiceProtocol::Tcp, TCP_SERVICES_LINE),
            (ServiceProtocol::Udp, UDP_SERVICES_LINE),
        ];
        for (protocol, line) in places.into_iter().rev() {
            sections.insert(section(policy, 0, protocol), line as u32);
        }
        for (at, (tenant, group)) in (first_line..).zip(&destinations) {
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
            let zone = &mut lines[at];
            zone[policy_record::FLAGS as usize] = flags(*tenant);
            zone[policy_record::TENANT as usize] = *tenant;
            let name = policy.tenant(*tenant).map(|tenant| tenant.name.as_bytes());
            zone[policy_record::IDENTITY as usize] = name.map_or(0, identity);
            if exceptions.tenants.contains(tenant) {
                zone[policy_record::TARGET_TENANT as usize] = *tenant;
            }
            zone[policy_record::TARGET_GROUP as usize] = *group;
            zone[policy_record::TCP_SERVICES as usize] = tcp;
            zone[policy_record::UDP_SERVICES as usize] = udp;
            let rules = policy.settings_of(*tenant);
            for number in 0..COUNTRIES_MAX {
                let country = Country::from_number(number as u8);
                if rules.blocks(Class::of_country(country)) {
                    let (policy_record, bit) = blocked_bit(country);
                    zone[policy_record] |= bit;
                }
            }
        }
        Self {
            destinations,
            first_line,
        }
    }

    /// The word where a destination's record stands; every destination asked for was given to `write`.
    pub(super) fn position(&self, destination: DestinationKey) -> u32 {
        let at = self
            .destinations
            .partition_point(|known| *known < destination);
        ((self.first_line + at) as u32) << LINE_SHIFT
    }
}

/// Whether some ports of a tenant, or of those who are none, are protected.
pub(super) fn has_protection(policy: &Policy, tenant: u32) -> bool {
    protections(policy, tenant).next().is_some()
}

fn protections(
    policy: &Policy,
    tenant: u32,
) -> impl Iterator<Item = &crate::model::policy::Protection> {
    policy.protections.iter().filter(move |protection| {
        protection
            .to
            .iter()
            .any(|aim| *aim == Destination::Anywhere || *aim == Destination::Tenant(tenant))
    })
}

/// Which ports of a tenant, or of those who are none, are exempt. Of what is said of a port, mail counts more than a
/// service, and a protection more than either.
pub(super) fn section(policy: &Policy, tenant: u32, protocol: ServiceProtocol) -> Vec<Line> {
    let mut lines = vec![[0; LINE_WORDS]; SERVICES_LINES];
    let words = lines.as_flattened_mut();
    let mut exempt = |port: u16, exemption: PortRule| {
        let shift = u32::from(port & 15) * 2;
        let policy_record = &mut words[usize::from(port >> 4)];
        *policy_record = (*policy_record & !(3 << shift)) | (exemption as u32) << shift;
    };
    let rules = policy.settings_of(tenant);
    for service in &rules.services {
        if service.protocol == protocol {
            for port in service.first..=service.last {
                exempt(port, PortRule::Service);
            }
        }
    }
    if protocol == ServiceProtocol::Tcp {
        for port in rules.mail.ports() {
            exempt(*port, PortRule::Mail);
        }
    }
    for service in protections(policy, tenant).flat_map(|protection| &protection.services) {
        if service.protocol == protocol {
            for port in service.first..=service.last {
                exempt(port, PortRule::Protected);
            }
        }
    }
    lines
}

/// The flags that the settings of a tenant, or of those who are none, stand in.
pub(super) fn rule_flags(policy: &Policy, tenant: u32) -> u32 {
    let rules = policy.settings_of(tenant);
    let when = |condition: bool, flag: u32| if condition { flag } else { 0 };
    when(
        rules.mode == geofence_common::action::Mode::Monitor,
        flag::MONITOR,
    ) | when(rules.special_use == Action::Drop, flag::SPECIAL_USE_BLOCKED)
        | when(rules.icmp_echo == Action::Pass, flag::ICMP_ECHO)
        | when(has_protection(policy, tenant), flag::PROTECTED)
}
