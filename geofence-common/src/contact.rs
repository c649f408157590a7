//! Contacts: packets that come from, or go to, an address on a list that somebody else keeps.
//!
//! The class of such an address names its set of lists, which stands in the image once for all who are on the same:
//!
//! ```text
//! how many lists, then for each, in order of its identity: identity, traits
//! ```
//!
//! A list's identity comes from its name, so that what was counted stays its own whatever else the configuration says.
//! An address that carries another is on the lists of both, of which there may be two sets; they are walked as one.

use crate::address::Address;
use crate::class::Class;
use crate::frame::Frame;
use crate::image::{Words, class};
use crate::packet::{Fragment, Packet, Transport, Upper, parse};
use crate::verdict::Action;
use crate::wire::{ipv6, protocol, transport};
use crate::zone;

/// The most lists that an address is counted on. A packet walks all of them, and so does the verifier.
pub const LISTS_MAX: u32 = 16;
/// Words of a list in a set.
pub const LIST_WORDS: u32 = 2;

/// What a list is, in its second word in a set.
pub mod traits {
    /// It is about what comes in.
    pub const IN: u32 = 1;
    /// It is about what goes out.
    pub const OUT: u32 = 1 << 1;
    /// It blocks what it is about.
    pub const BLOCK: u32 = 1 << 2;
    /// The position of its pace from here on.
    pub const PACE: u32 = 8;
}

/// How many paces there are; lists beyond share them.
pub const PACES: u32 = 1024;

/// No list has this identity, and no tenant.
const NOBODY: u32 = u32::MAX;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Direction {
    In = 0,
    Out = 1,
}

impl Direction {
    pub const ALL: [Self; 2] = [Self::In, Self::Out];

    /// The spelling used in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    const fn bit(self) -> u32 {
        match self {
            Self::In => traits::IN,
            Self::Out => traits::OUT,
        }
    }
}

/// Whom a packet is exchanged with, as far as lists are concerned: where it stands in the image.
///
/// Only put together in passing, so that it costs nothing where no list is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    pub class: Class,
    /// Where the class's record stands, and that of the address around it; 0 for none.
    pub records: [u32; 2],
    /// Where the zone of our side stands; 0 for what holds everywhere.
    pub zone: u32,
}

impl Party {
    /// Nobody of whom anything is known.
    pub const NOBODY: Self = Self {
        class: Class::from_word(0),
        records: [0; 2],
        zone: 0,
    };

    /// The same, of whom the verifier knows nothing.
    #[must_use]
    #[inline(always)]
    pub fn forgotten<F: Frame>(&self, frame: &F) -> Self {
        Self {
            class: Class::from_word(frame.forget(self.class.to_word())),
            records: self.records.map(|at| frame.forget(at)),
            zone: frame.forget(self.zone),
        }
    }

    /// The lists it is on, if there are any about packets of this direction.
    #[inline(always)]
    pub fn listed<W: Words>(&self, direction: Direction, words: &W) -> Listed {
        if !self.class.is_listed(direction) {
            return Listed::NOWHERE;
        }
        let read = |record: u32, at: u32| match record {
            0 => 0,
            record => words.word(record.wrapping_add(at)).unwrap_or(0),
        };
        Listed {
            sets: self.records.map(|record| read(record, class::LISTS)),
            tenant: read(self.zone, zone::word::IDENTITY),
        }
    }
}

/// The lists that a packet is counted on, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where the sets start: the address's own, and that of the address around it; 0 for none.
    pub sets: [u32; 2],
    /// The identity of the tenant it concerns, 0 for none.
    pub tenant: u32,
}

impl Listed {
    /// On none.
    pub const NOWHERE: Self = Self {
        sets: [0; 2],
        tenant: 0,
    };

    /// The same, of which the verifier knows nothing.
    #[must_use]
    #[inline(always)]
    pub fn forgotten<F: Frame>(&self, frame: &F) -> Self {
        Self {
            sets: self.sets.map(|set| frame.forget(set)),
            tenant: frame.forget(self.tenant),
        }
    }
}

/// A list that a packet is counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    pub identity: u32,
    traits: u32,
}

impl List {
    /// Where its pace is kept.
    #[must_use]
    #[inline(always)]
    pub const fn pace(self) -> u32 {
        (self.traits >> traits::PACE) & (PACES - 1)
    }
}

