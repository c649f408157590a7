//! Decisions about datagrams on the host: fragments behind their first, answers behind their query, and DHCP.

use std::net::Ipv4Addr;

use geofence_common::action::Reason;
use geofence_tests::corpus::dhcp_answer;
use geofence_tests::frames::{Frame, number};
use geofence_tests::host::{BLOCKED, OURS, SECOND, between, prepared, reason, send, tables};
use geofence_tests::link::EDGE_MAC;

const OURS_V6: &str = "2001:db8::2";
const BLOCKED_V6: &str = "2a02:6b8::feed:ff";
const OPEN: &str = "8.8.8.8";
const DNS: u16 = 53;
const RESOLVER: u16 = 40_000;
const MORE: u16 = 0x2000;

/// A message with this identifier: a header and a name.
fn message(identifier: u16, is_response: bool) -> [u8; 24] {
    let mut message = [0; 24];
    message[..2].copy_from_slice(&identifier.to_be_bytes());
    message[2] = u8::from(is_response) << 7;
    message
}

fn query(identifier: u16) -> Frame {
    between(OURS, BLOCKED)
        .udp(RESOLVER, DNS)
        .payload(message(identifier, false))
}

fn response(identifier: u16) -> Frame {
    between(BLOCKED, OURS)
        .udp(DNS, RESOLVER)
        .payload(message(identifier, true))
}

#[test]
fn dns_response_passes_by_the_identifier_of_its_query() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    send(&tables, query(7));
    assert_eq!(reason(&tables, response(8)), Reason::UnprovenReply);
    assert_eq!(reason(&tables, response(7)), Reason::Reply);
    let theirs = between(BLOCKED, OURS)
        .udp(DNS, RESOLVER)
        .payload(message(7, false));
    assert_eq!(reason(&tables, theirs), Reason::UnprovenReply);
    let no_message = between(BLOCKED, OURS).udp(DNS, RESOLVER).payload([0; 11]);
    assert_eq!(reason(&tables, no_message), Reason::UnprovenReply);
}

#[test]
fn each_dns_query_has_four_answers_at_most() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    for _ in 0..2 {
        send(&tables, query(7));
        for _ in 0..4 {
            assert_eq!(reason(&tables, response(7)), Reason::Reply);
        }
        assert_eq!(reason(&tables, response(7)), Reason::UnprovenReply);
    }
}

#[test]
fn what_our_name_server_answers_opens_no_flow() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    // Their resolver asks from port 53, as some do; our response to it is no query.
    let ours = between(OURS, BLOCKED)
        .udp(DNS, DNS)
        .payload(message(7, true));
    send(&tables, ours);
    let theirs = between(BLOCKED, OURS)
        .udp(DNS, DNS)
        .payload(message(7, true));
    assert_eq!(reason(&tables, theirs), Reason::UnprovenReply);
}

#[test]
fn what_our_name_server_answers_extends_no_flow() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    let of = |source, destination, is_response| {
        let datagram = between(source, destination).udp(DNS, DNS);
        datagram.payload(message(7, is_response))
    };
    send(&tables, of(OURS, BLOCKED, false));
    tables.set_now(50 * SECOND);
    send(&tables, of(OURS, BLOCKED, true));
    assert_eq!(reason(&tables, of(BLOCKED, OURS, true)), Reason::Reply);
    tables.set_now(61 * SECOND);
    assert_eq!(
        reason(&tables, of(BLOCKED, OURS, true)),
        Reason::UnprovenReply,
        "a minute after the query"
    );
}

#[test]
fn each_datagram_to_dns_over_quic_has_sixty_four_answers_at_most() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    let answer = || between(BLOCKED, OURS).udp(853, RESOLVER).payload([7; 1200]);
    for _ in 0..2 {
        send(&tables, between(OURS, BLOCKED).udp(RESOLVER, 853));
        for _ in 0..64 {
            assert_eq!(reason(&tables, answer()), Reason::Reply);
        }
        assert_eq!(reason(&tables, answer()), Reason::UnprovenReply);
    }
}

#[test]
fn error_about_a_dns_query_passes_by_its_identifier() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    send(&tables, query(7));
    let about = |identifier| {
        let quoted = Frame::packet()
            .ip(
                OURS.parse().expect("an address"),
                BLOCKED.parse().expect("an address"),
            )
            .udp(RESOLVER, DNS)
            .payload(message(identifier, false))
            .build();
        between(BLOCKED, OURS).icmp(3, 3).payload(quoted)
    };
    assert_eq!(reason(&tables, about(7)), Reason::IcmpError);
    assert_eq!(reason(&tables, about(8)), Reason::UnprovenIcmpError);
}

