//! Frames, built layer by layer, right by default and wrong on request.
//!
//! A frame starts with [`Frame::ethernet`] (or [`Frame::packet`] for what goes inside another frame), gains layers from
//! the outside in, and each override changes the nearest layer that has such a field:
//!
//! ```
//! use geofence_tests::frames::Frame;
//!
//! let ip = Frame::ethernet().vlan(0x8100, 5).ipv4([192, 0, 2, 2], [192, 0, 2, 1]).ttl(1);
//! let frame: Vec<u8> = ip.tcp(1234, 25).syn().payload(b"EHLO").build();
//! assert_eq!(frame.len(), 14 + 4 + 20 + 20 + 4);
//! ```
//!
//! Numbers of what comes next, lengths and checksums are filled in unless overridden. The builder knows nothing of
//! what it tests: no length or limit here is taken from the filter.
//!
//! # Panics
//! A call that contradicts itself panics with a sentence saying so: an override without a layer to change, or
//! addresses of two families. Such a call is a mistake in a test's text, not a condition to handle.

mod checksum;
mod extension;
mod layer;
pub mod number;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::link::{EDGE_MAC, PEER_MAC};
use layer::{Bytes, Ethernet, Icmp, Ipv4, Ipv6, Layer, Tcp, Udp, Vlan};

/// A frame under construction.
#[derive(Clone, Debug)]
#[must_use]
pub struct Frame {
    layers: Vec<Layer>,
}

/// An Ethernet frame with an IP header of the addresses' family.
pub fn between(source: IpAddr, destination: IpAddr) -> Frame {
    Frame::ethernet().ip(source, destination)
}

/// Layers.
impl Frame {
    /// Starts with an Ethernet header from the first link's peer to its edge.
    pub fn ethernet() -> Self {
        Self::packet().layer(Layer::Ethernet(Ethernet {
            source: PEER_MAC,
            destination: EDGE_MAC,
            ethertype: None,
            length: false,
        }))
    }

    /// Starts without a link layer: for quotes in ICMP errors and for the inside of tunnels.
    pub fn packet() -> Self {
        Self { layers: Vec::new() }
    }

    /// Adds a VLAN tag: its ethertype, and its 16 bits of priority and VLAN number.
    pub fn vlan(self, protocol: u16, control: u16) -> Self {
        self.layer(Layer::Vlan(Vlan {
            protocol,
            control,
            ethertype: None,
        }))
    }

    /// Adds an IP header of the addresses' family.
    pub fn ip(self, source: IpAddr, destination: IpAddr) -> Self {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.ipv4(source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.ipv6(source, destination),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                panic!("no packet goes from {source} to {destination}: they are of two families")
            }
        }
    }

    /// Adds an IPv4 header.
    pub fn ipv4(self, source: impl Into<Ipv4Addr>, destination: impl Into<Ipv4Addr>) -> Self {
        self.layer(Layer::Ipv4(Ipv4 {
            source: source.into(),
            destination: destination.into(),
            version: 4,
            ihl: None,
            traffic_class: 0,
            total_length: None,
            identification: 0x1234,
            fragment: 0,
            ttl: 64,
            protocol: None,
            checksum: None,
            options: Vec::new(),
        }))
    }

    /// Adds an IPv6 header.
    pub fn ipv6(self, source: impl Into<Ipv6Addr>, destination: impl Into<Ipv6Addr>) -> Self {
        self.layer(Layer::Ipv6(Ipv6 {
            source: source.into(),
            destination: destination.into(),
            version: 6,
            traffic_class: 0,
            payload_length: None,
            hop_limit: 64,
            next_header: None,
        }))
    }

    /// Adds a TCP header without flags.
    pub fn tcp(self, source: u16, destination: u16) -> Self {
        self.layer(Layer::Tcp(Tcp {
            source,
            destination,
            sequence: 1,
            acknowledgement: 0,
            data_offset: None,
            flags: 0,
            checksum: None,
            options: Vec::new(),
        }))
    }

    /// Adds a UDP header.
    pub fn udp(self, source: u16, destination: u16) -> Self {
        self.layer(Layer::Udp(Udp {
            source,
            destination,
            length: None,
            checksum: None,
        }))
    }

    /// Adds an ICMP header, of the version that belongs to the IP header around it.
    pub fn icmp(self, kind: u8, code: u8) -> Self {
        self.layer(Layer::Icmp(Icmp {
            kind,
            code,
            rest: [0; 4],
            checksum: None,
        }))
    }

    /// Adds bytes announced by a number: an ethertype behind a link layer, a protocol behind IP.
    pub fn raw(self, number: u16, bytes: impl AsRef<[u8]>) -> Self {
        self.layer(Layer::Bytes(Bytes {
            number: Some(number),
            bytes: bytes.as_ref().to_vec(),
        }))
    }

    /// Adds bytes announced by a protocol number, as the ones in [`number`] are.
    pub fn protocol(self, number: u8, bytes: impl AsRef<[u8]>) -> Self {
        self.raw(number.into(), bytes)
    }

    /// Adds bytes that nothing announces.
    pub fn payload(self, bytes: impl AsRef<[u8]>) -> Self {
        self.layer(Layer::Bytes(Bytes {
            number: None,
            bytes: bytes.as_ref().to_vec(),
        }))
    }

    /// Adds an ARP message for IPv4 over Ethernet (operation 1 asks, 2 answers).
    pub fn arp(
        self,
        operation: u16,
        source: impl Into<Ipv4Addr>,
        target: impl Into<Ipv4Addr>,
    ) -> Self {
        let head = [0, 1, 8, 0, 6, 4];
        let target_mac = if operation == 1 { [0; 6] } else { EDGE_MAC };
        let (source, target) = (source.into().octets(), target.into().octets());
        let message = [
            &head[..],
            &operation.to_be_bytes(),
            &PEER_MAC,
            &source,
            &target_mac,
            &target,
        ]
        .concat();
        self.raw(number::ETHERTYPE_ARP, &message)
    }

    /// The bytes of the frame.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let network = self.layers[..index].iter().rev().find_map(Layer::network);
            bytes = layer.wrap(self.layers.get(index + 1), network, bytes);
        }
        bytes
    }

    /// The first `length` bytes of the frame, headers saying what they said before.
    #[must_use]
    pub fn cut(&self, length: usize) -> Vec<u8> {
        let mut bytes = self.build();
        bytes.truncate(length);
        bytes
    }

    fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Changes the innermost layer that `change` accepts.
    fn change(mut self, what: &str, mut change: impl FnMut(&mut Layer) -> bool) -> Self {
        let changed = self.layers.iter_mut().rev().any(&mut change);
        assert!(changed, "no layer of this frame has {what} to change");
        self
    }
}