/// Calls back with each list that is about packets of this direction, in order and none twice.
#[inline(always)]
pub fn each_list<F: Frame, W: Words>(
    frame: &F,
    listed: &Listed,
    direction: Direction,
    words: &W,
    mut remark: impl FnMut(List),
) {
    // Between the steps the verifier forgets what they may have led to, or it would follow each combination.
    let forget = |number| frame.forget(number);
    let [mut own, mut around] = listed.sets.map(|at| Rest::of(at, words).forgotten(frame));
    for _ in 0..LISTS_MAX {
        let of_own = forget(own.first(words));
        own = own.forgotten(frame);
        let of_around = forget(around.first(words));
        around = around.forgotten(frame);
        let identity = forget(if of_own < of_around {
            of_own
        } else {
            of_around
        });
        if identity == NOBODY {
            return;
        }
        let at = forget(if identity == of_own {
            own.at
        } else {
            around.at
        });
        let traits = forget(words.word(at.wrapping_add(1)).unwrap_or(0));
        own.pass(of_own, identity);
        around.pass(of_around, identity);
        (own, around) = (own.forgotten(frame), around.forgotten(frame));
        if traits & direction.bit() != 0 {
            remark(List { identity, traits });
        }
    }
}

/// What is left of a set.
#[derive(Clone, Copy)]
struct Rest {
    at: u32,
    lists: u32,
}

impl Rest {
    #[inline(always)]
    fn of<W: Words>(set: u32, words: &W) -> Self {
        Self {
            at: set.wrapping_add(1),
            lists: match set {
                0 => 0,
                at => words.word(at).unwrap_or(0),
            },
        }
    }

    #[inline(always)]
    fn forgotten<F: Frame>(self, frame: &F) -> Self {
        Self {
            at: frame.forget(self.at),
            lists: frame.forget(self.lists),
        }
    }

    /// The identity of the next list.
    #[inline(always)]
    fn first<W: Words>(&self, words: &W) -> u32 {
        if self.lists == 0 {
            return NOBODY;
        }
        words.word(self.at).unwrap_or(NOBODY)
    }

    /// Leaves the next list behind, if it is this one.
    #[inline(always)]
    fn pass(&mut self, first: u32, identity: u32) {
        // One for the same, by arithmetic: a number that is not zero, or its negative, has the highest bit set.
        let difference = first ^ identity;
        let same = (difference | difference.wrapping_neg()) >> 31 ^ 1;
        self.at = self.at.wrapping_add(same * LIST_WORDS);
        self.lists = self.lists.wrapping_sub(same);
    }
}

/// Both ends of a packet, as far as its headers can be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub source: Address,
    pub destination: Address,
    /// Source and destination, in host order; 0 for what has none.
    pub ports: [u16; 2],
    /// That of the upper layer; where it is not to be found, the first next header.
    pub protocol: u8,
    /// TCP's flags.
    pub flags: u8,
}

impl Ends {
    /// Reads them from a frame that was parsed before.
    #[inline(always)]
    pub fn read<F: Frame>(frame: &F) -> Option<Self> {
        let packet = parse(frame, &mut ()).ok()?.forgotten(frame);
        let upper = if packet.source.is_v6() {
            ipv6::walk(frame, &packet, &mut ()).unwrap_or(next(&packet))
        } else {
            next(&packet)
        };
        let upper = upper.forgotten(frame);
        let (ports, flags) = ports_at(frame, &upper, packet.end);
        Some(Self {
            source: packet.source,
            destination: packet.destination,
            ports,
            protocol: upper.protocol,
            flags,
        })
    }

    /// The same, of which the verifier knows nothing.
    #[must_use]
    #[inline(always)]
    pub fn forgotten<F: Frame>(&self, frame: &F) -> Self {
        let forget = |number: u16| frame.forget(number.into()) as u16;
        // A bit, and not a comparison, which would be a branch.
        let is_v6 = frame.forget(self.source.is_v6().into()) & 1 != 0;
        let address = |address: &Address| {
            let words = address.words().map(|word| frame.forget_long(word));
            Address::from_words(is_v6, words)
        };
        Self {
            source: address(&self.source),
            destination: address(&self.destination),
            ports: self.ports.map(forget),
            protocol: forget(self.protocol.into()) as u8,
            flags: forget(self.flags.into()) as u8,
        }
    }
}

