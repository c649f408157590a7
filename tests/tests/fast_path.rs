//! The fast path on the host: what it judges, it judges as the rules do, and it leaves to them what they concern.

use geofence_common::action::Reason;
use geofence_common::address::Address;
use geofence_common::decide::{Tables, filter, filter_fast};
use geofence_common::flow::rate_limit::RateLimitKey;
use geofence_common::flow::{Datagram, DatagramKey, Flow, FlowKey, Table};
use geofence_common::image::{Lookup as _, Words, flag};
use geofence_common::opaque::Barrier;
use geofence_tests::frames::Frame;
use geofence_tests::host::{BLOCKED, OURS, between, prepared, tables};
use geofence_user::explain::simulated_tables::SimulatedTables;
use geofence_user::prepare::Prepared;

/// Sources that no rule of these tests names: in a country that is not blocked, and in a blocked one.
const OPEN: &str = "193.0.6.139";
const UNNAMED: &str = "77.88.9.9";
/// Names `BLOCKED`.
const EXCEPTION: &str = r#"
[[exception]]
id = "customer"
owner = "a"
reason = "b"
from = ["77.88.8.8"]
to = ["any"]
services = ["tcp/443"]
"#;
const PROTECT: &str = r#"
[[protect]]
id = "admin"
services = ["tcp/8443", "udp/8443"]
from = ["8.8.8.0/24"]
"#;
const RATE_LIMIT: &str = "rate-limit = 100\n";

/// The tables of the fast path.
struct FastPath<'a> {
    image: &'a [u32],
    tables: &'a SimulatedTables<'a>,
}

impl Barrier for FastPath<'_> {}

impl Words for FastPath<'_> {
    const HAS_RULES: bool = false;
    const IS_FAST_PATH: bool = true;

    fn word(&self, at: u32) -> Option<u32> {
        self.image.word(at)
    }
}

impl Tables for FastPath<'_> {
    fn lookup(&self, address: &Address) -> Option<u32> {
        self.class_lookup(address)
    }

    fn now(&self) -> u64 {
        self.tables.now()
    }

    fn flow(&self, table: Table, key: &FlowKey) -> Option<Flow> {
        self.tables.flow(table, key)
    }

    fn take_answer(&self, table: Table, key: &FlowKey) -> bool {
        self.tables.take_answer(table, key)
    }

    fn datagram(&self, key: &DatagramKey) -> Option<Datagram> {
        self.tables.datagram(key)
    }

    fn store_datagram(&self, key: &DatagramKey, datagram: Datagram) {
        self.tables.store_datagram(key, datagram);
    }

    fn try_acquire(&self, key: &RateLimitKey, try_acquire: impl Fn(u64) -> Option<u64>) -> bool {
        self.tables.try_acquire(key, try_acquire)
    }

    fn count_service(&self, protocol: u8, port: u16) {
        self.tables.count_service(protocol, port);
    }
}

/// What the fast path says of a frame that no other has preceded; nothing if it leaves the frame to the rules. What it
/// says, the rules say as well, and what it leaves has changed nothing.
fn judged(policy: &Prepared, frame: &Frame) -> Option<Reason> {
    let image = policy.image.words();
    let (fast, rules) = (tables(policy), tables(policy));
    let frame = frame.build();
    let frame = frame.as_slice();
    let expected = filter(&frame, &rules, &mut ());
    let of_fast = FastPath {
        image,
        tables: &fast,
    };
    match filter_fast(&frame, &of_fast, &mut ()) {
        Ok(verdict) => {
            assert_eq!(verdict, expected);
            assert_eq!(fast.into_history(), rules.into_history());
            Some(verdict.reason)
        }
        Err(_) => {
            assert_eq!(fast.into_history(), tables(policy).into_history());
            None
        }
    }
}

#[test]
fn sources_that_no_exception_names_stay_on_the_fast_path() {
    let frames = |from: &str| {
        [
            between(from, OURS).tcp(40_000, 22).syn(),
            between(from, OURS).udp(40_000, 161),
            between(from, OURS).tcp(40_000, 25).syn(),
        ]
    };
    let policy = prepared(EXCEPTION);
    let judge = |from: &str| frames(from).map(|frame| judged(&policy, &frame));
    assert_eq!(judge(OPEN), [Some(Reason::CountryAllowed); 3]);
    let dropped = Some(Reason::CountryBlocked);
    assert_eq!(judge(UNNAMED), [dropped, dropped, Some(Reason::Mail)]);
    assert_eq!(judge(BLOCKED), [None; 3]);
}

#[test]
fn only_packets_that_may_be_for_a_protected_port_leave_the_fast_path() {
    let policy = prepared(PROTECT);
    for (from, unprotected) in [
        (OPEN, Reason::CountryAllowed),
        (UNNAMED, Reason::CountryBlocked),
    ] {
        let to = |port| between(from, OURS).tcp(40_000, port).syn();
        assert_eq!(judged(&policy, &to(8444)), Some(unprotected), "{from}");
        assert_eq!(judged(&policy, &to(8443)), None, "{from}");
        let fragment = between(from, OURS).udp(40_000, 8443).fragment_field(0x2000);
        assert_eq!(judged(&policy, &fragment), None, "{from}, a first fragment");
    }
}

#[test]
fn a_rate_limit_concerns_exempted_services_of_blocked_sources() {
    let policy = prepared(RATE_LIMIT);
    let to = |from, port| between(from, OURS).tcp(40_000, port).syn();
    assert_eq!(judged(&policy, &to(UNNAMED, 25)), None);
    assert_eq!(
        judged(&policy, &to(UNNAMED, 22)),
        Some(Reason::CountryBlocked)
    );
    assert_eq!(judged(&policy, &to(OPEN, 25)), Some(Reason::CountryAllowed));
}

/// Each of a thousand listed addresses leaves the fast path. Others of the country stay.
#[test]
fn hosts_of_the_host_table_leave_the_fast_path() {
    let listed = |number: u32| format!("77.{}.{}.2", 88 + number / 250, number % 250);
    let list: Vec<String> = (0..1000)
        .map(|number| format!("\"{}\"", listed(number)))
        .collect();
    let policy = prepared(&format!("deny = [{}]\n", list.join(", ")));
    let flags = policy.image.flags();
    assert!(flags.has(flag::HOSTS), "the addresses are in no host table");
    for number in (0..1000).step_by(100) {
        let frame = |from: &str| between(from, OURS).tcp(40_000, 22).syn();
        assert_eq!(judged(&policy, &frame(&listed(number))), None);
        let other = format!("95.24.{}.2", number % 250);
        let blocked = Some(Reason::CountryBlocked);
        assert_eq!(judged(&policy, &frame(&other)), blocked, "{other}");
    }
}
