//! VLAN tags in front of IP: one, two, too many, and with every ethertype that announces one.

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
    all
}
