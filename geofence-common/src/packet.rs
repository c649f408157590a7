//! A packet: the facts about a frame that the policy may use. Types only; `wire` reads them from a frame.

use crate::address::Address;
use crate::opaque::{Barrier, Opaque, opaque};

/// The network header of a packet, and where in the frame the rest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub source: Address,
    pub destination: Address,
    /// The IPv4 protocol, or the first next header of an IPv6 packet.
    pub protocol: u8,
    pub hop_limit: u8,
    /// Where the network header starts.
    pub network: usize,
    /// Where it ends: behind IPv4 options, before IPv6 extension headers.
    pub payload: usize,
    /// Where the datagram ends; a frame may be padded beyond.
    pub end: usize,
    /// Which part of its datagram an IPv4 packet is. An IPv6 packet says so in an extension header only.
    pub fragment: Fragment,
}

impl Opaque for Packet {
    /// Hides the packet's shape. The addresses stay as they are, because only look-ups use them.
    #[inline(always)]
    fn opaque<B: Barrier + ?Sized>(&self, barrier: &B) -> Self {
        let is_v6 = self.source.is_v6().opaque(barrier);
        Self {
            source: Address::from_words(is_v6, self.source.words()),
            destination: Address::from_words(is_v6, self.destination.words()),
            network: self.network.opaque(barrier),
            payload: self.payload.opaque(barrier),
            end: self.end.opaque(barrier),
            fragment: self.fragment.opaque(barrier),
            ..*self
        }
    }
}

/// Which part of a datagram a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    Whole,
    First,
    Later,
}

impl Opaque for Fragment {
    #[inline(always)]
    fn opaque<B: Barrier + ?Sized>(&self, barrier: &B) -> Self {
        let number: u32 = match self {
            Self::Whole => 0,
            Self::First => 1,
            Self::Later => 2,
        };
        match number.opaque(barrier) {
            0 => Self::Whole,
            1 => Self::First,
            _ => Self::Later,
        }
    }
}

/// What the transport header says, in host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp {
        source: u16,
        destination: u16,
        flags: u8,
    },
    Udp {
        source: u16,
        destination: u16,
    },
    /// The identifier is an echo's; other messages have something else in its place.
    Icmp {
        kind: u8,
        code: u8,
        identifier: u16,
    },
    Icmpv6 {
        kind: u8,
        code: u8,
        identifier: u16,
    },
    /// A protocol without ports, or one whose ports nothing is exempt by.
    Other {
        protocol: u8,
    },
}

/// Where the upper-layer header is, what it is, and which part of its datagram the packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    pub protocol: u8,
    /// Where it starts; of a later fragment, where its data does.
    pub at: usize,
    pub fragment: Fragment,
    /// Tells the fragments of one datagram from those of another; 0 for a whole one.
    pub identification: u32,
    /// How many bytes of the datagram come before this packet's.
    pub offset: u32,
}

opaque!(Upper { protocol, at, fragment; .. });

/// A packet of ours, as far as an error quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    pub source: Address,
    pub destination: Address,
    pub protocol: u8,
    /// Of an echo request, its identifier; the destination port is 0 then.
    pub source_port: u16,
    pub destination_port: u16,
}

/// Both ends of a packet, as far as its headers can be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FiveTuple {
    pub source: Address,
    pub destination: Address,
    /// Endpoint and destination, in host order; 0 for what has none.
    pub ports: [u16; 2],
    /// That of the upper layer; where it is not to be found, the first next header.
    pub protocol: u8,
    /// TCP's flags.
    pub flags: u8,
}

impl Opaque for FiveTuple {
    #[inline(always)]
    fn opaque<B: Barrier + ?Sized>(&self, barrier: &B) -> Self {
        // Once for both, which are of one family.
        let is_v6 = self.source.is_v6().opaque(barrier);
        let address =
            |address: &Address| Address::from_words(is_v6, address.words().opaque(barrier));
        Self {
            source: address(&self.source),
            destination: address(&self.destination),
            ports: self.ports.opaque(barrier),
            protocol: self.protocol.opaque(barrier),
            flags: self.flags.opaque(barrier),
        }
    }
}
