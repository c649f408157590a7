//! The decision: the only place where a packet's fate is chosen.
//!
//! The order is the policy's meaning and is read from top to bottom in `judge`. A packet's country needs its network
//! header only; its transport header is read only where an exemption depends on it.

use crate::address::Address;
use crate::class::Class;
use crate::country::Country;
use crate::exempt::exempt;
use crate::flow::{Datagram, DatagramKey, Flow, FlowKey, Table};
use crate::frame::{Bytes, Frame};
use crate::image::{Flags, Words};
use crate::observe::{Observer, Step};
use crate::packet::{Fragment, Packet, parse};
use crate::verdict::{Reason, Verdict};
use crate::wire::protocol;

/// What a decision consults: the words of the current image, an engine that finds classes in it, and what was seen
/// before: the flows of our side, and the datagrams whose first fragment passed.
pub trait Tables: Words {
    /// The position of the class of the longest prefix that holds the address.
    fn lookup(&self, address: &Address) -> Option<u32>;

    /// Nanoseconds since boot (CLOCK_BOOTTIME).
    fn now(&self) -> u64;

    /// What is known of a flow, lapsed or not.
    fn flow(&self, table: Table, key: &FlowKey) -> Option<Flow>;

    /// What is known of a datagram, lapsed or not.
    fn datagram(&self, key: &DatagramKey) -> Option<Datagram>;

    /// Remembers a datagram whose first fragment passes; one that does not fit is forgotten.
    fn accept_datagram(&self, key: &DatagramKey, datagram: Datagram);
}

/// An image on its own: nothing was ever seen.
impl Tables for &[u32] {
    fn lookup(&self, address: &Address) -> Option<u32> {
        self.trie_lookup(address)
    }

    fn now(&self) -> u64 {
        0
    }

    fn flow(&self, _: Table, _: &FlowKey) -> Option<Flow> {
        None
    }

    fn datagram(&self, _: &DatagramKey) -> Option<Datagram> {
        None
    }

    fn accept_datagram(&self, _: &DatagramKey, _: Datagram) {}
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
    let Some(how) = class.embedding() else {
        return Some(class);
    };
    let inner = how.inner(address);
    observer.step(Step::Embedded { how, inner });
    let embedded = tables
        .class_at(tables.lookup(&inner)?)?
        .with_lists_of(class);
    observer.step(Step::Class {
        address: inner,
        class: embedded,
    });
    Some(embedded)
}

/// Whether a packet from an address of this class passes by an exemption or not at all.
#[must_use]
#[inline(always)]
pub const fn awaits_exemption(class: Class) -> bool {
    class.is_blocked()
        && !(class.is_mapped() || class.is_management() || class.is_allowed() || class.is_denied())
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
    if packet.source.is_v6() {
        is_link_control_v6(frame, packet)
    } else {
        is_link_control_v4(frame, packet)
    }
}

#[inline(always)]
fn is_link_control_v4<F: Frame>(frame: &F, packet: &Packet) -> bool {
    match packet.protocol {
        protocol::UDP => {
            packet.fragment != Fragment::Later
                && ports(frame, packet, packet.payload) == Some((67, 68))
        }
        protocol::IGMP | protocol::OSPF => {
            let [to, _] = packet.destination.words();
            to >> 60 == 0xe && packet.hop_limit == 1
        }
        // RFC 9568 section 5.1.1.3: a router discards VRRP with any other TTL.
        protocol::VRRP => packet.hop_limit == 255,
        _ => false,
    }
}

#[inline(always)]
fn is_link_control_v6<F: Frame>(frame: &F, packet: &Packet) -> bool {
    let on_link = packet.source.is_on_link_v6();
    if !on_link && packet.hop_limit != 255 {
        return false;
    }
    match packet.protocol {
        protocol::ICMPV6 => is_link_control_icmpv6(frame, packet, packet.payload, on_link),
        // Multicast listener discovery comes with a router alert option in front (RFC 3810 section 5).
        protocol::HOP_BY_HOP => {
            frame.bytes(packet.payload) == Some(Bytes([protocol::ICMPV6, 0]))
                && is_link_control_icmpv6(frame, packet, packet.payload + 8, on_link)
        }
        protocol::UDP => on_link && ports(frame, packet, packet.payload) == Some((547, 546)),
        protocol::OSPF => on_link,
        protocol::VRRP => packet.hop_limit == 255,
        _ => false,
    }
}

/// Whether the ICMPv6 message at this offset is one that neighbours exchange. Such messages are never fragmented
/// (RFC 6980), so an extension header that says so is not looked behind.
#[inline(always)]
fn is_link_control_icmpv6<F: Frame>(frame: &F, packet: &Packet, at: usize, on_link: bool) -> bool {
    if at + 8 > packet.end {
        return false;
    }
    let Some(Bytes([kind, _])) = frame.bytes(at) else {
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
    let Bytes([s0, s1, d0, d1]) = frame.bytes(at)?;
    Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
}
