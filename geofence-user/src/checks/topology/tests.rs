//! Stacks of devices that the tests describe, and what follows for a filter.

use std::collections::BTreeSet;

use geofence_common::decide::Origin;

use super::*;
use crate::checks::finding::Level;
use crate::model::interface::{Bond, Interface};
use crate::model::link_type::LinkType;

fn device(index: u32, name: &str, kind: &str) -> Interface {
    Interface {
        name: name.to_owned(),
        index,
        kind: Some(kind)
            .filter(|kind| !kind.is_empty())
            .map(str::to_owned),
        is_up: true,
        ..Interface::default()
    }
}

fn nic(index: u32, name: &str) -> Interface {
    Interface {
        driver: Some("ice".to_owned()),
        ..device(index, name, "")
    }
}

fn port(of: u32, interface: Interface) -> Interface {
    Interface {
        controller: Some(of),
        ..interface
    }
}

fn child(of: u32, interface: Interface) -> Interface {
    Interface {
        parent: Some(of),
        ..interface
    }
}

/// The level and text of the first finding about a device.
fn first(present: &[Interface], name: &str, named: &[&str]) -> Option<(Level, String)> {
    let interface = present.iter().find(|one| one.name == name).unwrap();
    let findings = placement(present, interface, |one| named.contains(&one.name.as_str()));
    let first = findings.into_iter().next()?;
    Some((
        first.level,
        format!("{} {}", first.text, first.line.unwrap_or_default()),
    ))
}

fn above(present: &[Interface], lower: u32) -> Vec<u32> {
    let above = Stack(present).above(&BTreeSet::from([lower]));
    above.into_iter().collect()
}

#[test]
fn devices_above_a_device_are_found_through_ports_and_parents() {
    let present = [
        nic(2, "eth0"),
        port(4, child(2, device(3, "eth0.7", "vlan"))),
        device(4, "br0", "bridge"),
        child(4, device(5, "mac0", "macvlan")),
        nic(6, "eth1"),
        port(4, device(7, "tap0", "tun")),
    ];
    assert_eq!(above(&present, 2), [3, 4, 5]);
    assert_eq!(above(&present, 7), [4, 5]);
    assert!(above(&present, 6).is_empty());
}

#[test]
fn devices_are_ordered_from_the_lowest() {
    let present = [
        device(4, "br0", "bridge"),
        port(4, child(2, device(3, "eth0.7", "vlan"))),
        nic(2, "eth0"),
    ];
    assert_eq!(Stack(&present).lowest_first(&[4, 0, 3, 2]), [1, 3, 2, 0]);
}

#[test]
fn the_other_end_of_a_pair_and_a_tunnel_are_not_above() {
    let present = [
        nic(2, "eth0"),
        child(2, device(3, "veth1", "veth")),
        child(2, device(4, "gre1", "gre")),
        child(2, device(5, "new0", "something-new")),
    ];
    assert_eq!(above(&present, 2), [5]);
}

#[test]
fn ppp_is_above_a_device_with_pppoe_sessions() {
    let mut present = [nic(2, "eth0"), device(3, "ppp0", "ppp")];
    assert!(above(&present, 2).is_empty());
    present[0].has_pppoe = true;
    assert_eq!(above(&present, 2), [3]);
}

#[test]
fn open_vswitch_leads_to_this_machine_through_ports_of_its_own() {
    let present = [
        port(9, nic(2, "eth0")),
        device(9, "ovs-system", "openvswitch"),
        device(10, "br-ex", "openvswitch"),
    ];
    assert_eq!(above(&present, 2), [9, 10]);
}

#[test]
fn every_device_has_an_origin_and_protected_ones_come_first() {
    let present = [
        nic(1, "lan0"),
        device(3, "br0", "bridge"),
        port(3, nic(2, "wan0")),
    ];
    assert_eq!(
        origins(&present, &BTreeSet::from([2, 8]), &BTreeSet::new()),
        [
            (2, Origin::Protected),
            (3, Origin::Above),
            (1, Origin::Inside)
        ]
    );
}

