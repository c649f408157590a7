//! The decision: the only place where a packet's fate is chosen.
//!
//! The order is the policy's meaning and is read from top to bottom in `judge`. A packet's country needs its network
//! header only; its transport header is read only where an exemption depends on it.

use crate::address::Address;
use crate::class::Class;
use crate::contact::Party;
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

    /// The same, or what it was at most a few milliseconds ago, for those who ask often.
    #[inline(always)]
    fn lately(&self) -> u64 {
        self.now()
    }

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
        self.class_lookup(address)
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
    /// Where the record of the address around it stands, if it was carried inside another; 0 if not.
    around: u32,
}

impl Source {
    /// The same, of which the verifier knows nothing.
    #[inline(always)]
    pub(crate) fn forgotten<F: Frame>(&self, frame: &F) -> Self {
        Self {
            class: Class::from_word(frame.forget(self.class.to_word())),
            at: frame.forget(self.at),
            around: frame.forget(self.around),
        }
    }

    /// It as lists see it, towards a zone of ours.
    #[inline(always)]
    pub(crate) const fn party(&self, zone: &Zone) -> Party {
        Party {
            class: self.class,
            records: [self.at, self.around],
            zone: zone.at(),
        }
    }

    /// What exceptions may call this source: the groups of prefixes it is in, its country; 0 for what they do not.
    #[inline(always)]
    pub(crate) fn names<W: Words>(&self, words: &W) -> [u32; 3] {
        // Where the header is, a group is not.
        let group = |at: u32| match at {
            0 => 0,
            at => words.word(at.wrapping_add(class::GROUP)).unwrap_or(0),
        };
        let country = if self.class.has_excepted_country() {
            u32::from(self.class.country().number())
        } else {
            0
        };
        if !self.class.has_excepted_prefix() {
            return [0, 0, country];
        }
        [group(self.around), group(self.at), country]
    }
}

/// Why a packet is passed or dropped, where it was sent, and by which exception it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Judgement {
    reason: Reason,
    zone: Zone,
    /// The exception's slot and one; 0 for none.
    exception: u32,
}

impl Judgement {
    #[inline(always)]
    const fn new(reason: Reason, zone: &Zone) -> Self {
        Self {
            reason,
            zone: *zone,
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
    let Judgement {
        reason,
        zone,
        exception,
    } = judge(frame, &packet, &source, &zone, tables, observer);
    observer.step(Step::Decided(reason));
    Verdict::new(reason, source.class.country(), zone.flags.mode())
        .concerning(zone.tenant(tables), exception)
        .about(source.party(&zone))
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
            around: 0,
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
        around: at,
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
    let settled = if is_link_control(frame, packet) {
        return Judgement::new(Reason::LinkControl, zone);
    } else if class.is_mapped() {
        return Judgement::new(Reason::Mapped, zone);
    } else if class.is_management() {
        return Judgement::new(Reason::Management, zone);
    } else {
        settle(class, zone, tables)
    };
    match settled {
        Some(reason) if !class.is_excepted() && !zone.flags.has(flag::PROTECTED) => {
            Judgement::new(reason, zone)
        }
        // From here on the verifier need not know how it came to this.
        settled => judge_case(
            frame,
            &Case {
                packet: packet.forgotten(frame),
                source: source.forgotten(frame),
                zone: zone.forgotten(frame),
                evidence: Evidence::NONE,
                later: NO_REASON,
                settled: frame.forget(number(settled)),
            },
            tables,
            observer,
        ),
    }
}

/// The same for a packet of which more is asked than its addresses.
#[inline(always)]
fn judge_case<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    case: &Case,
    tables: &T,
    observer: &mut O,
) -> Judgement {
    let evidence = Evidence::read(frame, &case.packet, observer);
    let case = Case {
        later: number(later_fragment(&case.packet, &evidence, tables, observer)),
        evidence,
        ..*case
    }
    .forgotten(frame);
    // What comes next need not know which of the questions on the way were answered how.
    let (next, last) = (case.forgotten(frame), case.forgotten(frame));
    let (reason, exception) = match special(frame, &case, tables, observer) {
        Some((reason, exception)) => {
            if exception != 0 {
                accept_first(&next.packet, &next.evidence, tables);
            }
            (reason, exception)
        }
        None => (ordinary(&next, tables, observer), 0),
    };
    Judgement {
        reason: reason_of(frame.forget(reason as u32)).unwrap_or(Reason::NoPolicy),
        zone: last.zone,
        exception: frame.forget(exception),
    }
}

/// What becomes of a packet for which nobody made an exception.
#[inline(always)]
fn ordinary<T: Tables, O: Observer>(case: &Case, tables: &T, observer: &mut O) -> Reason {
    if let Some(settled) = reason_of(case.settled) {
        return settled;
    }
    let blocked = if case.source.class.country() == Country::UNKNOWN {
        Reason::CountryUnknownBlocked
    } else {
        Reason::CountryBlocked
    };
    exempt(case, tables, observer).unwrap_or(blocked)
}

/// All that a verdict rests on when it takes more than the addresses.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) packet: Packet,
    source: Source,
    pub(crate) zone: Zone,
    pub(crate) evidence: Evidence,
    /// The number of what is known of a later fragment.
    pub(crate) later: u32,
    /// The number of the reason that the addresses alone would give.
    settled: u32,
}

