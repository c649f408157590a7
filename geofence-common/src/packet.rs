//! A packet: the facts about a frame that the policy may use. Types only; `wire` reads them from a frame.

use crate::address::Address;
use crate::opaque::{Barrier, Opaque, opaque};

/// The network header of a packet, and the offsets of what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub source: Address,
    pub destination: Address,
    /// The IPv4 protocol, or the first next header of an IPv6 packet.
    pub protocol: u8,
    pub hop_limit: u8,
    /// The offset of the network header.
    pub network: usize,
    /// The offset behind it: after IPv4 options, before IPv6 extension headers.
    pub payload: usize,
    /// The offset where the datagram ends. A frame may have padding after it.
    pub end: usize,
    /// The fragment that an IPv4 packet is. An IPv6 packet says so in an extension header only.
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

/// The part of a datagram that a packet carries.
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

/// A transport header, in host order.
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
    /// The identifier is meaningful for echo messages only.
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
    /// Any other protocol; no exemption depends on its ports.
    Other {
        protocol: u8,
    },
}

/// The upper-layer header: its protocol, its offset, and the fragment that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    pub protocol: u8,
    /// The offset of the header; in a later fragment, of the data.
    pub at: usize,
    pub fragment: Fragment,
    /// The identification of the datagram, 0 if it is not fragmented.
    pub identification: u32,
    /// What the fragments of a datagram name as the protocol of its first header.
    pub datagram_protocol: u8,
    /// Where a first fragment ends in the datagram, and where a later one starts.
    pub boundary: u32,
}

opaque!(Upper { protocol, at, fragment; .. });

/// The start of a packet that our side sent, as an ICMP error quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    pub source: Address,
    pub destination: Address,
    pub protocol: u8,
    /// For an echo request its identifier; the destination port is then 0.
    pub source_port: u16,
    pub destination_port: u16,
    /// The identifier of a DNS query, 0 for anything else.
    pub identifier: u16,
}

/// Addresses, ports and protocol of a packet, as far as its headers can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FiveTuple {
    pub source: Address,
    pub destination: Address,
    /// Source and destination port in host order, 0 if the packet has none.
    pub ports: [u16; 2],
    /// The upper-layer protocol; the first next header if the walk over headers fails.
    pub protocol: u8,
    /// The TCP flags, 0 for any other protocol.
    pub flags: u8,
}

impl Opaque for FiveTuple {
    #[inline(always)]
    fn opaque<B: Barrier + ?Sized>(&self, barrier: &B) -> Self {
        // Once for both addresses, which have the same family.
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
