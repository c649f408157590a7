//! Exemptions: what passes from a blocked source. Mail, an exempted service, a reply, an ICMP error about our traffic,
//! a later fragment.
//!
//! The packet itself must prove it, and for the last three earlier packets as well. Nothing here creates or extends a
//! flow; a DNS response uses up one of those that its query may have. An accepted first fragment is remembered for its
//! later fragments only.

use crate::action::Reason;
use crate::decide::case::{Case, reason_of};
use crate::decide::tables::Tables;
use crate::explain::{Observer, Step};
use crate::flow::fragments::{Datagram, DatagramId};
use crate::flow::key::{FlowKey, Table};
use crate::flow::rate_limit::{RateLimit, RateLimitKey};
use crate::flow::state::lifetime;
use crate::image::destination::DestinationPolicy;
use crate::image::layout::header;
use crate::image::settings::{Flags, PortRule, flag};
use crate::l4::{Kind, L4};
use crate::packet::{Fragment, Packet};
use crate::wire::{dns, protocol, transport::tcp};

/// The reason by which a packet from a blocked source passes, or a reason of its own to drop it.
#[inline(always)]
pub(crate) fn exemption<T: Tables, O: Observer>(
    case: &Case,
    tables: &T,
    observer: &mut O,
) -> Option<Reason> {
    let Case {
        packet, policy, l4, ..
    } = case;
    let flags = policy.flags;
    let (source, destination) = (l4.source(), l4.destination());
    let service = match (l4.kind(), l4.bits()) {
        (Kind::Unreadable, _) => return Some(l4.reason()),
        (Kind::Later, _) => return reason_of(case.later_fragment).or(Some(Reason::LaterFragment)),
        (Kind::Tcp, _) => service(policy, protocol::TCP, destination, tables),
        (Kind::Udp, _) => service(policy, protocol::UDP, destination, tables),
        (Kind::Icmp, 8) | (Kind::Icmpv6, 128) => {
            flags.passes_icmp_echo().then_some(Reason::Service)
        }
        (Kind::Icmp | Kind::Icmpv6 | Kind::Other, _) => None,
    };
    if service.is_some() {
        let is_limited = T::HAS_RULES && flags.has(flag::RATE_LIMIT);
        if is_limited && !is_within_rate_limit(packet, tables, observer) {
            return Some(Reason::RateLimit);
        }
        return service;
    }
    let (transport, local_port, remote_port, identifier, is_answer) = match (l4.kind(), l4.bits()) {
        (Kind::Tcp, bits) => {
            // A SYN is no reply, whatever its ports, and a reply has ACK or RST set.
            let is_answer =
                bits & (tcp::SYN | tcp::ACK) != tcp::SYN && bits & (tcp::ACK | tcp::RST) != 0;
            (protocol::TCP, destination, source, 0, is_answer)
        }
        (Kind::Udp, _) => {
            let response = l4.dns_response();
            // From port 53 only a DNS response answers.
            let is_answer = source != dns::PORT || response.is_some();
            let identifier = response.unwrap_or(0);
            (protocol::UDP, destination, source, identifier, is_answer)
        }
        (Kind::Icmp, 0) => (protocol::ICMP, source, 0, 0, true),
        (Kind::Icmpv6, 129) => (protocol::ICMPV6, source, 0, 0, true),
        (Kind::Icmp | Kind::Icmpv6, _) if l4.is_icmp_error() => {
            return Some(icmp_error(packet, l4, policy, tables, observer));
        }
        // Source quench, which RFC 6633 deprecates.
        (Kind::Icmp, 4) => return Some(Reason::UnprovenIcmpError),
        _ => return None,
    };
    let key = FlowKey::new(
        &packet.destination,
        &packet.source,
        transport,
        local_port,
        remote_port,
    )
    .of_query(identifier);
    reply(&key, is_answer, flags, tables, observer)
}

#[inline(always)]
fn is_within_rate_limit<T: Tables, O: Observer>(
    packet: &Packet,
    tables: &T,
    observer: &mut O,
) -> bool {
    let Some(rate) = tables.word(header::RATE_LIMIT as u32) else {
        return true;
    };
    let now = tables.now();
    let is_within = tables.try_acquire(&RateLimitKey::of(&packet.source), |full_at| {
        RateLimit::of_source(rate).try_acquire(full_at, now)
    });
    observer.step(Step::RateLimit { is_within });
    is_within
}

