//! The program in the kernel against the same decision on the host, and one look-up engine against the other.
//!
//! The kernel is asked by BPF_PROG_TEST_RUN, attached to nothing. A frame that the two builds judge differently is a
//! bug by definition, so nothing here says what the right verdict is.

use std::net::IpAddr;

use geofence_common::action::{Action, Direction, Reason};
use geofence_common::flow::Table;
use geofence_common::image::list_set::identity;
use geofence_common::maps::{LIST_KEYS_MAX, ListKey, list_counter};
use geofence_tests::mutate::Generator;
use geofence_tests::oracle;
use geofence_tests::{budget, require_root};
use geofence_user::config::Config;
use geofence_user::explain::simulated_tables::{PacketHistory, SimulatedTables};
use geofence_user::explain::{Protocol, Question, explain};
use geofence_user::kernel::Filter;
use geofence_user::model::policy::{Lookup, Policy, Replies};
use geofence_user::os::clock::boot_now;
use geofence_user::prepare::{Prepared, prepare};

#[path = "kernel/expected_events.rs"]
mod expected_events;
#[path = "kernel/expected_services.rs"]
mod expected_services;
#[path = "kernel/flow_cache.rs"]
mod flow_cache;
#[path = "kernel/fragments.rs"]
mod fragments;
#[path = "kernel/generations.rs"]
mod generations;
#[path = "kernel/ip_devices.rs"]
mod ip_devices;
#[path = "kernel/policies.rs"]
mod policies;

use expected_events::{ExpectedEvents, listed};
use expected_services::ExpectedServices;
use policies::{customers, selective};

/// Instructions the verifier may walk through, and bytes of machine code: some more than the programs take today. For
/// policies without rules, for packets that no rule concerns, and for others.
const BARE_MAX: [u32; 2] = [70_000, 28_500];
const FAST_MAX: [u32; 2] = [80_000, 30_500];
const WITH_RULES_MAX: [u32; 2] = [620_000, 64_000];

const FRAMES: usize = 120_000;
const RANDOM_ADDRESSES: usize = 2_000_000;
const OVERLAYS: usize = 10_000;

fn prepared(change: impl FnOnce(&mut Policy)) -> Prepared {
    let mut config = Config::default();
    change(&mut config.policy);
    prepare(config).expect("the embedded database and the default policy")
}

fn filter(prepared: &Prepared) -> Filter {
    let mut filter = Filter::load(prepared.options(true)).expect("loads");
    filter
        .install(
            &prepared.image,
            prepared.lpm_prefixes().expect("its own image").as_ref(),
        )
        .expect("installs");
    filter
}

fn sources() -> Vec<IpAddr> {
    [
        "77.88.8.8",
        "114.114.114.114",
        "175.45.176.1",
        "8.8.8.8",
        "84.200.69.80",
        "10.1.2.3",
        "169.254.1.1",
        "0.0.0.0",
        "224.0.0.1",
        "192.0.2.1",
        "2a02:6b8::feed:ff",
        "240c::6666",
        "2001:4860:4860::8888",
        "2002:4d58:808::1",
        "2001:0:1:2:3:4:b2a7:f7f7",
        "64:ff9b::4d58:808",
        "::ffff:77.88.8.8",
        "fe80::1",
        "::",
        "fd00::1",
    ]
    .map(|text| text.parse().expect("an address"))
    .to_vec()
}

#[test]
fn every_program_stays_within_its_verifier_budget() {
    require_root!();
    for lookup in [Lookup::ArrayTrie, Lookup::LpmTrie] {
        let prepared = prepared(|policy| policy.lookup = lookup);
        let mut filter = Filter::load(prepared.options(false)).expect("loads");
        filter.load_ip().expect("loads");
        for size in filter.program_sizes().expect("the kernel counts them") {
            let name = format!("{}/{lookup:?}", size.name);
            let [verified, machine] = if size.has_rules {
                WITH_RULES_MAX
            } else if size.name.ends_with("_fast") {
                FAST_MAX
            } else {
                BARE_MAX
            };
            budget::record(&name, size.verified, verified).expect("recorded");
            println!("{name}: {size:?}");
            assert!(
                size.verified > 0 && size.machine > 0,
                "{name} was not counted"
            );
            assert!(
                size.verified <= verified && size.machine <= machine,
                "{size:?} is more than {verified} instructions or {machine} bytes"
            );
        }
    }
}

