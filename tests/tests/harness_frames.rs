//! The frame builder against an independent parser: what was asked for is what etherparse reads, checksums included.

use std::net::IpAddr;

use etherparse::{LinkExtSlice, LinkSlice, NetSlice, SlicedPacket, TransportSlice};
use geofence_tests::corpus::named;
use geofence_tests::frames::{Frame, between, number};
use geofence_tests::link::{EDGE_MAC, PEER_MAC};
use proptest::collection::vec;
use proptest::prelude::*;

/// One layer of transport, with a payload.
#[derive(Clone, Debug)]
enum Transport {
    Tcp { flags: u8, options: Vec<u8> },
    Udp,
    Icmp { kind: u8, code: u8, rest: [u8; 4] },
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        (any::<u8>(), vec(any::<u8>(), 0..=40))
            .prop_map(|(flags, options)| Transport::Tcp { flags, options }),
        Just(Transport::Udp),
        (any::<u8>(), any::<u8>(), any::<[u8; 4]>())
            .prop_map(|(kind, code, rest)| Transport::Icmp { kind, code, rest }),
    ]
}

fn tags() -> impl Strategy<Value = Vec<(u16, u16)>> {
    let protocol = prop_oneof![Just(0x8100), Just(0x88a8), Just(0x9100)];
    vec((protocol, any::<u16>()), 0..=3)
}

fn add(frame: Frame, transport: &Transport, ports: (u16, u16), payload: &[u8]) -> Frame {
    match transport {
        Transport::Tcp { flags, options } => {
            frame.tcp(ports.0, ports.1).flags(*flags).options(options)
        }
        Transport::Udp => frame.udp(ports.0, ports.1),
        Transport::Icmp { kind, code, rest } => frame.icmp(*kind, *code).rest(*rest),
    }
    .payload(payload)
}

/// Checks everything behind the IP header.
fn check(
    found: Option<TransportSlice>,
    wanted: &Transport,
    (source, destination): (IpAddr, IpAddr),
    ports: (u16, u16),
    payload: &[u8],
) -> Result<(), TestCaseError> {
    match (wanted, found) {
        (Transport::Tcp { flags, options }, Some(TransportSlice::Tcp(tcp))) => {
            prop_assert_eq!((tcp.source_port(), tcp.destination_port()), ports);
            prop_assert_eq!(tcp.slice()[13], *flags);
            prop_assert_eq!(&tcp.options()[..options.len()], &options[..]);
            prop_assert!(tcp.options()[options.len()..].iter().all(|byte| *byte == 0));
            prop_assert_eq!(tcp.payload(), payload);
            let sum = match (source, destination) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    tcp.calc_checksum_ipv4(from.octets(), to.octets()).ok()
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    tcp.calc_checksum_ipv6(from.octets(), to.octets()).ok()
                }
                _ => unreachable!("the families are the same"),
            };
            prop_assert_eq!(Some(tcp.checksum()), sum);
        }
        (Transport::Udp, Some(TransportSlice::Udp(udp))) => {
            prop_assert_eq!((udp.source_port(), udp.destination_port()), ports);
            prop_assert_eq!(udp.payload(), payload);
            let header = udp.to_header();
            let sum = match (source, destination) {
                (IpAddr::V4(from), IpAddr::V4(to)) => header
                    .calc_checksum_ipv4_raw(from.octets(), to.octets(), payload)
                    .ok(),
                (IpAddr::V6(from), IpAddr::V6(to)) => header
                    .calc_checksum_ipv6_raw(from.octets(), to.octets(), payload)
                    .ok(),
                _ => unreachable!("the families are the same"),
            };
            prop_assert_eq!(Some(udp.checksum()), sum);
        }
        (Transport::Icmp { kind, code, rest }, Some(TransportSlice::Icmpv4(icmp)))
            if source.is_ipv4() =>
        {
            prop_assert_eq!(
                (icmp.type_u8(), icmp.code_u8(), icmp.bytes5to8()),
                (*kind, *code, *rest)
            );
            prop_assert_eq!(ones_complement_sum(icmp.slice()), 0xffff);
            prop_assert!(icmp.slice().ends_with(payload));
        }
        (Transport::Icmp { kind, code, rest }, Some(TransportSlice::Icmpv6(icmp))) => {
            prop_assert_eq!(
                (icmp.type_u8(), icmp.code_u8(), icmp.bytes5to8()),
                (*kind, *code, *rest)
            );
            let (IpAddr::V6(from), IpAddr::V6(to)) = (source, destination) else {
                return Err(TestCaseError::fail("ICMPv6 in IPv4"));
            };
            prop_assert!(icmp.is_checksum_valid(from.octets(), to.octets()));
            prop_assert!(icmp.slice().ends_with(payload));
        }
        (wanted, found) => {
            return Err(TestCaseError::fail(format!(
                "{wanted:?} was read as {found:?}"
            )));
        }
    }
    Ok(())
}

