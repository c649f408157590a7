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
use crate::image::words::Words;
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
    match l4.kind() {
        Kind::Unreadable => return Some(l4.reason()),
        Kind::Later => {
            return reason_of(case.later_fragment).or(Some(Reason::LaterFragment));
        }
        Kind::Tcp | Kind::Udp | Kind::Icmp | Kind::Icmpv6 | Kind::Other => {}
    }
    let service = service(policy, l4, tables);
    if service.is_some() {
        let is_limited = T::HAS_RULES && flags.has(flag::RATE_LIMIT);
        if is_limited && !is_within_rate_limit(packet, tables, observer) {
            return Some(Reason::RateLimit);
        }
        tables.count_service(l4.upper().protocol, l4.destination());
        return service;
    }
    if l4.is_icmp_error() {
        return Some(icmp_error(packet, l4, policy, tables, observer));
    }
    // Source quench, which RFC 6633 deprecates.
    if matches!((l4.kind(), l4.bits()), (Kind::Icmp, 4)) {
        return Some(Reason::UnprovenIcmpError);
    }
    let table = reply_table(l4, flags)?;
    let (local_port, remote_port, identifier) = match l4.kind() {
        Kind::Udp => {
            let response = l4.dns_response();
            if l4.source() == dns::PORT && response.is_none() {
                // From port 53 only a DNS response answers.
                return Some(Reason::UnprovenReply);
            }
            (l4.destination(), l4.source(), response.unwrap_or(0))
        }
        Kind::Icmp | Kind::Icmpv6 => (l4.source(), 0, 0),
        Kind::Unreadable | Kind::Later | Kind::Tcp | Kind::Other => {
            (l4.destination(), l4.source(), 0)
        }
    };
    let key = FlowKey::new(
        &packet.destination,
        &packet.source,
        l4.upper().protocol,
        local_port,
        remote_port,
    )
    .of_query(identifier);
    reply(table, &key, tables, observer)
}

/// The reason for a whole TCP segment or UDP datagram from a blocked source, where no earlier packet can matter:
/// `blocked`, unless it is for an exempted service. Nothing for any other packet.
///
/// It answers as `exemption` does, for most packets of a flood or a scan, and before everything that `exemption` needs
/// is put together. Rate limits and exceptions come first; where there are any, `exemption` answers.
#[inline(always)]
pub(crate) fn by_ports<T: Tables>(
    policy: &DestinationPolicy,
    l4: &L4,
    blocked: Reason,
    tables: &T,
) -> Option<Reason> {
    let has_ports = matches!(l4.kind(), Kind::Tcp | Kind::Udp);
    // A first fragment that passes is remembered.
    if !has_ports || l4.upper().fragment != Fragment::Whole {
        return None;
    }
    let service = service(policy, l4, tables);
    if service.is_some() {
        tables.count_service(l4.upper().protocol, l4.destination());
        return service;
    }
    match reply_table(l4, policy.flags) {
        Some(_) => None,
        None => Some(blocked),
    }
}

/// Where the flow stands that the packet may answer; nothing if it answers none.
#[inline(always)]
fn reply_table(l4: &L4, flags: Flags) -> Option<Table> {
    let (protocol, remote_port) = match (l4.kind(), l4.bits()) {
        // A SYN is no reply, whatever its ports, and a reply has ACK or RST set.
        (Kind::Tcp, bits)
            if bits & (tcp::SYN | tcp::ACK) == tcp::SYN || bits & (tcp::ACK | tcp::RST) == 0 =>
        {
            return None;
        }
        (Kind::Tcp, _) => (protocol::TCP, l4.source()),
        (Kind::Udp, _) => (protocol::UDP, l4.source()),
        (Kind::Icmp, 0) => (protocol::ICMP, 0),
        (Kind::Icmpv6, 129) => (protocol::ICMPV6, 0),
        (Kind::Icmp | Kind::Icmpv6 | Kind::Other | Kind::Later | Kind::Unreadable, _) => {
            return None;
        }
    };
    Table::of(protocol, remote_port, flags)
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

/// The reason by which a packet passes that is for an exempted service.
#[inline(always)]
pub(crate) fn service<W: Words>(policy: &DestinationPolicy, l4: &L4, words: &W) -> Option<Reason> {
    let transport = match (l4.kind(), l4.bits()) {
        (Kind::Tcp, _) => protocol::TCP,
        (Kind::Udp, _) => protocol::UDP,
        (Kind::Icmp, 8) | (Kind::Icmpv6, 128) => {
            return policy.flags.passes_icmp_echo().then_some(Reason::Service);
        }
        (Kind::Icmp | Kind::Icmpv6 | Kind::Other | Kind::Later | Kind::Unreadable, _) => {
            return None;
        }
    };
    match policy.port_rule(transport, l4.destination(), words) {
        PortRule::Mail => Some(Reason::Mail),
        PortRule::Service => Some(Reason::Service),
        // `check_exceptions` has decided about protected ports.
        PortRule::Protected | PortRule::None => None,
    }
}

#[inline(always)]
fn reply<T: Tables, O: Observer>(
    table: Table,
    key: &FlowKey,
    tables: &T,
    observer: &mut O,
) -> Option<Reason> {
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
