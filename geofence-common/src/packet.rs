//! A packet: the few facts about a frame that a policy may look at.
//!
//! The country verdict needs the network header only, so that is what `parse` reads. The transport header is looked for
//! when an exemption may depend on it, and a packet whose transport cannot be read is simply not exempt.

use crate::address::Address;
use crate::frame::Frame;
use crate::observe::{Observer, Step};
use crate::verdict::Reason;
use crate::wire::{ethernet, ipv4, ipv6, transport};

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
    Icmp {
        kind: u8,
        code: u8,
    },
    Icmpv6 {
        kind: u8,
        code: u8,
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
    /// Looks for the transport header; an error is the reason why nothing can be proven by it.
    #[inline(always)]
    pub fn transport<F: Frame, O: Observer>(
        &self,
        frame: &F,
        observer: &mut O,
    ) -> Result<Transport, Reason> {
        let upper = match self.source {
            Address::V4(_) => {
                if self.fragment == Fragment::Later {
                    return Err(Reason::LaterFragment);
                }
                if ipv4::has_route_option(frame, self) {
                    return Err(Reason::SourceRoute);
                }
                ipv6::Upper {
                    protocol: self.protocol,
                    at: self.payload,
                    fragment: self.fragment,
                }
            }
            Address::V6(_) => ipv6::walk(frame, self, observer)?,
        };
        let transport = transport::read(frame, &upper, self.end)?;
        observer.step(Step::Transport(transport));
        Ok(transport)
    }
}
