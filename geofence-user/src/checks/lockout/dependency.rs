//! A peer that this machine depends on, and the packets that pass between the two.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    Icmpv4Type, Icmpv6Type, PacketBuilder, icmpv4::DestUnreachableHeader,
    icmpv6::DestUnreachableCode,
};
use serde::{Deserialize, Serialize};

use crate::explain::{Protocol, Question};

/// What this machine depends on a peer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// An SSH session comes from it, to this port.
    Ssh {
        port: u16,
    },
    /// The default route leads through it.
    Gateway,
    Resolver,
    /// The cloud's metadata service.
    Metadata,
    /// A server of the fleet, at this port.
    Fleet {
        port: u16,
    },
}

/// A peer that this machine depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dependency {
    pub need: Need,
    pub address: IpAddr,
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match self.need {
            Need::Ssh { port } => write!(f, "the SSH session from {address} to port {port}"),
            Need::Gateway => write!(f, "the gateway {address} and its ICMP errors"),
            Need::Resolver => write!(f, "the resolver {address}"),
            Need::Metadata => write!(f, "the cloud's metadata service {address}"),
            Need::Fleet { port } => write!(f, "the fleet's server {address} and its port {port}"),
        }
    }
}

impl Dependency {
    /// A packet that the peer sends to this machine, and one that this machine sends to the peer.
    pub(super) fn packets(&self) -> Option<[Vec<u8>; 2]> {
        /// Stands for any port of a client.
        const CLIENT: u16 = 40_000;
        const DNS: u16 = 53;
        const HTTP: u16 = 80;

        let here = match self.address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        };
        let (protocol, source_port, destination_port) = match self.need {
            Need::Ssh { port } => (Protocol::Tcp, CLIENT, port),
            Need::Resolver => (Protocol::Udp, DNS, CLIENT),
            Need::Metadata => (Protocol::Tcp, HTTP, CLIENT),
            Need::Fleet { port } => (Protocol::Tcp, port, CLIENT),
            Need::Gateway => (Protocol::Icmp, 0, 0),
        };
        let incoming = Question {
            source: self.address,
            destination: here,
            protocol,
            source_port,
            destination_port,
            is_reply: true,
        };
        let outgoing = Question {
            is_reply: true,
            ..incoming.reversed()
        };
        let incoming = match self.need {
            Need::Gateway => icmp_error(self.address, here)?,
            Need::Ssh { .. } | Need::Resolver | Need::Metadata | Need::Fleet { .. } => {
                incoming.frame().ok()?
            }
        };
        Some([incoming, outgoing.frame().ok()?])
    }
}

/// An ICMP error about a packet of this machine.
fn icmp_error(from: IpAddr, to: IpAddr) -> Option<Vec<u8>> {
    const HOP_LIMIT: u8 = 64;
    /// The part of the packet that an error quotes: a header and eight bytes.
    const QUOTED: [u8; 48] = [0; 48];

    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let mut frame = Vec::new();
    let written = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Host);
            ethernet
                .ipv4(from.octets(), to.octets(), HOP_LIMIT)
                .icmpv4(kind)
                .write(&mut frame, &QUOTED)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let kind = Icmpv6Type::DestinationUnreachable(DestUnreachableCode::Address);
            ethernet
                .ipv6(from.octets(), to.octets(), HOP_LIMIT)
                .icmpv6(kind)
                .write(&mut frame, &QUOTED)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    written.ok().map(|()| frame)
}
