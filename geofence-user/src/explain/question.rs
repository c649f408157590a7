//! The packet that an operator asks about, built from a few words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::PacketBuilder;
use geofence_common::wire::dns;

/// The protocol of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// A connection attempt: a TCP segment with SYN set
    Tcp,
    Udp,
    /// An echo request, ICMP or ICMPv6 by the address
    Icmp,
}

/// A packet to explain.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: Protocol,
    pub source_port: u16,
    pub destination_port: u16,
    /// Whether it is a reply: a TCP segment with ACK instead of SYN, an echo reply instead of a request.
    pub is_reply: bool,
}

/// Why the packet cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    #[error(
        "{source_ip} and {destination} belong to different address families; give --dst an address of the same family"
    )]
    Families {
        source_ip: IpAddr,
        destination: IpAddr,
    },
    #[error("building the packet: {0}")]
    Build(#[from] etherparse::err::packet::BuildWriteError),
}

impl Question {
    /// A destination of documentation, for a packet of which only the source matters.
    #[must_use]
    pub const fn any_destination(source: IpAddr) -> IpAddr {
        match source {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        }
    }

    /// The packet from this side that the packet would reply to.
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            source_port: self.destination_port,
            destination_port: self.source_port,
            is_reply: false,
        }
    }

    /// The packet as an Ethernet frame.
    pub fn frame(&self) -> Result<Vec<u8>, QuestionError> {
        /// The usual defaults of hosts.
        const HOP_LIMIT: u8 = 64;
        const WINDOW: u16 = 64_240;

        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let network = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ethernet.ipv4(source.octets(), destination.octets(), HOP_LIMIT)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ethernet.ipv6(source.octets(), destination.octets(), HOP_LIMIT)
            }
            (source_ip, destination) => {
                return Err(QuestionError::Families {
                    source_ip,
                    destination,
                });
            }
        };
        let mut frame = Vec::new();
        match (self.protocol, self.source) {
            (Protocol::Tcp, _) => {
                let tcp = network.tcp(self.source_port, self.destination_port, 0, WINDOW);
                if self.is_reply {
                    tcp.ack(1).write(&mut frame, &[])
                } else {
                    tcp.syn().write(&mut frame, &[])
                }
            }
            (Protocol::Udp, _) => network
                .udp(self.source_port, self.destination_port)
                .write(&mut frame, self.dns_message()),
            (Protocol::Icmp, IpAddr::V4(_)) if self.is_reply => {
                network.icmpv4_echo_reply(1, 1).write(&mut frame, &[])
            }
            (Protocol::Icmp, IpAddr::V6(_)) if self.is_reply => {
                network.icmpv6_echo_reply(1, 1).write(&mut frame, &[])
            }
            (Protocol::Icmp, IpAddr::V4(_)) => {
                network.icmpv4_echo_request(1, 1).write(&mut frame, &[])
            }
            (Protocol::Icmp, IpAddr::V6(_)) => {
                network.icmpv6_echo_request(1, 1).write(&mut frame, &[])
            }
        }?;
        Ok(frame)
    }

    /// A DNS header between ports of which one is that of DNS: there, an answer is known by it.
    const fn dns_message(&self) -> &'static [u8] {
        const QUERY: [u8; 12] = [0, 1, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        const RESPONSE: [u8; 12] = [0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0];
        match (self.source_port, self.destination_port) {
            (dns::PORT, dns::PORT) if !self.is_reply => &QUERY,
            (dns::PORT, _) => &RESPONSE,
            (_, dns::PORT) => &QUERY,
            _ => &[],
        }
    }
}
