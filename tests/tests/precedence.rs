//! The order of the rules: every combination of them against a naive model, on the host and in the kernel.

use std::collections::BTreeMap;
use std::net::IpAddr;

use geofence_common::action::{Action, Mode, Reason};
use geofence_common::decide::Verdict;
use geofence_tests::precedence::{Situation, database, policy, situations};
use geofence_tests::require_root;
use geofence_user::compile::{Target, compile};
use geofence_user::config::Config;
use geofence_user::data::lists::Loaded;
use geofence_user::explain::{Protocol, Question, explain};
use geofence_user::kernel::Filter;
use geofence_user::model::policy::Lookup;
use geofence_user::model::units::UnixSeconds;
use geofence_user::prepare::{OtherData, Prepared, boot};

fn prepared(lookup: Lookup) -> Prepared {
    let mut config = Config {
        policy: policy(),
        ..Config::default()
    };
    config.policy.lookup = lookup;
    let database = database();
    let target = Target {
        generation: 1,
        slot: 0,
        compiled: UnixSeconds::now(),
        boot: boot(),
        lines_max: 1 << 20,
    };
    let image = compile(&config.policy, &database, &target).expect("compiles");
    Prepared {
        config,
        database,
        readers: Vec::new(),
        image,
        lists: Loaded::default(),
        others: OtherData::default(),
        shortfalls: Vec::new(),
    }
}

fn frame(situation: &Situation) -> Vec<u8> {
    Question {
        source: situation.source(),
        destination: situation.destination(),
        protocol: Protocol::Tcp,
        source_port: 40_000,
        destination_port: situation.port(),
        is_reply: false,
    }
    .frame()
    .expect("one family")
}

fn assert_expected(situation: &Situation, verdict: Verdict, reasons: &mut BTreeMap<Reason, usize>) {
    let expected = situation.expected();
    assert!(
        expected.contains(&verdict.reason),
        "{situation:?} from {} to {}: {:?} instead of {expected:?}",
        situation.source(),
        situation.destination(),
        verdict.reason
    );
    let action = match situation.mode() {
        Mode::Enforce => verdict.reason.action(),
        Mode::Monitor => Action::Pass,
    };
    assert_eq!(verdict.action, action, "{situation:?}");
    assert_eq!(
        verdict.tenant,
        u32::from(situation.is_tenant),
        "{situation:?}"
    );
    let by_exception = matches!(
        verdict.reason,
        Reason::Exception | Reason::ProtectedAccess | Reason::Banned
    );
    assert_eq!(verdict.exception != 0, by_exception, "{situation:?}");
    *reasons.entry(verdict.reason).or_default() += 1;
}

#[test]
fn every_combination_of_rules_gives_the_reason_of_the_table() {
    let prepared = prepared(Lookup::ArrayTrie);
    let mut reasons = BTreeMap::new();
    for situation in situations() {
        let (verdict, _) = explain(&frame(&situation), prepared.image.words());
        assert_expected(&situation, verdict, &mut reasons);
    }
    assert_eq!(reasons.len(), 15, "{reasons:?}");
    println!("{} situations: {reasons:?}", situations().len());
}

#[test]
fn kernel_agrees_on_every_combination_of_rules() {
    require_root!();
    for lookup in [Lookup::ArrayTrie, Lookup::LpmTrie] {
        let prepared = prepared(lookup);
        let mut filter = Filter::load(prepared.options(true)).expect("loads");
        let tries = prepared.lpm_prefixes().expect("its own image");
        filter
            .install(&prepared.image, tries.as_ref())
            .expect("installs");
        let mut reasons = BTreeMap::new();
        for situation in situations() {
            let frame = frame(&situation);
            let kernel = filter.ask(&frame).expect("answers");
            assert_expected(&situation, kernel, &mut reasons);
            let (host, _) = explain(&frame, prepared.image.words());
            assert_eq!(kernel, host, "{situation:?}");
        }
        println!(
            "{lookup:?}: {} situations, {} reasons",
            situations().len(),
            reasons.len()
        );
    }
}

/// A source that no situation has takes no exception from its neighbours.
#[test]
fn exception_applies_only_to_what_it_names() {
    let prepared = prepared(Lookup::ArrayTrie);
    for situation in situations() {
        let IpAddr::V4(source) = situation.source() else {
            continue;
        };
        let [a, _, c, d] = source.octets();
        let mut frame = frame(&situation);
        frame[26..30].copy_from_slice(&[a, 1, c, d]);
        let (verdict, _) = explain(&frame, prepared.image.words());
        assert!(
            !matches!(verdict.reason, Reason::Exception | Reason::ProtectedAccess),
            "{situation:?}"
        );
    }
}
