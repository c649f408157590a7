//! The assigned numbers that tests name: ethertypes, protocols and TCP's flags.

/// IPv4 in Ethernet.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// ARP in Ethernet.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// A customer's VLAN tag (802.1Q).
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// IPv6 in Ethernet.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// A provider's VLAN tag (802.1ad).
pub const ETHERTYPE_QINQ: u16 = 0x88a8;
/// Reserved for local experiments (802a).
pub const ETHERTYPE_EXPERIMENTAL: u16 = 0x88b5;

/// Hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// ICMP for IPv4.
pub const ICMP: u8 = 1;
/// Group management for IPv4.
pub const IGMP: u8 = 2;
/// IPv4 inside.
pub const IPIP: u8 = 4;
/// The Transmission Control Protocol.
pub const TCP: u8 = 6;
/// The User Datagram Protocol.
pub const UDP: u8 = 17;
/// The Datagram Congestion Control Protocol.
pub const DCCP: u8 = 33;
/// IPv6 inside.
pub const IPV6: u8 = 41;
/// Routing header.
pub const ROUTING: u8 = 43;
/// Fragment header.
pub const FRAGMENT: u8 = 44;
/// Generic Routing Encapsulation.
pub const GRE: u8 = 47;
/// Encapsulating Security Payload.
pub const ESP: u8 = 50;
/// Authentication header.
pub const AUTHENTICATION: u8 = 51;
/// ICMP for IPv6.
pub const ICMPV6: u8 = 58;
/// Nothing inside.
pub const NO_NEXT_HEADER: u8 = 59;
/// Destination options.
pub const DESTINATION_OPTIONS: u8 = 60;
/// Open Shortest Path First.
pub const OSPF: u8 = 89;
/// Protocol Independent Multicast.
pub const PIM: u8 = 103;
/// Virtual Router Redundancy Protocol.
pub const VRRP: u8 = 112;
/// Layer 2 Tunneling Protocol without UDP.
pub const L2TP: u8 = 115;
/// The Stream Control Transmission Protocol.
pub const SCTP: u8 = 132;
/// Mobility header.
pub const MOBILITY: u8 = 135;
/// UDP-Lite.
pub const UDP_LITE: u8 = 136;
/// Host Identity Protocol.
pub const HIP: u8 = 139;
/// Shim6 multihoming.
pub const SHIM6: u8 = 140;
/// An Ethernet frame inside.
pub const ETHERNET: u8 = 143;
/// Reserved for experiments (RFC 3692).
pub const EXPERIMENTAL: u8 = 253;

/// TCP: no more data from the sender.
pub const FIN: u8 = 0x01;
/// TCP: opens a connection.
pub const SYN: u8 = 0x02;
/// TCP: aborts a connection.
pub const RST: u8 = 0x04;
/// TCP: hand on at once.
pub const PSH: u8 = 0x08;
/// TCP: the acknowledgement counts.
pub const ACK: u8 = 0x10;
/// TCP: the urgent pointer counts.
pub const URG: u8 = 0x20;
