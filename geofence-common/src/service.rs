//! Counters of exempted services: the slot of each port, and the service of each slot.
//!
//! ```text
//! packet -> place (protocol and port) -> slot, one byte -> packets, per CPU
//!                                        slot -> service, which only the daemon reads and writes
//! ```
//!
//! The daemon gives each service of the configuration a slot, and each of its ports that slot. Where ranges overlap,
//! the narrowest holds the port.

/// Places in the table of slots: the ports of TCP, then those of UDP. No service has port 0, whose two places stand for
/// echo requests.
pub const PLACES: usize = 2 << 16;

/// The places of echo requests: of ICMPv6, and of ICMP.
pub const ECHO_PLACES: [u32; 2] = [0, 1 << 16];

/// Slots of counters.
pub const SERVICE_SLOTS: usize = 256;

/// The slot of packets for ports without a slot of their own.
pub const OTHER_SLOT: u8 = 0;

/// The place of a port of TCP or UDP. Of ICMP and ICMPv6, port 0.
///
/// The lowest bit tells TCP (6) from UDP (17), so that the kernel needs no branch.
#[must_use]
#[inline(always)]
pub const fn place(protocol: u8, port: u16) -> u32 {
    ((protocol & 1) as u32) << 16 | port as u32
}

/// The service of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ServiceName {
    /// The slot's counter when the service got the slot. Earlier packets were for the service that had it before.
    pub start: u64,
    /// The first and the last port; 0 for echo requests.
    pub first: u16,
    pub last: u16,
    /// The number in a packet; 0 for a slot without a service.
    pub protocol: u8,
    pub padding: [u8; 3],
}

const _: () = assert!(size_of::<ServiceName>() == 16 && SERVICE_SLOTS == 1 << u8::BITS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::protocol;

    #[test]
    fn each_port_has_a_place_of_its_own_and_echo_requests_have_those_of_port_0() {
        assert_eq!(place(protocol::TCP, 25), 25);
        assert_eq!(place(protocol::UDP, 25), (1 << 16) + 25);
        assert_eq!(place(protocol::UDP, u16::MAX) as usize, PLACES - 1);
        let echo = [protocol::ICMPV6, protocol::ICMP].map(|one| place(one, 0));
        assert_eq!(echo, ECHO_PLACES);
    }
}
