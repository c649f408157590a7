//! Port rules of a tenant: which ports are open to blocked countries, and which are protected.

use geofence_common::action::Mode;
use geofence_common::image::{LINE_WORDS, Line, PortRule, SERVICES_LINES, flag};

use crate::model::policy::{Action, Destination, Policy, Protection, ServiceProtocol};

/// The port of DNS, over UDP and TCP.
const DNS: u16 = 53;

/// Whether some ports of a tenant are protected; tenant 0 stands for all other destinations.
fn has_protection(policy: &Policy, tenant: u32) -> bool {
    protections(policy, tenant).next().is_some()
}

fn protections(policy: &Policy, tenant: u32) -> impl Iterator<Item = &Protection> {
    policy.protections.iter().filter(move |protection| {
        protection
            .to
            .iter()
            .any(|to| *to == Destination::Anywhere || *to == Destination::Tenant(tenant))
    })
}

/// The port rules of a tenant for one protocol. A mail rule overrides a service, and a protection overrides both.
pub(super) fn section(policy: &Policy, tenant: u32, protocol: ServiceProtocol) -> Vec<Line> {
    let mut lines = vec![[0; LINE_WORDS]; SERVICES_LINES];
    let words = lines.as_flattened_mut();
    let mut set = |port: u16, rule: PortRule| {
        let shift = u32::from(port & 15) * 2;
        let word = &mut words[usize::from(port >> 4)];
        *word = (*word & !(3 << shift)) | (rule as u32) << shift;
    };
    let settings = policy.settings_of(tenant);
    for service in &settings.services {
        if service.protocol == protocol {
            for port in service.first..=service.last {
                set(port, PortRule::Service);
            }
        }
    }
    if policy.opens_dns(&settings) {
        set(DNS, PortRule::Service);
    }
    if protocol == ServiceProtocol::Tcp {
        for port in settings.mail.ports() {
            set(*port, PortRule::Mail);
        }
    }
    for service in protections(policy, tenant).flat_map(|protection| &protection.services) {
        if service.protocol == protocol {
            for port in service.first..=service.last {
                set(port, PortRule::Protected);
            }
        }
    }
    lines
}

/// A flag that is set on a condition.
pub(super) const fn when(condition: bool, flag: u32) -> u32 {
    if condition { flag } else { 0 }
}

/// The flags for the settings of a tenant.
pub(super) fn rule_flags(policy: &Policy, tenant: u32) -> u32 {
    let settings = policy.settings_of(tenant);
    when(settings.mode == Mode::Monitor, flag::MONITOR)
        | when(
            settings.special_use == Action::Drop,
            flag::SPECIAL_USE_BLOCKED,
        )
        | when(settings.icmp_echo == Action::Pass, flag::ICMP_ECHO)
        | when(has_protection(policy, tenant), flag::PROTECTED)
}