/// Defines overrides that set one field of the innermost layer having it.
macro_rules! overrides {
    ($($(#[$doc:meta])* $name:ident($value:ident: $type:ty) { $($layer:ident.$field:ident = $set:expr),+ $(,)? })+) => {
        /// Overrides: each changes the innermost layer that has such a field.
        impl Frame {
            $($(#[$doc])* pub fn $name(self, $value: $type) -> Self {
                self.change(concat!("`", stringify!($name), "`"), |layer| {
                    $(if let Layer::$layer(header) = layer {
                        header.$field = $set;
                        return true;
                    })+
                    false
                })
            })+
        }
    };
}

overrides! {
    /// Sets what a link layer says is inside.
    ethertype(value: u16) { Ethernet.ethertype = Some(value), Vlan.ethertype = Some(value) }
    /// Sets the IP version nibble.
    version(value: u8) { Ipv4.version = value, Ipv6.version = value }
    /// Sets the time to live or hop limit.
    ttl(value: u8) { Ipv4.ttl = value, Ipv6.hop_limit = value }
    /// Sets the type of service or traffic class.
    traffic_class(value: u8) { Ipv4.traffic_class = value, Ipv6.traffic_class = value }
    /// Sets IPv4's header length in words, whatever the length is.
    ihl(value: u8) { Ipv4.ihl = Some(value) }
    /// Sets IPv4's total length, whatever the length is.
    total_length(value: u16) { Ipv4.total_length = Some(value) }
    /// Sets IPv6's payload length, whatever the length is.
    payload_length(value: u16) { Ipv6.payload_length = Some(value) }
    /// Sets IPv4's identification.
    identification(value: u16) { Ipv4.identification = value }
    /// Sets IPv4's flags and fragment offset as on the wire: 0x8000 reserved, 0x4000 don't, 0x2000 more fragments.
    fragment_field(value: u16) { Ipv4.fragment = value }
    /// Sets what an IP or extension header says comes next.
    next(value: u8) {
        Ipv4.protocol = Some(value), Ipv6.next_header = Some(value), Extension.next_header = Some(value),
    }
    /// Sets TCP's flags, all of them.
    flags(value: u8) { Tcp.flags = value }
    /// Sets TCP's header length in words, whatever the length is.
    data_offset(value: u8) { Tcp.data_offset = Some(value) }
    /// Sets TCP's sequence number.
    sequence(value: u32) { Tcp.sequence = value }
    /// Sets TCP's acknowledgement number.
    acknowledgement(value: u32) { Tcp.acknowledgement = value }
    /// Sets UDP's length, whatever the length is.
    udp_length(value: u16) { Udp.length = Some(value) }
    /// Sets the four bytes behind ICMP's checksum.
    rest(value: [u8; 4]) { Icmp.rest = value }
    /// Sets the checksum of a transport header.
    checksum(value: u16) { Tcp.checksum = Some(value), Udp.checksum = Some(value), Icmp.checksum = Some(value) }
    /// Sets IPv4's header checksum.
    header_checksum(value: u16) { Ipv4.checksum = Some(value) }
    /// Writes the payload's length in place of the ethertype, as 802.3 does.
    length_field(value: bool) { Ethernet.length = value }
    /// Sets the sender's MAC address.
    source_mac(value: [u8; 6]) { Ethernet.source = value }
    /// Sets the receiver's MAC address.
    destination_mac(value: [u8; 6]) { Ethernet.destination = value }
}

/// TCP flags one by one, and options.
impl Frame {
    /// Adds the SYN flag.
    pub fn syn(self) -> Self {
        self.flag(number::SYN)
    }

    /// Adds the ACK flag.
    pub fn ack(self) -> Self {
        self.flag(number::ACK)
    }

    /// Adds the FIN flag.
    pub fn fin(self) -> Self {
        self.flag(number::FIN)
    }

    /// Adds the RST flag.
    pub fn rst(self) -> Self {
        self.flag(number::RST)
    }

    /// Adds options to IPv4 or TCP, filled up with zeroes to whole words.
    pub fn options(self, bytes: &[u8]) -> Self {
        assert!(
            bytes.len() <= 40,
            "{} bytes of options do not fit: 40 do",
            bytes.len()
        );
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(4), 0);
        self.change("`options`", |layer| {
            if let Layer::Ipv4(Ipv4 { options, .. }) | Layer::Tcp(Tcp { options, .. }) = layer {
                options.clone_from(&padded);
                return true;
            }
            false
        })
    }

    fn flag(self, flag: u8) -> Self {
        self.change("TCP flags", |layer| {
            if let Layer::Tcp(tcp) = layer {
                tcp.flags |= flag;
                return true;
            }
            false
        })
    }
}
