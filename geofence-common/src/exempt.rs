//! What lets a packet of a blocked source in: a service, a reply, an error about traffic of ours, a later fragment.
//!
//! Each must be proven by the packet itself and, for the last three, by what was seen before it. Nothing here creates
//! or extends a flow; an accepted first fragment is remembered for its followers and for nothing else.

use crate::flow::{Datagram, DatagramKey, FlowKey, Table, lifetime};
use crate::frame::Frame;
use crate::image::{Exemption, Flags, TCP_SERVICES_LINE, UDP_SERVICES_LINE};
use crate::observe::{Observer, Step};
use crate::packet::{Fragment, Packet, Transport, Upper};
use crate::policy::Tables;
use crate::verdict::{Action, Reason};
use crate::wire::{protocol, quoted, transport, transport::tcp};

/// Whether a packet of a blocked source is proven to be exempt, or has a reason of its own why it is not.
#[inline(always)]
pub(crate) fn exempt<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    flags: Flags,
    tables: &T,
    observer: &mut O,
) -> Option<Reason> {
    let upper = match packet.upper(frame, observer) {
        Err(reason) => return Some(reason),
        Ok(upper) => upper,
    };
    if upper.fragment == Fragment::Later {
        return Some(later_fragment(packet, &upper, tables, observer));
    }
    let transport = match transport::read(frame, &upper, packet.end) {
        Err(reason) => return Some(reason),
        Ok(transport) => transport,
    };
    observer.step(Step::Transport(transport));
    let reason = match transport {
        Transport::Tcp {
            source,
            destination,
            flags: bits,
        } => {
            // A connection's opening is no reply, whatever its ports; and a reply says what it answers.
            let is_answer =
                bits & (tcp::SYN | tcp::ACK) != tcp::SYN && bits & (tcp::ACK | tcp::RST) != 0;
            service(tables, TCP_SERVICES_LINE, destination).or_else(|| {
                let key = key(packet, protocol::TCP, destination, source);
                reply(&key, is_answer, flags, tables, observer)
            })
        }
        Transport::Udp {
            source,
            destination,
        } => service(tables, UDP_SERVICES_LINE, destination).or_else(|| {
            let key = key(packet, protocol::UDP, destination, source);
            reply(&key, true, flags, tables, observer)
        }),
        Transport::Icmp { kind: 8, .. } | Transport::Icmpv6 { kind: 128, .. } => {
            flags.passes_icmp_echo().then_some(Reason::Service)
        }
        Transport::Icmp {
            kind: 0,
            identifier,
            ..
        } => {
            let key = key(packet, protocol::ICMP, identifier, 0);
            reply(&key, true, flags, tables, observer)
        }
        Transport::Icmpv6 {
            kind: 129,
            identifier,
            ..
        } => {
            let key = key(packet, protocol::ICMPV6, identifier, 0);
            reply(&key, true, flags, tables, observer)
        }
        // Unreachable, time exceeded, parameter problem; in ICMPv6 packet too big as well.
        Transport::Icmp {
            kind: 3 | 11 | 12, ..
        }
        | Transport::Icmpv6 { kind: 1..=4, .. } => {
            Some(icmp_error(frame, packet, &upper, flags, tables, observer))
        }
        // Source quench, which RFC 6633 has everybody ignore.
        Transport::Icmp { kind: 4, .. } => Some(Reason::UnprovenIcmpError),
        Transport::Icmp { .. } | Transport::Icmpv6 { .. } | Transport::Other { .. } => None,
    }?;
    if upper.fragment == Fragment::First && reason.action() == Action::Pass {
        accept_first(packet, &upper, tables);
    }
    Some(reason)
}

/// The flow that a packet from outside would belong to.
#[inline(always)]
fn key(packet: &Packet, protocol: u8, local_port: u16, remote_port: u16) -> FlowKey {
    FlowKey::new(
        &packet.destination,
        &packet.source,
        protocol,
        local_port,
        remote_port,
    )
}

#[inline(always)]
fn service<T: Tables>(tables: &T, section: usize, port: u16) -> Option<Reason> {
    match tables.exemption(section, port)? {
        Exemption::Mail => Some(Reason::Mail),
        Exemption::Service => Some(Reason::Service),
        Exemption::None => None,
    }
}

