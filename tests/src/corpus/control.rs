//! What keeps a link alive, genuine and forged: discovery, addresses, groups and routers.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::entry::Named;
use crate::frames::{Frame, number};
use crate::link::{EDGE_MAC, PEER_MAC};

/// A neighbour's link-local address.
const NEIGHBOUR: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
/// Our own link-local address.
const OURSELVES: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Every host on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Every router that speaks the second version of multicast listener discovery.
const ALL_REPORT_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// The hop-by-hop option that multicast listener discovery must carry.
const ROUTER_ALERT: [u8; 6] = [5, 2, 0, 0, 1, 0];

/// A DHCP answer about addresses (RFC 2131 section 2): `ciaddr`, `yiaddr` and `chaddr`.
#[must_use]
pub fn dhcp_answer(client: Ipv4Addr, yours: Ipv4Addr, station: [u8; 6]) -> Vec<u8> {
    let mut answer = vec![0; 240];
    answer[..8].copy_from_slice(&[2, 1, 6, 0, 0x12, 0x34, 0x56, 0x78]);
    answer[12..16].copy_from_slice(&client.octets());
    answer[16..20].copy_from_slice(&yours.octets());
    answer[28..34].copy_from_slice(&station);
    answer
}

pub(super) fn ipv4(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<Named> {
    let local = Ipv4Addr::new(192, 168, 7, 1);
    let alert = [148, 4, 0, 0];
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let report = [0x16, 0, 0x09, 0x04, 224, 0, 0, 251];
    let from = |address: Ipv4Addr, to: Ipv4Addr| Frame::ethernet().ipv4(address, to);
    let offer = dhcp_answer(Ipv4Addr::UNSPECIFIED, destination, EDGE_MAC);
    let dhcp = |frame: Frame, sender, receiver| frame.udp(sender, receiver).payload(&offer).build();
    let about = |client, yours, station| {
        let answer = dhcp_answer(client, yours, station);
        from(source, destination)
            .udp(67, 68)
            .payload(answer)
            .build()
    };
    let (none, other) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(192, 0, 2, 99));
    vec![
        ("v4_dhcp_offer", dhcp(from(source, destination), 67, 68)),
        (
            "v4_dhcp_answer_to_inform",
            about(destination, none, EDGE_MAC),
        ),
        ("v4_dhcp_offer_of_another", about(none, other, EDGE_MAC)),
        (
            "v4_dhcp_offer_for_another_station",
            about(none, destination, PEER_MAC),
        ),
        (
            "v4_dhcp_offer_cut",
            from(source, destination)
                .udp(67, 68)
                .payload(&offer[..33])
                .build(),
        ),
        (
            "v4_dhcp_request_as_an_answer",
            from(source, destination)
                .udp(67, 68)
                .payload([&[1], &offer[1..]].concat())
                .build(),
        ),
        (
            "v4_dhcp_offer_broadcast",
            dhcp(from(source, Ipv4Addr::BROADCAST), 67, 68),
        ),
        (
            "v4_dhcp_offer_local_server",
            dhcp(from(local, Ipv4Addr::BROADCAST), 67, 68),
        ),
        (
            "v4_dhcp_offer_from_zero",
            dhcp(from(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST), 67, 68),
        ),
        (
            "v4_dhcp_offer_fragment",
            dhcp(from(source, destination).fragment_field(0x2000), 67, 68),
        ),
        (
            "v4_dhcp_discover",
            dhcp(from(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST), 68, 67),
        ),
        ("v4_dhcp_wrong_way", dhcp(from(source, destination), 68, 67)),
        (
            "v4_dhcp_wrong_sender",
            dhcp(from(source, destination), 53, 68),
        ),
        (
            "v4_dhcp_over_tcp",
            from(source, destination).tcp(67, 68).syn().build(),
        ),
        (
            "v4_igmp_report",
            from(local, group)
                .ttl(1)
                .options(&alert)
                .protocol(number::IGMP, report)
                .build(),
        ),
        (
            "v4_igmp_report_foreign",
            from(source, group)
                .ttl(1)
                .options(&alert)
                .protocol(number::IGMP, report)
                .build(),
        ),
        ("v4_igmp_query", {
            let query = [0x11, 100, 0xee, 0x9b, 0, 0, 0, 0];
            from(local, [224, 0, 0, 1].into())
                .ttl(1)
                .options(&alert)
                .protocol(number::IGMP, query)
                .build()
        }),
        ("v4_vrrp_local", {
            from(local, [224, 0, 0, 18].into())
                .ttl(255)
                .protocol(number::VRRP, [0x31, 1, 100, 1])
                .build()
        }),
        (
            "v4_ospf_local",
            from(local, [224, 0, 0, 5].into())
                .ttl(1)
                .protocol(number::OSPF, [2, 1, 0, 44])
                .build(),
        ),
        (
            "v4_rip_local",
            from(local, [224, 0, 0, 9].into())
                .ttl(1)
                .udp(520, 520)
                .payload([2, 2, 0, 0])
                .build(),
        ),
        (
            "v4_bfd_local",
            from(local, destination)
                .ttl(255)
                .udp(49152, 3784)
                .payload([0x20; 24])
                .build(),
        ),
        (
            "v4_mdns_local",
            from(local, group)
                .ttl(255)
                .udp(5353, 5353)
                .payload([0; 12])
                .build(),
        ),
    ]
}

