//! IPv4 headers and fragments, right and wrong, and sources that no country owns.

use std::net::Ipv4Addr;

use super::entry::Named;
use crate::frames::{Frame, number};

/// More fragments follow.
const MORE: u16 = 0x2000;

pub(super) fn frames(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<Named> {
    let mut all = headers(source, destination);
    all.extend(fragments(source, destination));
    all.extend(sources(source, destination));
    all
}

fn headers(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<Named> {
    let ip = || Frame::ethernet().ipv4(source, destination);
    let mail = || ip().tcp(40000, 25).syn();
    let option = |bytes: &[u8]| ip().options(bytes).tcp(40000, 25).syn();
    let route = [destination.octets(), [192, 0, 2, 9]].concat();
    let mut all = Vec::new();
    for (name, frame) in [
        ("v4_options", option(&[1, 1, 1, 1])),
        ("v4_options_full", option(&[1; 40])),
        ("v4_options_timestamp", option(&[68, 8, 5, 0, 0, 0, 0, 0])),
        ("v4_options_router_alert", option(&[148, 4, 0, 0])),
        (
            "v4_options_record_route",
            option(&[&[7, 11, 4][..], &route].concat()),
        ),
        (
            "v4_options_loose_source_route",
            option(&[&[131, 11, 4][..], &route].concat()),
        ),
        (
            "v4_options_strict_source_route",
            option(&[&[137, 11, 4][..], &route].concat()),
        ),
        ("v4_options_length_0", option(&[131, 0, 4, 0])),
        ("v4_options_length_past_end", option(&[131, 200, 4, 0])),
        ("v4_options_route_behind_end", option(&[0, 131, 3, 4])),
        (
            "v4_options_tcp_22",
            ip().options(&[1; 4]).tcp(40000, 22).syn(),
        ),
        (
            "v4_options_udp_from_53",
            ip().options(&[1; 4]).udp(53, 40000),
        ),
        ("v4_ihl_0", mail().ihl(0)),
        ("v4_ihl_1", mail().ihl(1)),
        ("v4_ihl_4", mail().ihl(4)),
        ("v4_ihl_6_without_options", mail().ihl(6)),
        ("v4_ihl_past_end", mail().ihl(15)),
        (
            "v4_ihl_past_total_length",
            mail().ihl(15).payload([0; 80]).total_length(40),
        ),
        // The options spell the ports that a filter of fixed offsets would read.
        (
            "v4_options_pretend_ports",
            ip().options(&[0x9c, 0x40, 0, 25]).tcp(40000, 22).syn(),
        ),
        ("v4_total_length_zero", mail().total_length(0)),
        ("v4_total_length_19", mail().total_length(19)),
        ("v4_total_length_header_only", mail().total_length(20)),
        ("v4_total_length_ports_only", mail().total_length(24)),
        ("v4_total_length_past_end", mail().total_length(1500)),
        ("v4_total_length_65535", mail().total_length(65535)),
        (
            "v4_total_length_22_hides_25",
            mail().payload([0; 8]).total_length(22),
        ),
        ("v4_nothing_inside", ip()),
        ("v4_version_0", mail().version(0)),
        ("v4_version_5", mail().version(5)),
        ("v4_version_6", mail().version(6)),
        (
            "v4_in_ethertype_v6",
            mail().ethertype(number::ETHERTYPE_IPV6),
        ),
        ("v4_bad_header_checksum", mail().header_checksum(0xbad1)),
        ("v4_reserved_flag", mail().fragment_field(0x8000)),
        ("v4_dont_fragment", mail().fragment_field(0x4000)),
        (
            "v4_protocol_hop_by_hop",
            ip().hop_by_hop(&[]).tcp(40000, 25).syn(),
        ),
        (
            "v4_protocol_fragment",
            ip().fragment(0, false, 1).tcp(40000, 25).syn(),
        ),
        (
            "v4_protocol_destination_options",
            ip().destination_options(&[]).tcp(40000, 25).syn(),
        ),
    ] {
        all.push((name, frame.build()));
    }
    for (name, length) in [
        ("v4_runt_14", 14),
        ("v4_runt_15", 15),
        ("v4_runt_26", 26),
        ("v4_runt_30", 30),
        ("v4_runt_33", 33),
    ] {
        all.push((name, mail().cut(length)));
    }
    all.push(("v4_options_runt", option(&[1; 40]).cut(60)));
    all
}

fn fragments(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<Named> {
    let ip = |field| {
        Frame::ethernet()
            .ipv4(source, destination)
            .fragment_field(field)
    };
    let mail = Frame::packet()
        .ipv4(source, destination)
        .tcp(40000, 25)
        .syn()
        .build();
    let segment = &mail[20..];
    let answer = [0, 53, 0x9c, 0x40, 5, 0xdc, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let of = |field, protocol, bytes: &[u8]| ip(field).protocol(protocol, bytes).build();
    vec![
        (
            "v4_fragment_first_tcp_25",
            ip(MORE).tcp(40000, 25).syn().payload([0; 4]).build(),
        ),
        (
            "v4_fragment_first_tcp_22",
            ip(MORE).tcp(40000, 22).syn().payload([0; 4]).build(),
        ),
        (
            "v4_fragment_first_8_bytes",
            of(MORE, number::TCP, &segment[..8]),
        ),
        (
            "v4_fragment_first_16_bytes",
            of(MORE, number::TCP, &segment[..16]),
        ),
        ("v4_fragment_first_no_bytes", of(MORE, number::TCP, &[])),
        (
            "v4_fragment_first_udp_from_53",
            of(MORE, number::UDP, &answer),
        ),
        (
            "v4_fragment_first_with_df",
            ip(MORE | 0x4000)
                .tcp(40000, 25)
                .syn()
                .payload([0; 4])
                .build(),
        ),
        (
            "v4_fragment_first_options",
            ip(MORE)
                .options(&[1; 8])
                .tcp(40000, 25)
                .syn()
                .payload([0; 4])
                .build(),
        ),
        // The second fragment overwrites the flags of the first (RFC 3128).
        (
            "v4_fragment_offset_1_tcp",
            of(1, number::TCP, &segment[8..]),
        ),
        (
            "v4_fragment_offset_1_more_tcp",
            of(MORE | 1, number::TCP, &segment[8..16]),
        ),
        ("v4_fragment_offset_1_udp", of(1, number::UDP, &answer)),
        ("v4_fragment_later_tcp", of(185, number::TCP, &[0x5a; 100])),
        (
            "v4_fragment_later_more_tcp",
            of(MORE | 185, number::TCP, &[0x5a; 104]),
        ),
        (
            "v4_fragment_later_pretends_25",
            of(185, number::TCP, segment),
        ),
        ("v4_fragment_later_udp", of(185, number::UDP, &answer)),
        (
            "v4_fragment_later_icmp",
            of(185, number::ICMP, &[8, 0, 0, 0, 0, 0, 0, 0]),
        ),
        ("v4_fragment_later_no_bytes", of(185, number::TCP, &[])),
        (
            "v4_fragment_last_possible",
            of(0x1fff, number::TCP, &[0x5a; 8]),
        ),
        (
            "v4_fragment_past_65535",
            of(0x1fff, number::TCP, &[0x5a; 200]),
        ),
        (
            "v4_fragment_first_echo",
            ip(MORE).icmp(8, 0).payload([0; 8]).build(),
        ),
        (
            "v4_fragment_unaligned",
            of(MORE, number::TCP, &[segment, &[1, 2, 3]].concat()),
        ),
    ]
}

fn sources(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<Named> {
    let [a, b, c, _] = source.octets();
    [
        ("v4_from_own_address", destination),
        ("v4_from_unspecified", Ipv4Addr::UNSPECIFIED),
        ("v4_from_this_network", Ipv4Addr::new(0, 1, 2, 3)),
        ("v4_from_loopback", Ipv4Addr::LOCALHOST),
        ("v4_from_ten", Ipv4Addr::new(10, 0, 0, 1)),
        ("v4_from_172_16", Ipv4Addr::new(172, 31, 255, 255)),
        ("v4_from_192_168", Ipv4Addr::new(192, 168, 0, 1)),
        ("v4_from_shared", Ipv4Addr::new(100, 64, 0, 1)),
        ("v4_from_shared_below", Ipv4Addr::new(100, 63, 255, 255)),
        ("v4_from_shared_above", Ipv4Addr::new(100, 128, 0, 0)),
        ("v4_from_link_local", Ipv4Addr::new(169, 254, 169, 254)),
        ("v4_from_benchmarking", Ipv4Addr::new(198, 18, 0, 1)),
        ("v4_from_documentation", Ipv4Addr::new(203, 0, 113, 200)),
        ("v4_from_multicast", Ipv4Addr::new(224, 0, 0, 1)),
        ("v4_from_reserved", Ipv4Addr::new(240, 0, 0, 1)),
        ("v4_from_broadcast", Ipv4Addr::BROADCAST),
        (
            "v4_from_neighbouring_network",
            Ipv4Addr::new(a, b, c.wrapping_add(1), 0),
        ),
    ]
    .map(|(name, from)| {
        (
            name,
            Frame::ethernet()
                .ipv4(from, destination)
                .tcp(40001, 22)
                .syn()
                .build(),
        )
    })
    .into_iter()
    .chain([
        (
            "v4_to_broadcast",
            Frame::ethernet()
                .ipv4(source, Ipv4Addr::BROADCAST)
                .udp(40000, 9)
                .build(),
        ),
        (
            "v4_to_multicast",
            Frame::ethernet()
                .ipv4(source, [224, 0, 0, 251])
                .udp(5353, 5353)
                .build(),
        ),
        (
            "v4_to_unspecified",
            Frame::ethernet()
                .ipv4(source, [0; 4])
                .tcp(40000, 25)
                .syn()
                .build(),
        ),
    ])
    .collect()
}
