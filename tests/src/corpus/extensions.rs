//! IPv6 extension headers: each alone, chains in good and bad order, and chains that end too early.

use std::net::Ipv6Addr;

use super::entry::Named;
use crate::frames::{Frame, number};

pub(super) fn frames(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<Named> {
    let mut all = extensions(source, destination);
    all.extend(chains(source, destination));
    all
}

/// Each extension header, alone in front of what mail is.
fn extensions(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<Named> {
    let ip = || Frame::ethernet().ipv6(source, destination);
    let segment = [0x9c, 0x40, 0, 25];
    [
        ("v6_hop_by_hop", ip().hop_by_hop(&[])),
        ("v6_hop_by_hop_router_alert", ip().hop_by_hop(&[5, 2, 0, 0])),
        ("v6_hop_by_hop_long", ip().hop_by_hop(&[1, 200])),
        ("v6_destination_options", ip().destination_options(&[])),
        (
            "v6_destination_options_long",
            ip().destination_options(&[0; 254]),
        ),
        ("v6_home_address_option", {
            ip().destination_options(&[&[1, 2, 0, 0, 0xc9, 16][..], &destination.octets()].concat())
        }),
        (
            "v6_routing_type_0",
            ip().routing(0, 1, &[&[0; 4][..], &destination.octets()].concat()),
        ),
        (
            "v6_routing_type_2",
            ip().routing(2, 1, &[&[0; 4][..], &destination.octets()].concat()),
        ),
        (
            "v6_routing_type_4",
            ip().routing(4, 0, &[&[0; 4][..], &destination.octets()].concat()),
        ),
        ("v6_routing_type_unknown", ip().routing(200, 0, &[0; 4])),
        ("v6_authentication_long", ip().authentication(&[7; 60])),
        ("v6_authentication_bare", ip().authentication(&[])),
        ("v6_authentication_odd_words", ip().authentication(&[7; 16])),
        ("v6_mobility", ip().mobility(&[5, 0, 0, 0, 0, 0])),
        ("v6_hip", ip().hip(&[1, 0x21, 0, 0, 0, 0])),
        ("v6_shim6", ip().shim6(&[0x80, 0, 0, 0, 0, 0])),
        ("v6_atomic_fragment", ip().fragment(0, false, 7)),
        ("v6_header_253", ip().extension(253, &[0; 7])),
        ("v6_header_254", ip().extension(254, &[0; 7])),
        ("v6_header_esp", ip().extension(number::ESP, &[0; 7])),
        // Not extension headers, though their first byte names TCP: nothing behind them is a header.
        (
            "v6_sctp_pretends_tcp",
            ip().extension(number::SCTP, &[0, 0x9c, 0x40, 0, 25, 0, 0]),
        ),
        (
            "v6_no_next_header",
            ip().extension(number::NO_NEXT_HEADER, &[0; 7]),
        ),
        (
            "v6_encapsulated_pretends_tcp",
            ip().extension(number::IPV6, &[0; 7]),
        ),
        (
            "v6_length_wraps",
            ip().extension(number::DESTINATION_OPTIONS, &[255, 0, 0, 0, 0, 0, 0]),
        ),
        (
            "v6_authentication_length_0",
            ip().extension(number::AUTHENTICATION, &[0, 0, 0, 0, 0, 0, 0]),
        ),
        (
            "v6_authentication_length_255",
            ip().extension(number::AUTHENTICATION, &[255, 0, 0, 0, 0, 0, 0]),
        ),
    ]
    .map(|(name, frame)| (name, frame.tcp(40000, 25).syn().build()))
    .into_iter()
    .chain([
        (
            "v6_hop_by_hop_tcp_22",
            ip().hop_by_hop(&[]).tcp(40000, 22).syn().build(),
        ),
        (
            "v6_destination_options_udp_from_53",
            ip().destination_options(&[]).udp(53, 40000).build(),
        ),
        (
            "v6_hop_by_hop_short_tcp",
            ip().hop_by_hop(&[]).protocol(number::TCP, segment).build(),
        ),
    ])
    .collect()
}

/// Several extension headers, in good and bad order, and chains that end too early.
fn chains(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<Named> {
    let ip = || Frame::ethernet().ipv6(source, destination);
    let options = |count: usize| (0..count).fold(ip(), |frame, _| frame.destination_options(&[]));
    let every = ip()
        .hop_by_hop(&[])
        .destination_options(&[])
        .routing(4, 0, &[0; 4])
        .authentication(&[7; 12])
        .mobility(&[0; 6])
        .hip(&[0; 6])
        .shim6(&[0; 6])
        .destination_options(&[]);
    let mut all = Vec::new();
    for (name, frame) in [
        ("v6_chain_every_header", every.clone()),
        ("v6_chain_every_header_atomic", every.fragment(0, false, 7)),
        ("v6_chain_two", options(2)),
        ("v6_chain_three_options", options(3)),
        ("v6_chain_seven", options(7)),
        ("v6_chain_eight", options(8)),
        ("v6_chain_nine", options(9)),
        ("v6_chain_sixteen", options(16)),
        (
            "v6_chain_hop_by_hop_not_first",
            ip().destination_options(&[]).hop_by_hop(&[]),
        ),
        (
            "v6_chain_hop_by_hop_twice",
            ip().hop_by_hop(&[]).hop_by_hop(&[]),
        ),
        (
            "v6_chain_two_routing",
            ip().routing(4, 0, &[0; 4]).routing(4, 0, &[0; 4]),
        ),
        (
            "v6_chain_two_authentication",
            ip().authentication(&[7; 4]).authentication(&[7; 12]),
        ),
    ] {
        all.push((name, frame.tcp(40000, 25).syn().build()));
    }
    let whole = ip()
        .hop_by_hop(&[])
        .destination_options(&[0; 20])
        .tcp(40000, 25)
        .syn();
    for (name, length) in [
        ("v6_chain_cut_before_first", 54),
        ("v6_chain_cut_in_first", 55),
        ("v6_chain_cut_before_second", 62),
        ("v6_chain_cut_in_second", 70),
        ("v6_chain_cut_before_tcp", 86),
        ("v6_chain_cut_in_ports", 89),
    ] {
        all.push((name, whole.cut(length)));
    }
    let ends = |number, bytes: &[u8]| ip().protocol(number, bytes).build();
    all.extend([
        ("v6_chain_ends_at_once", ends(number::HOP_BY_HOP, &[])),
        (
            "v6_chain_ends_in_options",
            ends(number::DESTINATION_OPTIONS, &[6, 0, 0]),
        ),
        (
            "v6_chain_ends_in_fragment",
            ends(number::FRAGMENT, &[6, 0, 0, 0]),
        ),
        (
            "v6_chain_ends_in_authentication",
            ends(number::AUTHENTICATION, &[6, 4, 0, 0, 0, 0, 0, 1]),
        ),
        (
            "v6_chain_ends_behind_options",
            ends(number::DESTINATION_OPTIONS, &[6, 0, 1, 4, 0, 0, 0, 0]),
        ),
        // Bytes behind the payload length are padding, not the rest of the chain.
        (
            "v6_chain_goes_on_in_padding",
            ip().payload_length(8)
                .hop_by_hop(&[])
                .tcp(40000, 25)
                .syn()
                .build(),
        ),
    ]);
    all
}
