//! The flow cache beside the flow tables.

use std::net::IpAddr;

use aya::maps::HashMap;
use geofence_common::action::Reason;
use geofence_common::flow::{Flow, FlowKey, Table};
use geofence_common::maps::name;
use geofence_tests::{frames, require_root};
use geofence_user::kernel::Filter;

use super::{filter, prepared};

/// Takes every flow of mail out of its table, so that an answer passes by the flow cache or not at all.
fn forget_mail(filter: &mut Filter) {
    let flows = filter.flows(Table::Mail).expect("reads");
    let map = filter.ebpf().map_mut(name::FLOWS[Table::Mail as usize]);
    let mut map: HashMap<_, FlowKey, Flow> = map.expect("the table").try_into().expect("a hash");
    for (key, _) in flows {
        map.remove(&key).expect("removes");
    }
}

#[test]
fn flow_cache_returns_only_the_last_written_flow() {
    require_root!();
    let prepared = prepared(|_| {});
    let mut filter = filter(&prepared);
    for (ours, theirs) in [
        ("192.0.2.2", "77.88.8.8"),
        ("2001:db8::2", "2a02:6b8::feed:ff"),
    ] {
        let [ours, theirs] = [ours, theirs].map(|text| text.parse::<IpAddr>().expect("an address"));
        let out = |port| frames::between(ours, theirs).tcp(port, 25);
        let answer = |port| frames::between(theirs, ours).tcp(25, port).ack().build();
        filter.send(&out(40_000).syn().build()).expect("sends");
        forget_mail(&mut filter);
        let mut reason = |frame: &[u8]| filter.ask(frame).expect("asks").reason;
        assert_eq!(reason(&answer(40_000)), Reason::Reply, "{theirs}");
        assert_eq!(reason(&answer(40_001)), Reason::UnprovenReply, "{theirs}");
        // What never was in the table is not cached either.
        filter.send(&out(40_001).ack().build()).expect("sends");
        let mut reason = |frame: &[u8]| filter.ask(frame).expect("asks").reason;
        assert_eq!(reason(&answer(40_001)), Reason::UnprovenReply, "{theirs}");
    }
}
