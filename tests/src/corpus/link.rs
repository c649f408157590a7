//! Frames that are not IP as a host would read it: neighbours talking, other protocols, and IP in disguise.

use std::net::Ipv4Addr;

use super::entry::Named;
use crate::frames::Frame;

/// Encapsulations behind VLAN tags: the name of the frame, how many tags, and the EtherType.
const ENCAPSULATED_BEHIND_TAGS: [(&str, u8, u16); 14] = [
    ("vlan_batman_adv", 1, 0x4305),
    ("vlan_trill", 1, 0x22f3),
    ("vlan_mpls", 1, 0x8847),
    ("vlan_mpls_multicast", 1, 0x8848),
    ("vlan_ppp", 1, 0x880b),
    ("vlan_macsec", 1, 0x88e5),
    ("vlan_provider_backbone", 1, 0x88e7),
    ("vlan_hsr", 1, 0x892f),
    ("vlan_prp", 1, 0x88fb),
    ("vlan_service_header", 1, 0x894f),
    ("vlan_bridge_port_extension", 1, 0x893f),
    // The first byte of the packet is taken for a protocol that compresses.
    ("vlan_pppoe_other", 1, 0x8864),
    ("vlan_two_mpls", 2, 0x8847),
    ("vlan_two_macsec", 2, 0x88e5),
];

