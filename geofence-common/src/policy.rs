//! The decision: the only place where a packet's fate is chosen.
//!
//! The order is the policy's meaning and is read from top to bottom in `judge`. A packet's country needs its network
//! header only; its transport header is read only where an exemption depends on it.

use crate::address::Address;
use crate::class::Class;
use crate::country::Country;
use crate::evidence::Evidence;
use crate::exception::{self, Subject};
use crate::exempt::{accept_first, exempt, later_fragment};
use crate::flow::{Datagram, DatagramKey, Flow, FlowKey, Table};
use crate::frame::{Bytes, Frame};
use crate::image::{Exemption, Words, class, flag};
use crate::observe::{Observer, Step};
use crate::packet::{Fragment, Packet, parse};
use crate::pressure::BucketKey;
use crate::verdict::{Reason, Verdict};
use crate::wire::protocol;
use crate::zone::Zone;

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

    /// Draws from a source's bucket, which is told by the moment it will be full, long ago if it is not known; says
    /// whether there was anything in it.
    fn draw(&self, key: &BucketKey, draw: impl Fn(u64) -> Option<u64>) -> bool;
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

    fn draw(&self, _: &BucketKey, draw: impl Fn(u64) -> Option<u64>) -> bool {
        draw(0).is_some()
    }
}

/// What is known of where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub class: Class,
    /// Where the class's record stands.
    at: u32,
    /// Where the record of the address around it stands, if it was carried inside another.
    around: Option<u32>,
}

impl Source {
    /// The same, of which the verifier knows nothing.
    #[inline(always)]
    fn forgotten<F: Frame>(&self, frame: &F) -> Self {
        let forget = |word: u32| frame.forget(u64::from(word)) as u32;
        Self {
            class: Class::from_word(forget(self.class.to_word())),
            at: forget(self.at),
            around: self.around,
        }
    }

    /// What exceptions may call this source: the groups of prefixes it is in, its country; 0 for what they do not.
    #[inline(always)]
    pub(crate) fn names<W: Words>(&self, words: &W) -> [u32; 3] {
        let group = |at: u32| words.word(at.wrapping_add(class::GROUP)).unwrap_or(0);
        let country = if self.class.has_excepted_country() {
            u32::from(self.class.country().number())
        } else {
            0
        };
        if !self.class.has_excepted_prefix() {
            return [0, 0, country];
        }
        [group(self.at), self.around.map_or(0, group), country]
    }
}

/// Why a packet is passed or dropped, and by which exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Judgement {
    reason: Reason,
    /// The exception's slot and one; 0 for none.
    exception: u32,
}

impl From<Reason> for Judgement {
    #[inline(always)]
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            exception: 0,
        }
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
    let packet = match parse(frame, observer) {
        Ok(packet) => packet,
        Err(reason) => {
            observer.step(Step::Decided(reason));
            return Verdict::new(reason, Country::NONE, flags.mode());
        }
    };
    let Some(source) = find_source(&packet.source, tables, observer) else {
        return no_policy(observer);
    };
    let is_excepted = source.class.is_excepted();
    let Some(zone) = Zone::of(&packet.destination, is_excepted, flags, tables, observer) else {
        return no_policy(observer);
    };
    let judgement = judge(frame, &packet, &source, &zone, tables, observer);
    observer.step(Step::Decided(judgement.reason));
    Verdict::new(judgement.reason, source.class.country(), zone.flags.mode())
        .concerning(zone.tenant(tables), judgement.exception)
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
    find_source(address, tables, observer).map(|source| source.class)
}

#[inline(always)]
pub(crate) fn find_source<T: Tables, O: Observer>(
    address: &Address,
    tables: &T,
    observer: &mut O,
) -> Option<Source> {
    let at = tables.lookup(address)?;
    let class = tables.class_at(at)?;
    observer.step(Step::Class {
        address: *address,
        class,
    });
    let Some(how) = class.embedding() else {
        return Some(Source {
            class,
            at,
            around: None,
        });
    };
    let inner = how.inner(address);
    observer.step(Step::Embedded { how, inner });
    let within = tables.lookup(&inner)?;
    let embedded = tables.class_at(within)?.with_lists_of(class);
    observer.step(Step::Class {
        address: inner,
        class: embedded,
    });
    Some(Source {
        class: embedded,
        at: within,
        around: Some(at),
    })
}