/// A first fragment of a mail segment behind options of 8 bytes, and what follows it at an offset in eights.
fn mail_behind_options(payload: usize) -> Frame {
    between(BLOCKED_V6, OURS_V6)
        .fragment(0, true, 7)
        .destination_options(&[])
        .tcp(40_000, 25)
        .syn()
        .payload(vec![0; payload])
}

fn later_v6(offset: u16, next: u8) -> Frame {
    between(BLOCKED_V6, OURS_V6)
        .fragment(offset, true, 7)
        .next(next)
        .payload([0; 64])
}

#[test]
fn ipv6_first_fragment_covers_its_options_too() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    // 8 bytes of options, 20 of TCP and 36 of payload: the next fragment starts at 64.
    assert_eq!(reason(&tables, mail_behind_options(36)), Reason::Mail);
    let options = number::DESTINATION_OPTIONS;
    for (offset, expected) in [
        (7, Reason::OverlappingFragment),
        (8, Reason::Fragment),
        (16, Reason::Fragment),
    ] {
        assert_eq!(
            reason(&tables, later_v6(offset, options)),
            expected,
            "fragment at {offset} times eight"
        );
    }
    assert_eq!(
        reason(&tables, later_v6(8, number::TCP)),
        Reason::LaterFragment,
        "another next header is another datagram"
    );
}

#[test]
fn shorter_first_fragment_does_not_replace_a_longer_one() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    assert_eq!(reason(&tables, mail_behind_options(100)), Reason::Mail);
    assert_eq!(reason(&tables, mail_behind_options(36)), Reason::Mail);
    let options = number::DESTINATION_OPTIONS;
    assert_eq!(
        reason(&tables, later_v6(8, options)),
        Reason::OverlappingFragment
    );
    assert_eq!(reason(&tables, later_v6(16, options)), Reason::Fragment);
}

#[test]
fn one_source_has_sixty_four_places_for_fragments() {
    let prepared = prepared(r#"services = ["udp/5000"]"#);
    let tables = tables(&prepared);
    for identification in 0..=u16::MAX {
        let first = between(BLOCKED, OURS)
            .identification(identification)
            .fragment_field(MORE)
            .udp(DNS, 5000)
            .payload([0; 56]);
        assert_eq!(reason(&tables, first), Reason::Service);
    }
    assert_eq!(tables.history().datagrams.len(), 64);
}

#[test]
fn one_site_of_ipv6_has_sixty_four_places_for_fragments() {
    let prepared = prepared(r#"services = ["udp/5000"]"#);
    let tables = tables(&prepared);
    let first = |source: &str, identification| {
        let fragment = between(source, OURS_V6).fragment(0, true, identification);
        fragment.udp(DNS, 5000).payload([0; 56])
    };
    // A /48 has 65,536 subnets.
    for subnet in 0..2000 {
        let source = format!("2a02:6b8:1:{subnet:x}::1");
        assert_eq!(reason(&tables, first(&source, subnet)), Reason::Service);
    }
    assert_eq!(tables.history().datagrams.len(), 64);
    let other = "2a02:6b8:2::1";
    assert_eq!(reason(&tables, first(other, 1)), Reason::Service);
    assert_eq!(tables.history().datagrams.len(), 65);
}

#[test]
fn lone_later_fragment_is_dropped_where_ports_are_protected() {
    let protected = prepared(
        r#"
        [[protect]]
        id = "admin"
        services = ["udp/25"]
        from = ["9.9.9.0/24"]
        "#,
    );
    let (tables, bare) = (tables(&protected), prepared(""));
    let later = || {
        between(OPEN, OURS)
            .identification(9)
            .fragment_field(MORE | 8)
            .protocol(number::UDP, [0; 64])
    };
    assert_eq!(reason(&tables, later()), Reason::ProtectedService);
    let open = self::tables(&bare);
    assert_eq!(reason(&open, later()), Reason::CountryAllowed);
    let first = between(OPEN, OURS)
        .identification(9)
        .fragment_field(MORE)
        .udp(DNS, 26)
        .payload([0; 56]);
    assert_eq!(reason(&tables, first), Reason::CountryAllowed);
    assert_eq!(reason(&tables, later()), Reason::CountryAllowed);
}

#[test]
fn lone_later_fragment_of_ipv6_is_dropped_where_ports_are_protected() {
    let protected = prepared(
        r#"
        [[protect]]
        id = "admin"
        services = ["tcp/8443"]
        from = []
        "#,
    );
    let tables = tables(&protected);
    let open = "2001:4860:4860::8888";
    let later = || {
        let later = between(open, OURS_V6).fragment(8, true, 7);
        later.next(number::TCP).payload([0; 64])
    };
    assert_eq!(reason(&tables, later()), Reason::ProtectedService);
    let first = between(open, OURS_V6).fragment(0, true, 7).tcp(40_000, 443);
    assert_eq!(
        reason(&tables, first.payload([0; 44])),
        Reason::CountryAllowed
    );
    assert_eq!(reason(&tables, later()), Reason::CountryAllowed);
}

fn dhcp(source: &str) -> Frame {
    let ours = OURS.parse().expect("an address");
    let answer = dhcp_answer(Ipv4Addr::UNSPECIFIED, ours, EDGE_MAC);
    between(source, OURS).udp(67, 68).payload(answer)
}

#[test]
fn dhcp_from_public_space_is_limited() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    let passed = |count: usize| {
        (0..count)
            .filter(|_| reason(&tables, dhcp(BLOCKED)) == Reason::LinkControl)
            .count()
    };
    assert_eq!(passed(100), 20);
    tables.set_now(SECOND);
    assert_eq!(passed(100), 10);
    for _ in 0..100 {
        assert_eq!(reason(&tables, dhcp("10.0.0.1")), Reason::LinkControl);
    }
}

#[test]
fn dhcp_from_public_space_passes_for_this_station_only() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    let ours = OURS.parse().expect("an address");
    let (none, other) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(192, 0, 2, 99));
    let of = |destination, client, yours, station| {
        let answer = dhcp_answer(client, yours, station);
        let frame = between(BLOCKED, destination).udp(67, 68).payload(answer);
        reason(&tables, frame)
    };
    let stranger = [2, 0, 0, 0, 0, 9];
    let broadcast = "255.255.255.255";
    for (what, found) in [
        ("offer", of(OURS, none, ours, EDGE_MAC)),
        ("renewal", of(OURS, ours, ours, EDGE_MAC)),
        ("inform", of(OURS, ours, none, EDGE_MAC)),
        ("broadcast", of(broadcast, none, other, stranger)),
    ] {
        assert_eq!(found, Reason::LinkControl, "{what}");
    }
    for (what, found) in [
        ("another address", of(OURS, ours, other, EDGE_MAC)),
        ("another station", of(OURS, none, ours, stranger)),
        ("no address", of(OURS, none, none, EDGE_MAC)),
    ] {
        assert_eq!(found, Reason::CountryBlocked, "{what}");
    }
}

