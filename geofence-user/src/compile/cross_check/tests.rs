//! Two databases of a few prefixes each, and every address compared with a naive form of the rule.

use std::collections::BTreeSet;

use geofence_common::address::Address;
use geofence_common::image::{Lookup as _, Words as _};
use ipnet::{Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use geofence_common::country::Country;
use ipnet::IpNet;

use super::{Disagreement, cross_check, decide};
use crate::compile::{Boot, Extent, Extents, Target, compile};
use crate::data::geoip::Database;
use crate::model::policy::{Action, CountryRule, CrossCheckRule, Policy};
use crate::model::units::UnixSeconds;
use crate::oracle::{LongestPrefix, Oracle, default_policy};

const TARGET: Target = Target {
    generation: 1,
    slot: 0,
    compiled: UnixSeconds(1),
    boot: Boot { id: 1, now: 5 },
    lines_max: 1 << 20,
};
/// Two countries that are blocked and two that are not.
const CODES: [&[u8; 2]; 4] = [b"RU", b"CN", b"DE", b"FR"];

fn country(code: &[u8; 2]) -> Country {
    Country::from_code(*code).unwrap()
}

fn database(prefixes: &[(&str, &[u8; 2])]) -> Database {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (prefix, code) in prefixes {
        match prefix.parse().unwrap() {
            IpNet::V4(net) => v4.push((net, country(code))),
            IpNet::V6(net) => v6.push((net, country(code))),
        }
    }
    Database::from_prefixes(v4, v6)
}

fn policy(agreement: CrossCheckRule) -> Policy {
    let mut policy = default_policy();
    policy.settings.rule = CountryRule::Block(BTreeSet::from([country(b"RU"), country(b"CN")]));
    policy.cross_check = agreement;
    policy
}

#[test]
fn address_is_blocked_by_either_or_by_both_databases() {
    let first = database(&[
        ("5.0.0.0/16", b"RU"),
        ("5.1.0.0/16", b"DE"),
        ("5.2.0.0/16", b"RU"),
        ("5.3.0.0/16", b"RU"),
        ("2a00::/32", b"DE"),
    ]);
    let second = database(&[
        ("5.0.0.0/16", b"CN"),
        ("5.1.0.0/17", b"CN"),
        ("5.2.128.0/17", b"FR"),
        ("5.4.0.0/16", b"CN"),
        ("2a00::/33", b"RU"),
        ("10.0.0.0/8", b"RU"),
    ]);
    for (agreement, expected) in [
        (
            CrossCheckRule::Any,
            [b"RU", b"CN", b"DE", b"RU", b"RU", b"RU"],
        ),
        (
            CrossCheckRule::All,
            [b"RU", b"DE", b"DE", b"RU", b"FR", b"RU"],
        ),
    ] {
        let policy = policy(agreement);
        let (decided, disagreement) = cross_check(&policy, &first, &second);
        let oracle = Oracle::new(&policy, &decided);
        let of = |text: &str| {
            let address: std::net::IpAddr = text.parse().unwrap();
            oracle.class(&Address::from(address))
        };
        let found = [
            "5.0.1.1",
            "5.1.1.1",
            "5.1.200.1",
            "5.2.1.1",
            "5.2.200.1",
            "5.3.1.1",
        ]
        .map(|text| of(text).country());
        assert_eq!(found, expected.map(country), "{agreement:?}");
        let is_any = agreement == CrossCheckRule::Any;
        assert_eq!(of("5.4.1.1").is_blocked(), is_any, "unknown to the first");
        assert_eq!(of("2a00::1").is_blocked(), is_any);
        let extent = |prefixes, addresses| Extent {
            prefixes,
            addresses,
        };
        let expected = Disagreement {
            first_alone: Extents {
                v4: extent(1, 1 << 15),
                v6: Extent::default(),
            },
            second_alone: Extents {
                v4: extent(2, 3 << 15),
                v6: extent(1, 1 << 95),
            },
        };
        assert_eq!(disagreement, expected, "special-use space does not count");
    }
}

#[test]
fn unknown_country_is_blocked_if_the_policy_blocks_it() {
    let [germany, russia, unknown] = [country(b"DE"), country(b"RU"), Country::UNKNOWN];
    for (fate, agreement, first, second, expected) in [
        (Action::Drop, CrossCheckRule::All, unknown, germany, germany),
        (Action::Drop, CrossCheckRule::Any, unknown, germany, unknown),
        (Action::Drop, CrossCheckRule::Any, germany, unknown, germany),
        (Action::Pass, CrossCheckRule::Any, unknown, russia, russia),
        (Action::Pass, CrossCheckRule::All, unknown, russia, unknown),
        (Action::Pass, CrossCheckRule::All, russia, unknown, russia),
    ] {
        let mut policy = policy(agreement);
        policy.settings.unknown = fate;
        assert_eq!(
            decide(&policy, first, second),
            expected,
            "{fate:?} {agreement:?}"
        );
    }
}

/// The rule once more, in other words: what is blocked, and the country that is counted.
fn naive(policy: &Policy, first: Country, second: Country) -> (bool, Country) {
    let is_blocked = |country: Country| match country {
        Country::UNKNOWN => policy.settings.unknown == Action::Drop,
        country => [b"RU", b"CN"].map(self::country).contains(&country),
    };
    let votes = [is_blocked(first), is_blocked(second)];
    let is_known = second != Country::UNKNOWN;
    let blocked = match policy.cross_check {
        _ if !is_known => votes[0],
        CrossCheckRule::Any => votes[0] || votes[1],
        CrossCheckRule::All => votes[0] && votes[1],
    };
    let counted = if is_known && votes[0] != blocked {
        second
    } else {
        first
    };
    (blocked, counted)
}

/// Prefixes near each other, so that they overlap.
fn dense_v4() -> impl Strategy<Value = (Ipv4Net, usize)> {
    (any::<u8>(), 8_u8..=24, 0..CODES.len()).prop_map(|(low, length, code)| {
        let address = 0x5100_0000 | u32::from(low) << 12;
        (Ipv4Net::new(address.into(), length).unwrap().trunc(), code)
    })
}

fn dense_v6() -> impl Strategy<Value = (Ipv6Net, usize)> {
    (any::<u8>(), 16_u8..=64, 0..CODES.len()).prop_map(|(low, length, code)| {
        let address = 0x2a00_u128 << 112 | u128::from(low) << 70;
        (Ipv6Net::new(address.into(), length).unwrap().trunc(), code)
    })
}

type Prefixes = (Vec<(Ipv4Net, usize)>, Vec<(Ipv6Net, usize)>);

fn dense() -> impl Strategy<Value = Prefixes> {
    (
        proptest::collection::vec(dense_v4(), 0..12),
        proptest::collection::vec(dense_v6(), 0..12),
    )
}

/// The country of every address by trying every length; of equal prefixes the first counts.
fn lengths(prefixes: &Prefixes) -> [LongestPrefix<Country>; 2] {
    let mut tables = [LongestPrefix::new(32), LongestPrefix::new(128)];
    for (net, code) in prefixes.0.iter().rev() {
        *tables[0].entry(
            net.network().to_bits().into(),
            net.prefix_len(),
            Country::NONE,
        ) = country(CODES[*code]);
    }
    for (net, code) in prefixes.1.iter().rev() {
        *tables[1].entry(net.network().to_bits(), net.prefix_len(), Country::NONE) =
            country(CODES[*code]);
    }
    tables
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_address_has_the_country_of_the_naive_rule(
        one in dense(),
        two in dense(),
        all: bool,
        drop_unknown: bool,
        probes in proptest::collection::vec((any::<u8>(), any::<u16>()), 60),
    ) {
        let mut policy = policy(if all { CrossCheckRule::All } else { CrossCheckRule::Any });
        policy.settings.unknown = if drop_unknown { Action::Drop } else { Action::Pass };
        let built = |prefixes: &Prefixes| {
            let v4 = prefixes.0.iter().map(|(net, code)| (*net, country(CODES[*code])));
            let v6 = prefixes.1.iter().map(|(net, code)| (*net, country(CODES[*code])));
            Database::from_prefixes(v4.collect(), v6.collect())
        };
        let (decided, disagreement) = cross_check(&policy, &built(&one), &built(&two));
        let image = compile(&policy, &decided, &TARGET).unwrap();
        let tables = [lengths(&one), lengths(&two)];
        // Below, what differs is counted address by address where the prefixes are: 2^16 blocks of IPv4.
        let v4 = |bits: u32| {
            let of = |table: &[LongestPrefix<Country>; 2]| table[0].get(bits.into()).unwrap_or(Country::UNKNOWN);
            (of(&tables[0]), of(&tables[1]))
        };
        let mut differing = 0_u128;
        for block in 0..1_u32 << 16 {
            let (first, second) = v4(0x5100_0000 | block << 8);
            let votes = |country| naive(&policy, country, Country::UNKNOWN).0;
            if second != Country::UNKNOWN && votes(first) != votes(second) {
                differing += 256;
            }
        }
        let counted = disagreement.first_alone.v4.addresses + disagreement.second_alone.v4.addresses;
        prop_assert_eq!(counted, differing);
        for (low, rest) in probes {
            let bits = 0x5100_0000 | u32::from(low) << 12 | u32::from(rest & 0xfff);
            let (first, second) = v4(bits);
            let long = 0x2a00_u128 << 112 | u128::from(low) << 70 | u128::from(rest) << 60;
            let of = |table: &[LongestPrefix<Country>; 2]| table[1].get(long).unwrap_or(Country::UNKNOWN);
            for (address, (first, second)) in [
                (Address::v4(bits), (first, second)),
                (Address::v6(long), (of(&tables[0]), of(&tables[1]))),
            ] {
                let words = image.words();
                let class = words.class_at(words.class_lookup(&address).unwrap()).unwrap();
                prop_assert_eq!((class.is_blocked(), class.country()), naive(&policy, first, second));
            }
        }
    }
}
