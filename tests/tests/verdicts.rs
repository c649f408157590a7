//! What becomes of every frame of the corpus: the expected reason of each stands in tests/frames/, by name, for a
//! source in a blocked country; from any other country, nothing may fall for being odd.
//!
//! A change to those files is a change to the policy and is to be read as one. GEOFENCE_BLESS=1 writes them anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use geofence_common::action::{Action, Reason};
use geofence_common::wire::ethernet::unjudged;
use geofence_tests::corpus::corpus;
use geofence_tests::machines::{corpus_agrees, largest};
use geofence_tests::require_root;
use geofence_user::config::Config;
use geofence_user::explain::explain;
use geofence_user::model::policy::Lookup;
use geofence_user::prepare::{Prepared, prepare};

fn prepared() -> Prepared {
    prepare(Config::default()).expect("the embedded database and the default policy")
}

fn frames(source: &str) -> Vec<(&'static str, Vec<u8>)> {
    let destination = if source.contains(':') {
        "2001:db8::2"
    } else {
        "192.0.2.2"
    };
    corpus(
        source.parse().expect("an address"),
        destination.parse().expect("an address"),
    )
}

/// One paragraph for each reason: what it does, its name, and the frames that end in it.
fn account(prepared: &Prepared, source: &str) -> String {
    let mut reasons: BTreeMap<Reason, Vec<&str>> = BTreeMap::new();
    for (name, frame) in frames(source) {
        reasons
            .entry(explain(&frame, prepared.image.words()).0.reason)
            .or_default()
            .push(name);
    }
    let mut text = String::new();
    for (reason, mut names) in reasons {
        names.sort_unstable();
        let _ = writeln!(text, "{} {}", reason.action().name(), reason.name());
        for name in names {
            let _ = writeln!(text, "    {name}");
        }
    }
    text
}

#[test]
fn every_frame_from_a_blocked_country_gets_its_expected_reason() {
    let prepared = prepared();
    for (source, file) in [
        ("77.88.8.8", "blocked_v4.txt"),
        ("2a02:6b8::1", "blocked_v6.txt"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("frames")
            .join(file);
        let found = account(&prepared, source);
        if std::env::var_os("GEOFENCE_BLESS").is_some() {
            std::fs::write(&path, &found).expect("written");
        }
        let expected = std::fs::read_to_string(&path).expect("tests/frames holds the expectations");
        for (number, (found, expected)) in (1..).zip(found.lines().zip(expected.lines())) {
            assert_eq!(
                found, expected,
                "tests/frames/{file}:{number}; GEOFENCE_BLESS=1 writes what is found"
            );
        }
        assert_eq!(
            found.lines().count(),
            expected.lines().count(),
            "tests/frames/{file} has another length"
        );
    }
}

#[test]
fn odd_frames_from_an_allowed_country_pass() {
    let prepared = prepared();
    let mut passed = 0;
    for source in ["84.200.69.80", "2001:4860:4860::8888"] {
        for (name, frame) in frames(source) {
            let (verdict, _) = explain(&frame, prepared.image.words());
            // Only a frame whose source cannot be read, or that may not be on a wire, is dropped.
            let unreadable = [
                Reason::MalformedIpv4,
                Reason::MalformedIpv6,
                Reason::TooManyTags,
                Reason::Mapped,
            ];
            assert!(
                verdict.action == Action::Pass || unreadable.contains(&verdict.reason),
                "{name} from {source} was dropped for {}",
                verdict.reason.name()
            );
            passed += u32::from(verdict.reason == Reason::CountryAllowed);
        }
    }
    assert!(
        passed > 300,
        "only {passed} frames passed for their country"
    );
}

#[test]
fn every_encapsulation_has_a_frame_with_a_tag_and_without() {
    /// Where a frame has its EtherType, without a tag and behind one.
    const PLACES: [usize; 2] = [12, 16];
    let (prepared, frames) = (prepared(), frames("77.88.8.8"));
    let is_encapsulated = |number: &u16| unjudged(*number) == Reason::Encapsulated;
    for number in (0..=u16::MAX).filter(is_encapsulated) {
        for place in PLACES {
            let has_it = |frame: &&Vec<u8>| {
                let has_type = frame.get(place..place + 2) == Some(&number.to_be_bytes());
                has_type && (place == 12 || frame.get(12..14) == Some(&[0x81, 0]))
            };
            let mut found = frames.iter().map(|(_, frame)| frame).filter(has_it);
            let is_counted = found.any(|frame| {
                let (verdict, _) = explain(frame, prepared.image.words());
                verdict.reason == Reason::Encapsulated
            });
            assert!(is_counted, "no frame of type {number:#06x} at {place}");
        }
    }
}

#[test]
fn kernel_gives_every_corpus_frame_the_same_reason() {
    require_root!();
    corpus_agrees(&prepared(), true).expect("one verdict for each frame");
}

#[test]
fn kernel_judges_by_the_largest_configuration_as_the_host_does() {
    require_root!();
    let prepared = largest(Lookup::ArrayTrie).expect("it is valid");
    let cases = corpus_agrees(&prepared, true).expect("one verdict for each frame");
    assert!(cases > 1000, "{cases}");
}