#[test]
fn inner_devices_and_those_above_them_are_inside() {
    let present = [
        nic(1, "lan0"),
        device(3, "br0", "bridge"),
        port(3, nic(2, "wan0")),
        device(4, "br1", "bridge"),
        port(4, nic(5, "lan1")),
    ];
    let all = BTreeSet::from([1, 2, 5]);
    assert_eq!(
        origins(&present, &all, &BTreeSet::from([1, 5])),
        [
            (2, Origin::Protected),
            (3, Origin::Above),
            (1, Origin::Inside),
            (4, Origin::Inside),
            (5, Origin::Inside)
        ]
    );
    // A device above an outer one can be inner: a VLAN of the only interface.
    assert!(origins(&present, &all, &BTreeSet::from([3])).contains(&(3, Origin::Inside)));
}

#[test]
fn a_filter_on_one_port_of_a_bond_misses_the_others() {
    let bond = |mode: &str, hashes_vlan| Interface {
        bond: Some(Bond {
            mode: mode.to_owned(),
            hashes_vlan,
        }),
        ..device(4, "bond0", "bond")
    };
    let present = [
        port(4, nic(2, "eth0")),
        port(4, nic(3, "eth1")),
        bond("active-backup", true),
    ];
    let (level, text) = first(&present, "eth0", &["eth0"]).unwrap();
    assert!(
        level == Level::Change && text.contains("other ports (eth1)"),
        "{text}"
    );
    assert!(text.ends_with("interfaces = [\"bond0\"]"), "{text}");
    assert_eq!(first(&present, "eth0", &["eth0", "eth1"]), None);
    let (_, text) = first(&present, "eth0", &["eth0", "bond0"]).unwrap();
    assert!(text.contains("judged twice"), "{text}");
    assert_eq!(first(&present, "bond0", &["bond0"]), None);
    for (mode, hashes_vlan, expected) in [
        ("balance-alb", false, "no native XDP"),
        ("broadcast", false, "no native XDP"),
        ("802.3ad", true, "xmit_hash_policy layer2+3"),
    ] {
        let (level, text) = first(&[bond(mode, hashes_vlan)], "bond0", &[]).unwrap();
        assert!(
            level == Level::Change && text.contains(expected),
            "{mode}: {text}"
        );
    }
    assert_eq!(first(&[bond("802.3ad", false)], "bond0", &[]), None);
}

#[test]
fn a_filter_on_a_bridge_misses_what_its_ports_exchange() {
    let present = [port(4, nic(2, "eth0")), device(4, "br0", "bridge")];
    let (level, text) = first(&present, "br0", &["br0"]).unwrap();
    assert!(
        level == Level::Change && text.contains("interfaces = [\"eth0\"]"),
        "{text}"
    );
    assert_eq!(first(&present, "br0", &["br0", "eth0"]), None);
    assert_eq!(first(&present, "eth0", &["eth0"]), None);
}

#[test]
fn a_vrf_and_a_virtual_function_behind_netvsc_are_refused_with_the_right_device() {
    let present = [
        port(4, nic(2, "eth0")),
        device(4, "red", "vrf"),
        port(6, nic(5, "enP1s1")),
        Interface {
            driver: Some("hv_netvsc".to_owned()),
            ..device(6, "eth9", "")
        },
    ];
    for (name, instead) in [("red", "\"eth0\""), ("enP1s1", "\"eth9\"")] {
        let interface = present.iter().find(|one| one.name == name).unwrap();
        let said = refusal(&present, interface).unwrap();
        assert!(said.contains(instead), "{said}");
    }
    for name in ["eth0", "eth9"] {
        let interface = present.iter().find(|one| one.name == name).unwrap();
        assert_eq!(refusal(&present, interface), None, "{name}");
    }
}

#[test]
fn a_filter_on_a_port_of_a_failover_device_misses_the_others() {
    let failover = Interface {
        driver: Some("net_failover".to_owned()),
        ..device(4, "ens3", "")
    };
    let present = [port(4, nic(2, "ens3nsby")), failover];
    let (level, text) = first(&present, "ens3nsby", &[]).unwrap();
    assert!(
        level == Level::Change && text.contains("interfaces = [\"ens3\"]"),
        "{text}"
    );
}

#[test]
fn children_see_their_share_only() {
    let present = [
        nic(2, "eth0"),
        child(2, device(3, "eth0.7", "vlan")),
        child(2, device(4, "mac0", "macvlan")),
        device(5, "ip0", "ipvlan"),
    ];
    for name in ["eth0.7", "mac0"] {
        let (level, text) = first(&present, name, &[name]).unwrap();
        assert!(
            level == Level::Change && text.contains("[\"eth0\"]"),
            "{text}"
        );
    }
    let (level, text) = first(&present, "ip0", &["ip0"]).unwrap();
    assert!(
        level == Level::Note && text.contains("another network namespace"),
        "{text}"
    );
    let (_, text) = first(&present, "eth0.7", &["eth0", "eth0.7"]).unwrap();
    assert!(text.contains("judged twice"), "{text}");
}

