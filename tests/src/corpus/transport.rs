//! What IP carries besides ICMP, the same for both families.

use std::net::IpAddr;

use super::entry::Named;
use crate::frames::{Frame, between, number};

/// A payload that fills more than one header's worth of bytes.
const LONG: [u8; 200] = [0x5a; 200];

pub(super) fn frames(source: IpAddr, destination: IpAddr) -> Vec<Named> {
    let ip = || between(source, destination);
    let mut all = tcp(&ip);
    all.extend(udp(&ip));
    all.extend(protocols(&ip, source, destination));
    all
}

fn tcp(ip: &dyn Fn() -> Frame) -> Vec<Named> {
    let to = |port| ip().tcp(40000, port);
    let from = |port| ip().tcp(port, 40000);
    let (network, whole) = (ip().build().len(), to(25).syn().build().len());
    let mut all = vec![
        (
            "tcp_data_behind_padding",
            [to(25).ack().build(), vec![0; 30]].concat(),
        ),
        ("tcp_25_cut_before_ports", to(25).syn().cut(network)),
        ("tcp_25_cut_in_ports", to(25).syn().cut(network + 3)),
        ("tcp_25_cut_behind_ports", to(25).syn().cut(network + 4)),
        ("tcp_25_cut_before_flags", to(25).syn().cut(network + 13)),
        ("tcp_25_cut_by_one", to(25).syn().cut(whole - 1)),
        (
            "tcp_25_short_but_said_so",
            ip().protocol(number::TCP, [0x9c, 0x40, 0, 25]).build(),
        ),
        ("tcp_25_none_at_all", ip().protocol(number::TCP, []).build()),
    ];
    for (name, frame) in [
        ("tcp_22_syn", to(22).syn()),
        ("tcp_22_data", to(22).ack().payload(LONG)),
        ("tcp_25_syn", to(25).syn()),
        ("tcp_25_data", to(25).ack().payload(b"EHLO example.org\r\n")),
        ("tcp_80_syn", to(80).syn()),
        ("tcp_110_syn", to(110).syn()),
        ("tcp_143_syn", to(143).syn()),
        ("tcp_443_syn", to(443).syn()),
        ("tcp_465_syn", to(465).syn()),
        ("tcp_587_syn", to(587).syn()),
        ("tcp_993_syn", to(993).syn()),
        ("tcp_995_syn", to(995).syn()),
        ("tcp_24_syn", to(24).syn()),
        ("tcp_26_syn", to(26).syn()),
        ("tcp_0_syn", to(0).syn()),
        ("tcp_65535_syn", to(65535).syn()),
        // The two bytes of 25 the wrong way round.
        ("tcp_6400_syn", to(6400).syn()),
        ("tcp_25_null", to(25)),
        ("tcp_25_fin", to(25).fin()),
        (
            "tcp_25_xmas",
            to(25).flags(number::FIN | number::PSH | number::URG),
        ),
        ("tcp_25_maimon", to(25).fin().ack()),
        ("tcp_25_ack", to(25).ack()),
        ("tcp_25_rst", to(25).rst()),
        ("tcp_25_syn_fin", to(25).syn().fin()),
        ("tcp_25_syn_rst", to(25).syn().rst()),
        ("tcp_25_every_flag", to(25).flags(0xff)),
        (
            "tcp_25_urgent",
            to(25).flags(number::URG | number::ACK).payload(b"!"),
        ),
        ("tcp_22_null", to(22)),
        ("tcp_22_fin", to(22).fin()),
        (
            "tcp_22_xmas",
            to(22).flags(number::FIN | number::PSH | number::URG),
        ),
        ("tcp_22_maimon", to(22).fin().ack()),
        ("tcp_22_ack", to(22).ack()),
        ("tcp_22_rst", to(22).rst()),
        ("tcp_22_syn_fin", to(22).syn().fin()),
        ("tcp_22_syn_rst", to(22).syn().rst()),
        ("tcp_from_25_syn", from(25).syn()),
        ("tcp_from_25_syn_ack", from(25).syn().ack()),
        ("tcp_from_25_ack", from(25).ack()),
        ("tcp_from_25_fin", from(25).fin()),
        ("tcp_from_53_syn_ack", from(53).syn().ack()),
        ("tcp_from_25_to_25_syn", ip().tcp(25, 25).syn()),
        ("tcp_from_25_to_22_syn", ip().tcp(25, 22).syn()),
        ("tcp_25_bad_checksum", to(25).syn().checksum(0xbad1)),
        ("tcp_22_bad_checksum", to(22).syn().checksum(0xbad1)),
        (
            "tcp_25_options",
            to(25).syn().options(&[2, 4, 5, 0xb4, 1, 3, 3, 7, 4, 2]),
        ),
        ("tcp_25_options_full", to(25).syn().options(&[1; 40])),
        ("tcp_25_data_offset_0", to(25).syn().data_offset(0)),
        ("tcp_25_data_offset_4", to(25).syn().data_offset(4)),
        ("tcp_25_data_offset_15", to(25).syn().data_offset(15)),
        ("tcp_25_ttl_0", to(25).syn().ttl(0)),
        ("tcp_25_ttl_1", to(25).syn().ttl(1)),
        ("tcp_22_ttl_255", to(22).syn().ttl(255)),
        ("tcp_25_traffic_class", to(25).syn().traffic_class(0xff)),
        (
            "tcp_25_to_all_stations",
            to(25).syn().destination_mac([0xff; 6]),
        ),
    ] {
        all.push((name, frame.build()));
    }
    all
}

