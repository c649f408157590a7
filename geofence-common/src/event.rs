//! Events: packets from or to an address on a list, as the kernel reports them to the daemon; and a verdict as programs
//! hand it on.

use crate::action::{Action, Direction, Reason};
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
    /// A `Reason`, as its number, or `NO_REASON`.
    pub reason: u8,
    pub padding: u8,
    /// The index of the interface that the packet came in or leaves by; 0 if it is not known.
    pub interface: u32,
    /// The length of the frame; 0 if it is not known.
    pub length: u32,
    pub padding_behind: u32,
}

/// The reason of a packet that leaves and that no list blocks.
pub const NO_REASON: u8 = u8::MAX;

/// The length of an event of an earlier version, which has neither reason nor interface nor length. A daemon finds such
/// events in the buffer that it inherits.
pub const EARLIER_BYTES: usize = 64;

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

    /// Why it happened, if there is a reason.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        Reason::from_number(self.reason)
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