#[test]
fn a_filter_below_macsec_and_its_like_reads_nothing_of_it() {
    let present = [
        port(6, nic(2, "eth0")),
        child(2, device(3, "macsec0", "macsec")),
        device(6, "bat0", "batadv"),
    ];
    let interface = &present[0];
    let findings = placement(&present, interface, |one| one.name == "eth0");
    let text: Vec<_> = findings.iter().map(|one| one.text.as_str()).collect();
    assert!(
        text.len() == 2 && text[0].starts_with("macsec0") && text[1].starts_with("bat0"),
        "{text:?}"
    );
    let named = |one: &Interface| ["eth0", "macsec0", "bat0"].contains(&one.name.as_str());
    assert_eq!(placement(&present, interface, named), []);
}

#[test]
fn devices_that_unpack_what_the_filter_below_does_not_read_are_named() {
    for (kind, is_port, header) in [
        ("hsr", true, "HSR or PRP"),
        ("dsa", false, "the tag of a switch chip"),
        ("rmnet", false, "the QMAP multiplexing header"),
    ] {
        let lower = nic(2, "eth0");
        let upper = device(3, "upper0", kind);
        let present = if is_port {
            [port(3, lower), upper]
        } else {
            [lower, child(2, upper)]
        };
        let (level, text) = first(&present, "eth0", &["eth0"]).unwrap();
        assert!(
            level == Level::Change
                && text.starts_with(&format!("upper0 takes its packets out of {header} on eth0"))
                && text.ends_with("interfaces = [\"upper0\"]"),
            "{kind}: {text}"
        );
        assert_eq!(first(&present, "eth0", &["eth0", "upper0"]), None, "{kind}");
    }
}

#[test]
fn tunnels_that_end_here_and_inputs_of_mpls_are_found() {
    let present = [
        nic(2, "eth0"),
        device(3, "ppp0", "ppp"),
        device(4, "gre1", "gre"),
        Interface {
            is_up: false,
            ..device(5, "sit0", "sit")
        },
    ];
    let said = |protected: &str, mpls: &[String]| -> Vec<String> {
        let findings = tunnel_findings(&present, |one| one.name == protected, mpls);
        assert!(findings.iter().all(|one| one.level == Level::Note));
        findings.into_iter().map(|one| one.text).collect()
    };
    let found = said("ppp0", &["eth0".to_owned()]);
    assert!(
        found.len() == 2
            && found[0].starts_with("this machine terminates tunnels: gre1 (GRE). ")
            && found[1].starts_with("this machine takes MPLS packets on eth0: "),
        "{found:?}"
    );
    let found = said("gre1", &[]);
    assert!(
        found.len() == 1 && found[0].starts_with("this machine terminates tunnels: ppp0 (PPP). "),
        "{found:?}"
    );
    let none = tunnel_findings(&present, |_| true, &[]);
    assert_eq!(none, []);
}

#[test]
fn link_types_that_are_not_judged_are_refused() {
    let ib = Interface {
        link_type: LinkType(32),
        ..nic(2, "ib0")
    };
    let said = refusal(std::slice::from_ref(&ib), &ib).unwrap();
    assert!(said.starts_with("ib0 carries IP over InfiniBand"), "{said}");
}

#[test]
fn open_tunnels_are_listed_and_taps_are_not() {
    let tun = |index, name: &str, link_type| Interface {
        link_type,
        ..device(index, name, "tun")
    };
    let present = [
        device(2, "vxlan0", "vxlan"),
        tun(3, "tun0", LinkType::NONE),
        tun(4, "tap0", LinkType::ETHERNET),
        device(5, "l2tpeth0", ""),
        nic(6, "eth0"),
        device(7, "wg0", "wireguard"),
    ];
    let open = tunnels::tunnels(&present, |one| one.name == "wg0");
    assert_eq!(
        open,
        [("vxlan0", "VXLAN"), ("tun0", "tun"), ("l2tpeth0", "L2TP")]
    );
}
