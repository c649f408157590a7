//! A hundred thousand exceptions at once, on the host and in the kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use geofence_common::action::Reason;
use geofence_tests::frames::between;
use geofence_tests::privilege;
use geofence_user::compile::{Target, compile};
use geofence_user::config::Config;
use geofence_user::data::geoip::Database;
use geofence_user::explain::explain;
use geofence_user::model::policy::{CountryRule, Destination, Exception, Origin, Policy, Traffic};
use geofence_user::model::units::UnixSeconds;
use geofence_user::prepare::{Prepared, boot};

use super::filter;

/// A hundred thousand exceptions, each for a host of its own and a network of its own or a tenant.
fn very_many() -> Policy {
    let mut policy = Config::default().policy;
    policy.settings.rule = CountryRule::Block(
        [geofence_common::country::Country::from_code(*b"RU").expect("Russia")].into(),
    );
    policy.exceptions = (0..100_000_u32)
        .map(|slot| Exception {
            id: format!("exception-{slot}"),
            slot,
            is_ban: false,
            from: vec![Origin::Prefix(host(slot).into())],
            to: vec![Destination::Prefix(network(slot))],
            traffic: vec![Traffic::Any],
            owner: "test".into(),
            reason: "test".into(),
            until: Some(UnixSeconds::now().plus(Duration::from_secs(3600))),
        })
        .map(Arc::new)
        .collect();
    policy
}

/// One of very many hosts in Russia.
fn host(number: u32) -> IpAddr {
    Ipv4Addr::from(0x4d58_0000 + number.wrapping_mul(40_503) % 0x2_0000).into()
}

fn network(number: u32) -> ipnet::IpNet {
    let first = Ipv4Addr::from(0xc633_0000 + (number << 2));
    ipnet::IpNet::new(first.into(), 30)
        .expect("a prefix")
        .trunc()
}

#[test]
fn hundred_thousand_exceptions_compile_load_and_match() {
    let policy = very_many();
    let distinct: BTreeSet<IpAddr> = (0..100_000).map(host).collect();
    let database = Database::embedded().expect("embedded");
    let target = Target {
        generation: 1,
        slot: 0,
        compiled: UnixSeconds::now(),
        boot: boot(),
        lines_max: 1 << 22,
    };
    let begun = Instant::now();
    let image = compile(&policy, &database, &target).expect("compiles");
    println!(
        "{} sources, {} KiB, compiled in {:?}",
        distinct.len(),
        image.size() >> 10,
        begun.elapsed()
    );
    let asked = |number: u32, to: u32| {
        let IpAddr::V4(source) = host(number) else {
            panic!("IPv4")
        };
        let destination = network(to).addr();
        between(source.into(), destination)
            .tcp(40_000, 80)
            .syn()
            .build()
    };
    let mut filter = privilege::can_run([]).then(|| {
        let config = Config {
            policy: policy.clone(),
            ..Config::default()
        };
        let prepared = Prepared {
            config,
            database,
            readers: Vec::new(),
            image: image.clone(),
            lists: Default::default(),
            others: Default::default(),
            shortfalls: Vec::new(),
        };
        filter(&prepared)
    });
    for number in (0..100_000).step_by(37) {
        for (to, is_excepted) in [(number, true), ((number + 1) % 100_000, false)] {
            let frame = asked(number, to);
            let (verdict, _) = explain(&frame, image.words());
            assert_eq!(
                verdict.reason == Reason::Exception,
                is_excepted,
                "{number} to {to}"
            );
            if is_excepted {
                assert_eq!(verdict.exception, number + 1);
            }
            if let Some(filter) = &mut filter {
                assert_eq!(
                    filter.ask(&frame).expect("answers"),
                    verdict,
                    "{number} to {to}"
                );
            }
        }
    }
}
