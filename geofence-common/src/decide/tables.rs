//! `Tables`: what a decision consults.

use crate::address::Address;
use crate::flow::fragments::{Datagram, DatagramKey};
use crate::flow::key::{FlowKey, Table};
use crate::flow::rate_limit::RateLimitKey;
use crate::flow::state::Flow;
use crate::image::lookup::Lookup as _;
use crate::image::words::Words;

/// What a decision consults: the words of the current image, an engine that finds classes in it, and what was seen
/// before: the flows of our side, and the datagrams whose first fragment passed.
pub trait Tables: Words {
    /// The position of the class of the longest prefix that holds the address.
    fn lookup(&self, address: &Address) -> Option<u32>;

    /// Nanoseconds since boot (CLOCK_BOOTTIME).
    fn now(&self) -> u64;

    /// The same, or what it was at most a few milliseconds ago, for those who ask often.
    #[inline(always)]
    fn now_coarse(&self) -> u64 {
        self.now()
    }

    /// What is known of a flow, lapsed or not.
    fn flow(&self, table: Table, key: &FlowKey) -> Option<Flow>;

    /// What is known of a datagram, lapsed or not.
    fn datagram(&self, key: &DatagramKey) -> Option<Datagram>;

    /// Remembers a datagram whose first fragment passes; one that does not fit is forgotten.
    fn store_datagram(&self, key: &DatagramKey, datagram: Datagram);

    /// Draws from a source's bucket, which is told by the moment it will be full, long ago if it is not known; says
    /// whether there was anything in it.
    fn try_acquire(&self, key: &RateLimitKey, try_acquire: impl Fn(u64) -> Option<u64>) -> bool;
}

/// An image on its own: nothing was ever seen.
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

    fn datagram(&self, _: &DatagramKey) -> Option<Datagram> {
        None
    }

    fn store_datagram(&self, _: &DatagramKey, _: Datagram) {}

    fn try_acquire(&self, _: &RateLimitKey, try_acquire: impl Fn(u64) -> Option<u64>) -> bool {
        try_acquire(0).is_some()
    }
}