pub(super) fn ipv6(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<Named> {
    let mut all = discovery(source, destination);
    all.extend(groups(source, destination));
    let from = |address: Ipv6Addr, to: Ipv6Addr| Frame::ethernet().ipv6(address, to);
    let dhcp =
        |frame: Frame, sender, receiver| frame.udp(sender, receiver).payload([7, 0, 0, 1]).build();
    all.extend([
        ("v6_dhcp_reply", dhcp(from(NEIGHBOUR, OURSELVES), 547, 546)),
        (
            "v6_dhcp_reply_foreign",
            dhcp(from(source, destination), 547, 546),
        ),
        ("v6_dhcp_solicit", {
            let servers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
            dhcp(from(NEIGHBOUR, servers), 546, 547)
        }),
        (
            "v6_dhcp_wrong_way",
            dhcp(from(source, destination), 546, 547),
        ),
        (
            "v6_dhcp_reply_behind_options",
            dhcp(
                from(NEIGHBOUR, OURSELVES).destination_options(&[]),
                547,
                546,
            ),
        ),
        (
            "v6_dhcp_reply_fragment",
            dhcp(from(NEIGHBOUR, OURSELVES).fragment(0, true, 7), 547, 546),
        ),
        ("v6_ospf_local", {
            let routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 5);
            from(NEIGHBOUR, routers)
                .ttl(1)
                .protocol(number::OSPF, [3, 1, 0, 36])
                .build()
        }),
        ("v6_vrrp_local", {
            let routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
            from(NEIGHBOUR, routers)
                .ttl(255)
                .protocol(number::VRRP, [0x31, 1, 100, 1])
                .build()
        }),
        ("v6_mdns_local", {
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
            from(NEIGHBOUR, group)
                .ttl(255)
                .udp(5353, 5353)
                .payload([0; 12])
                .build()
        }),
    ]);
    all
}

