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

/// The ingress program for packets that no rule concerns, in policies with rules.
pub(super) const fn fast_path(link: Link) -> &'static str {
    match link {
        Link::Ethernet => name::PROGRAM_FAST,
        Link::Ip => name::PROGRAM_IP_FAST,
    }
}

/// The program that observes what the ingress program with rules has judged.
pub(super) const fn observer(link: Link) -> &'static str {
    match link {
        Link::Ethernet => name::PROGRAM_OBSERVE,
        Link::Ip => name::PROGRAM_IP_OBSERVE,
    }
}

/// The arrays of programs, and the program for devices of this link in each.
pub(super) const fn called(link: Link) -> [(&'static str, &'static str); 4] {
    let [ingress, egress] = programs_with_rules(link);
    [
        (name::FAST_PATH, fast_path(link)),
        (name::RULES, ingress),
        (name::RULES_EGRESS, egress),
        (name::OBSERVERS, observer(link)),
    ]
}
