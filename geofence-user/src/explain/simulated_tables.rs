//! What a decision consults, on the host: an image in memory and what was seen before, as if in the kernel's maps.
//!
//! For `explain` and for tests. Time stands still until it is set.

use std::cell::RefCell;
use std::collections::BTreeMap;

use geofence_common::address::Address;
use geofence_common::decide::{Conntrack, Tables};
use geofence_common::flow::rate_limit::RateLimitKey;
use geofence_common::flow::{Datagram, DatagramKey, Flow, FlowKey, Table};
use geofence_common::image::Words;
use geofence_common::opaque::Barrier;

/// Flows and datagrams, without a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Nanoseconds since boot.
    pub now: u64,
    pub flows: BTreeMap<(Table, FlowKey), Flow>,
    pub datagrams: BTreeMap<DatagramKey, Datagram>,
    /// When each source's bucket will be full again.
    pub buckets: BTreeMap<RateLimitKey, u64>,
}

/// An image and what was seen.
#[derive(Debug)]
pub struct Host<'a> {
    words: &'a [u32],
    seen: RefCell<Seen>,
}

impl<'a> Host<'a> {
    /// Puts an image and a past together.
    #[must_use]
    pub fn new(words: &'a [u32], seen: Seen) -> Self {
        Self {
            words,
            seen: RefCell::new(seen),
        }
    }

    /// What was seen up to now.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Sets the clock.
    pub fn set_now(&self, now: u64) {
        self.seen.borrow_mut().now = now;
    }
}

impl Barrier for Host<'_> {}

impl Words for Host<'_> {
    fn word(&self, at: u32) -> Option<u32> {
        self.words.word(at)
    }
}

impl Tables for Host<'_> {
    fn lookup(&self, address: &Address) -> Option<u32> {
        self.words.lookup(address)
    }

    fn now(&self) -> u64 {
        self.seen.borrow().now
    }

    fn flow(&self, table: Table, key: &FlowKey) -> Option<Flow> {
        self.seen.borrow().flows.get(&(table, *key)).copied()
    }

    fn datagram(&self, key: &DatagramKey) -> Option<Datagram> {
        self.seen.borrow().datagrams.get(key).copied()
    }

    fn store_datagram(&self, key: &DatagramKey, datagram: Datagram) {
        self.seen.borrow_mut().datagrams.insert(*key, datagram);
    }

    fn try_acquire(&self, key: &RateLimitKey, try_acquire: impl Fn(u64) -> Option<u64>) -> bool {
        let buckets = &mut self.seen.borrow_mut().buckets;
        match try_acquire(buckets.get(key).copied().unwrap_or(0)) {
            Some(full) => {
                buckets.insert(*key, full);
                true
            }
            None => false,
        }
    }
}

impl Conntrack for Host<'_> {
    fn update(&self, table: Table, key: &FlowKey, change: impl FnOnce(Flow) -> Flow) -> bool {
        match self.seen.borrow_mut().flows.get_mut(&(table, *key)) {
            Some(flow) => {
                *flow = change(*flow);
                true
            }
            None => false,
        }
    }

    fn open(&self, table: Table, key: &FlowKey, flow: Flow) -> bool {
        self.seen.borrow_mut().flows.insert((table, *key), flow);
        true
    }
}
