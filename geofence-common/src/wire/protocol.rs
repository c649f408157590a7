//! IP protocol and next-header numbers (IANA protocol-numbers).

pub const HOP_BY_HOP: u8 = 0;
pub const ICMP: u8 = 1;
pub const IGMP: u8 = 2;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ROUTING: u8 = 43;
pub const FRAGMENT: u8 = 44;
pub const AUTHENTICATION: u8 = 51;
pub const ICMPV6: u8 = 58;
pub const DESTINATION_OPTIONS: u8 = 60;
pub const OSPF: u8 = 89;
pub const VRRP: u8 = 112;
pub const MOBILITY: u8 = 135;
pub const HIP: u8 = 139;
pub const SHIM6: u8 = 140;