/// A packet's ports and TCP's flags, where they stand right behind the network header.
#[inline(always)]
pub(crate) fn ports<F: Frame>(frame: &F, packet: &Packet) -> ([u16; 2], u8) {
    ports_at(frame, &next(packet), packet.end)
}

/// What stands right behind the network header, be it the upper layer or not.
#[inline(always)]
const fn next(packet: &Packet) -> Upper {
    Upper {
        protocol: packet.protocol,
        at: packet.payload,
        fragment: packet.fragment,
        identification: 0,
        offset: 0,
    }
}

/// The ports and TCP's flags, if there are such.
#[inline(always)]
fn ports_at<F: Frame>(frame: &F, upper: &Upper, end: usize) -> ([u16; 2], u8) {
    const NONE: ([u16; 2], u8) = ([0; 2], 0);
    if upper.fragment == Fragment::Later || !matches!(upper.protocol, protocol::TCP | protocol::UDP)
    {
        return NONE;
    }
    match transport::read(frame, upper, end) {
        Ok(Transport::Tcp {
            source,
            destination,
            flags,
        }) => ([source, destination], flags),
        Ok(Transport::Udp {
            source,
            destination,
        }) => ([source, destination], 0),
        Ok(Transport::Icmp { .. } | Transport::Icmpv6 { .. } | Transport::Other { .. })
        | Err(_) => NONE,
    }
}

/// A contact as the kernel tells of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// Nanoseconds since boot.
    pub time: u64,
    /// The words of the addresses.
    pub source: [u64; 2],
    pub destination: [u64; 2],
    /// The identities of the list and the tenant; 0 for no tenant.
    pub list: u32,
    pub tenant: u32,
    /// As in `Ends`.
    pub ports: [u16; 2],
    pub protocol: u8,
    pub flags: u8,
    /// 1 for IPv6, 0 for IPv4.
    pub is_v6: u8,
    /// A `Direction`, as its number.
    pub direction: u8,
    /// 1 for a packet that was dropped.
    pub is_dropped: u8,
    /// The number of the listed address's country.
    pub country: u8,
    pub padding: [u8; 2],
}

impl Event {
    #[must_use]
    #[inline(always)]
    pub const fn source(&self) -> Address {
        Address::from_words(self.is_v6 != 0, self.source)
    }

    #[must_use]
    #[inline(always)]
    pub const fn destination(&self) -> Address {
        Address::from_words(self.is_v6 != 0, self.destination)
    }

    /// Which way the packet went.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        if self.direction == Direction::Out as u8 {
            Direction::Out
        } else {
            Direction::In
        }
    }

    /// What was done to the packet.
    #[must_use]
    pub const fn action(&self) -> Action {
        if self.is_dropped == 0 {
            Action::Pass
        } else {
            Action::Drop
        }
    }
}

const SECOND: u64 = 1_000_000_000;
/// How many events of one list may follow each other at once, and how many a second after that: together a hundred is
/// the most that any second has.
pub const EVENTS_AT_ONCE: u64 = 50;
pub const EVENTS_A_SECOND: u64 = 50;

/// Takes an event's share out of a list's pace, which is kept as `crate::pressure` keeps a bucket: the moment at which
/// it is full again. Says when that will be, or nothing if there is none left.
#[must_use]
#[inline(always)]
pub const fn draw(full: u64, now: u64) -> Option<u64> {
    const SHARE: u64 = SECOND / EVENTS_A_SECOND;
    let from = if full > now { full } else { now };
    let next = from.wrapping_add(SHARE);
    if next <= now.wrapping_add(EVENTS_AT_ONCE * SHARE) {
        Some(next)
    } else {
        None
    }
}

/// What a list or a tenant is known by in the kernel, from its name.
#[must_use]
pub fn identity(name: &[u8]) -> u32 {
    // CRC-32: no two names that differ in four bytes in a row have the same.
    let mut crc = u32::MAX;
    for byte in name {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ 0xedb8_8320 & (crc & 1).wrapping_neg();
        }
    }
    // Neither nothing nor nobody.
    match !crc {
        0 => 1,
        NOBODY => NOBODY - 1,
        other => other,
    }
}

#[cfg(test)]
mod tests;
