//! The tables that a decision reads, simulated on this side: an image in memory, and the packets seen before.
//!
//! For `explain` and tests. The clock stands still until it is set.

use std::cell::RefCell;
use std::collections::BTreeMap;

use geofence_common::address::Address;
use geofence_common::decide::{Conntrack, Tables};
use geofence_common::flow::rate_limit::RateLimitKey;
use geofence_common::flow::{Datagram, DatagramKey, Flow, FlowKey, Table};
use geofence_common::image::Words;
use geofence_common::opaque::Barrier;
use geofence_common::service::place;

/// The flows, datagrams and rate limits that earlier packets left, without a limit on their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketHistory {
    /// Nanoseconds since boot.
    pub now: u64,
    pub flows: BTreeMap<(Table, FlowKey), Flow>,
    pub datagrams: BTreeMap<DatagramKey, Datagram>,
    /// When each source's bucket will be full again.
    pub buckets: BTreeMap<RateLimitKey, u64>,
    /// Packets that passed for exempted services, by `service::place`.
    pub services: BTreeMap<u32, u64>,
}

/// An image and a history.
#[derive(Debug)]
pub struct SimulatedTables<'a> {
    words: &'a [u32],
    history: RefCell<PacketHistory>,
}

impl<'a> SimulatedTables<'a> {
    /// Simulates an image after these packets.
    #[must_use]
    pub fn new(words: &'a [u32], history: PacketHistory) -> Self {
        Self {
            words,
            history: RefCell::new(history),
        }
    }

    /// The history up to now.
    #[must_use]
    pub fn history(&self) -> PacketHistory {
        self.history.borrow().clone()
    }

    /// The same, at the end.
    #[must_use]
    pub fn into_history(self) -> PacketHistory {
        self.history.into_inner()
    }

    /// Sets the clock.
    pub fn set_now(&self, now: u64) {
        self.history.borrow_mut().now = now;
    }
}

impl Barrier for SimulatedTables<'_> {}

impl Words for SimulatedTables<'_> {
    fn word(&self, at: u32) -> Option<u32> {
        self.words.word(at)
    }
}

impl Tables for SimulatedTables<'_> {
    fn lookup(&self, address: &Address) -> Option<u32> {
        self.words.lookup(address)
    }

    fn now(&self) -> u64 {
        self.history.borrow().now
    }

    fn flow(&self, table: Table, key: &FlowKey) -> Option<Flow> {
        self.history.borrow().flows.get(&(table, *key)).copied()
    }

    fn take_answer(&self, table: Table, key: &FlowKey) -> bool {
        let flows = &mut self.history.borrow_mut().flows;
        let Some(flow) = flows.get_mut(&(table, *key)) else {
            return false;
        };
        let is_left = flow.answers > 0;
        flow.answers = flow.answers.saturating_sub(1);
        is_left
    }

    fn datagram(&self, key: &DatagramKey) -> Option<Datagram> {
        self.history.borrow().datagrams.get(key).copied()
    }

    fn store_datagram(&self, key: &DatagramKey, datagram: Datagram) {
        self.history.borrow_mut().datagrams.insert(*key, datagram);
    }

    fn try_acquire(&self, key: &RateLimitKey, try_acquire: impl Fn(u64) -> Option<u64>) -> bool {
        let buckets = &mut self.history.borrow_mut().buckets;
        match try_acquire(buckets.get(key).copied().unwrap_or(0)) {
            Some(full) => {
                buckets.insert(*key, full);
                true
            }
            None => false,
        }
    }

    fn count_service(&self, protocol: u8, port: u16) {
        let place = place(protocol, port);
        *self.history.borrow_mut().services.entry(place).or_default() += 1;
    }
}

impl Conntrack for SimulatedTables<'_> {
    fn update(&self, table: Table, key: &FlowKey, change: impl FnOnce(Flow) -> Flow) -> bool {
        match self.history.borrow_mut().flows.get_mut(&(table, *key)) {
            Some(flow) => {
                *flow = change(*flow);
                true
            }
            None => false,
        }
    }

    fn open(&self, table: Table, key: &FlowKey, flow: Flow) -> bool {
        self.history.borrow_mut().flows.insert((table, *key), flow);
        true
    }
}
