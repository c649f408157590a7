//! `Tables`: what a decision consults.

use crate::address::Address;
use crate::flow::fragments::{Datagram, DatagramKey};
use crate::flow::key::{FlowKey, Table};
use crate::flow::rate_limit::RateLimitKey;
use crate::flow::state::Flow;
use crate::image::lookup::Lookup as _;
use crate::image::words::Words;

/// What a decision consults: the words of the current image, an engine that looks up classes in it, the flows of our
/// side, accepted first fragments, and the rate limits of sources.
pub trait Tables: Words {
    /// The position of the class of the longest prefix that holds the address.
    fn lookup(&self, address: &Address) -> Option<u32>;

    /// Nanoseconds since boot (CLOCK_BOOTTIME).
    fn now(&self) -> u64;

    /// The same, at most a few milliseconds old.
    #[inline(always)]
    fn now_coarse(&self) -> u64 {
        self.now()
    }

    /// A flow, expired or not.
    fn flow(&self, table: Table, key: &FlowKey) -> Option<Flow>;

    /// Takes one of the answers that a flow may still have. Returns whether there was one.
    fn take_answer(&self, table: Table, key: &FlowKey) -> bool;

    /// What is remembered in a place, expired or not, and perhaps of another datagram.
    fn datagram(&self, key: &DatagramKey) -> Option<Datagram>;

    /// Stores an accepted first fragment. If the table has no room, the later fragments are dropped.
    fn store_datagram(&self, key: &DatagramKey, datagram: Datagram);

    /// Runs the rest of a decision on what it rests on, of at most `CASE_SIZE` bytes. Returns nothing if there is no
    /// place to keep it.
    #[inline(always)]
    fn with_case<C: Copy, R>(&self, case: C, decide: impl FnOnce(&C) -> R) -> Option<R> {
        Some(decide(&case))
    }

    /// Takes one packet from a source's rate limit. `try_acquire` gets the stored state, 0 for an unknown source, and
    /// returns the new one. Returns whether the packet is within the limit.
    fn try_acquire(&self, key: &RateLimitKey, try_acquire: impl Fn(u64) -> Option<u64>) -> bool;

    /// Counts a packet that passes because it is for an exempted service, by its protocol and port.
    fn count_service(&self, protocol: u8, port: u16);
}

/// An image alone, without any history.
impl Tables for &[u32] {
    fn lookup(&self, address: &Address) -> Option<u32> {
        self.class_lookup(address)
    }

    fn now(&self) -> u64 {
        0
    }

    fn flow(&self, _: Table, _: &FlowKey) -> Option<Flow> {
        None
    }

    fn take_answer(&self, _: Table, _: &FlowKey) -> bool {
        false
    }

    fn datagram(&self, _: &DatagramKey) -> Option<Datagram> {
        None
    }

    fn store_datagram(&self, _: &DatagramKey, _: Datagram) {}

    fn try_acquire(&self, _: &RateLimitKey, try_acquire: impl Fn(u64) -> Option<u64>) -> bool {
        try_acquire(0).is_some()
    }

    fn count_service(&self, _: u8, _: u16) {}
}