#[test]
fn kernel_and_host_agree_on_frames() {
    require_root!();
    let policies: [fn(&mut Policy); 8] = [
        |_| {},
        |policy| {
            policy.management = vec!["84.200.69.0/24".parse().expect("a prefix")];
            policy.allow = vec!["114.114.0.0/16".parse().expect("a prefix")];
            policy.deny = ["8.8.8.8/32", "2001:4860::/32", "2002:4d58::/33"]
                .map(|p| p.parse().expect("a prefix"))
                .to_vec();
            policy.settings.special_use = Action::Drop;
            policy.settings.unknown = Action::Drop;
            policy.settings.icmp_echo = Action::Pass;
            policy.replies = Replies::All;
        },
        |policy| {
            policy.lookup = Lookup::LpmTrie;
            policy.settings.mode = geofence_common::action::Mode::Monitor;
        },
        customers,
        listed,
        |policy| {
            listed(policy);
            policy.lookup = Lookup::LpmTrie;
            policy.replies = Replies::None;
        },
        selective,
        |policy| {
            selective(policy);
            policy.lookup = Lookup::LpmTrie;
        },
    ];
    for (seed, change) in (1..).zip(policies) {
        let prepared = prepared(change);
        let mut filter = filter(&prepared);
        let mut generator = Generator::new(seed, sources());
        let mut reasons = std::collections::BTreeSet::new();
        let host = SimulatedTables::new(prepared.image.words(), PacketHistory::default());
        let mut expected = ExpectedEvents::default();
        let mut services = ExpectedServices::new(&prepared.config.policy, seed, &mut filter);
        for number in 0..FRAMES {
            let (name, frame) = generator.draw();
            // What leaves is remembered by both, and so are first fragments.
            host.set_now(boot_now().expect("a clock"));
            let mut reversed = frame.clone();
            if number % 4 == 0 && reverse(&mut reversed) {
                expected.record_egress(&reversed, &host, prepared.image.words(), &mut filter);
            }
            // A frame of any shape, as long as the kernel takes it for a test.
            if number % 4 == 1 && frame.len() >= 54 {
                expected.record_egress(&frame, &host, prepared.image.words(), &mut filter);
            }
            let host = geofence_common::decide::filter(&frame.as_slice(), &host, &mut ());
            let kernel = filter
                .ask(&frame)
                .unwrap_or_else(|error| panic!("frame {number}, {name}: {error}"));
            // The two look at their clocks one after the other, on which the limit of DHCP depends.
            let is_dhcp = frame.windows(4).any(|ports| ports == [0, 67, 0, 68]);
            let is_limit = is_dhcp
                && [kernel.reason, host.reason].contains(&Reason::LinkControl)
                && kernel.peer == host.peer;
            assert!(
                kernel == host || is_limit,
                "seed {seed}, frame {number}, {name}: {kernel:?} and {host:?} for {frame:02x?}"
            );
            reasons.insert(host.reason);
            services.record(&frame, host.reason);
            expected.record(
                &frame,
                kernel.peer,
                Direction::In,
                (kernel.action, kernel.reason as u8),
                prepared.image.words(),
            );
        }
        expected.assert_kernel_agrees(&mut filter, seed);
        services.assert_kernel_agrees(&filter, &host.history().services);
        assert!(reasons.len() >= 15, "seed {seed} met only {reasons:?}");
        for table in Table::ALL {
            let mut flows = filter.flows(table).expect("reads");
            flows.sort_by_key(|(key, _)| *key);
            let seen = host.history().flows;
            let expected = seen
                .iter()
                .filter(|((one, _), _)| *one == table)
                .map(|((_, key), flow)| (*key, flow.state))
                .collect::<Vec<_>>();
            let flows: Vec<_> = flows.iter().map(|(key, flow)| (*key, flow.state)).collect();
            assert_eq!(flows, expected, "seed {seed}, {} flows", table.name());
            println!("seed {seed}: {} {} flows", flows.len(), table.name());
        }
        println!(
            "seed {seed}: {FRAMES} frames, {} reasons, no disagreement",
            reasons.len()
        );
    }
}

#[test]
fn tenant_without_a_list_counter_is_counted_without_a_tenant() {
    require_root!();
    let prepared = prepared(listed);
    let mut filter = filter(&prepared);
    let list = identity(b"c2");
    let others = (1..).filter(|other| *other != list);
    let lists = others.take(LIST_KEYS_MAX - 1).chain([list]).collect();
    filter.count_lists(&lists).expect("room for so many");
    let action = filter.send(&template("192.0.2.5", "8.8.8.9"));
    assert_eq!(action.expect("egress takes it"), Action::Drop);
    let counts = filter.list_counts().expect("reads");
    assert_eq!(counts.len(), LIST_KEYS_MAX);
    let dropped = counts[&ListKey { list, tenant: 0 }].packets;
    assert_eq!(dropped[list_counter(Direction::Out, Action::Drop)], 1);
}

/// Turns an untagged frame around, addresses and the places where ports are; says whether it did.
fn reverse(frame: &mut [u8]) -> bool {
    let (addresses, length, ports) = match frame.get(12..14) {
        Some([0x08, 0x00]) => (26, 4, 34),
        Some([0x86, 0xdd]) => (22, 16, 54),
        _ => return false,
    };
    if frame.len() < ports + 4 {
        return false;
    }
    let mut swap = |at: usize, length: usize| {
        let (left, right) = frame[at..at + 2 * length].split_at_mut(length);
        left.swap_with_slice(right);
    };
    swap(addresses, length);
    swap(ports, 2);
    true
}

