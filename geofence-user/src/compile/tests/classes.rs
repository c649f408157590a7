//! The class of single addresses, and the statistics of countries.

use geofence_common::country::Country;
use geofence_common::image::class::Class;

use super::helpers::*;
use crate::compile::prefix::Family;
use crate::compile::{Statistics, compile, ranges, sources};

#[test]
fn class_combines_country_special_use_and_lists() {
    let (policy, database) = example();
    let image = compile(&policy, &database, &TARGET).unwrap();
    let class = |text| class_of(&image, text);

    assert_eq!(class("81.2.1.1").country(), country("GB"));
    assert!(!class("81.2.1.1").is_blocked());
    assert!(
        class("81.2.1.1").is_allowed() && class("81.2.1.1").is_denied(),
        "a shorter list prefix flags longer data"
    );
    assert_eq!(class("81.2.69.1").country(), country("RU"));
    assert!(class("81.2.69.1").is_blocked() && !class("81.2.69.1").is_management());
    let host = class("81.2.69.142");
    assert!(host.is_management() && host.is_allowed() && host.is_denied() && host.is_blocked());
    assert_eq!(class("8.8.8.8").country(), Country::UNKNOWN);
    assert!(class("8.8.8.8").is_denied() && !class("200.8.8.8").is_denied());
    assert_eq!(class("192.168.3.1"), Class::of_country(Country::SPECIAL));
    assert_eq!(class("191.255.255.255").country(), country("CN"));
    let documentation = class("198.51.100.127");
    assert!(documentation.country() == Country::SPECIAL && documentation.is_management());
    assert!(!class("198.51.100.128").is_management());

    assert_eq!(class("2a02:100::").country(), country("KP"));
    assert!(class("2a02:100::1").is_allowed() && class("2a02:100::1").country() == country("DE"));
    assert_eq!(class("fc00:1::1"), Class::of_country(Country::SPECIAL));
    let six_to_four = class("2002:5102::1");
    assert!(six_to_four.embedding().is_some() && six_to_four.is_management());
    assert!(class("2001::1").embedding().is_some() && class("64:ff9b::1").embedding().is_some());
    assert!(class("::ffff:1.2.3.4").is_mapped() && class("::1.2.3.4").is_mapped());
    assert_eq!(class("::1"), Class::of_country(Country::SPECIAL));
}

#[test]
fn statistics_count_the_prefixes_and_addresses_of_each_country() {
    let (policy, database) = example();
    let statistics = Statistics::new(&policy, &database);
    let gb = statistics.of(country("GB"));
    assert_eq!(
        (gb.prefixes_v4, gb.addresses_v4, gb.prefixes_v6),
        (1, 65_536 - 256, 0)
    );
    let au = statistics.of(country("AU"));
    assert_eq!(
        (au.prefixes_v4, au.addresses_v4),
        (1, 0),
        "private space is not Australia"
    );
    let de = statistics.of(country("DE"));
    assert_eq!((de.prefixes_v6, de.addresses_v6), (1, (1 << 104) - 1));
    assert_eq!(statistics.of(country("KP")).addresses_v6, 1);
    let v4: u64 = statistics
        .countries
        .values()
        .map(|country| country.addresses_v4)
        .sum();
    assert_eq!(v4, 1 << 32);
    let v6 = statistics.countries.values().fold(0_u128, |sum, country| {
        sum.wrapping_add(country.addresses_v6)
    });
    assert_eq!(v6, 0, "all of 2^128, which wraps to zero");
}

#[test]
fn ranges_of_an_image_are_the_layers_it_was_compiled_from() {
    let (policy, database) = example();
    let image = compile(&policy, &database, &TARGET).unwrap();
    for family in Family::ALL {
        let expected: Vec<_> = sources::classes(&policy, &database, family)
            .into_iter()
            .map(|(start, class)| (start, class.with_blocked(policy.blocks(class))))
            .collect();
        assert_eq!(ranges(image.words(), family).unwrap(), expected);
    }
}
