//! What the sanity check refuses and accepts, at the edges of each rule.

use std::collections::BTreeSet;

use ipnet::IpNet;
use proptest::prelude::*;

use geofence_common::country::Country;

use super::rules::AHEAD_MAX_SECONDS;
use super::units::is_lost;
use super::*;
use crate::compile::{Boot, Extent, Extents, Family, Image, Target, compile};
use crate::data::geoip::Database;
use crate::model::policy::{CountryRule, Policy};
use crate::model::units::UnixSeconds;
use crate::oracle::default_policy;

mod families;
mod systems;
mod vendor;

fn country(code: &str) -> Country {
    Country::from_code(code.as_bytes().try_into().unwrap()).unwrap()
}

fn policy(rule: fn(BTreeSet<Country>) -> CountryRule, codes: &[&str]) -> Policy {
    let mut policy = default_policy();
    policy.settings.rule = rule(codes.iter().map(|code| country(code)).collect());
    policy
}

fn image(prefixes: &[(&str, &str)]) -> Image {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (prefix, code) in prefixes {
        match prefix.parse().unwrap() {
            IpNet::V4(net) => v4.push((net, country(code))),
            IpNet::V6(net) => v6.push((net, country(code))),
        }
    }
    let target = Target {
        generation: 1,
        slot: 0,
        compiled: UnixSeconds(0),
        boot: Boot::default(),
        lines_max: 1 << 20,
    };
    compile(&default_policy(), &Database::from_prefixes(v4, v6), &target).unwrap()
}

fn compare(before: &[(&str, &str)], after: &[(&str, &str)]) -> Comparison {
    Comparison::of_images(image(before).words(), image(after).words()).unwrap()
}

/// Refusals as words: name, and who it is about.
fn judged(policy: &Policy, before: &[(&str, &str)], after: &[(&str, &str)]) -> Vec<String> {
    refusals(
        policy,
        &compare(before, after),
        Vendor::Same,
        UnixSeconds(0),
    )
    .iter()
    .map(|refusal| match refusal {
        Refusal::Shrank { who, family, .. } => {
            format!("{} {family} {}", refusal.name(), who_name(*who))
        }
        Refusal::Vanished { country } => format!("{} {}", refusal.name(), country.name()),
        Refusal::NoFamily { family } => format!("no {family}"),
        Refusal::Older { .. } | Refusal::Ahead { .. } => refusal.name().to_owned(),
    })
    .collect()
}

fn who_name(who: Who) -> &'static str {
    match who {
        Who::Country(country) => country.name(),
        Who::Unlisted => "unlisted",
        Who::Whole => "whole",
        Who::AutonomousSystems => "systems",
    }
}

/// Ten /16 of RU, of which this many are left; the others are DE.
fn tenths(left: u8) -> Vec<(String, &'static str)> {
    (0..10)
        .map(|n| (format!("5.{n}.0.0/16"), if n < left { "RU" } else { "DE" }))
        .collect()
}