pub(super) fn frames(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<Named> {
    let of_type = |ethertype: u16, bytes: &[u8]| Frame::ethernet().raw(ethertype, bytes).build();
    let packet = Frame::packet()
        .ipv4(source, destination)
        .tcp(40000, 22)
        .syn()
        .build();
    let snap = |bytes: &[u8]| {
        let header = [&[0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00][..], bytes].concat();
        Frame::ethernet().length_field(true).payload(header)
    };
    let pppoe_length = (packet.len() as u16 + 2).to_be_bytes();
    let pppoe = [&[0x11, 0, 0, 1][..], &pppoe_length, &[0x00, 0x21], &packet].concat();
    let mut frames = vec![
        (
            "arp_request",
            Frame::ethernet()
                .destination_mac([0xff; 6])
                .arp(1, source, destination)
                .build(),
        ),
        (
            "arp_reply",
            Frame::ethernet().arp(2, source, destination).build(),
        ),
        (
            "arp_cut_short",
            Frame::ethernet().arp(1, source, destination).cut(20),
        ),
        (
            "arp_tagged",
            Frame::ethernet()
                .vlan(0x8100, 5)
                .arp(1, source, destination)
                .build(),
        ),
        ("rarp", of_type(0x8035, &[0, 1, 8, 0, 6, 4, 0, 3])),
        (
            "lldp",
            of_type(0x88cc, &[0x02, 0x07, 0x04, 2, 0, 0, 0, 0, 2, 0, 0]),
        ),
        ("eapol", of_type(0x888e, &[1, 1, 0, 0])),
        ("lacp", of_type(0x8809, &[1, 1, 1, 20])),
        ("ptp", of_type(0x88f7, &[0, 2, 0, 44])),
        ("fcoe", of_type(0x8906, &[0; 46])),
        ("macsec", of_type(0x88e5, &[0x20, 0, 0, 0, 0, 1])),
        ("connectivity_fault", of_type(0x8902, &[0; 8])),
        ("wake_on_lan", of_type(0x0842, &[0xff; 102])),
        ("trill", of_type(0x22f3, &[0; 6])),
        ("loopback_test", of_type(0x9000, &[0; 46])),
        ("service_header", of_type(0x894f, &[0x0f, 0xc6, 1, 1])),
        (
            "mpls_ipv4",
            of_type(0x8847, &[&[0, 1, 0x01, 64][..], &packet].concat()),
        ),
        (
            "mpls_multicast",
            of_type(0x8848, &[&[0, 1, 0x01, 64][..], &packet].concat()),
        ),
        (
            "batman_adv",
            of_type(0x4305, &[&[0x40, 15, 50][..], &packet].concat()),
        ),
        (
            "provider_backbone",
            of_type(0x88e7, &[&[0, 0, 0, 5][..], &packet].concat()),
        ),
        (
            "hsr",
            of_type(0x892f, &[&[0, 40, 0, 1, 0x08, 0][..], &packet].concat()),
        ),
        (
            "prp_supervision",
            of_type(0x88fb, &[0, 1, 0, 1, 20, 6, 2, 0]),
        ),
        (
            "bridge_port_extension",
            of_type(
                0x893f,
                &[&[0, 1, 0, 0, 0, 0, 0x08, 0][..], &packet].concat(),
            ),
        ),
        (
            "ppp_without_session",
            of_type(0x880b, &[&[0, 0x21][..], &packet].concat()),
        ),
        (
            "pppoe_discovery",
            of_type(0x8863, &[0x11, 0x09, 0, 0, 0, 4, 1, 1, 0, 0]),
        ),
        ("pppoe_session_ipv4", of_type(0x8864, &pppoe)),
        ("ethertype_unknown", of_type(0x88b5, b"anything")),
        ("ethertype_ffff", of_type(0xffff, &packet)),
        ("ethertype_just_below", of_type(0x05ff, &packet)),
        ("ethertype_just_above", of_type(0x0600, &packet)),
        ("ethertype_zero", of_type(0, &packet)),
        ("ethernet_only", of_type(0x88cc, &[])),
        ("ethernet_only_zeroes", vec![0; 14]),
        ("ethernet_only_ones", vec![0xff; 14]),
        ("llc_spanning_tree", {
            let bytes = [0x42, 0x42, 0x03, 0, 0, 0, 0, 0, 0, 0];
            let group = [0x01, 0x80, 0xc2, 0, 0, 0];
            Frame::ethernet()
                .destination_mac(group)
                .length_field(true)
                .payload(bytes)
                .build()
        }),
        ("llc_snap_ipv4", snap(&packet).build()),
        (
            "llc_raw_ipx",
            Frame::ethernet()
                .length_field(true)
                .payload([0xff, 0xff, 0, 30])
                .build(),
        ),
        ("llc_tagged_snap_ipv4", {
            let header = [&[0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00][..], &packet].concat();
            Frame::ethernet()
                .vlan(0x8100, 5)
                .ethertype(header.len() as u16)
                .payload(header)
                .build()
        }),
    ];
    // What follows a tag may be nothing at all.
    for (name, frame) in [
        (
            "vlan_tag_only",
            Frame::ethernet().vlan(0x8100, 5).ethertype(0x0800),
        ),
        (
            "vlan_two_tags_only",
            Frame::ethernet()
                .vlan(0x88a8, 5)
                .vlan(0x8100, 6)
                .ethertype(0x0800),
        ),
        (
            "vlan_unknown_inside",
            Frame::ethernet().vlan(0x8100, 5).payload(b"anything"),
        ),
        (
            "vlan_tags_all_the_way",
            (0..12).fold(Frame::ethernet(), |frame, _| frame.vlan(0x8100, 5)),
        ),
    ] {
        frames.push((name, frame.build()));
    }
    // What is not read without a tag is not read behind one.
    for (name, tagged, ether_type) in ENCAPSULATED_BEHIND_TAGS {
        let frame = Frame::ethernet().vlan(0x8100, 5);
        let frame = if tagged == 2 {
            frame.vlan(0x8100, 6)
        } else {
            frame
        };
        let payload = [&[0, 1, 0x01, 64][..], &packet].concat();
        frames.push((name, frame.ethertype(ether_type).payload(payload).build()));
    }
    let tagged = Frame::ethernet().vlan(0x8100, 5).ethertype(0x0800);
    frames.push(("vlan_tag_cut_to_14", tagged.cut(14)));
    frames.push(("vlan_tag_cut_to_15", tagged.cut(15)));
    frames.push(("vlan_tag_cut_to_17", tagged.cut(17)));
    let two = Frame::ethernet()
        .vlan(0x88a8, 5)
        .vlan(0x8100, 6)
        .ethertype(0x0800);
    frames.push(("vlan_second_tag_cut_to_18", two.cut(18)));
    frames.push(("vlan_second_tag_cut_to_21", two.cut(21)));
    frames
}