/// Neighbour discovery, from the link and from far away.
fn discovery(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<Named> {
    let message = |from: Ipv6Addr, to: Ipv6Addr, hops, kind| {
        let target = match kind {
            135..=137 => OURSELVES.octets().to_vec(),
            _ => Vec::new(),
        };
        let option = [1, 1, 2, 0, 0, 0, 0, 2];
        let frame = Frame::ethernet().ipv6(from, to).ttl(hops);
        frame.icmp(kind, 0).payload([&target[..], &option].concat())
    };
    let local = |kind| message(NEIGHBOUR, ALL_NODES, 255, kind);
    let mut all = Vec::new();
    for (name, frame) in [
        ("v6_router_solicitation", local(133)),
        ("v6_router_advertisement", local(134)),
        ("v6_neighbour_solicitation", local(135)),
        ("v6_neighbour_advertisement", local(136)),
        ("v6_redirect", local(137)),
        (
            "v6_neighbour_solicitation_unicast",
            message(NEIGHBOUR, OURSELVES, 255, 135),
        ),
        (
            "v6_neighbour_advertisement_unicast",
            message(NEIGHBOUR, OURSELVES, 255, 136),
        ),
        (
            "v6_neighbour_advertisement_cut",
            message(NEIGHBOUR, OURSELVES, 255, 136).payload_length(6),
        ),
        (
            "v6_duplicate_address_detection",
            message(Ipv6Addr::UNSPECIFIED, ALL_NODES, 255, 135),
        ),
        (
            "v6_router_solicitation_unspecified",
            message(Ipv6Addr::UNSPECIFIED, ALL_NODES, 255, 133),
        ),
        (
            "v6_neighbour_solicitation_foreign",
            message(source, destination, 255, 135),
        ),
        (
            "v6_neighbour_advertisement_foreign",
            message(source, destination, 255, 136),
        ),
        (
            "v6_router_advertisement_foreign",
            message(source, destination, 255, 134),
        ),
        (
            "v6_router_advertisement_far",
            message(source, destination, 64, 134),
        ),
        (
            "v6_neighbour_solicitation_far",
            message(source, destination, 64, 135),
        ),
        (
            "v6_neighbour_solicitation_hops_254",
            message(NEIGHBOUR, ALL_NODES, 254, 135),
        ),
        (
            "v6_router_advertisement_hops_64",
            message(NEIGHBOUR, ALL_NODES, 64, 134),
        ),
        ("v6_neighbour_solicitation_code_1", {
            Frame::ethernet()
                .ipv6(NEIGHBOUR, ALL_NODES)
                .ttl(255)
                .icmp(135, 1)
                .payload(OURSELVES.octets())
        }),
        ("v6_router_advertisement_behind_options", {
            Frame::ethernet()
                .ipv6(NEIGHBOUR, ALL_NODES)
                .ttl(255)
                .destination_options(&[])
                .icmp(134, 0)
                .payload([0; 8])
        }),
        ("v6_router_advertisement_atomic", {
            // RFC 6980: discovery is never fragmented, not even into one.
            Frame::ethernet()
                .ipv6(NEIGHBOUR, ALL_NODES)
                .ttl(255)
                .fragment(0, false, 7)
                .icmp(134, 0)
                .payload([0; 8])
        }),
        (
            "v6_echo_link_local",
            Frame::ethernet().ipv6(NEIGHBOUR, OURSELVES).icmp(128, 0),
        ),
    ] {
        all.push((name, frame.build()));
    }
    all
}

/// Multicast listener discovery, which travels behind a hop-by-hop router alert.
fn groups(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<Named> {
    let listener = |from: Ipv6Addr, to: Ipv6Addr, hops, kind| {
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
        let frame = Frame::ethernet()
            .ipv6(from, to)
            .ttl(hops)
            .hop_by_hop(&ROUTER_ALERT);
        frame.icmp(kind, 0).payload(group.octets()).build()
    };
    vec![
        ("v6_listener_query", listener(NEIGHBOUR, ALL_NODES, 1, 130)),
        ("v6_listener_report", listener(NEIGHBOUR, ALL_NODES, 1, 131)),
        ("v6_listener_done", listener(NEIGHBOUR, ALL_NODES, 1, 132)),
        (
            "v6_listener_report_2",
            listener(NEIGHBOUR, ALL_REPORT_ROUTERS, 1, 143),
        ),
        (
            "v6_listener_report_2_unspecified",
            listener(Ipv6Addr::UNSPECIFIED, ALL_REPORT_ROUTERS, 1, 143),
        ),
        (
            "v6_listener_query_hops_255",
            listener(NEIGHBOUR, ALL_NODES, 255, 130),
        ),
        (
            "v6_listener_query_foreign",
            listener(source, destination, 1, 130),
        ),
        (
            "v6_listener_report_2_far",
            listener(source, destination, 64, 143),
        ),
        ("v6_listener_query_without_alert", {
            Frame::ethernet()
                .ipv6(NEIGHBOUR, ALL_NODES)
                .ttl(1)
                .icmp(130, 0)
                .payload([0; 16])
                .build()
        }),
    ]
}