fn udp(ip: &dyn Fn() -> Frame) -> Vec<Named> {
    let network = ip().build().len();
    let to = |port| ip().udp(40000, port).payload(b"question");
    let from = |port| ip().udp(port, 40000).payload(b"answer");
    let mut all = vec![
        ("udp_25_cut_in_ports", to(25).cut(network + 2)),
        ("udp_from_53_cut_behind_ports", from(53).cut(network + 4)),
        (
            "udp_short_but_said_so",
            ip().protocol(number::UDP, [0, 53, 0x9c, 0x40]).build(),
        ),
    ];
    for (name, frame) in [
        ("udp_25", to(25)),
        ("udp_53", to(53)),
        ("udp_123", to(123)),
        ("udp_443_quic", to(443)),
        ("udp_500_ike", to(500)),
        ("udp_1701_l2tp", to(1701)),
        ("udp_4789_vxlan", to(4789)),
        ("udp_6080_gue", to(6080)),
        ("udp_6081_geneve", to(6081)),
        ("udp_51820_wireguard", to(51820)),
        ("udp_from_25", from(25)),
        ("udp_from_53", from(53)),
        ("udp_from_67_to_68", ip().udp(67, 68).payload(LONG)),
        ("udp_from_547_to_546", ip().udp(547, 546).payload(LONG)),
        ("udp_from_53_to_53", ip().udp(53, 53).payload(b"both")),
        ("udp_from_443", from(443)),
        ("udp_25_empty", ip().udp(40000, 25)),
        ("udp_25_length_0", to(25).udp_length(0)),
        ("udp_25_length_7", to(25).udp_length(7)),
        ("udp_25_length_past_end", to(25).udp_length(9000)),
        ("udp_25_checksum_0", to(25).checksum(0)),
        ("udp_25_bad_checksum", to(25).checksum(0xbad1)),
    ] {
        all.push((name, frame.build()));
    }
    all
}