/// The number of no reason.
const NO_REASON: u32 = u8::MAX as u32;

#[inline(always)]
fn number(reason: Option<Reason>) -> u32 {
    match reason {
        Some(reason) => reason as u32,
        None => NO_REASON,
    }
}

#[inline(always)]
pub(crate) const fn reason_of(number: u32) -> Option<Reason> {
    Reason::from_number(number as u8)
}

impl Case {
    /// The same, of which the verifier knows nothing.
    #[inline(always)]
    fn forgotten<F: Frame>(&self, frame: &F) -> Self {
        Self {
            packet: self.packet.forgotten(frame),
            source: self.source.forgotten(frame),
            zone: self.zone.forgotten(frame),
            evidence: self.evidence.forgotten(frame),
            later: frame.forget(self.later),
            settled: frame.forget(self.settled),
        }
    }
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

/// What exceptions and protections say, both of which come before lists and countries; with the exception's slot and
/// one, or 0.
#[inline(always)]
fn special<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    case: &Case,
    tables: &T,
    observer: &mut O,
) -> Option<(Reason, u32)> {
    let Case {
        packet,
        source,
        zone,
        evidence,
        ..
    } = case;
    if !zone.flags.has(flag::EXCEPTIONS | flag::PROTECTED) {
        return None;
    }
    let is_excepted = source.class.is_excepted();
    if is_excepted && let Some(later) = reason_of(case.later) {
        return Some((later, 0));
    }
    // An error that nothing else lets in may be about an answer of ours to somebody who reached us by an exception.
    let quoted = match evidence.quoted(packet) {
        Some(quoted) if case.settled == NO_REASON && zone.flags.has(flag::EXCEPTIONS) => {
            Some(quoted)
        }
        _ => None,
    };
    let is_guarded = zone.flags.has(flag::PROTECTED);
    if !is_excepted && !is_guarded && quoted.is_none() {
        // Nobody means this packet: that there are exceptions for others must not cost it anything.
        return None;
    }
    let is_hidden = is_guarded && evidence.hides_port();
    let (transport, port) = (evidence.protocol(), evidence.port());
    let is_protected = is_hidden
        || match (transport, port) {
            (Some(transport), Some(port)) if is_guarded => {
                zone.exemption(transport, port, tables) == Exemption::Protected
            }
            _ => false,
        };
    let (names, subject) = match quoted {
        Some(quoted) => (
            find_source(&quoted.destination, tables, observer)
                .map_or([0; 3], |peer| peer.names(tables)),
            Subject::new(Some(quoted.protocol), Some(quoted.source_port), false),
        ),
        None => (
            source.names(tables),
            Subject::new(transport, port, is_protected),
        ),
    };
    let names = names.map(|name| frame.forget(name));
    let subject = subject.forgotten(frame);
    let (is_protected, is_about) = (
        frame.forget(is_protected.into()),
        frame.forget(quoted.is_some().into()),
    );
    if let Some(found) = exception::find(frame, names, zone, &subject, tables, observer) {
        return Some(if is_about != 0 {
            (Reason::IcmpError, 0)
        } else if found.is_access {
            (Reason::ProtectedAccess, found.slot.wrapping_add(1))
        } else {
            (Reason::Exception, found.slot.wrapping_add(1))
        });
    }
    if is_protected != 0 {
        observer.step(Step::Protected {
            tenant: zone.tenant(tables),
            transport,
            port,
        });
        return Some((Reason::ProtectedService, 0));
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
