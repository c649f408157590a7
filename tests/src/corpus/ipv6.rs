//! IPv6 headers and fragments, right and wrong, and sources with an IPv4 address inside.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::entry::Named;
use crate::frames::{Frame, number};

/// The IPv4 address inside the sources that carry one.
const EMBEDDED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);

pub(super) fn frames(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<Named> {
    let mut all = headers(source, destination);
    all.extend(fragments(source, destination));
    all.extend(sources(source, destination));
    all
}

fn headers(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<Named> {
    let ip = || Frame::ethernet().ipv6(source, destination);
    let mail = || ip().tcp(40000, 25).syn();
    let mut all = Vec::new();
    for (name, frame) in [
        ("v6_nothing_inside", ip()),
        ("v6_version_0", mail().version(0)),
        ("v6_version_4", mail().version(4)),
        ("v6_version_15", mail().version(15)),
        (
            "v6_in_ethertype_v4",
            mail().ethertype(number::ETHERTYPE_IPV4),
        ),
        ("v6_payload_length_zero", mail().payload_length(0)),
        ("v6_payload_length_3", mail().payload_length(3)),
        ("v6_payload_length_ports_only", mail().payload_length(4)),
        ("v6_payload_length_past_end", mail().payload_length(1400)),
        ("v6_payload_length_65535", mail().payload_length(65535)),
        (
            "v6_jumbo_option",
            ip().payload_length(0)
                .hop_by_hop(&[0xc2, 4, 0, 1, 0, 0])
                .tcp(40000, 25)
                .syn(),
        ),
    ] {
        all.push((name, frame.build()));
    }
    for (name, length) in [
        ("v6_runt_14", 14),
        ("v6_runt_21", 21),
        ("v6_runt_37", 37),
        ("v6_runt_38", 38),
        ("v6_runt_53", 53),
    ] {
        all.push((name, mail().cut(length)));
    }
    all
}

fn fragments(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<Named> {
    let ip = || Frame::ethernet().ipv6(source, destination);
    let later = |number, bytes: &[u8]| ip().fragment(185, false, 7).protocol(number, bytes).build();
    let segment = [
        0x9c, 0x40, 0, 25, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
    ];
    let mail = |frame: Frame| frame.tcp(40000, 25).syn().payload([0; 4]).build();
    vec![
        ("v6_fragment_first_tcp_25", mail(ip().fragment(0, true, 7))),
        (
            "v6_fragment_first_tcp_22",
            ip().fragment(0, true, 7)
                .tcp(40000, 22)
                .syn()
                .payload([0; 4])
                .build(),
        ),
        (
            "v6_fragment_first_udp_from_53",
            ip().fragment(0, true, 7)
                .udp(53, 40000)
                .payload([0; 8])
                .build(),
        ),
        (
            "v6_fragment_first_8_bytes",
            ip().fragment(0, true, 7)
                .protocol(number::TCP, &segment[..8])
                .build(),
        ),
        (
            "v6_fragment_first_no_bytes",
            ip().fragment(0, true, 7).protocol(number::TCP, []).build(),
        ),
        (
            "v6_fragment_first_in_chain",
            mail(ip().fragment(0, true, 7).destination_options(&[])),
        ),
        ("v6_fragment_first_chain_cut", {
            // RFC 7112: the first fragment must hold the whole chain.
            ip().fragment(0, true, 7)
                .protocol(number::DESTINATION_OPTIONS, [6, 1, 1, 4, 0, 0, 0, 0])
                .build()
        }),
        (
            "v6_fragment_behind_chain",
            mail(
                ip().hop_by_hop(&[])
                    .routing(4, 0, &[0; 4])
                    .fragment(0, true, 7),
            ),
        ),
        (
            "v6_fragment_offset_1",
            ip().fragment(1, false, 7)
                .protocol(number::TCP, &segment[8..])
                .build(),
        ),
        ("v6_fragment_later_tcp", later(number::TCP, &[0x5a; 100])),
        (
            "v6_fragment_later_more",
            ip().fragment(185, true, 7)
                .protocol(number::TCP, [0x5a; 104])
                .build(),
        ),
        (
            "v6_fragment_later_pretends_25",
            later(number::TCP, &segment),
        ),
        ("v6_fragment_later_udp", later(number::UDP, &segment)),
        (
            "v6_fragment_later_icmp",
            later(number::ICMPV6, &[134, 0, 0, 0, 0, 0, 0, 0]),
        ),
        (
            "v6_fragment_later_options",
            later(number::DESTINATION_OPTIONS, &[6, 0, 0, 0, 0, 0, 0, 0]),
        ),
        ("v6_fragment_later_no_bytes", later(number::TCP, &[])),
        (
            "v6_fragment_last_possible",
            ip().fragment(0x1fff, false, 7)
                .protocol(number::TCP, [0x5a; 8])
                .build(),
        ),
        (
            "v6_fragment_reserved_bits",
            mail(ip().extension(number::FRAGMENT, &[0xff, 0, 6, 0, 0, 0, 7])),
        ),
        (
            "v6_fragment_twice_atomic",
            mail(ip().fragment(0, false, 7).fragment(0, false, 8)),
        ),
        (
            "v6_fragment_twice_first_later",
            mail(ip().fragment(0, true, 7).fragment(185, false, 8)),
        ),
        (
            "v6_fragment_twice_later_first",
            mail(ip().fragment(185, true, 7).fragment(0, true, 8)),
        ),
        (
            "v6_fragment_twice_apart",
            mail(
                ip().fragment(0, false, 7)
                    .destination_options(&[])
                    .fragment(0, true, 8),
            ),
        ),
        (
            "v6_fragment_router_advertisement",
            ip().ttl(255)
                .fragment(0, true, 7)
                .icmp(134, 0)
                .payload([0; 16])
                .build(),
        ),
    ]
}

fn sources(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<Named> {
    let [a, b, c, d] = EMBEDDED.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let of = |words: [u16; 8]| Ipv6Addr::from(words);
    [
        ("v6_from_own_address", destination),
        ("v6_from_unspecified", Ipv6Addr::UNSPECIFIED),
        ("v6_from_loopback", Ipv6Addr::LOCALHOST),
        ("v6_from_mapped", EMBEDDED.to_ipv6_mapped()),
        ("v6_from_compatible", of([0, 0, 0, 0, 0, 0, high, low])),
        ("v6_from_translated", of([0, 0, 0, 0, 0xffff, 0, high, low])),
        ("v6_from_6to4", of([0x2002, high, low, 0, 0, 0, 0, 1])),
        (
            "v6_from_6to4_private",
            of([0x2002, 0x0a00, 1, 0, 0, 0, 0, 1]),
        ),
        (
            "v6_from_teredo",
            of([0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low]),
        ),
        ("v6_from_nat64", of([0x64, 0xff9b, 0, 0, 0, 0, high, low])),
        (
            "v6_from_nat64_local",
            of([0x64, 0xff9b, 1, 0, 0, 0, high, low]),
        ),
        (
            "v6_from_isatap",
            of([0x2001, 0xdb8, 0, 0, 0, 0x5efe, high, low]),
        ),
        ("v6_from_discard", of([0x100, 0, 0, 0, 0, 0, 0, 1])),
        (
            "v6_from_documentation",
            of([0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 1]),
        ),
        ("v6_from_benchmarking", of([0x2001, 2, 0, 0, 0, 0, 0, 1])),
        ("v6_from_unique_local", of([0xfd00, 0, 0, 0, 0, 0, 0, 1])),
        ("v6_from_link_local", of([0xfe80, 0, 0, 0, 0, 0, 0, 2])),
        ("v6_from_site_local", of([0xfec0, 0, 0, 0, 0, 0, 0, 2])),
        ("v6_from_multicast", of([0xff02, 0, 0, 0, 0, 0, 0, 1])),
        ("v6_from_unassigned", of([0x4000, 0, 0, 0, 0, 0, 0, 1])),
        ("v6_from_all_ones", of([0xffff; 8])),
    ]
    .map(|(name, from)| {
        (
            name,
            Frame::ethernet()
                .ipv6(from, destination)
                .tcp(40001, 22)
                .syn()
                .build(),
        )
    })
    .into_iter()
    .chain([
        (
            "v6_to_multicast",
            Frame::ethernet()
                .ipv6(source, of([0xff02, 0, 0, 0, 0, 0, 0, 0xfb]))
                .udp(5353, 5353)
                .build(),
        ),
        (
            "v6_to_mapped",
            Frame::ethernet()
                .ipv6(source, EMBEDDED.to_ipv6_mapped())
                .tcp(40000, 25)
                .syn()
                .build(),
        ),
    ])
    .collect()
}
