//! Events: packets from or to an address on a list, as the kernel reports them to the daemon; and a verdict as programs
//! hand it on.

use crate::action::{Action, Direction};
use crate::address::Address;

/// An event: one packet from or to an address on a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// Nanoseconds since boot.
    pub time: u64,
    /// The words of the addresses.
    pub source: [u64; 2],
    pub destination: [u64; 2],
    /// The identities of the list and the tenant; 0 for no tenant.
    pub list: u32,
    pub tenant: u32,
    /// As in `FiveTuple`.
    pub ports: [u16; 2],
    pub protocol: u8,
    pub flags: u8,
    /// 1 for IPv6, 0 for IPv4.
    pub is_v6: u8,
    /// A `Direction`, as its number.
    pub direction: u8,
    /// 1 for a packet that was dropped.
    pub is_dropped: u8,
    /// The number of the listed address's country.
    pub country: u8,
    pub padding: [u8; 2],
}

impl Event {
    #[must_use]
    #[inline(always)]
    pub const fn source(&self) -> Address {
        Address::from_words(self.is_v6 != 0, self.source)
    }

    #[must_use]
    #[inline(always)]
    pub const fn destination(&self) -> Address {
        Address::from_words(self.is_v6 != 0, self.destination)
    }

    /// The direction of the packet.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        if self.direction == Direction::Out as u8 {
            Direction::Out
        } else {
            Direction::In
        }
    }

    /// What happened to the packet.
    #[must_use]
    pub const fn action(&self) -> Action {
        if self.is_dropped == 0 {
            Action::Pass
        } else {
            Action::Drop
        }
    }
}

/// A verdict: the last one on a CPU, which only a program that is loaded for test runs writes, or that of an observed
/// frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TracedVerdict {
    pub reason: u8,
    pub country: u8,
    pub dropped: u8,
    pub padding: u8,
    pub tenant: u32,
    pub exception: u32,
    /// As in `Peer`.
    pub class: u32,
    pub records: [u32; 2],
    pub policy: u32,
}
