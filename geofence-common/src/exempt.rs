//! What lets a packet of a blocked source in: a service, a reply, an error about traffic of ours, a later fragment.
//!
//! Each must be proven by the packet itself and, for the last three, by what was seen before it. Nothing here creates
//! or extends a flow; an accepted first fragment is remembered for its followers and for nothing else.

use crate::evidence::{Evidence, Kind};
use crate::exception::{self, Subject};
use crate::flow::{Datagram, DatagramKey, FlowKey, Table, lifetime};
use crate::frame::Frame;
use crate::image::{Exemption, Flags, flag, header};
use crate::observe::{Observer, Step};
use crate::packet::{Fragment, Packet, Upper};
use crate::policy::{Tables, find_source};
use crate::pressure::{self, BucketKey};
use crate::verdict::{Action, Reason};
use crate::wire::quoted::{self, Quoted};
use crate::wire::{protocol, transport::tcp};
use crate::zone::Zone;

/// Whether a packet of a blocked source is proven to be exempt, or has a reason of its own why it is not.
#[inline(always)]
pub(crate) fn exempt<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    evidence: &Evidence,
    later: Option<Reason>,
    zone: &Zone,
    tables: &T,
    observer: &mut O,
) -> Option<Reason> {
    let flags = zone.flags;
    let (source, destination) = (evidence.source, evidence.destination);
    let reason = match (evidence.kind, evidence.bits) {
        (Kind::Unreadable, _) => return Some(evidence.reason()),
        (Kind::Later, _) => return Some(later.unwrap_or(Reason::LaterFragment)),
        (Kind::Tcp, bits) => {
            // A connection's opening is no reply, whatever its ports; and a reply says what it answers.
            let is_answer =
                bits & (tcp::SYN | tcp::ACK) != tcp::SYN && bits & (tcp::ACK | tcp::RST) != 0;
            service(zone, protocol::TCP, destination, tables).or_else(|| {
                let key = key(packet, protocol::TCP, destination, source);
                reply(&key, is_answer, flags, tables, observer)
            })
        }
        (Kind::Udp, _) => service(zone, protocol::UDP, destination, tables).or_else(|| {
            let key = key(packet, protocol::UDP, destination, source);
            reply(&key, true, flags, tables, observer)
        }),
        (Kind::Icmp, 8) | (Kind::Icmpv6, 128) => {
            flags.passes_icmp_echo().then_some(Reason::Service)
        }
        (Kind::Icmp, 0) => {
            let key = key(packet, protocol::ICMP, source, 0);
            reply(&key, true, flags, tables, observer)
        }
        (Kind::Icmpv6, 129) => {
            let key = key(packet, protocol::ICMPV6, source, 0);
            reply(&key, true, flags, tables, observer)
        }
        // Unreachable, time exceeded, parameter problem; in ICMPv6 packet too big as well.
        (Kind::Icmp, 3 | 11 | 12) | (Kind::Icmpv6, 1..=4) => {
            let upper = &evidence.upper;
            Some(icmp_error(frame, packet, upper, zone, tables, observer))
        }
        // Source quench, which RFC 6633 has everybody ignore.
        (Kind::Icmp, 4) => Some(Reason::UnprovenIcmpError),
        (Kind::Icmp | Kind::Icmpv6 | Kind::Other, _) => None,
    }?;
    if matches!(reason, Reason::Mail | Reason::Service)
        && flags.has(flag::PRESSURE)
        && !is_within_pressure(packet, tables, observer)
    {
        return Some(Reason::Pressure);
    }
    if reason.action() == Action::Pass {
        accept_first(packet, evidence, tables);
    }
    Some(reason)
}

#[inline(always)]
fn is_within_pressure<T: Tables, O: Observer>(
    packet: &Packet,
    tables: &T,
    observer: &mut O,
) -> bool {
    let Some(rate) = tables.word(header::PRESSURE as u32) else {
        return true;
    };
    let now = tables.now();
    let is_within = tables.draw(&BucketKey::of(&packet.source), |full| {
        pressure::draw(full, now, rate)
    });
    observer.step(Step::Pressure { is_within });
    is_within
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
fn service<T: Tables>(zone: &Zone, transport: u8, port: u16, tables: &T) -> Option<Reason> {
    match zone.exemption(transport, port, tables) {
        Exemption::Mail => Some(Reason::Mail),
        Exemption::Service => Some(Reason::Service),
        // What named sources may reach of a protected port was settled before.
        Exemption::Protected | Exemption::None => None,
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
    zone: &Zone,
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
    // What we answer from a protected port is traffic of ours as well: who may reach it must hear of a small MTU.
    if zone.exemption(quoted.protocol, quoted.source_port, tables) != Exemption::None
        || answers_an_exception(&quoted, zone, tables, observer)
    {
        return Reason::IcmpError;
    }
    let Some(table) = Table::of(quoted.protocol, quoted.destination_port, zone.flags) else {
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

/// Whether a quoted packet of ours may be an answer to somebody who reached us by an exception.
#[inline(always)]
fn answers_an_exception<T: Tables, O: Observer>(
    quoted: &Quoted,
    zone: &Zone,
    tables: &T,
    observer: &mut O,
) -> bool {
    if !zone.flags.has(flag::EXCEPTIONS) {
        return false;
    }
    let Some(peer) = find_source(&quoted.destination, tables, observer) else {
        return false;
    };
    let subject = Subject::new(Some(quoted.protocol), Some(quoted.source_port), false);
    peer.class.is_excepted() && exception::find(&peer, zone, &subject, tables, observer).is_some()
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

/// Remembers that a datagram's first fragment passed, and how far it reached, if that is what the packet is.
#[inline(always)]
pub(crate) fn accept_first<T: Tables>(packet: &Packet, evidence: &Evidence, tables: &T) {
    let upper = &evidence.upper;
    if upper.fragment != Fragment::First || evidence.kind == Kind::Unreadable {
        return;
    }
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
/// first would change the header by which the datagram was judged. Nothing is said of one whose first is not known.
#[inline(always)]
pub(crate) fn later_fragment<T: Tables, O: Observer>(
    packet: &Packet,
    evidence: &Evidence,
    tables: &T,
    observer: &mut O,
) -> Option<Reason> {
    let upper = &evidence.upper;
    if evidence.kind != Kind::Later {
        return None;
    }
    let now = tables.now();
    let known = tables
        .datagram(&datagram(packet, upper))
        .filter(|datagram| datagram.deadline > now);
    observer.step(Step::Datagram {
        is_known: known.is_some(),
    });
    known.map(|datagram| {
        if upper.offset < datagram.first {
            Reason::OverlappingFragment
        } else {
            Reason::Fragment
        }
    })
}