#[inline(always)]
fn reply<T: Tables, O: Observer>(
    key: &FlowKey,
    is_answer: bool,
    flags: Flags,
    tables: &T,
    observer: &mut O,
) -> Option<Reason> {
    let table = Table::of(key.protocol, key.remote_port, flags)?;
    if !is_answer {
        return None;
    }
    if is_live(table, key, tables, observer) {
        return Some(Reason::Reply);
    }
    match table {
        Table::Mail | Table::Dns => Some(Reason::UnprovenReply),
        Table::Other => None,
    }
}

#[inline(always)]
fn is_live<T: Tables, O: Observer>(
    table: Table,
    key: &FlowKey,
    tables: &T,
    observer: &mut O,
) -> bool {
    let found = tables.flow(table, key);
    // To ask the time costs as much as to look the flow up; most who ask have none.
    let now = if found.is_some() { tables.now() } else { 0 };
    observer.step(Step::Flow {
        table,
        key: *key,
        found,
        now,
    });
    found.is_some_and(|flow| flow.is_live(now))
}

/// Judges an ICMP error by the packet it quotes: it must be one that its addressee sent, on a tracked flow or from an
/// exempted service. Which country the router is in says nothing. Errors come in one piece, without options.
#[inline(always)]
fn icmp_error<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    upper: &Upper,
    flags: Flags,
    tables: &T,
    observer: &mut O,
) -> Reason {
    const ICMP_HEADER: usize = 8;
    const IPV4_HEADER: usize = 20;
    const IPV6_HEADER: usize = 40;

    // Read where it then must be, and not where the walk over headers ended: the verifier need not tell those apart.
    let headers = if packet.source.is_v6() {
        IPV6_HEADER
    } else {
        IPV4_HEADER
    };
    if upper.fragment != Fragment::Whole || upper.at != packet.network + headers {
        return Reason::UnprovenIcmpError;
    }
    let at = packet.network + headers + ICMP_HEADER;
    let quoted = if packet.source.is_v6() {
        quoted::read_v6(frame, at, packet.end)
    } else {
        quoted::read_v4(frame, at, packet.end)
    };
    let Some(quoted) = quoted else {
        return Reason::UnprovenIcmpError;
    };
    observer.step(Step::Quoted(quoted));
    if quoted.source != packet.destination {
        return Reason::UnprovenIcmpError;
    }
    let section = match quoted.protocol {
        protocol::TCP => Some(TCP_SERVICES_LINE),
        protocol::UDP => Some(UDP_SERVICES_LINE),
        _ => None,
    };
    if section.is_some_and(|section| service(tables, section, quoted.source_port).is_some()) {
        return Reason::IcmpError;
    }
    let Some(table) = Table::of(quoted.protocol, quoted.destination_port, flags) else {
        return Reason::UnprovenIcmpError;
    };
    let key = FlowKey::new(
        &quoted.source,
        &quoted.destination,
        quoted.protocol,
        quoted.source_port,
        quoted.destination_port,
    );
    if is_live(table, &key, tables, observer) {
        Reason::IcmpError
    } else {
        Reason::UnprovenIcmpError
    }
}

#[inline(always)]
fn datagram(packet: &Packet, upper: &Upper) -> DatagramKey {
    DatagramKey::new(
        &packet.source,
        &packet.destination,
        upper.identification,
        upper.protocol,
    )
}

/// Remembers that a datagram's first fragment passed, and how far it reached.
#[inline(always)]
fn accept_first<T: Tables>(packet: &Packet, upper: &Upper, tables: &T) {
    tables.accept_datagram(
        &datagram(packet, upper),
        Datagram {
            deadline: tables.now() + lifetime::FRAGMENT,
            first: (packet.end - upper.at) as u32,
            padding: 0,
        },
    );
}

/// A later fragment passes behind its datagram's first, and only where that one ended or after it: what lies inside the
/// first would change the header by which the datagram was judged.
#[inline(always)]
fn later_fragment<T: Tables, O: Observer>(
    packet: &Packet,
    upper: &Upper,
    tables: &T,
    observer: &mut O,
) -> Reason {
    let now = tables.now();
    let known = tables
        .datagram(&datagram(packet, upper))
        .filter(|datagram| datagram.deadline > now);
    observer.step(Step::Datagram {
        is_known: known.is_some(),
    });
    match known {
        None => Reason::LaterFragment,
        Some(datagram) if upper.offset < datagram.first => Reason::OverlappingFragment,
        Some(_) => Reason::Fragment,
    }
}
