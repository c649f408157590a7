//! Which programs of the object are for devices of which link.

use geofence_common::frame::Link;
use geofence_common::maps::name;

/// The programs for policies with rules, to which those hand the packets.
pub(super) const fn programs_with_rules(link: Link) -> [&'static str; 2] {
    match link {
        Link::Ethernet => [name::PROGRAM_RULES, name::EGRESS_RULES],
        Link::Ip => [name::PROGRAM_IP_RULES, name::EGRESS_IP_RULES],
    }
}

/// The ingress and the egress program for devices of this link.
pub(super) const fn programs(link: Link) -> [&'static str; 2] {
    match link {
        Link::Ethernet => [name::PROGRAM, name::EGRESS],
        Link::Ip => [name::PROGRAM_IP, name::EGRESS_IP],
    }
}