#[test]
fn dhcp_with_options_fragments_or_a_group_is_judged_by_its_country() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    /// Loose source and record route (RFC 791), through one address.
    const ROUTE: [u8; 8] = [0x83, 7, 4, 192, 0, 2, 9, 0];
    let routed = between(BLOCKED, OURS).options(&ROUTE).udp(67, 68);
    assert_eq!(reason(&tables, routed), Reason::SourceRoute);
    let fragment = between(BLOCKED, OURS)
        .fragment_field(MORE)
        .udp(67, 68)
        .payload([2; 240]);
    assert_eq!(reason(&tables, fragment), Reason::CountryBlocked);
    let to_group = between(BLOCKED, "224.0.0.1").udp(67, 68).payload([2; 240]);
    assert_eq!(reason(&tables, to_group), Reason::CountryBlocked);
}

#[test]
fn link_control_behind_ip_options_is_judged_by_its_country() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    let of = |group: &str, ttl, protocol, options: &[u8]| {
        let frame = between(BLOCKED, group).ttl(ttl).options(options);
        reason(&tables, frame.protocol(protocol, [0; 16]))
    };
    /// No operation, three times, and the end of the list (RFC 791).
    const PADDING: [u8; 4] = [1, 1, 1, 0];
    for (group, ttl, protocol) in [
        ("224.0.0.1", 1, number::IGMP),
        ("224.0.0.5", 1, number::OSPF),
        ("224.0.0.18", 255, number::VRRP),
    ] {
        let plain = of(group, ttl, protocol, &[]);
        assert_eq!(plain, Reason::LinkControl, "protocol {protocol}");
        let padded = of(group, ttl, protocol, &PADDING);
        assert_eq!(
            padded,
            Reason::CountryBlocked,
            "protocol {protocol}, options"
        );
        let routed = of(group, ttl, protocol, &[0x83, 7, 4, 192, 0, 2, 9, 0]);
        assert_eq!(
            routed,
            Reason::SourceRoute,
            "protocol {protocol}, source route"
        );
    }
}