#[test]
fn lookup_engines_agree_on_the_whole_database_and_random_addresses() {
    require_root!();
    let database = geofence_user::data::geoip::Database::embedded().expect("embedded");
    let policy = oracle::overlays(&oracle::default_policy(), &database, 7, OVERLAYS);
    let array = prepared(|p| {
        *p = Policy {
            lookup: Lookup::ArrayTrie,
            ..policy.clone()
        }
    });
    let lpm = prepared(|p| {
        *p = Policy {
            lookup: Lookup::LpmTrie,
            ..policy.clone()
        }
    });
    let (mut array_filter, mut lpm_filter) = (filter(&array), filter(&lpm));

    let mut templates = [
        template("192.0.2.1", "192.0.2.2"),
        template("2001:db8::1", "2001:db8::2"),
    ];
    let edges = oracle::edges_v4(&policy, &database).chain(oracle::edges_v6(&policy, &database));
    let random = oracle::random_v4(&database, 8, RANDOM_ADDRESSES).chain(oracle::random_v6(
        &database,
        9,
        RANDOM_ADDRESSES,
    ));
    let mut count = 0_u64;
    for address in edges.chain(random) {
        let frame = match address.ip() {
            IpAddr::V4(ip) => {
                templates[0][26..30].copy_from_slice(&ip.octets());
                &templates[0]
            }
            IpAddr::V6(ip) => {
                templates[1][22..38].copy_from_slice(&ip.octets());
                &templates[1]
            }
        };
        let (host, _) = explain(frame, array.image.words());
        assert_eq!(
            array_filter.ask(frame).expect("answers"),
            host,
            "array trie, {address:?}"
        );
        assert_eq!(
            lpm_filter.ask(frame).expect("answers"),
            host,
            "kernel's trie, {address:?}"
        );
        count += 1;
    }
    assert!(
        count > 2 * RANDOM_ADDRESSES as u64 + 1_000_000,
        "only {count} addresses"
    );
    println!("{count} addresses, both engines and the host, no disagreement");
}

/// A TCP segment to a port that nothing exempts; its source is filled in.
fn template(source: &str, destination: &str) -> Vec<u8> {
    Question {
        source: source.parse().expect("an address"),
        destination: destination.parse().expect("an address"),
        protocol: Protocol::Tcp,
        source_port: 40_000,
        destination_port: 22,
        is_reply: false,
    }
    .frame()
    .expect("one family")
}

#[test]
fn image_is_swapped_atomically_and_counters_stay() {
    require_root!();
    let blocking = prepared(|_| {});
    let open = prepared(|policy| {
        policy.settings.rule =
            geofence_user::model::policy::CountryRule::Block(std::collections::BTreeSet::new());
    });
    let mut frame = template("77.88.8.8", "192.0.2.2");
    frame.resize(60, 0);
    let mut filter = filter(&blocking);
    for turn in 1..=6_u64 {
        let image = if turn % 2 == 1 {
            &blocking.image
        } else {
            &open.image
        };
        filter.install(image, None).expect("installs");
        let verdict = filter.ask(&frame).expect("answers");
        assert_eq!(verdict, explain(&frame, image.words()).0, "turn {turn}");
        let counters = filter.counters(0).expect("reads");
        let total: u64 = counters.values().map(|counter| counter.packets).sum();
        let bytes: u64 = counters.values().map(|counter| counter.bytes).sum();
        assert_eq!((total, bytes), (turn, turn * 60));
    }
}

#[test]
fn image_that_does_not_fit_is_refused_and_the_current_one_stays() {
    require_root!();
    let small = {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("small.mmdb");
        let mut writer =
            geofence_tests::mmdb_writer::Writer::new(geofence_tests::mmdb_writer::Schema::Flat);
        writer.add_code("77.88.8.0/24".parse().expect("a network"), "RU");
        std::fs::write(&path, writer.finish()).expect("written");
        let mut config = Config {
            databases: vec![path],
            ..Config::default()
        };
        config.image_capacity = Some(1 << 20);
        prepare(config).expect("a small image")
    };
    let mut filter = filter(&small);
    let error = filter
        .install(&prepared(|_| {}).image, None)
        .expect_err("too large")
        .to_string();
    assert!(
        error.contains("capacity-mib") && error.contains("stays"),
        "{error}"
    );
    let frame = template("77.88.8.8", "192.0.2.2");
    assert_eq!(
        filter.ask(&frame).expect("answers"),
        explain(&frame, small.image.words()).0
    );
}

#[test]
fn more_interfaces_than_can_be_counted_are_refused() {
    let interfaces = (0..64).map(|number| format!("eth{number}")).collect();
    let config = Config {
        interfaces,
        ..Config::default()
    };
    let prepared = prepare(config).expect("the embedded database and the default policy");
    let error = Filter::load(prepared.options(false))
        .err()
        .expect("too many")
        .to_string();
    assert!(
        error.contains("64 interfaces are configured") && error.contains("at most 63;"),
        "{error}"
    );
}

#[test]
fn without_an_image_every_packet_passes_for_lack_of_a_policy() {
    require_root!();
    let mut filter = Filter::load(prepared(|_| {}).options(true)).expect("loads");
    let verdict = filter
        .ask(&template("77.88.8.8", "192.0.2.2"))
        .expect("answers");
    assert_eq!(verdict, geofence_common::decide::Verdict::NO_POLICY);
}
