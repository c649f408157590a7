//! Packets from and to listed addresses: the counts and events that the host decides, and the kernel must match.

use std::collections::{BTreeMap, BTreeSet};

use geofence_common::action::{Action, Direction, Reason};
use geofence_common::country::Country;
use geofence_common::decide::{Origin, egress};
use geofence_common::event::Event;
use geofence_common::image::list_set::{Peer, each_list};
use geofence_common::maps::{ListCounters, ListKey, list_counter};
use geofence_common::wire::parse::read_five_tuple;
use geofence_user::data::lists;
use geofence_user::explain::simulated_tables::SimulatedTables;
use geofence_user::kernel::Filter;
use geofence_user::model::list::Format;
use geofence_user::model::listing::Listing;
use geofence_user::model::policy::Policy;
use geofence_user::model::units::UnixSeconds;

/// Lists of each kind, with the frames' sources and destinations on one or several of them, and exceptions to them.
pub(super) fn listed(policy: &mut Policy) {
    super::policies::customers(policy);
    add_lists(policy);
}

/// The lists alone.
pub(super) fn add_lists(policy: &mut Policy) {
    use geofence_user::model::list::{Action, Direction as About};
    let lists: [(&str, Action, About, &[&str]); 6] = [
        (
            "c2",
            Action::Block,
            About::Out,
            &["8.8.8.0/24", "2001:4860::/32", "84.200.69.80"],
        ),
        (
            "scanners",
            Action::Block,
            About::In,
            &["114.114.0.0/16", "192.0.2.2", "8.8.8.8"],
        ),
        (
            "watched",
            Action::Alert,
            About::Both,
            &["77.88.8.8", "8.8.0.0/16", "2001:db8::2", "2a02:6b8::/32"],
        ),
        (
            "callers",
            Action::Alert,
            About::In,
            &["77.88.0.0/16", "2002:4d58::/33", "175.45.176.0/20"],
        ),
        (
            "both",
            Action::Block,
            About::Both,
            &["240c::/16", "175.45.176.1", "2002:4d58:808::/48"],
        ),
        ("all", Action::Alert, About::Out, &["0.0.0.0/1"]),
    ];
    policy.lists = lists
        .into_iter()
        .map(|(name, action, direction, nets)| {
            let text: String = nets.iter().map(|net| format!("{net}\n")).collect();
            let read = lists::read(
                format!("#\n{text}").as_bytes(),
                Format::Plain,
                name,
                UnixSeconds(0),
            );
            Listing::new(name, action, direction, read.expect("a list").entries)
        })
        .collect();
    policy.management = vec!["84.200.69.80/32".parse().expect("a prefix")];
}

/// The list counts and events that the kernel must produce.
#[derive(Default)]
pub(super) struct ExpectedEvents {
    packets: BTreeMap<ListKey, [u64; 4]>,
    /// Without their times.
    events: BTreeSet<[u64; 9]>,
    blocked: BTreeMap<(Country, Action), u64>,
}

impl ExpectedEvents {
    pub(super) fn record_egress(
        &mut self,
        frame: &[u8],
        host: &SimulatedTables<'_>,
        words: &[u32],
        filter: &mut Filter,
    ) {
        let verdict = egress(&frame, || Origin::Local, host, &mut ());
        let action = filter.send(frame).expect("egress takes it");
        assert_eq!(action, verdict.action(), "{frame:02x?}");
        if let Some(against) = verdict.list_verdict() {
            assert_eq!(against.reason, Reason::ListedDestination);
            *self
                .blocked
                .entry((against.country, against.action))
                .or_default() += 1;
        }
        let outcome = (action, verdict.reason());
        self.record(frame, verdict.peer, Direction::Out, outcome, words);
    }

    pub(super) fn record(
        &mut self,
        frame: &[u8],
        peer: Peer,
        direction: Direction,
        (action, reason): (Action, u8),
        words: &[u32],
    ) {
        let list_match = peer.list_match(direction, &words);
        each_list(&frame, &list_match, direction, &words, |list| {
            let key = ListKey {
                list: list.identity,
                tenant: list_match.tenant,
            };
            self.packets.entry(key).or_default()[list_counter(direction, action)] += 1;
            let five_tuple = read_five_tuple(&frame).expect("the decision parsed it");
            let event = Event {
                source: five_tuple.source.words(),
                destination: five_tuple.destination.words(),
                list: list.identity,
                tenant: list_match.tenant,
                ports: five_tuple.ports,
                protocol: five_tuple.protocol,
                flags: five_tuple.flags,
                is_v6: five_tuple.source.is_v6().into(),
                direction: direction as u8,
                is_dropped: (action == Action::Drop).into(),
                reason,
                length: frame.len() as u32,
                ..Event::default()
            };
            self.events.insert(words_of(&event));
        });
    }

    pub(super) fn assert_kernel_agrees(&self, filter: &mut Filter, seed: u64) {
        let counts = filter.list_counts().expect("reads");
        let packets = counts
            .iter()
            .map(|(key, counters)| (*key, counters.packets));
        assert_eq!(
            packets.collect::<BTreeMap<_, _>>(),
            self.packets,
            "seed {seed}"
        );
        let sum = |of: fn(&ListCounters) -> u64| counts.values().map(of).sum::<u64>();
        let events = sum(|one| one.events.iter().map(|[_, sent]| sent).sum());
        let lost = sum(|one| one.events.iter().map(|[lost, _]| lost).sum());
        assert_eq!(
            events + lost,
            sum(|one| one.packets.iter().sum()),
            "seed {seed}"
        );
        let blocked: BTreeMap<_, _> = filter
            .counters(0)
            .expect("reads")
            .into_iter()
            .filter(|((_, _, reason), _)| *reason == Reason::ListedDestination)
            .map(|((country, action, _), counter)| ((country, action), counter.packets))
            .collect();
        assert_eq!(blocked, self.blocked, "seed {seed}");
        let mut arrived = filter.take_records().events.expect("opens");
        let arrived: Vec<Event> = std::iter::from_fn(|| arrived.take()).collect();
        assert!(arrived.len() as u64 <= events, "seed {seed}");
        assert_eq!(arrived.is_empty(), self.packets.is_empty(), "seed {seed}");
        for event in &arrived {
            assert!(
                event.interface != 0 && self.events.contains(&words_of(event)),
                "seed {seed}: {event:?}"
            );
        }
    }
}

/// An event but for its time, country and interface, in numbers that can be put in order.
fn words_of(event: &Event) -> [u64; 9] {
    let [from, to] = event.ports.map(u64::from);
    let small = [
        event.protocol,
        event.flags,
        event.is_v6,
        event.direction,
        event.is_dropped,
        event.reason,
    ];
    let small = small
        .into_iter()
        .fold(0, |all, one| all << 8 | u64::from(one));
    [
        event.source[0],
        event.source[1],
        event.destination[0],
        event.destination[1],
        event.list.into(),
        event.tenant.into(),
        from << 16 | to,
        small,
        event.length.into(),
    ]
}