/// Whether a packet from an address of this class to this zone passes by an exemption or not at all.
#[must_use]
#[inline(always)]
pub(crate) fn awaits_exemption<W: Words>(class: Class, zone: &Zone, words: &W) -> bool {
    zone.blocks(class, words)
        && !(class.is_mapped() || class.is_management() || class.is_allowed() || class.is_denied())
}

#[inline(always)]
fn judge<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    source: &Source,
    zone: &Zone,
    tables: &T,
    observer: &mut O,
) -> Judgement {
    let class = source.class;
    if is_link_control(frame, packet) {
        return Reason::LinkControl.into();
    }
    if class.is_mapped() {
        return Reason::Mapped.into();
    }
    if class.is_management() {
        return Reason::Management.into();
    }
    let settled = settle(class, zone, tables);
    let is_protected = zone.flags.has(flag::PROTECTED);
    if let Some(reason) = settled
        && !class.is_excepted()
        && !is_protected
    {
        return reason.into();
    }
    /// The number of no reason.
    const UNSETTLED: u64 = u8::MAX as u64;
    // From here on the verifier need not know how it came to this.
    let settled = frame.forget(settled.map_or(UNSETTLED, |reason| reason as u64));
    let (source, zone) = (&source.forgotten(frame), &zone.forgotten(frame));
    let class = source.class;
    let is_protected = zone.flags.has(flag::PROTECTED);
    let evidence = Evidence::read(frame, packet, observer);
    let later = later_fragment(packet, &evidence, tables, observer);
    if let Some(reason) = later
        && class.is_excepted()
    {
        return reason.into();
    }
    if class.is_excepted() || is_protected {
        let special = special(packet, &evidence, source, zone, tables, observer);
        if let Some(judgement) = special {
            return judgement;
        }
    }
    if let Some(reason) = Reason::from_number(frame.forget(settled) as u8) {
        return reason.into();
    }
    let blocked = if class.country() == Country::UNKNOWN {
        Reason::CountryUnknownBlocked
    } else {
        Reason::CountryBlocked
    };
    exempt(frame, packet, &evidence, later, zone, tables, observer)
        .unwrap_or(blocked)
        .into()
}

/// What becomes of a packet whose transport header says nothing about it; nothing if only an exemption helps it.
#[inline(always)]
fn settle<W: Words>(class: Class, zone: &Zone, words: &W) -> Option<Reason> {
    if class.is_allowed() {
        return Some(Reason::Allowed);
    }
    if class.is_denied() {
        return Some(Reason::Denied);
    }
    match class.country() {
        Country::SPECIAL if zone.flags.blocks_special_use() => Some(Reason::SpecialUseBlocked),
        Country::SPECIAL => Some(Reason::SpecialUse),
        _ if zone.blocks(class, words) => None,
        Country::UNKNOWN => Some(Reason::CountryUnknown),
        _ => Some(Reason::CountryAllowed),
    }
}

/// What exceptions and protections say, both of which come before lists and countries.
#[inline(always)]
fn special<T: Tables, O: Observer>(
    packet: &Packet,
    evidence: &Evidence,
    source: &Source,
    zone: &Zone,
    tables: &T,
    observer: &mut O,
) -> Option<Judgement> {
    let is_excepted = source.class.is_excepted();
    let is_hidden = zone.flags.has(flag::PROTECTED) && evidence.hides_port(packet);
    let (transport, port) = (evidence.protocol(packet), evidence.port());
    let is_protected = is_hidden
        || match (transport, port) {
            (Some(transport), Some(port)) => {
                zone.exemption(transport, port, tables) == Exemption::Protected
            }
            _ => false,
        };
    if is_excepted {
        let subject = Subject::new(transport, port, is_protected);
        if let Some(found) = exception::find(source, zone, &subject, tables, observer) {
            accept_first(packet, evidence, tables);
            return Some(Judgement {
                reason: if found.is_access {
                    Reason::ProtectedAccess
                } else {
                    Reason::Exception
                },
                exception: found.slot.wrapping_add(1),
            });
        }
    }
    if is_protected {
        observer.step(Step::Protected { is_hidden });
        return Some(Reason::ProtectedService.into());
    }
    None
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
