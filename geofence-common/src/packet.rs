//! A packet: the few facts about a frame that a policy may look at.
//!
//! The country verdict needs the network header only, so that is what `parse` reads. The transport header is looked for
//! when an exemption may depend on it, and a packet whose transport cannot be read is simply not exempt.

use crate::address::Address;
use crate::frame::Frame;
use crate::observe::{Observer, Step};
use crate::verdict::Reason;
use crate::wire::{ethernet, ipv4, ipv6};

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

/// Reads a frame up to its network header; an error is the reason that ends the decision.
#[inline(always)]
pub fn parse<F: Frame, O: Observer>(frame: &F, observer: &mut O) -> Result<Packet, Reason> {
    let ethernet = ethernet::read(frame)?;
    observer.step(Step::Ethernet {
        tags: ethernet.tags,
        ether_type: ethernet.ether_type,
    });
    let packet = match ethernet.ether_type {
        ethernet::IPV4 => ipv4::read(frame, ethernet.payload)?,
        ethernet::IPV6 => ipv6::read(frame, ethernet.payload)?,
        _ => return Err(Reason::NonIp),
    };
    observer.step(Step::Network {
        source: packet.source,
        destination: packet.destination,
        protocol: packet.protocol,
    });
    Ok(packet)
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

    /// Looks for the upper-layer header; an error is the reason why nothing can be proven by it.
    #[inline(always)]
    pub fn upper<F: Frame, O: Observer>(
        &self,
        frame: &F,
        observer: &mut O,
    ) -> Result<Upper, Reason> {
        if self.source.is_v6() {
            ipv6::walk(frame, self, observer)
        } else if ipv4::has_route_option(frame, self) {
            Err(Reason::SourceRoute)
        } else {
            ipv4::upper(frame, self)
        }
    }
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
