//! Overrides of a few prefixes, and every address compared with a naive scan.

use std::net::IpAddr;

use geofence_common::country::Country;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::apply_overrides;
use crate::data::geoip::Database;
use crate::model::policy::GeoOverride;
use crate::model::units::UnixSeconds;

const NOW: UnixSeconds = UnixSeconds(1000);

fn country(code: &str) -> Country {
    let code = code.as_bytes().try_into().ok();
    code.and_then(Country::from_code)
        .unwrap_or(Country::UNKNOWN)
}

fn database(prefixes: &[(IpNet, Country)]) -> Database {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (net, country) in prefixes {
        match net {
            IpNet::V4(net) => v4.push((*net, *country)),
            IpNet::V6(net) => v6.push((*net, *country)),
        }
    }
    Database::from_prefixes(v4, v6)
}

fn one(prefix: &str, code: &str, until: Option<u64>) -> GeoOverride {
    GeoOverride {
        prefix: prefix.parse().unwrap(),
        country: country(code),
        reason: "known".into(),
        until: until.map(UnixSeconds),
        replaced: Vec::new(),
    }
}

/// The country of an address by the longest of these prefixes; of equal ones the first counts.
fn longest(prefixes: &[(IpNet, Country)], address: IpAddr) -> Option<Country> {
    let mut best: Option<(u8, Country)> = None;
    for (net, country) in prefixes {
        if net.contains(&address) && best.is_none_or(|(length, _)| net.prefix_len() > length) {
            best = Some((net.prefix_len(), *country));
        }
    }
    best.map(|(_, country)| country)
}

fn all(database: &Database) -> Vec<(IpNet, Country)> {
    let v4 = database.prefixes_v4().iter();
    let v4 = v4.map(|(net, country)| (IpNet::V4(*net), *country));
    let v6 = database.prefixes_v6().iter();
    v4.chain(v6.map(|(net, country)| (IpNet::V6(*net), *country)))
        .collect()
}

#[test]
fn override_replaces_the_country_and_remembers_what_the_database_says() {
    let data = [
        ("5.0.0.0/16", "RU"),
        ("5.0.16.0/24", "UA"),
        ("2a00::/32", "RU"),
    ];
    let data: Vec<_> = data
        .iter()
        .map(|(net, code)| (net.parse().unwrap(), country(code)))
        .collect();
    let mut overrides = [
        one("5.0.16.0/20", "DE", None),
        one("5.0.17.0/24", "unknown", Some(NOW.0 + 1)),
        one("5.0.128.0/17", "FR", Some(NOW.0)),
        one("2a00::/48", "DE", None),
        one("9.0.0.0/24", "AT", None),
    ];
    let decided = all(&apply_overrides(&mut overrides, &database(&data), NOW));
    let found = |text: &str| longest(&decided, text.parse().unwrap());
    for (address, code) in [
        ("5.0.15.255", Some("RU")),
        ("5.0.16.1", Some("DE")),
        ("5.0.17.1", None),
        ("5.0.18.1", Some("DE")),
        ("5.0.32.0", Some("RU")),
        // Its time is over.
        ("5.0.128.1", Some("RU")),
        ("2a00::1", Some("DE")),
        ("2a00:0:1::", Some("RU")),
        ("9.0.0.1", Some("AT")),
        ("9.0.1.1", None),
    ] {
        assert_eq!(found(address), code.map(country), "{address}");
    }
    let said = |at: usize, text: &str| overrides[at].replaced(text.parse().unwrap());
    assert_eq!(said(0, "5.0.16.1"), Some(country("UA")));
    assert_eq!(said(0, "5.0.18.1"), Some(country("RU")));
    assert_eq!(said(0, "5.0.17.1"), None, "the longer prefix decides");
    assert_eq!(said(1, "5.0.17.1"), Some(country("RU")));
    assert_eq!(said(2, "5.0.128.1"), None);
    assert_eq!(said(4, "9.0.0.1"), Some(Country::UNKNOWN));
    assert!(overrides.iter().all(|one| !one.is_agreed()));

    let data = [("5.0.0.0/18".parse().unwrap(), country("DE"))];
    let _ = apply_overrides(&mut overrides, &database(&data), NOW);
    let agreed: Vec<bool> = overrides.iter().map(GeoOverride::is_agreed).collect();
    assert_eq!(agreed, [true, false, false, false, false]);
}

/// Prefixes near each other, so that they overlap.
fn dense() -> impl Strategy<Value = (IpNet, usize)> {
    let v4 = (any::<u8>(), 8_u8..=28).prop_map(|(low, length)| {
        let address = 0x5100_0000 | u32::from(low) << 12;
        IpNet::V4(Ipv4Net::new(address.into(), length).unwrap().trunc())
    });
    let v6 = (any::<u8>(), 16_u8..=64).prop_map(|(low, length)| {
        let address = 0x2a00_u128 << 112 | u128::from(low) << 70;
        IpNet::V6(Ipv6Net::new(address.into(), length).unwrap().trunc())
    });
    (prop_oneof![v4, v6], 0_usize..4)
}

const CODES: [&str; 4] = ["RU", "DE", "FR", "unknown"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_address_has_the_country_of_a_naive_scan(
        data in proptest::collection::vec(dense(), 0..16),
        overrides in proptest::collection::btree_map(dense(), proptest::option::of(998_u64..1003), 0..8),
        probes in proptest::collection::vec((any::<u8>(), any::<u16>()), 40),
    ) {
        let known = data.iter().filter(|(_, code)| *code < 3);
        let data: Vec<_> = known.map(|(net, code)| (*net, country(CODES[*code]))).collect();
        let mut written: Vec<GeoOverride> = Vec::new();
        for ((prefix, code), until) in overrides {
            if written.iter().all(|one| one.prefix != prefix) {
                written.push(one(&prefix.to_string(), CODES[code], until));
            }
        }
        let decided = all(&apply_overrides(&mut written, &database(&data), NOW));
        let live = written.iter().filter(|one| one.until.is_none_or(|until| until.0 > 1000));
        let live: Vec<_> = live.map(|one| (one.prefix, one.country)).collect();
        for (low, rest) in probes {
            let v4 = 0x5100_0000 | u32::from(low) << 12 | u32::from(rest & 0xfff);
            let v6 = 0x2a00_u128 << 112 | u128::from(low) << 70 | u128::from(rest) << 60;
            for address in [IpAddr::V4(v4.into()), IpAddr::V6(v6.into())] {
                let before = longest(&data, address).unwrap_or(Country::UNKNOWN);
                let chosen = longest(&live, address);
                let after = longest(&decided, address).unwrap_or(Country::UNKNOWN);
                prop_assert_eq!(after, chosen.unwrap_or(before), "{}", address);
                let named: Vec<_> = written.iter().filter_map(|one| {
                    Some((one.country, one.replaced(address)?))
                }).collect();
                let expected: Vec<_> = chosen.map(|chosen| (chosen, before)).into_iter().collect();
                prop_assert_eq!(named, expected, "{}", address);
            }
        }
    }
}