/// A message with its right checksum sums to all ones; etherparse does not check ICMP for IPv4.
fn ones_complement_sum(message: &[u8]) -> u16 {
    etherparse::checksum::Sum16BitWords::new()
        .add_slice(message)
        .ones_complement()
        .to_be()
        ^ 0xffff
}

proptest! {
    #[test]
    fn an_ipv4_frame_is_read_as_it_was_asked_for(
        tags in tags(),
        addresses in any::<([u8; 4], [u8; 4])>(),
        ttl in any::<u8>(),
        traffic_class in any::<u8>(),
        identification in any::<u16>(),
        options in vec(any::<u8>(), 0..=40),
        wanted in transport(),
        ports in any::<(u16, u16)>(),
        payload in vec(any::<u8>(), 0..300),
    ) {
        let frame = tags.iter().fold(Frame::ethernet(), |frame, (protocol, control)| frame.vlan(*protocol, *control));
        let frame = frame.ipv4(addresses.0, addresses.1).ttl(ttl).traffic_class(traffic_class);
        let frame = frame.identification(identification).options(&options);
        let bytes = add(frame, &wanted, ports, &payload).build();

        let sliced = SlicedPacket::from_ethernet(&bytes).unwrap();
        check_link(&sliced, &tags)?;
        let Some(NetSlice::Ipv4(ip)) = &sliced.net else {
            return Err(TestCaseError::fail(format!("read as {:?}", sliced.net)));
        };
        let header = ip.header();
        prop_assert_eq!((header.source(), header.destination()), addresses);
        prop_assert_eq!((header.ttl(), header.slice()[1]), (ttl, traffic_class));
        prop_assert_eq!(header.identification(), identification);
        prop_assert_eq!(&header.options()[..options.len()], &options[..]);
        prop_assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
        let ends = (IpAddr::from(addresses.0), IpAddr::from(addresses.1));
        check(sliced.transport, &wanted, ends, ports, &payload)?;
    }

    #[test]
    fn an_ipv6_frame_is_read_as_it_was_asked_for(
        tags in tags(),
        addresses in any::<([u8; 16], [u8; 16])>(),
        hop_limit in any::<u8>(),
        traffic_class in any::<u8>(),
        present in any::<[bool; 5]>(),
        data in vec(any::<u8>(), 0..100),
        wanted in transport(),
        ports in any::<(u16, u16)>(),
        payload in vec(any::<u8>(), 0..300),
    ) {
        let mut frame = tags
            .iter()
            .fold(Frame::ethernet(), |frame, (protocol, control)| frame.vlan(*protocol, *control))
            .ipv6(addresses.0, addresses.1)
            .ttl(hop_limit)
            .traffic_class(traffic_class);
        let mut numbers = Vec::new();
        for (number, _) in [
            number::HOP_BY_HOP,
            number::DESTINATION_OPTIONS,
            number::ROUTING,
            number::FRAGMENT,
            number::AUTHENTICATION,
        ].into_iter().zip(present).filter(|(_, present)| *present) {
            numbers.push(number);
            frame = match number {
                number::HOP_BY_HOP => frame.hop_by_hop(&data),
                number::DESTINATION_OPTIONS => frame.destination_options(&data),
                number::ROUTING => frame.routing(4, 0, &data),
                number::FRAGMENT => frame.fragment(0, false, 7),
                _ => frame.authentication(&data[..data.len() / 4 * 4]),
            };
        }
        let bytes = add(frame, &wanted, ports, &payload).build();

        let sliced = SlicedPacket::from_ethernet(&bytes).unwrap();
        check_link(&sliced, &tags)?;
        let Some(NetSlice::Ipv6(ip)) = &sliced.net else {
            return Err(TestCaseError::fail(format!("read as {:?}", sliced.net)));
        };
        let header = ip.header();
        prop_assert_eq!((header.source(), header.destination()), addresses);
        prop_assert_eq!((header.hop_limit(), header.traffic_class()), (hop_limit, traffic_class));
        let mut walked = vec![header.next_header().0];
        walked.extend(ip.extensions().clone().into_iter().map(|extension| extension_next(&extension)));
        prop_assert_eq!(&walked[..walked.len() - 1], &numbers[..]);
        let ends = (IpAddr::from(addresses.0), IpAddr::from(addresses.1));
        check(sliced.transport, &wanted, ends, ports, &payload)?;
    }
}

fn extension_next(extension: &etherparse::Ipv6ExtensionSlice) -> u8 {
    match extension {
        etherparse::Ipv6ExtensionSlice::HopByHop(raw)
        | etherparse::Ipv6ExtensionSlice::Routing(raw)
        | etherparse::Ipv6ExtensionSlice::DestinationOptions(raw) => raw.next_header().0,
        etherparse::Ipv6ExtensionSlice::Fragment(fragment) => fragment.next_header().0,
        etherparse::Ipv6ExtensionSlice::Authentication(authentication) => {
            authentication.next_header().0
        }
    }
}