#[inline(always)]
fn service<T: Tables>(
    policy: &DestinationPolicy,
    transport: u8,
    port: u16,
    tables: &T,
) -> Option<Reason> {
    match policy.port_rule(transport, port, tables) {
        PortRule::Mail => Some(Reason::Mail),
        PortRule::Service => Some(Reason::Service),
        // `check_exceptions` has decided about protected ports.
        PortRule::Protected | PortRule::None => None,
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
        // A TCP segment that opens a connection is judged by its country; a datagram from a DNS port only answers.
        return (key.protocol == protocol::UDP).then_some(Reason::UnprovenReply);
    }
    if is_live(table, key, tables, observer)
        && (key.answers_max().is_none() || tables.take_answer(table, key))
    {
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
    // Most such packets have no flow and need no clock.
    let now = if found.is_some() {
        tables.now_coarse()
    } else {
        0
    };
    observer.step(Step::Flow {
        table,
        key: *key,
        found,
        now,
    });
    found.is_some_and(|flow| flow.is_live(now))
}

/// Decides about an ICMP error by the packet it quotes: its addressee must have sent that packet on a tracked flow or
/// from an exempted service. The country of the router that reports does not matter.
#[inline(always)]
fn icmp_error<T: Tables, O: Observer>(
    packet: &Packet,
    l4: &L4,
    policy: &DestinationPolicy,
    tables: &T,
    observer: &mut O,
) -> Reason {
    let Some(quoted) = l4.quoted(packet) else {
        return Reason::UnprovenIcmpError;
    };
    match policy.port_rule(quoted.protocol, quoted.source_port, tables) {
        PortRule::Mail | PortRule::Service => return Reason::IcmpError,
        // `check_exceptions` has passed errors about answers to the named sources.
        PortRule::Protected => return Reason::UnprovenIcmpError,
        PortRule::None => {}
    }
    let Some(table) = Table::of(quoted.protocol, quoted.destination_port, policy.flags) else {
        return Reason::UnprovenIcmpError;
    };
    let key = FlowKey::new(
        &quoted.source,
        &quoted.destination,
        quoted.protocol,
        quoted.source_port,
        quoted.destination_port,
    )
    .of_query(quoted.identifier);
    if is_live(table, &key, tables, observer) {
        Reason::IcmpError
    } else {
        Reason::UnprovenIcmpError
    }
}

/// Remembers an accepted first fragment and its length, if the packet is one.
#[inline(always)]
pub(crate) fn mark_first_fragment<T: Tables>(packet: &Packet, l4: &L4, tables: &T) {
    let upper = &l4.upper();
    if upper.fragment != Fragment::First || l4.kind() == Kind::Unreadable {
        return;
    }
    let id = DatagramId::of(packet, upper);
    let (key, now) = (id.key(&packet.source), tables.now());
    let covers_more =
        |known: Datagram| known.id == id && known.deadline > now && known.first >= upper.boundary;
    // A shorter first fragment that follows would open what the longer one covers.
    if tables.datagram(&key).is_some_and(covers_more) {
        return;
    }
    tables.store_datagram(
        &key,
        Datagram {
            id,
            deadline: now + lifetime::FRAGMENT,
            first: upper.boundary,
            padding: 0,
        },
    );
}

/// The reason for a later fragment whose first fragment is known. It passes if it starts where the first fragment
/// ended, or later: inside the first it would change the header that the decision was based on.
#[inline(always)]
pub(crate) fn later_fragment<T: Tables, O: Observer>(
    packet: &Packet,
    l4: &L4,
    tables: &T,
    observer: &mut O,
) -> Option<Reason> {
    let upper = &l4.upper();
    if l4.kind() != Kind::Later {
        return None;
    }
    let (id, now) = (DatagramId::of(packet, upper), tables.now());
    let known = tables
        .datagram(&id.key(&packet.source))
        .filter(|datagram| datagram.id == id && datagram.deadline > now);
    observer.step(Step::Datagram {
        is_known: known.is_some(),
    });
    known.map(|datagram| {
        if upper.boundary < datagram.first {
            Reason::OverlappingFragment
        } else {
            Reason::Fragment
        }
    })
}
