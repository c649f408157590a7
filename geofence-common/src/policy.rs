//! The decision: the only place where a packet's fate is chosen.
//!
//! The order is the policy's meaning and is read from top to bottom in `judge`. A packet's country needs its network
//! header only; its transport header is read only where an exemption depends on it.

use crate::address::Address;
use crate::class::Class;
use crate::country::Country;
use crate::frame::Frame;
use crate::image::{Exemption, Flags, TCP_SERVICES_LINE, UDP_SERVICES_LINE, Words};
use crate::observe::{Observer, Step};
use crate::packet::{Fragment, Packet, Transport, parse};
use crate::verdict::{Reason, Verdict};
use crate::wire::protocol;

/// What a decision consults: the words of the current image, and an engine that finds classes in it.
pub trait Tables: Words {
    /// The position of the class of the longest prefix that holds the address.
    fn lookup(&self, address: &Address) -> Option<u32>;
}

impl Tables for &[u32] {
    #[inline(always)]
    fn lookup(&self, address: &Address) -> Option<u32> {
        self.trie_lookup(address)
    }
}

/// Decides about a frame. Every frame gets exactly one verdict.
#[inline(always)]
pub fn filter<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    tables: &T,
    observer: &mut O,
) -> Verdict {
    let Some(flags) = tables.flags() else {
        return no_policy(observer);
    };
    let (reason, country) = match parse(frame, observer) {
        Err(reason) => (reason, Country::NONE),
        Ok(packet) => match classify(&packet.source, tables, observer) {
            None => return no_policy(observer),
            Some(class) => (
                judge(frame, &packet, class, flags, tables, observer),
                class.country(),
            ),
        },
    };
    observer.step(Step::Decided(reason));
    Verdict::new(reason, country, flags.mode())
}

#[inline(always)]
fn no_policy<O: Observer>(observer: &mut O) -> Verdict {
    observer.step(Step::Decided(Reason::NoPolicy));
    Verdict::NO_POLICY
}

/// Finds the class of an address; one that carries an IPv4 address has that address's class, and the lists of both.
#[inline(always)]
pub fn classify<T: Tables, O: Observer>(
    address: &Address,
    tables: &T,
    observer: &mut O,
) -> Option<Class> {
    let class = tables.class_at(tables.lookup(address)?)?;
    observer.step(Step::Class {
        address: *address,
        class,
    });
    let (Address::V6(bytes), Some(how)) = (address, class.embedding()) else {
        return Some(class);
    };
    let inner = how.inner(*bytes);
    observer.step(Step::Embedded { how, inner });
    let inner = Address::V4(inner);
    let embedded = tables
        .class_at(tables.lookup(&inner)?)?
        .with_lists_of(class);
    observer.step(Step::Class {
        address: inner,
        class: embedded,
    });
    Some(embedded)
}

#[inline(always)]
fn judge<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    class: Class,
    flags: Flags,
    tables: &T,
    observer: &mut O,
) -> Reason {
    if is_link_control(frame, packet) {
        return Reason::LinkControl;
    }
    if class.is_mapped() {
        return Reason::Mapped;
    }
    if class.is_management() {
        return Reason::Management;
    }
    if class.is_allowed() {
        return Reason::Allowed;
    }
    if class.is_denied() {
        return Reason::Denied;
    }
    match class.country() {
        Country::SPECIAL if flags.blocks_special_use() => Reason::SpecialUseBlocked,
        Country::SPECIAL => Reason::SpecialUse,
        Country::UNKNOWN if !class.is_blocked() => Reason::CountryUnknown,
        Country::UNKNOWN => {
            exempt(frame, packet, flags, tables, observer).unwrap_or(Reason::CountryUnknownBlocked)
        }
        _ if !class.is_blocked() => Reason::CountryAllowed,
        _ => exempt(frame, packet, flags, tables, observer).unwrap_or(Reason::CountryBlocked),
    }
}