fn borrowed<'a>(prefixes: &'a [(String, &'static str)]) -> Vec<(&'a str, &'static str)> {
    prefixes
        .iter()
        .map(|(net, code)| (net.as_str(), *code))
        .collect()
}

#[test]
fn a_listed_country_may_lose_less_than_thirty_percent() {
    let listed = policy(CountryRule::Block, &["RU"]);
    let before = tenths(10);
    for (left, expected) in [
        (8, [].as_slice()),
        (7, &["country_shrank IPv4 RU"]),
        (1, &["country_shrank IPv4 RU"]),
        (0, &["country_vanished RU"]),
    ] {
        let after = tenths(left);
        let found = judged(&listed, &borrowed(&before), &borrowed(&after));
        assert_eq!(found, expected, "{left} tenths left");
        // An unlisted country may lose everything, as long as the whole stays.
        let other = policy(CountryRule::Block, &["CN"]);
        assert_eq!(
            judged(&other, &borrowed(&before), &borrowed(&after)),
            [""; 0]
        );
    }
    // One address more than seven tenths.
    let mut after = tenths(7);
    after.push(("5.9.255.255/32".to_owned(), "RU"));
    assert_eq!(
        judged(&listed, &borrowed(&before), &borrowed(&after)),
        [""; 0]
    );
}

#[test]
fn all_countries_together_may_lose_less_than_twenty_percent() {
    let listed = policy(CountryRule::Block, &["CN"]);
    let whole: Vec<_> = (0..10).map(|n| (format!("5.0.{n}.0/24"), "DE")).collect();
    for (left, expected) in [
        (9, [].as_slice()),
        (8, &["whole_shrank IPv4 whole"]),
        (0, &["whole_shrank IPv4 whole"]),
    ] {
        assert_eq!(
            judged(&listed, &borrowed(&whole), &borrowed(&whole[..left])),
            expected
        );
    }
}

#[test]
fn each_family_is_judged_alone_and_little_ipv6_may_vanish() {
    let listed = policy(CountryRule::Block, &["RU", "KP"]);
    let v4 = [("5.0.0.0/16", "RU"), ("175.45.176.0/22", "KP")];
    let much = [
        v4[0],
        v4[1],
        ("2a00::/32", "RU"),
        ("2a01::/32", "DE"),
        ("2a02::/30", "DE"),
    ];
    assert_eq!(
        judged(&listed, &much, &[v4[0], v4[1], much[3], much[4]]),
        ["country_shrank IPv6 RU"]
    );
    let little = [v4[0], v4[1], ("2a00::/33", "KP"), much[3], much[4]];
    assert_eq!(
        judged(&listed, &little, &[v4[0], v4[1], much[3], much[4]]),
        [""; 0]
    );
    // Without IPv4, the same few addresses are all that the country has.
    assert_eq!(
        judged(&listed, &[v4[0], little[2], much[4]], &[v4[0], much[4]]),
        ["country_vanished KP"]
    );
}

#[test]
fn a_country_without_addresses_loses_nothing() {
    let listed = policy(CountryRule::Block, &["RU", "KP"]);
    let all = [
        ("5.0.0.0/16", "RU"),
        ("175.45.176.0/22", "KP"),
        ("2a00::/29", "KP"),
    ];
    assert_eq!(judged(&listed, &[], &[]), [""; 0]);
    assert_eq!(judged(&listed, &[], &all), [""; 0]);
    assert_eq!(judged(&listed, &all[..1], &all), [""; 0]);
    assert_eq!(judged(&listed, &all, &all), [""; 0]);
}

#[test]
fn under_allow_only_the_unlisted_countries_are_judged_together() {
    let only = policy(CountryRule::AllowOnly, &["DE"]);
    let before = [
        ("4.0.0.0/16", "DE"),
        ("5.0.0.0/17", "RU"),
        ("5.0.128.0/17", "CN"),
        ("6.0.0.0/8", "US"),
    ];
    // Addresses move between two blocked countries, so none is let in.
    let moved = [before[0], ("5.0.0.0/16", "CN"), before[3]];
    assert_eq!(judged(&only, &before, &moved), [""; 0]);
    let let_in = [before[0], before[1], before[2], ("6.0.0.0/8", "DE")];
    assert_eq!(
        judged(&only, &before, &let_in),
        ["blocked_shrank IPv4 unlisted"]
    );
    assert_eq!(
        judged(&only, &before, &before[1..]),
        ["country_vanished DE"]
    );
}

#[test]
fn a_build_time_must_not_go_back_nor_lie_in_the_future() {
    let listed = policy(CountryRule::Block, &["RU"]);
    let now = 1_780_272_000;
    for (before, after, expected) in [
        (now - 10, now - 10, None),
        (now - 10, now - 9, None),
        (now - 10, now - 11, Some("older")),
        (now - 10, now + AHEAD_MAX_SECONDS, None),
        (
            now - 10,
            now + AHEAD_MAX_SECONDS + 1,
            Some("ahead_of_clock"),
        ),
        // A machine whose clock was reset keeps the data in use.
        (
            now + 10 * AHEAD_MAX_SECONDS,
            now + 10 * AHEAD_MAX_SECONDS,
            None,
        ),
        (0, now, None),
        (now, 0, None),
    ] {
        let mut comparison = compare(&[], &[]);
        comparison.built = [before, after].map(UnixSeconds);
        let found = refusals(&listed, &comparison, Vendor::Same, UnixSeconds(now));
        assert_eq!(
            found.first().map(Refusal::name),
            expected,
            "{before} {after}"
        );
        assert!(found.len() < 2);
    }
}

#[test]
fn gains_and_losses_count_addresses() {
    let before = image(&[
        ("5.0.0.0/24", "RU"),
        ("5.0.1.0/24", "DE"),
        ("10.0.0.0/8", "RU"),
    ]);
    let after = image(&[
        ("5.0.0.0/25", "DE"),
        ("5.0.0.128/25", "RU"),
        ("5.0.1.0/24", "RU"),
        ("2a00::/48", "RU"),
    ]);
    let exact = Comparison::of_images(before.words(), after.words()).unwrap();
    let ru = exact.of(country("RU"));
    // Private space belongs to no country, even if the data says so.
    assert_eq!((ru.before.v4.addresses, ru.after.v4.addresses), (256, 384));
    assert_eq!((ru.gained.v4.addresses, ru.gained.v4.prefixes), (256, 1));
    assert_eq!((ru.lost.v4.addresses, ru.lost.v4.prefixes), (128, 1));
    assert_eq!(
        (ru.gained.v6.addresses, ru.gained.v6.prefixes),
        (1 << 80, 1)
    );
}

#[test]
fn first_data_must_have_what_the_embedded_data_has() {
    let listed = policy(CountryRule::Block, &["RU", "UA", "KP", "BV"]);
    let counts =
        |prefixes: &[(&str, &str)]| AddressCounts::of_image(image(prefixes).words()).unwrap();
    let embedded = counts(&[
        ("5.0.0.0/16", "RU"),
        ("2a00::/29", "RU"),
        ("6.0.0.0/16", "UA"),
        ("2a08::/29", "UA"),
        ("175.45.176.0/22", "KP"),
        ("2a10::/48", "KP"),
    ]);
    let first = FirstData::compare(
        &listed,
        &counts(&[
            ("5.0.0.0/16", "RU"),
            ("175.45.176.0/22", "KP"),
            ("2a10::/48", "KP"),
        ]),
        &embedded,
    );
    let without_v6 = counts(&[
        ("5.0.0.0/16", "RU"),
        ("6.0.0.0/16", "UA"),
        ("175.45.176.0/22", "KP"),
    ]);
    let without_v6 = FirstData::compare(&listed, &without_v6, &embedded);
    let family = Family::V6;
    assert_eq!(without_v6.refusals, [Refusal::NoFamily { family }]);
    assert_eq!(without_v6.warnings, [""; 0]);
    assert_eq!(
        first.refusals,
        [Refusal::Vanished {
            country: country("UA")
        }]
    );
    assert_eq!(first.warnings.len(), 1, "{:?}", first.warnings);
    assert!(
        first.warnings[0].contains("no IPv6 prefix of RU;"),
        "{:?}",
        first.warnings
    );
    assert_eq!(
        FirstData::compare(&listed, &embedded, &embedded),
        FirstData::default()
    );
}

#[test]
fn a_first_database_is_compared_with_the_embedded_one() {
    let listed = policy(CountryRule::Block, &["RU", "KP"]);
    let first = FirstData::judge(
        &listed,
        image(&[("5.0.0.0/16", "RU"), ("2a00::/29", "RU")]).words(),
    )
    .unwrap();
    assert_eq!(
        first.refusals,
        [Refusal::Vanished {
            country: country("KP")
        }]
    );
    let refused = Refused {
        refusals: first.refusals,
        vendor: vec!["GeoLite2-Country".to_owned()],
    };
    let said = refused.to_string();
    assert!(
        said.ends_with("configuration: accept-database-types = [\"GeoLite2-Country\"]"),
        "{said}"
    );
    assert!(
        said.contains("no prefix of North Korea (KP)") && said.contains("--force"),
        "{said}"
    );
}

#[test]
fn a_report_names_gains_losses_and_refusals() {
    let comparison = compare(
        &[
            ("5.0.0.0/16", "RU"),
            ("4.0.0.0/16", "DE"),
            ("2a00::/32", "FR"),
        ],
        &[
            ("5.0.0.0/17", "RU"),
            ("4.0.0.0/16", "DE"),
            ("3.0.0.0/24", "US"),
            ("2a00::/32", "FR"),
        ],
    );
    let listed = policy(CountryRule::Block, &["RU"]);
    let found = refusals(&listed, &comparison, Vendor::Same, UnixSeconds(0));
    let report = Report::new(&comparison, found);
    let table = report.table(|code| code == "RU").trim_fmt();
    assert!(table.contains(" RU        Russia"), "{table}");
    assert!(table.contains(" -32,768 "), "{table}");
    assert!(table.contains("and 1 more"), "{table}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["countries"][0]["lost"]["addresses_v4"], 32_768);
    assert_eq!(json["countries"][1]["gained"]["prefixes_v4"], 1);
    assert_eq!(json["refusals"][0]["refusal"], "country_shrank");
    assert_eq!(
        json["refusals"][0]["text"],
        "Russia (RU) has lost 50 % of its IPv4 addresses: 65,536 before, 32,768 now"
    );
    assert!(!report.is_empty() && Report::new(&compare(&[], &[]), Vec::new()).is_empty());
}

#[test]
fn ipv6_as_a_whole_is_measured_in_prefixes() {
    let listed = policy(CountryRule::Block, &["RU"]);
    let world = |prefixes: usize, more: &[(&str, &'static str)]| -> Vec<(String, &'static str)> {
        let one = |n| (format!("2a00:{n:x}:1::/48"), "DE");
        let more = more.iter().map(|(net, code)| ((*net).to_owned(), *code));
        (0..prefixes).map(one).chain(more).collect()
    };
    // Unallocated space comes and goes with the database.
    let filler = world(100, &[("3000::/4", "CH")]);
    let judged = |before: &[_], after: &[_]| judged(&listed, &borrowed(before), &borrowed(after));
    assert_eq!(judged(&filler, &world(100, &[])), [""; 0]);
    assert_eq!(judged(&world(100, &[]), &world(81, &[])), [""; 0]);
    let shrunk = ["whole_shrank IPv6 whole"];
    assert_eq!(judged(&world(100, &[]), &world(80, &[])), shrunk);
    assert_eq!(judged(&filler, &world(50, &[("3000::/4", "CH")])), shrunk);
    assert_eq!(judged(&world(63, &[]), &world(1, &[])), [""; 0]);
}

proptest! {
    /// What a country has now is what it had, minus what it lost, plus what it gained.
    #[test]
    fn gains_and_losses_add_up(before in holdings(), after in holdings()) {
        let [before, after] = [before, after].map(|prefixes| image(&borrowed(&prefixes)));
        let exact = Comparison::of_images(before.words(), after.words()).unwrap();
        let counts = [&before, &after].map(|image| AddressCounts::of_image(image.words()).unwrap());
        for code in ["RU", "CN", "DE"] {
            let change = exact.of(country(code));
            let expected = [&counts[0], &counts[1]].map(|one| one.of(country(code)));
            prop_assert_eq!([change.before, change.after], expected);
            for family in Family::ALL {
                let of = |holdings: Extents| holdings.of(family).addresses;
                prop_assert_eq!(of(change.before) - of(change.lost) + of(change.gained), of(change.after));
            }
        }
    }

    #[test]
    fn is_lost_agrees_with_the_fraction(
        before in 1_u128..1 << 100,
        lost in 0_u128..1 << 100,
        percent in 1_u128..100,
    ) {
        let lost = lost % (before + 1);
        prop_assert_eq!(is_lost(before, before - lost, percent), lost * 100 >= before * percent);
        prop_assert!(is_lost(u128::MAX, u128::MAX - u128::MAX / 100 * percent - 128, percent));
    }
}

fn holdings() -> impl Strategy<Value = Vec<(String, &'static str)>> {
    let prefix =
        (0_u8..4, 0_u8..16, 16_u8..=32, any::<bool>()).prop_map(|(one, two, length, is_v4)| {
            if is_v4 {
                let net: ipnet::Ipv4Net = format!("5.{one}.{two}.0/{length}").parse().unwrap();
                net.trunc().to_string()
            } else {
                let net: ipnet::Ipv6Net = format!("2a00:{one}:{two}::/{length}").parse().unwrap();
                net.trunc().to_string()
            }
        });
    let code = prop_oneof![Just("RU"), Just("CN"), Just("DE")];
    prop::collection::vec((prefix, code), 0..12)
}
