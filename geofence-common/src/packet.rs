//! A packet: the facts about a frame that the policy may use. Types only; `wire` reads them from a frame.

use crate::address::Address;
use crate::frame::Frame;

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

impl Packet {
    /// The same, of whose shape the verifier knows nothing.
    #[inline(always)]
    pub(crate) fn forgotten<F: Frame>(&self, frame: &F) -> Self {
        let forget = |offset: usize| frame.forget(offset as u32) as usize;
        // A bit, and not a comparison, which would be a branch.
        let is_v6 = frame.forget(self.source.is_v6().into()) & 1 != 0;
        Self {
            source: Address::from_words(is_v6, self.source.words()),
            destination: Address::from_words(is_v6, self.destination.words()),
            network: forget(self.network),
            payload: forget(self.payload),
            end: forget(self.end),
            fragment: self.fragment.forgotten(frame),
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

impl Fragment {
    /// The same, of which the verifier knows nothing.
    #[inline(always)]
    fn forgotten<F: Frame>(self, frame: &F) -> Self {
        let number = match self {
            Self::Whole => 0,
            Self::First => 1,
            Self::Later => 2,
        };
        match frame.forget(number) {
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

impl Upper {
    /// The same, of which the verifier knows nothing.
    #[inline(always)]
    pub(crate) fn forgotten<F: Frame>(&self, frame: &F) -> Self {
        Self {
            protocol: frame.forget(self.protocol.into()) as u8,
            at: frame.forget(self.at as u32) as usize,
            fragment: self.fragment.forgotten(frame),
            ..*self
        }
    }
}

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

impl FiveTuple {
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
