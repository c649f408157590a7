//! Which packets cost a call of a helper of the kernel, on the host: a frame and tables that count what would be one.
//!
//! In the kernel a call costs more than most look-ups. The two commonest packets need none: one from a country that is
//! not blocked, and one from a blocked country that opens a connection.

use std::cell::{Cell, RefCell};

use geofence_common::action::Reason;
use geofence_common::address::Address;
use geofence_common::decide::{Tables, filter};
use geofence_common::flow::rate_limit::RateLimitKey;
use geofence_common::flow::{Datagram, DatagramKey, Flow, FlowKey, Table};
use geofence_common::frame::{Bytes, Frame, Link};
use geofence_common::image::Words;
use geofence_common::opaque::Barrier;
use geofence_tests::frames;
use geofence_tests::host::{BLOCKED, OURS, between, prepared, tables};
use geofence_user::explain::simulated_tables::SimulatedTables;

/// An address in a country that is not blocked.
const OPEN: &str = "193.0.6.139";
const BLOCKED_V6: &str = "2a02:6b8::1";
const OPEN_V6: &str = "2001:67c:2e8::1";
const OURS_V6: &str = "2001:db8::2";

/// What a packet calls, one after the other.
#[derive(Default)]
struct Calls(RefCell<Vec<&'static str>>);

impl Calls {
    fn note(&self, call: &'static str) {
        self.0.borrow_mut().push(call);
    }
}

/// A frame whose bytes lie in one buffer.
struct CountedFrame<'a> {
    bytes: &'a [u8],
    calls: &'a Calls,
}

impl Barrier for CountedFrame<'_> {}

impl Frame for CountedFrame<'_> {
    const LINK: Link = Link::Ethernet;

    fn bytes<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        self.bytes.bytes(at)
    }

    fn bytes_in_loop<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        self.calls.note("load bytes");
        self.bytes.bytes(at)
    }

    fn length(&self) -> usize {
        self.calls.note("length");
        self.bytes.len()
    }

    fn reaches(&self, end: usize) -> bool {
        end <= self.bytes.len() || end <= self.length()
    }
}

/// The tables of a program without rules.
struct CountedTables<'a> {
    tables: &'a SimulatedTables<'a>,
    calls: &'a Calls,
    cases: Cell<usize>,
}

impl Barrier for CountedTables<'_> {}

impl Words for CountedTables<'_> {
    const HAS_RULES: bool = false;

    fn word(&self, at: u32) -> Option<u32> {
        self.tables.word(at)
    }
}

impl Tables for CountedTables<'_> {
    fn lookup(&self, address: &Address) -> Option<u32> {
        self.tables.lookup(address)
    }

    fn now(&self) -> u64 {
        self.calls.note("clock");
        self.tables.now()
    }

    fn flow(&self, table: Table, key: &FlowKey) -> Option<Flow> {
        self.calls.note("flow");
        self.tables.flow(table, key)
    }

    fn take_answer(&self, table: Table, key: &FlowKey) -> bool {
        self.calls.note("answer");
        self.tables.take_answer(table, key)
    }

    fn datagram(&self, key: &DatagramKey) -> Option<Datagram> {
        self.calls.note("datagram");
        self.tables.datagram(key)
    }

    fn store_datagram(&self, key: &DatagramKey, datagram: Datagram) {
        self.calls.note("store datagram");
        self.tables.store_datagram(key, datagram);
    }

    fn with_case<C: Copy, R>(&self, case: C, decide: impl FnOnce(&C) -> R) -> Option<R> {
        self.cases.set(self.cases.get() + 1);
        self.tables.with_case(case, decide)
    }

    fn try_acquire(&self, key: &RateLimitKey, try_acquire: impl Fn(u64) -> Option<u64>) -> bool {
        self.calls.note("rate limit");
        self.tables.try_acquire(key, try_acquire)
    }

    // Two look-ups in arrays, as every packet has for its counters.
    fn count_service(&self, protocol: u8, port: u16) {
        self.tables.count_service(protocol, port);
    }
}

/// The reason for a frame under the default policy, the calls that it costs, and how often a case is copied.
fn cost(frame: frames::Frame) -> (Reason, Vec<&'static str>, usize) {
    let prepared = prepared("");
    let (tables, calls) = (tables(&prepared), Calls::default());
    let counted = CountedTables {
        tables: &tables,
        calls: &calls,
        cases: Cell::new(0),
    };
    let frame = frame.build();
    let frame = CountedFrame {
        bytes: &frame,
        calls: &calls,
    };
    let reason = filter(&frame, &counted, &mut ()).reason;
    (reason, calls.0.take(), counted.cases.get())
}

#[test]
fn packet_of_an_open_country_costs_no_helper_call() {
    for (source, ours) in [(OPEN, OURS), (OPEN_V6, OURS_V6)] {
        let packets = [
            between(source, ours).tcp(40_000, 443).syn(),
            between(source, ours).tcp(40_000, 443).ack(),
            between(source, ours).udp(40_000, 443),
        ];
        for frame in packets {
            assert_eq!(cost(frame), (Reason::CountryAllowed, vec![], 0), "{source}");
        }
    }
}

#[test]
fn packet_of_a_blocked_country_costs_no_helper_call_unless_it_may_be_a_reply() {
    for (source, ours) in [(BLOCKED, OURS), (BLOCKED_V6, OURS_V6)] {
        // IPv6 headers are walked in a loop, whose reads are calls.
        let expected = [
            (
                between(source, ours).tcp(40_000, 22).syn(),
                Reason::CountryBlocked,
            ),
            (
                between(source, ours).tcp(40_000, 22).ack(),
                Reason::CountryBlocked,
            ),
            (between(source, ours).tcp(40_000, 25).syn(), Reason::Mail),
            (between(source, ours).tcp(40_000, 25).ack(), Reason::Mail),
            (
                between(source, ours).udp(40_000, 1194),
                Reason::CountryBlocked,
            ),
        ];
        for (frame, reason) in expected {
            assert_eq!(cost(frame), (reason, vec![], 0), "{source}");
        }
        let (reason, calls, cases) = cost(between(source, ours).tcp(25, 40_000).ack());
        assert_eq!((reason, cases), (Reason::UnprovenReply, 1));
        assert_eq!(calls, ["flow"]);
    }
}