/// Whether the packet keeps the link alive, as far as it can be told that it was sent on this link.
///
/// A filter that blocks every country must not cost the host its address, its routers or its neighbours. What proves
/// that a packet was not forwarded: a hop limit of 255 (RFC 4861 section 7.1), a link-local source, a hop limit of one,
/// or an answer that only a DHCP client waits for.
#[inline(always)]
fn is_link_control<F: Frame>(frame: &F, packet: &Packet) -> bool {
    match packet.destination {
        Address::V4([to, ..]) => match packet.protocol {
            protocol::UDP => {
                packet.fragment != Fragment::Later
                    && ports(frame, packet, packet.payload) == Some((67, 68))
            }
            protocol::IGMP | protocol::OSPF => to & 0xf0 == 224 && packet.hop_limit == 1,
            // RFC 9568 section 5.1.1.3: a router discards VRRP with any other TTL.
            protocol::VRRP => packet.hop_limit == 255,
            _ => false,
        },
        Address::V6(_) => {
            let on_link = packet.source.is_on_link_v6();
            if !on_link && packet.hop_limit != 255 {
                return false;
            }
            match packet.protocol {
                protocol::ICMPV6 => is_link_control_icmpv6(frame, packet, packet.payload, on_link),
                // Multicast listener discovery comes with a router alert option in front (RFC 3810 section 5).
                protocol::HOP_BY_HOP => {
                    frame.bytes(packet.payload) == Some([protocol::ICMPV6, 0])
                        && is_link_control_icmpv6(frame, packet, packet.payload + 8, on_link)
                }
                protocol::UDP => {
                    on_link && ports(frame, packet, packet.payload) == Some((547, 546))
                }
                protocol::OSPF => on_link,
                protocol::VRRP => packet.hop_limit == 255,
                _ => false,
            }
        }
    }
}

/// Whether the ICMPv6 message at this offset is one that neighbours exchange. Such messages are never fragmented
/// (RFC 6980), so an extension header that says so is not looked behind.
#[inline(always)]
fn is_link_control_icmpv6<F: Frame>(frame: &F, packet: &Packet, at: usize, on_link: bool) -> bool {
    if at + 8 > packet.end {
        return false;
    }
    let Some([kind, _]) = frame.bytes(at) else {
        return false;
    };
    match kind {
        // Router solicitation and neighbour discovery may come from any address of a neighbour.
        133 | 135 | 136 => packet.hop_limit == 255,
        // Router advertisements and redirects come from a link-local address (RFC 4861 sections 6.1.2 and 8.1).
        134 | 137 => packet.hop_limit == 255 && on_link,
        // Multicast listener discovery has a hop limit of one.
        130..=132 | 143 => packet.hop_limit == 1 && on_link,
        _ => false,
    }
}

/// The ports of a datagram that starts at this offset.
#[inline(always)]
fn ports<F: Frame>(frame: &F, packet: &Packet, at: usize) -> Option<(u16, u16)> {
    if at + 8 > packet.end {
        return None;
    }
    let [s0, s1, d0, d1] = frame.bytes(at)?;
    Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
}

/// Whether a packet of a blocked source is proven to be exempt, or has a reason of its own why it is not.
#[inline(always)]
fn exempt<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    flags: Flags,
    tables: &T,
    observer: &mut O,
) -> Option<Reason> {
    /// TCP's SYN and ACK bits.
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;

    let (section, port, looks_like_reply) = match packet.transport(frame, observer) {
        Err(reason) => return Some(reason),
        Ok(Transport::Tcp {
            source,
            destination,
            flags,
        }) => {
            let reply = matches!(source, 25 | 53 | 465 | 587 | 853) && flags & (SYN | ACK) != SYN;
            (TCP_SERVICES_LINE, destination, reply)
        }
        Ok(Transport::Udp {
            source,
            destination,
        }) => (UDP_SERVICES_LINE, destination, matches!(source, 53 | 853)),
        Ok(Transport::Icmp { kind: 8, .. } | Transport::Icmpv6 { kind: 128, .. }) => {
            return flags.passes_icmp_echo().then_some(Reason::Service);
        }
        // Unreachable, source quench, time exceeded, parameter problem; and their ICMPv6 counterparts.
        Ok(
            Transport::Icmp {
                kind: 3 | 4 | 11 | 12,
                ..
            }
            | Transport::Icmpv6 { kind: 1..=4, .. },
        ) => {
            return Some(Reason::UnprovenIcmpError);
        }
        Ok(Transport::Icmp { .. } | Transport::Icmpv6 { .. } | Transport::Other { .. }) => {
            return None;
        }
    };
    match tables.exemption(section, port)? {
        Exemption::Mail => Some(Reason::Mail),
        Exemption::Service => Some(Reason::Service),
        Exemption::None => looks_like_reply.then_some(Reason::UnprovenReply),
    }
}
