//! What lets a packet of a blocked source in: a service, a reply, an error about traffic of ours, a later fragment.
//!
//! Each must be proven by the packet itself and, for the last three, by what was seen before it. Nothing here creates
//! or extends a flow; an accepted first fragment is remembered for its followers and for nothing else.

use crate::evidence::{Evidence, Kind};
use crate::flow::{Datagram, DatagramKey, FlowKey, Table, lifetime};
use crate::image::{Exemption, Flags, flag, header};
use crate::observe::{Observer, Step};
use crate::packet::{Fragment, Packet, Upper};
use crate::policy::{Case, Tables, reason_of};
use crate::pressure::{self, BucketKey};
use crate::verdict::{Action, Reason};
use crate::wire::{protocol, transport::tcp};
use crate::zone::Zone;

/// Whether a packet of a blocked source is proven to be exempt, or has a reason of its own why it is not.
#[inline(always)]
pub(crate) fn exempt<T: Tables, O: Observer>(
    case: &Case,
    tables: &T,
    observer: &mut O,
) -> Option<Reason> {
    let Case {
        packet,
        zone,
        evidence,
        ..
    } = case;
    let flags = zone.flags;
    let (source, destination) = (evidence.source(), evidence.destination());
    let reason = match (evidence.kind(), evidence.bits()) {
        (Kind::Unreadable, _) => return Some(evidence.reason()),
        (Kind::Later, _) => return reason_of(case.later).or(Some(Reason::LaterFragment)),
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
        (Kind::Icmp | Kind::Icmpv6, _) if evidence.is_icmp_error() => {
            Some(icmp_error(packet, evidence, zone, tables, observer))
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
    // Most who ask have no flow, and need not ask the time.
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
/// exempted service. Which country the router is in says nothing.
#[inline(always)]
fn icmp_error<T: Tables, O: Observer>(
    packet: &Packet,
    evidence: &Evidence,
    zone: &Zone,
    tables: &T,
    observer: &mut O,
) -> Reason {
    let Some(quoted) = evidence.quoted(packet) else {
        return Reason::UnprovenIcmpError;
    };
    // What we answer from a protected port is traffic of ours as well: who may reach it must hear of a small MTU.
    if zone.exemption(quoted.protocol, quoted.source_port, tables) != Exemption::None {
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
    let upper = &evidence.upper();
    if upper.fragment != Fragment::First || evidence.kind() == Kind::Unreadable {
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
    let upper = &evidence.upper();
    if evidence.kind() != Kind::Later {
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
