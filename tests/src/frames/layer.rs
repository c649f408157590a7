//! The bytes of each layer, given what is inside it.
//!
//! A layer fills in what it can see: the number of what it carries, lengths and checksums. Whatever a caller overrode
//! is written as it stands, however wrong: that is what the overrides are for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{checksum, number};

/// One layer of a frame, outermost first.
#[derive(Clone, Debug)]
pub(super) enum Layer {
    Ethernet(Ethernet),
    Vlan(Vlan),
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    Extension(Extension),
    Tcp(Tcp),
    Udp(Udp),
    Icmp(Icmp),
    Bytes(Bytes),
}

#[derive(Clone, Debug)]
pub(super) struct Ethernet {
    pub(super) source: [u8; 6],
    pub(super) destination: [u8; 6],
    pub(super) ethertype: Option<u16>,
    /// 802.3 writes the payload's length where Ethernet II writes its type.
    pub(super) length: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Vlan {
    pub(super) protocol: u16,
    pub(super) control: u16,
    pub(super) ethertype: Option<u16>,
}

#[derive(Clone, Debug)]
pub(super) struct Ipv4 {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) version: u8,
    pub(super) ihl: Option<u8>,
    pub(super) traffic_class: u8,
    pub(super) total_length: Option<u16>,
    pub(super) identification: u16,
    /// Flags and offset as on the wire: reserved, don't fragment, more fragments, 13 bits of eight bytes.
    pub(super) fragment: u16,
    pub(super) ttl: u8,
    pub(super) protocol: Option<u8>,
    pub(super) checksum: Option<u16>,
    pub(super) options: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Ipv6 {
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    pub(super) version: u8,
    pub(super) traffic_class: u8,
    pub(super) payload_length: Option<u16>,
    pub(super) hop_limit: u8,
    pub(super) next_header: Option<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Extension {
    pub(super) number: u8,
    pub(super) next_header: Option<u8>,
    /// Everything behind the next-header byte.
    pub(super) body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Tcp {
    pub(super) source: u16,
    pub(super) destination: u16,
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) data_offset: Option<u8>,
    pub(super) flags: u8,
    pub(super) checksum: Option<u16>,
    pub(super) options: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(super) struct Udp {
    pub(super) source: u16,
    pub(super) destination: u16,
    pub(super) length: Option<u16>,
    pub(super) checksum: Option<u16>,
}

#[derive(Clone, Debug)]
pub(super) struct Icmp {
    pub(super) kind: u8,
    pub(super) code: u8,
    /// The four bytes behind the checksum: identifier and sequence, MTU, pointer, or reserved.
    pub(super) rest: [u8; 4],
    pub(super) checksum: Option<u16>,
}

#[derive(Clone, Debug)]
pub(super) struct Bytes {
    /// What these bytes are: an ethertype or a protocol number, as the layer around them has it.
    pub(super) number: Option<u16>,
    pub(super) bytes: Vec<u8>,
}

impl Layer {
    /// The number by which an Ethernet header or a VLAN tag announces this layer.
    fn ethertype(&self) -> Option<u16> {
        match self {
            Self::Vlan(vlan) => Some(vlan.protocol),
            Self::Ipv4(_) => Some(number::ETHERTYPE_IPV4),
            Self::Ipv6(_) => Some(number::ETHERTYPE_IPV6),
            Self::Bytes(bytes) => bytes.number,
            Self::Ethernet(_)
            | Self::Extension(_)
            | Self::Tcp(_)
            | Self::Udp(_)
            | Self::Icmp(_) => None,
        }
    }

    /// The number by which an IP or extension header of this family announces this layer.
    fn protocol(&self, network: Option<(IpAddr, IpAddr)>) -> Option<u8> {
        match self {
            Self::Ipv4(_) => Some(number::IPIP),
            Self::Ipv6(_) => Some(number::IPV6),
            Self::Extension(extension) => Some(extension.number),
            Self::Tcp(_) => Some(number::TCP),
            Self::Udp(_) => Some(number::UDP),
            Self::Icmp(_) => Some(icmp_protocol(network)),
            Self::Bytes(bytes) => bytes.number.and_then(|number| u8::try_from(number).ok()),
            Self::Ethernet(_) => Some(number::ETHERNET),
            Self::Vlan(_) => None,
        }
    }

    /// The addresses that the checksums inside this layer cover, if it is an IP header.
    pub(super) fn network(&self) -> Option<(IpAddr, IpAddr)> {
        if let Self::Ipv4(ip) = self {
            Some((ip.source.into(), ip.destination.into()))
        } else if let Self::Ipv6(ip) = self {
            Some((ip.source.into(), ip.destination.into()))
        } else {
            None
        }
    }

    /// This layer's header in front of the bytes inside it.
    pub(super) fn wrap(
        &self,
        next: Option<&Self>,
        network: Option<(IpAddr, IpAddr)>,
        inside: Vec<u8>,
    ) -> Vec<u8> {
        let ethertype = || {
            next.and_then(Self::ethertype)
                .unwrap_or(number::ETHERTYPE_EXPERIMENTAL)
        };
        let protocol = |around| match next {
            Some(layer) => layer.protocol(around).unwrap_or(number::EXPERIMENTAL),
            None => number::NO_NEXT_HEADER,
        };
        let mut bytes = match self {
            Self::Ethernet(ethernet) => {
                let length = ethernet.length.then_some(inside.len() as u16);
                let last = ethernet.ethertype.or(length).unwrap_or_else(ethertype);
                [
                    &ethernet.destination[..],
                    &ethernet.source,
                    &last.to_be_bytes(),
                ]
                .concat()
            }
            Self::Vlan(vlan) => {
                let last = vlan.ethertype.unwrap_or_else(ethertype);
                [vlan.control.to_be_bytes(), last.to_be_bytes()].concat()
            }
            Self::Ipv4(ip) => ip.header(protocol(self.network()), inside.len()),
            Self::Ipv6(ip) => ip.header(protocol(self.network()), inside.len()),
            Self::Extension(extension) => {
                let first = extension.next_header.unwrap_or_else(|| protocol(network));
                [&[first], &extension.body[..]].concat()
            }
            Self::Tcp(tcp) => tcp.header(network, &inside),
            Self::Udp(udp) => udp.header(network, &inside),
            Self::Icmp(icmp) => icmp.header(network, &inside),
            Self::Bytes(bytes) => bytes.bytes.clone(),
        };
        bytes.extend_from_slice(&inside);
        bytes
    }
}

impl Ipv4 {
    fn header(&self, protocol: u8, inside: usize) -> Vec<u8> {
        let length = 20 + self.options.len();
        let ihl = self.ihl.unwrap_or((length / 4) as u8);
        let mut header = vec![self.version << 4 | ihl & 0xf, self.traffic_class];
        header.extend(
            self.total_length
                .unwrap_or((length + inside) as u16)
                .to_be_bytes(),
        );
        header.extend(self.identification.to_be_bytes());
        header.extend(self.fragment.to_be_bytes());
        header.extend([self.ttl, self.protocol.unwrap_or(protocol), 0, 0]);
        header.extend(self.source.octets());
        header.extend(self.destination.octets());
        header.extend(&self.options);
        let checksum = self
            .checksum
            .unwrap_or_else(|| checksum::internet(&[&header]));
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }
}

impl Ipv6 {
    fn header(&self, protocol: u8, inside: usize) -> Vec<u8> {
        let mut header = vec![
            self.version << 4 | self.traffic_class >> 4,
            self.traffic_class << 4,
            0,
            0,
        ];
        header.extend(self.payload_length.unwrap_or(inside as u16).to_be_bytes());
        header.extend([self.next_header.unwrap_or(protocol), self.hop_limit]);
        header.extend(self.source.octets());
        header.extend(self.destination.octets());
        header
    }
}

impl Tcp {
    fn header(&self, network: Option<(IpAddr, IpAddr)>, inside: &[u8]) -> Vec<u8> {
        let words = self
            .data_offset
            .unwrap_or((5 + self.options.len() / 4) as u8);
        let mut header = ports(self.source, self.destination);
        header.extend(self.sequence.to_be_bytes());
        header.extend(self.acknowledgement.to_be_bytes());
        header.extend([words << 4, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        header.extend(&self.options);
        put_checksum(header, 16, self.checksum, network, number::TCP, inside)
    }
}

impl Udp {
    fn header(&self, network: Option<(IpAddr, IpAddr)>, inside: &[u8]) -> Vec<u8> {
        let mut header = ports(self.source, self.destination);
        header.extend(
            self.length
                .unwrap_or((8 + inside.len()) as u16)
                .to_be_bytes(),
        );
        header.extend([0, 0]);
        let mut header = put_checksum(header, 6, self.checksum, network, number::UDP, inside);
        // Zero on the wire means "no checksum", so a sum of zero is sent as its other form (RFC 768).
        if self.checksum.is_none() && header[6..8] == [0, 0] {
            header[6..8].copy_from_slice(&[0xff, 0xff]);
        }
        header
    }
}

impl Icmp {
    fn header(&self, network: Option<(IpAddr, IpAddr)>, inside: &[u8]) -> Vec<u8> {
        let mut header = vec![self.kind, self.code, 0, 0];
        header.extend(self.rest);
        let protocol = icmp_protocol(network);
        // Only ICMPv6 covers the addresses.
        let covered = network.filter(|_| protocol == number::ICMPV6);
        put_checksum(header, 2, self.checksum, covered, protocol, inside)
    }
}

fn icmp_protocol(network: Option<(IpAddr, IpAddr)>) -> u8 {
    match network {
        Some((IpAddr::V6(_), _)) => number::ICMPV6,
        Some((IpAddr::V4(_), _)) | None => number::ICMP,
    }
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}

fn put_checksum(
    mut header: Vec<u8>,
    at: usize,
    overridden: Option<u16>,
    network: Option<(IpAddr, IpAddr)>,
    protocol: u8,
    inside: &[u8],
) -> Vec<u8> {
    let sum = overridden
        .unwrap_or_else(|| checksum::transport(network, protocol, &[&header, inside].concat()));
    header[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    header
}
