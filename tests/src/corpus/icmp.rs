//! ICMP of both families: echo, and errors with genuine, forged and broken quotes.

use std::net::IpAddr;

use super::entry::Named;
use crate::frames::{Frame, between, number};

pub(super) fn frames(source: IpAddr, destination: IpAddr) -> Vec<Named> {
    let ip = || between(source, destination);
    let v4 = source.is_ipv4();
    // Echo, answer; unreachable port; packet too big; time exceeded; parameter problem; redirect.
    let (echo, answer) = if v4 { (8, 0) } else { (128, 129) };
    let unreachable = if v4 { (3, 3) } else { (1, 4) };
    let too_big = if v4 { (3, 4) } else { (2, 0) };
    let exceeded = if v4 { (11, 0) } else { (3, 0) };
    let problem = if v4 { (12, 0) } else { (4, 0) };
    let redirect = if v4 { (5, 1) } else { (137, 0) };
    let error = |(kind, code): (u8, u8)| ip().icmp(kind, code);
    let mtu = |value: u16| {
        let [high, low] = value.to_be_bytes();
        error(too_big).rest([0, 0, high, low])
    };
    // A genuine error quotes what we sent: from the destination of this frame to anywhere.
    let ours = Frame::packet().ip(destination, source);
    let answer_to_mail = ours.clone().tcp(25, 40000).ack().build();
    let quote_length = ours.build().len() + 8;
    let forged = Frame::packet()
        .ip(source, destination)
        .tcp(40000, 25)
        .syn()
        .build();
    let mut all = Vec::new();
    for (name, frame) in [
        (
            "echo_request",
            ip().icmp(echo, 0).rest([0, 1, 0, 1]).payload(b"ping"),
        ),
        (
            "echo_reply",
            ip().icmp(answer, 0).rest([0, 1, 0, 1]).payload(b"ping"),
        ),
        (
            "icmp_unreachable_mail",
            error(unreachable).payload(&answer_to_mail),
        ),
        (
            "icmp_unreachable_eight_bytes",
            error(unreachable).payload(&answer_to_mail[..quote_length]),
        ),
        (
            "icmp_unreachable_seven_bytes",
            error(unreachable).payload(&answer_to_mail[..quote_length - 1]),
        ),
        (
            "icmp_unreachable_header_cut",
            error(unreachable).payload(&answer_to_mail[..12]),
        ),
        ("icmp_unreachable_no_quote", error(unreachable)),
        (
            "icmp_unreachable_forged",
            error(unreachable).payload(&forged),
        ),
        (
            "icmp_unreachable_outbound",
            error(unreachable).payload(ours.clone().tcp(40000, 25).syn().build()),
        ),
        (
            "icmp_unreachable_dns",
            error(unreachable).payload(ours.clone().udp(40000, 53).build()),
        ),
        (
            "icmp_unreachable_quotes_error",
            error(unreachable).payload(error(exceeded).payload(&forged).build()),
        ),
        (
            "icmp_unreachable_bad_checksum",
            error(unreachable).checksum(0xbad1).payload(&answer_to_mail),
        ),
        ("icmp_too_big_1400", mtu(1400).payload(&answer_to_mail)),
        ("icmp_too_big_68", mtu(68).payload(&answer_to_mail)),
        ("icmp_too_big_0", mtu(0).payload(&answer_to_mail)),
        ("icmp_too_big_forged", mtu(1400).payload(&forged)),
        (
            "icmp_time_exceeded",
            error(exceeded).payload(&answer_to_mail),
        ),
        (
            "icmp_parameter_problem",
            error(problem).payload(&answer_to_mail),
        ),
        ("icmp_redirect", error(redirect).payload(&answer_to_mail)),
        (
            "icmp_redirect_ttl_255",
            error(redirect).ttl(255).payload(&answer_to_mail),
        ),
        ("icmp_kind_unassigned", ip().icmp(99, 7)),
        ("icmp_kind_255", ip().icmp(255, 255)),
        ("icmp_quote_carries_authentication", {
            let inner = ours.clone().authentication(&[7; 12]).tcp(25, 40000).ack();
            error(unreachable).payload(inner.build())
        }),
    ] {
        all.push((name, frame.build()));
    }
    let network = ip().build().len();
    all.push(("icmp_cut_to_nothing", ip().icmp(echo, 0).cut(network)));
    all.push(("icmp_cut_to_kind", ip().icmp(echo, 0).cut(network + 1)));
    all.push(("icmp_short_but_said_so", {
        let protocol = if v4 { number::ICMP } else { number::ICMPV6 };
        ip().protocol(protocol, [echo]).build()
    }));
    all
}