fn check_link(sliced: &SlicedPacket, tags: &[(u16, u16)]) -> Result<(), TestCaseError> {
    let Some(LinkSlice::Ethernet2(ethernet)) = &sliced.link else {
        return Err(TestCaseError::fail(format!("read as {:?}", sliced.link)));
    };
    prop_assert_eq!(
        (ethernet.source(), ethernet.destination()),
        (PEER_MAC, EDGE_MAC)
    );
    let mut announced = ethernet.ether_type().0;
    prop_assert_eq!(sliced.link_exts.len(), tags.len());
    for (found, (protocol, control)) in sliced.link_exts.iter().zip(tags) {
        let LinkExtSlice::Vlan(vlan) = found else {
            return Err(TestCaseError::fail(format!("read as {found:?}")));
        };
        prop_assert_eq!(announced, *protocol);
        prop_assert_eq!(&vlan.slice()[..2], &control.to_be_bytes()[..]);
        announced = vlan.ether_type().0;
    }
    Ok(())
}

#[test]
fn frame_overrides_are_written_unchanged() {
    let ip = || Frame::ethernet().ipv4([203, 0, 113, 7], [192, 0, 2, 1]);
    let field =
        |frame: Frame, at: usize| u16::from_be_bytes([frame.build()[at], frame.build()[at + 1]]);
    assert_eq!(field(ip().ihl(3), 14) >> 8, 0x43);
    assert_eq!(field(ip().version(9), 14) >> 8, 0x95);
    assert_eq!(field(ip().total_length(7), 16), 7);
    assert_eq!(field(ip().fragment_field(0x2001), 20), 0x2001);
    assert_eq!(field(ip().header_checksum(0xbad1), 24), 0xbad1);
    assert_eq!(field(ip().next(99).tcp(1, 2), 22) & 0xff, 99);
    assert_eq!(field(ip().tcp(1, 2).data_offset(15), 46) >> 12, 15);
    assert_eq!(field(ip().tcp(1, 2).checksum(0xbad1), 50), 0xbad1);
    assert_eq!(field(ip().udp(1, 2).udp_length(3), 38), 3);
    assert_eq!(field(ip().ethertype(0x86dd), 12), 0x86dd);
    assert_eq!(field(Frame::ethernet().vlan(0x8100, 5).ethertype(9), 16), 9);
    assert_eq!(
        field(Frame::ethernet().length_field(true).payload([0; 30]), 12),
        30
    );
    assert_eq!(ip().tcp(1, 2).cut(20).len(), 20);
}

#[test]
fn frame_override_applies_to_the_innermost_header() {
    let inner = Frame::ethernet()
        .ipv4([1, 1, 1, 1], [2, 2, 2, 2])
        .ttl(9)
        .ipv4([3, 3, 3, 3], [4, 4, 4, 4])
        .ttl(5);
    let bytes = inner.udp(1, 2).build();
    assert_eq!((bytes[22], bytes[23], bytes[42]), (9, number::IPIP, 5));
}

#[test]
#[should_panic(expected = "no layer of this frame has `ihl` to change")]
fn frame_override_without_its_layer_panics() {
    let _ = Frame::ethernet()
        .arp(1, [192, 0, 2, 1], [192, 0, 2, 2])
        .ihl(5);
}

#[test]
fn named_corpus_frames_match_their_names() {
    let v4 = |name: &str| named(name, [203, 0, 113, 7].into(), [192, 0, 2, 1].into());
    let v6 = |name: &str| {
        named(
            name,
            "2001:db8:7::7".parse().unwrap(),
            "2001:db8::1".parse().unwrap(),
        )
    };
    let mail = between([203, 0, 113, 7].into(), [192, 0, 2, 1].into())
        .tcp(40000, 25)
        .syn()
        .build();
    assert_eq!(v4("tcp_25_syn"), mail);
    assert_eq!(v4("v4_runt_33"), mail[..33]);
    assert_eq!(v4("tcp_25_cut_behind_ports").len(), 38);
    assert_eq!(v4("v4_ihl_4")[14], 0x44);
    assert_eq!(v4("v4_fragment_offset_1_tcp")[20..22], [0, 1]);
    assert_eq!(v4("tunnel_ipv6")[23], number::IPV6);
    assert_eq!(v6("v6_chain_nine")[20], number::DESTINATION_OPTIONS);
    assert_eq!(v6("v6_chain_nine").len(), 14 + 40 + 9 * 8 + 20);
    assert_eq!(v6("v6_atomic_fragment")[54..58], [number::TCP, 0, 0, 0]);
    assert_eq!(v6("v6_chain_cut_in_ports").len(), 14 + 40 + 8 + 24 + 3);
    assert_eq!(v6("v6_from_teredo")[22..26], [0x20, 0x01, 0, 0]);
    assert_eq!(
        v6("v6_listener_report_2")[54..62],
        [number::ICMPV6, 0, 5, 2, 0, 0, 1, 0]
    );
}
