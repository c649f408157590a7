//! Tenants, exceptions, protections and pressure in the kernel: what they let pass beyond the first packet, when they
//! expire, what is counted, and how many there may be.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use geofence_common::action::{Action, Reason};
use geofence_tests::frames::{Frame, between};
use geofence_tests::require_root;
use geofence_tests::wait::poll;
use geofence_user::config::Config;
use geofence_user::explain::explain;
use geofence_user::explain::simulated_tables::{PacketHistory, SimulatedTables};
use geofence_user::kernel::Filter;
use geofence_user::model::units::UnixSeconds;
use geofence_user::os::clock::boot_now;
use geofence_user::prepare::{Prepared, boot, prepare};

#[path = "exceptions/many.rs"]
mod many;

/// A configuration whose texts are read as an operator would write them.
fn prepared(text: &str) -> Prepared {
    let config = Config::parse(text, "test.toml").unwrap_or_else(|errors| panic!("{errors}"));
    prepare(config).expect("prepares")
}

fn filter(prepared: &Prepared) -> Filter {
    let mut filter = Filter::load(prepared.options(true)).expect("loads");
    let tries = prepared.lpm_prefixes().expect("its own image");
    filter
        .install(&prepared.image, tries.as_ref())
        .expect("installs");
    filter
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn syn(source: &str, destination: &str, port: u16) -> Vec<u8> {
    between(ip(source), ip(destination))
        .tcp(40_000, port)
        .syn()
        .build()
}

const RUSSIAN: &str = "77.88.8.8";
const RUSSIAN_V6: &str = "2a02:6b8::1";
/// A router of the same country, which no exception names.
const ROUTER: &str = "95.165.0.1";
const CUSTOMER: &str = "198.51.100.7";

const POLICY: &str = r#"
    block = ["RU"]
    mail = "off"

    [[tenant]]
    name = "customer"
    prefixes = ["198.51.100.0/24", "2001:db8:17::/48"]

    [[exception]]
    id = "web"
    from = ["77.88.8.0/24", "2a02:6b8::/32"]
    to = ["customer"]
    services = ["tcp/443", "udp/5000-5010"]
    owner = "test"
    reason = "test"
"#;

#[test]
fn exception_passes_fragments_and_path_mtu_errors() {
    require_root!();
    let prepared = prepared(POLICY);
    let mut filter = filter(&prepared);
    let host = SimulatedTables::new(prepared.image.words(), PacketHistory::default());
    let mut expect = |name: &str, frame: Vec<u8>, reason: Reason| {
        host.set_now(boot_now().expect("a clock"));
        let by_host = geofence_common::decide::filter(&frame.as_slice(), &host, &mut ());
        let by_kernel = filter.ask(&frame).expect("answers");
        assert_eq!(by_kernel, by_host, "{name}");
        assert_eq!(by_kernel.reason, reason, "{name}");
        assert_eq!(by_kernel.tenant, 1, "{name}");
    };
    for (source, destination, router) in [
        (RUSSIAN, CUSTOMER, ROUTER),
        (RUSSIAN_V6, "2001:db8:17::7", "2a02:2168::1"),
    ] {
        let to_us = || between(ip(source), ip(destination));
        expect(
            "the port named",
            to_us().tcp(40_000, 443).syn().build(),
            Reason::Exception,
        );
        expect(
            "its last",
            to_us().udp(40_000, 5010).build(),
            Reason::Exception,
        );
        expect(
            "behind its last",
            to_us().udp(40_000, 5011).build(),
            Reason::CountryBlocked,
        );
        expect(
            "another protocol",
            to_us().udp(40_000, 443).build(),
            Reason::CountryBlocked,
        );
        expect(
            "no port",
            to_us()
                .icmp(if source.contains(':') { 128 } else { 8 }, 0)
                .rest([0, 1, 0, 1])
                .build(),
            Reason::CountryBlocked,
        );

        // A router between may say that our answers are too long for it; not that others' are.
        let quote = |from: &str, port: u16, to: &str| {
            Frame::packet()
                .ip(ip(from), ip(to))
                .tcp(port, 40_000)
                .ack()
                .build()
        };
        let too_big = |quoted: &[u8]| {
            let (kind, code) = if source.contains(':') { (2, 0) } else { (3, 4) };
            let error = between(ip(router), ip(destination)).icmp(kind, code);
            error.rest([0, 0, 5, 0]).payload(quoted).build()
        };
        expect(
            "about our answer",
            too_big(&quote(destination, 443, source)),
            Reason::IcmpError,
        );
        expect(
            "about another port",
            too_big(&quote(destination, 80, source)),
            Reason::UnprovenIcmpError,
        );
        expect(
            "to another host",
            too_big(&quote(destination, 443, router)),
            Reason::UnprovenIcmpError,
        );
        expect(
            "not ours",
            too_big(&quote(source, 443, source)),
            Reason::UnprovenIcmpError,
        );
    }
    let first = between(ip(RUSSIAN), ip(CUSTOMER))
        .udp(40_000, 5000)
        .payload([0; 24]);
    let later = |id: u16| {
        between(ip(RUSSIAN), ip(CUSTOMER))
            .protocol(17, [0; 16])
            .identification(id)
            .fragment_field(4)
            .build()
    };
    expect("a later fragment alone", later(7), Reason::LaterFragment);
    expect(
        "a first fragment",
        first.identification(7).fragment_field(0x2000).build(),
        Reason::Exception,
    );
    expect("one behind it", later(7), Reason::Fragment);
    expect("one of another datagram", later(8), Reason::LaterFragment);
}

#[test]
fn exception_expires_in_the_kernel_without_a_daemon() {
    require_root!();
    let text = format!("{POLICY}until = \"2099-01-01\"\n");
    let frame = syn(RUSSIAN, CUSTOMER, 443);
    // Preparing takes as long as it takes; what was over before it could be asked about says nothing.
    let begun = [3, 12, 48].into_iter().find_map(|seconds| {
        let mut config = Config::parse(&text, "test.toml").expect("reads");
        let until = UnixSeconds::now().plus(Duration::from_secs(seconds));
        Arc::make_mut(&mut config.policy.exceptions[0]).until = Some(until);
        let prepared = prepare(config).expect("prepares");
        let mut filter = filter(&prepared);
        let reason = filter.ask(&frame).expect("answers").reason;
        assert!(
            reason == Reason::Exception || UnixSeconds::now() >= until,
            "{reason:?}"
        );
        (reason == Reason::Exception).then_some((until, prepared, filter))
    });
    let (until, prepared, mut filter) = begun.expect("one of them in time");
    let reason = poll(Duration::from_secs(60), || {
        let reason = filter.ask(&frame).expect("answers").reason;
        Ok((reason != Reason::Exception).then_some(reason))
    });
    assert_eq!(reason.expect("polls"), Some(Reason::CountryBlocked));
    assert!(
        UnixSeconds::now() >= until,
        "{:?} too early",
        until.since(UnixSeconds::now())
    );
    let host = SimulatedTables::new(prepared.image.words(), PacketHistory::default());
    host.set_now(boot_now().expect("a clock"));
    let verdict = geofence_common::decide::filter(&frame.as_slice(), &host, &mut ());
    assert_eq!(verdict.reason, Reason::CountryBlocked);

    // The image after another boot: as much is left as was, less the time between.
    let mut config = Config::parse(&text, "test.toml").expect("reads");
    let until = UnixSeconds::now().plus(Duration::from_secs(1000));
    Arc::make_mut(&mut config.policy.exceptions[0]).until = Some(until);
    let image = prepare(config).expect("prepares").image;
    let mut later = boot();
    (later.id, later.now) = (later.id ^ 1, 5_000_000_000);
    let verdict_at = |image: &geofence_user::compile::Image, now: u64| {
        let host = SimulatedTables::new(image.words(), PacketHistory::default());
        host.set_now(now);
        geofence_common::decide::filter(&frame.as_slice(), &host, &mut ()).reason
    };
    let moved = image.clone().in_boot(later, UnixSeconds(until.0 - 600));
    assert_eq!(verdict_at(&moved, 600_000_000_000), Reason::Exception);
    assert_eq!(verdict_at(&moved, 606_000_000_000), Reason::CountryBlocked);
    let same = image.clone().in_boot(
        boot(),
        UnixSeconds::now().plus(Duration::from_secs(1_000_000)),
    );
    assert_eq!(same, image, "within a boot no other clock counts");
}

#[test]
fn tenants_and_exceptions_are_counted() {
    require_root!();
    let prepared = prepared(POLICY);
    let mut filter = filter(&prepared);
    for _ in 0..3 {
        filter.ask(&syn(RUSSIAN, CUSTOMER, 443)).expect("answers");
    }
    filter.ask(&syn(RUSSIAN, CUSTOMER, 22)).expect("answers");
    filter.ask(&syn(RUSSIAN, "192.0.2.1", 22)).expect("answers");
    let counted = |filter: &Filter| -> Vec<_> {
        let counters = filter.tenant_counters(1).expect("reads").into_iter();
        counters
            .map(|(what, counter)| (what, counter.packets))
            .collect()
    };
    assert_eq!(
        counted(&filter),
        [
            ((Action::Pass, Reason::Exception), 3),
            ((Action::Drop, Reason::CountryBlocked), 1)
        ]
    );
    let hits = filter.hits().expect("reads")[0];
    assert_eq!(hits.packets, 3);
    assert!(hits.last > 0 && hits.last <= boot_now().expect("a clock"));
    filter.clear_tenant(1).expect("clears");
    filter.clear_hits(0).expect("clears");
    assert!(counted(&filter).is_empty());
    assert_eq!(filter.hits().expect("reads")[0].packets, 0);
}

#[test]
fn protected_ports_drop_every_unreadable_packet() {
    require_root!();
    let guarded = prepared(
        r#"
        block = []
        [[protect]]
        id = "remote-desktops"
        services = ["tcp/3389"]
        from = ["192.0.2.0/24"]
        "#,
    );
    let mut filter = filter(&guarded);
    let host = SimulatedTables::new(guarded.image.words(), PacketHistory::default());
    let mut dropped = BTreeSet::new();
    for (source, destination) in [
        ("84.200.69.80", "198.51.100.1"),
        ("2001:4860:4860::8888", "2001:db8::2"),
    ] {
        for (name, frame) in geofence_tests::corpus::corpus(ip(source), ip(destination)) {
            if frame.len() < 14 {
                continue;
            }
            // Both remember first fragments.
            let host = geofence_common::decide::filter(&frame.as_slice(), &host, &mut ());
            let kernel = filter.ask(&frame).expect(name);
            assert_eq!(
                (kernel.reason, kernel.action),
                (host.reason, host.action),
                "{name}"
            );
            if kernel.reason == Reason::ProtectedService {
                dropped.insert(name);
            }
        }
    }
    // No rule named the port; these hide theirs.
    for name in [
        "tcp_25_data_offset_4",
        "v4_fragment_first_8_bytes",
        "v6_chain_ends_in_fragment",
    ] {
        assert!(dropped.contains(name), "{name} is not among {dropped:?}");
    }
    // From a blocked country, the same are refused for what is wrong with them: whatever can be read passes here.
    let blocked = prepared("block = [\"RU\"]");
    for name in &dropped {
        let frame_of =
            |source, destination| geofence_tests::corpus::named(name, ip(source), ip(destination));
        let frame = if name.starts_with("v6") {
            frame_of(RUSSIAN_V6, "2001:db8::2")
        } else {
            frame_of(RUSSIAN, CUSTOMER)
        };
        let (verdict, _) = explain(&frame, blocked.image.words());
        assert!(
            matches!(
                verdict.reason,
                Reason::MalformedTransport
                    | Reason::ShortFirstFragment
                    | Reason::LaterFragment
                    | Reason::ExtensionHeaders
                    | Reason::DoubleFragment
                    | Reason::SourceRoute
            ),
            "{name}: {:?}",
            verdict.reason
        );
    }
    for (source, expected) in [
        ("84.200.69.80", Reason::ProtectedService),
        ("192.0.2.9", Reason::ProtectedAccess),
    ] {
        let to_us = || between(ip(source), ip("198.51.100.1"));
        for frame in [
            to_us().tcp(40_000, 3389).syn().build(),
            to_us().tcp(443, 3389).ack().build(),
            to_us()
                .tcp(40_000, 3389)
                .syn()
                .payload([0; 40])
                .identification(1)
                .fragment_field(0x2000)
                .build(),
        ] {
            assert_eq!(filter.ask(&frame).expect("answers").reason, expected);
        }
        let other = to_us().tcp(40_000, 3388).syn().build();
        assert_eq!(filter.ask(&other).expect("answers").action, Action::Pass);
    }
}

#[test]
fn rate_limit_bounds_what_one_source_sends_to_a_mail_port() {
    require_root!();
    let mut config = Config::default();
    config.policy.rate_limit = NonZeroU32::new(1);
    let prepared = prepare(config).expect("prepares");
    let mut filter = filter(&prepared);
    let mut ask = |source: &str, destination: &str, port: u16| {
        filter
            .ask(&syn(source, destination, port))
            .expect("answers")
            .reason
    };
    // Two seconds' worth at once; what a second gives back on a slow machine is one more.
    let begun = Instant::now();
    let reasons: Vec<_> = (0..20).map(|_| ask(RUSSIAN, CUSTOMER, 25)).collect();
    let refilled = begun.elapsed().as_secs() as usize;
    let passed = reasons
        .iter()
        .filter(|reason| **reason == Reason::Mail)
        .count();
    assert!((2..=2 + refilled).contains(&passed), "{reasons:?}");
    assert!(
        reasons
            .iter()
            .all(|reason| matches!(reason, Reason::Mail | Reason::RateLimit))
    );
    assert_eq!(
        ask("77.88.8.9", CUSTOMER, 25),
        Reason::Mail,
        "another source"
    );
    assert_eq!(ask(RUSSIAN, CUSTOMER, 22), Reason::CountryBlocked);
    assert_eq!(ask("84.200.69.80", CUSTOMER, 25), Reason::CountryAllowed);
    // Addresses of one /64 share what it may send; a machine that is stopped for a second gives some of it back.
    let begun = Instant::now();
    let reasons: Vec<_> = (0..20)
        .map(|number| ask(&format!("2a02:6b8::{number:x}"), "2001:db8::2", 25))
        .collect();
    let refilled = begun.elapsed().as_secs() as usize;
    let passed = reasons
        .iter()
        .filter(|reason| **reason == Reason::Mail)
        .count();
    assert!(
        (2..=2 + refilled).contains(&passed),
        "expected 2 to {} packets of one subscriber to pass: {reasons:?}",
        2 + refilled
    );
    assert_eq!(
        ask("2a02:6b8:1::1", "2001:db8::2", 25),
        Reason::Mail,
        "another subscriber"
    );
}
