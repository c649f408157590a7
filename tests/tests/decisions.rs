//! Decisions that depend on what came before, on the host: flows after forged packets, errors about protected ports,
//! and sources that a translator made.

use std::net::IpAddr;

use geofence_common::action::Reason;
use geofence_tests::frames::Frame;
use geofence_tests::host::{BLOCKED, OURS, SECOND, between, prepared, reason, send, tables};

fn sent() -> Frame {
    between(OURS, BLOCKED).tcp(40_000, 25)
}

fn answer() -> Frame {
    between(BLOCKED, OURS).tcp(25, 40_000)
}

#[test]
fn answers_to_mail_that_our_side_fetches_pass() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    for (port, expected) in [
        (110, Reason::Reply),
        (143, Reason::Reply),
        (993, Reason::Reply),
        (995, Reason::Reply),
        (443, Reason::CountryBlocked),
    ] {
        let answer = || between(BLOCKED, OURS).tcp(port, 40_000).ack();
        let unasked = reason(&tables, answer());
        assert_ne!(unasked, Reason::Reply, "port {port}, unasked");
        send(&tables, between(OURS, BLOCKED).tcp(40_000, port).syn());
        assert_eq!(reason(&tables, answer()), expected, "port {port}");
    }
}

#[test]
fn reset_before_the_handshake_is_complete_does_not_end_the_flow() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    send(&tables, sent().syn());
    // A stranger's ACK in the server's name, which our kernel answers with a RST while it stays in SYN-SENT.
    send(&tables, sent().rst());
    tables.set_now(11 * SECOND);
    assert_eq!(reason(&tables, answer().syn().ack()), Reason::Reply);
    send(&tables, sent().ack());
    tables.set_now(600 * SECOND);
    assert_eq!(reason(&tables, answer().ack()), Reason::Reply);
}

#[test]
fn closed_flow_stays_closed_whatever_our_kernel_answers() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    send(&tables, sent().syn());
    send(&tables, sent().ack());
    send(&tables, sent().rst());
    for second in [3, 6, 9] {
        tables.set_now(second * SECOND);
        assert_eq!(reason(&tables, answer().ack()), Reason::Reply);
        send(&tables, sent().rst());
    }
    tables.set_now(11 * SECOND);
    assert_eq!(reason(&tables, answer().ack()), Reason::UnprovenReply);
}

#[test]
fn new_connection_of_the_same_ports_opens_a_closed_flow() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    send(&tables, sent().syn());
    send(&tables, sent().ack());
    send(&tables, sent().rst());
    tables.set_now(5 * SECOND);
    send(&tables, sent().syn());
    tables.set_now(20 * SECOND);
    assert_eq!(reason(&tables, answer().syn().ack()), Reason::Reply);
}

#[test]
fn error_about_a_protected_port_passes_only_about_a_named_source() {
    let prepared = prepared(
        r#"
        [[protect]]
        id = "admin"
        services = ["tcp/8443"]
        from = ["8.8.8.0/24"]
        "#,
    );
    let tables = tables(&prepared);
    let about = |peer: &str| {
        let peer: IpAddr = peer.parse().expect("an address");
        let ours: IpAddr = OURS.parse().expect("an address");
        let quoted = Frame::packet()
            .ip(ours, peer)
            .tcp(8443, 50_000)
            .ack()
            .build();
        between(BLOCKED, OURS).icmp(3, 4).payload(quoted)
    };
    assert_eq!(reason(&tables, about("8.8.8.8")), Reason::IcmpError);
    assert_eq!(reason(&tables, about(BLOCKED)), Reason::UnprovenIcmpError);
}

#[test]
fn error_of_ipv6_about_a_protected_port_passes_only_about_a_named_source() {
    let prepared = prepared(
        r#"
        [[protect]]
        id = "admin"
        services = ["tcp/8443"]
        from = ["2001:4860::/32"]
        "#,
    );
    let tables = tables(&prepared);
    let (ours, router) = ("2001:db8::2", "2a02:6b8::1");
    let about = |peer: &str| {
        let [peer, from]: [IpAddr; 2] = [peer, ours].map(|text| text.parse().expect("an address"));
        let quoted = Frame::packet().ip(from, peer).tcp(8443, 50_000).ack();
        between(router, ours).icmp(1, 4).payload(quoted.build())
    };
    assert_eq!(
        reason(&tables, about("2001:4860:4860::8888")),
        Reason::IcmpError
    );
    assert_eq!(
        reason(&tables, about("2a02:6b8::feed:ff")),
        Reason::UnprovenIcmpError
    );
}

#[test]
fn reply_in_a_pppoe_session_passes_once_it_was_asked_for() {
    let prepared = prepared("");
    let tables = tables(&prepared);
    let in_session = |source: &str, destination: &str, change: fn(Frame) -> Frame| {
        let [source, destination]: [IpAddr; 2] =
            [source, destination].map(|text| text.parse().expect("an address"));
        let packet = change(Frame::packet().ip(source, destination)).build();
        let protocol: u8 = if source.is_ipv4() { 0x21 } else { 0x57 };
        let length = (packet.len() as u16 + 2).to_be_bytes();
        let header = [&[0x11, 0, 0, 7][..], &length, &[0, protocol]].concat();
        Frame::ethernet().raw(0x8864, [header, packet].concat())
    };
    for (there, here) in [(BLOCKED, OURS), ("2a02:6b8::feed:ff", "2001:db8::2")] {
        let answer = || in_session(there, here, |packet| packet.tcp(25, 40_000).syn().ack());
        assert_eq!(reason(&tables, answer()), Reason::UnprovenReply, "{there}");
        let opening = in_session(here, there, |packet| packet.tcp(40_000, 25).syn());
        send(&tables, opening);
        assert_eq!(reason(&tables, answer()), Reason::Reply, "{there}");
    }
}

#[test]
fn translated_source_is_judged_by_its_ipv4_address() {
    let prepared = prepared(r#"translation-prefixes = ["2001:db8:64::/96", "2001:db8:48::/48"]"#);
    let tables = tables(&prepared);
    for (source, expected) in [
        ("64:ff9b::77.88.8.8", Reason::CountryBlocked),
        ("64:ff9b:1:7::77.88.8.8", Reason::CountryBlocked),
        ("64:ff9b:1:4d58:8:800::", Reason::CountryBlocked),
        ("64:ff9b:1:7::8.8.8.8", Reason::CountryAllowed),
        ("2001:db8:64::77.88.8.8", Reason::CountryBlocked),
        ("2001:db8:64::8.8.8.8", Reason::CountryAllowed),
        ("2001:db8:48:4d58:8:800::", Reason::CountryBlocked),
        ("2001:db8:65::77.88.8.8", Reason::SpecialUse),
    ] {
        let frame = between(source, "2001:db8::2").tcp(40_000, 22).syn();
        assert_eq!(reason(&tables, frame), expected, "{source}");
    }
}
