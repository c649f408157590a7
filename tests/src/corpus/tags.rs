//! VLAN tags in front of IP: one, two, too many, and with every ethertype that announces one. PPPoE and LLC/SNAP.

use std::net::IpAddr;

use super::entry::Named;
use crate::frames::Frame;

pub(super) fn frames(source: IpAddr, destination: IpAddr) -> Vec<Named> {
    let tagged = |tags: &[(u16, u16)]| {
        let frame = tags
            .iter()
            .fold(Frame::ethernet(), |frame, (protocol, control)| {
                frame.vlan(*protocol, *control)
            });
        frame.ip(source, destination)
    };
    let mut all = Vec::new();
    for (name, tags) in [
        ("vlan_one", &[(0x8100, 5)][..]),
        ("vlan_one_provider", &[(0x88a8, 5)]),
        ("vlan_one_old_provider", &[(0x9100, 5)]),
        ("vlan_one_older_provider", &[(0x9200, 5)]),
        ("vlan_priority", &[(0x8100, 0xe000)]),
        ("vlan_zero", &[(0x8100, 0)]),
        ("vlan_4095", &[(0x8100, 0x0fff)]),
        ("vlan_two", &[(0x88a8, 5), (0x8100, 6)]),
        ("vlan_two_customer", &[(0x8100, 5), (0x8100, 6)]),
        ("vlan_two_provider_last", &[(0x8100, 5), (0x88a8, 6)]),
        ("vlan_two_old_provider", &[(0x9100, 5), (0x8100, 6)]),
        ("vlan_two_old_provider_last", &[(0x8100, 5), (0x9100, 6)]),
        ("vlan_three", &[(0x88a8, 5), (0x8100, 6), (0x8100, 7)]),
        (
            "vlan_four",
            &[(0x8100, 5), (0x8100, 6), (0x8100, 7), (0x8100, 8)],
        ),
    ] {
        all.push((name, tagged(tags).tcp(40000, 22).syn().build()));
    }
    all.push((
        "vlan_one_tcp_25",
        tagged(&[(0x8100, 5)]).tcp(40000, 25).syn().build(),
    ));
    all.push((
        "vlan_two_tcp_25",
        tagged(&[(0x88a8, 5), (0x8100, 6)])
            .tcp(40000, 25)
            .syn()
            .build(),
    ));
    all.push((
        "vlan_one_udp_from_53",
        tagged(&[(0x8100, 5)]).udp(53, 40000).build(),
    ));
    all.extend(encapsulated(source, destination));
    all
}

/// IP in PPPoE sessions and in LLC/SNAP, plain and behind tags.
fn encapsulated(source: IpAddr, destination: IpAddr) -> Vec<Named> {
    let packet = |port| {
        let packet = Frame::packet().ip(source, destination);
        packet.tcp(40001, port).syn().build()
    };
    let is_v6 = source.is_ipv6();
    let protocol: u8 = if is_v6 { 0x57 } else { 0x21 };
    let ether_type: [u8; 2] = if is_v6 { [0x86, 0xdd] } else { [8, 0] };
    let session = |protocol: &[u8], packet: Vec<u8>| {
        let length = (protocol.len() + packet.len()) as u16;
        [
            &[0x11, 0, 0, 1],
            &length.to_be_bytes()[..],
            protocol,
            &packet,
        ]
        .concat()
    };
    let snap =
        |oui: [u8; 3], packet: Vec<u8>| [&[0xaa, 0xaa, 3], &oui[..], &ether_type, &packet].concat();
    let one = || Frame::ethernet().vlan(0x8100, 5);
    let two = || Frame::ethernet().vlan(0x88a8, 5).vlan(0x8100, 6);
    let pppoe = |frame: Frame, payload: Vec<u8>| frame.raw(0x8864, payload).build();
    let in_snap = |frame: Frame, payload: Vec<u8>| {
        let length = payload.len() as u16;
        frame.raw(length, payload).build()
    };
    let full = [0, protocol];
    vec![
        (
            "pppoe_ip",
            pppoe(Frame::ethernet(), session(&full, packet(22))),
        ),
        (
            "pppoe_ip_short_protocol",
            pppoe(Frame::ethernet(), session(&[protocol], packet(22))),
        ),
        (
            "pppoe_ip_vlan_one",
            pppoe(one(), session(&full, packet(22))),
        ),
        (
            "pppoe_ip_vlan_two",
            pppoe(two(), session(&full, packet(22))),
        ),
        (
            "pppoe_ip_vlan_two_short_protocol",
            pppoe(two(), session(&[protocol], packet(22))),
        ),
        (
            "pppoe_ip_tcp_25",
            pppoe(Frame::ethernet(), session(&full, packet(25))),
        ),
        ("pppoe_ip_length_wrong", {
            let mut payload = session(&full, packet(22));
            payload[4..6].copy_from_slice(&[0, 4]);
            pppoe(Frame::ethernet(), payload)
        }),
        (
            "pppoe_multilink",
            pppoe(Frame::ethernet(), session(&[0, 0x3d], packet(22))),
        ),
        (
            "pppoe_compressed",
            pppoe(Frame::ethernet(), session(&[0, 0xfd], packet(22))),
        ),
        (
            "pppoe_header_compression",
            pppoe(Frame::ethernet(), session(&[0, 0x2d], packet(22))),
        ),
        (
            "pppoe_link_control",
            pppoe(Frame::ethernet(), session(&[0xc0, 0x21], vec![1, 1, 0, 4])),
        ),
        (
            "pppoe_cut_short",
            pppoe(Frame::ethernet(), vec![0x11, 0, 0, 1, 0, 0]),
        ),
        (
            "snap_ip",
            in_snap(Frame::ethernet(), snap([0; 3], packet(22))),
        ),
        (
            "snap_ip_bridge_tunnel",
            in_snap(Frame::ethernet(), snap([0, 0, 0xf8], packet(22))),
        ),
        ("snap_ip_vlan_one", in_snap(one(), snap([0; 3], packet(22)))),
        (
            "snap_ip_vlan_two_tcp_25",
            in_snap(two(), snap([0; 3], packet(25))),
        ),
        (
            "snap_vendor",
            in_snap(Frame::ethernet(), snap([0, 0, 0x0c], packet(22))),
        ),
    ]
}