fn protocols(ip: &dyn Fn() -> Frame, source: IpAddr, destination: IpAddr) -> Vec<Named> {
    let carrying = |protocol, bytes: &[u8]| ip().protocol(protocol, bytes).build();
    let ports = [0x9c, 0x40, 0, 25, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let v4 = Frame::packet()
        .ipv4([192, 0, 2, 2], [192, 0, 2, 1])
        .tcp(40000, 25)
        .syn();
    let v6 = Frame::packet()
        .ipv6(
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2],
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1],
        )
        .tcp(40000, 25)
        .syn();
    let same = Frame::packet().ip(source, destination).tcp(40000, 25).syn();
    let ethernet = Frame::ethernet()
        .ipv4([192, 0, 2, 2], [192, 0, 2, 1])
        .tcp(40000, 25)
        .syn();
    let vxlan = [&[8, 0, 0, 0, 0, 0, 42, 0][..], &ethernet.build()].concat();
    vec![
        ("sctp_25", carrying(number::SCTP, &ports)),
        ("dccp_25", carrying(number::DCCP, &ports)),
        ("udp_lite_25", carrying(number::UDP_LITE, &ports)),
        (
            "esp",
            carrying(number::ESP, &[0, 0, 1, 0, 0, 0, 0, 1, 0, 25, 0, 25]),
        ),
        (
            "ah_tcp_25",
            ip().authentication(&[7; 12]).tcp(40000, 25).syn().build(),
        ),
        (
            "ah_udp_25",
            ip().authentication(&[7; 12]).udp(40000, 25).build(),
        ),
        ("ospf", carrying(number::OSPF, &[2, 1, 0, 44])),
        ("pim", carrying(number::PIM, &[0x20, 0, 0, 0])),
        ("vrrp", carrying(number::VRRP, &[0x31, 1, 100, 1])),
        ("l2tp_without_udp", carrying(number::L2TP, &ports)),
        (
            "protocol_2_igmp",
            carrying(number::IGMP, &[0x16, 0, 0, 0, 224, 0, 0, 251]),
        ),
        (
            "protocol_1_echo",
            carrying(number::ICMP, &[8, 0, 0, 0, 0, 1, 0, 1]),
        ),
        (
            "protocol_58_echo",
            carrying(number::ICMPV6, &[128, 0, 0, 0, 0, 1, 0, 1]),
        ),
        (
            "protocol_58_router_advertisement",
            carrying(number::ICMPV6, &[134, 0, 0, 0, 64, 0, 0, 0]),
        ),
        (
            "protocol_59_nothing",
            carrying(number::NO_NEXT_HEADER, &ports),
        ),
        ("protocol_61_host_internal", carrying(61, &ports)),
        ("protocol_253", carrying(number::EXPERIMENTAL, &ports)),
        ("protocol_255", carrying(255, &ports)),
        (
            "tunnel_ipv4",
            ip().payload([])
                .next(number::IPIP)
                .payload(v4.build())
                .build(),
        ),
        (
            "tunnel_ipv6",
            ip().payload([])
                .next(number::IPV6)
                .payload(v6.build())
                .build(),
        ),
        ("tunnel_own_family", {
            let protocol = if source.is_ipv4() {
                number::IPIP
            } else {
                number::IPV6
            };
            ip().protocol(protocol, same.build()).build()
        }),
        ("tunnel_ipv4_nothing_inside", carrying(number::IPIP, &[])),
        (
            "tunnel_gre_ipv4",
            carrying(
                number::GRE,
                &[&[0, 0, 0x08, 0x00][..], &v4.build()].concat(),
            ),
        ),
        (
            "tunnel_gre_ethernet",
            carrying(
                number::GRE,
                &[&[0, 0, 0x65, 0x58][..], &ethernet.build()].concat(),
            ),
        ),
        (
            "tunnel_ethernet",
            carrying(number::ETHERNET, &ethernet.build()),
        ),
        ("tunnel_vxlan", ip().udp(40000, 4789).payload(vxlan).build()),
        (
            "tunnel_gue_ipv4",
            ip().udp(40000, 6080).payload(v4.build()).build(),
        ),
    ]
}
