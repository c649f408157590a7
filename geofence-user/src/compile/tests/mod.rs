//! Small databases and lists, checked address by address against the oracle and a second, independent trie.

use std::collections::BTreeSet;

use geofence_common::action::{Direction, Mode};
use geofence_common::address::Address;
use geofence_common::image::list_set::{LISTS_MAX, ListMatch, each_list, identity};
use geofence_common::image::{Lookup as _, Node, PortRule, Words as _};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use proptest::prelude::*;

use super::*;
use crate::data::lists;
use crate::model::list::{Action as ListAction, Direction as About, Format};
use crate::model::listing::{Listing, naming};
use crate::model::policy::{Action, AsRule, AutonomousSystem, CountryRule, Mail, Service};
use crate::model::units::UnixSeconds;
use crate::oracle::{LongestPrefix, Oracle, default_policy, edges_v4, edges_v6};

mod list_sets;

use list_sets::{listing, lists_in, lists_on};

const TARGET: Target = Target {
    generation: 7,
    slot: 1,
    compiled: UnixSeconds(0x1_0000_0002),
    boot: Boot { id: 1, now: 5 },
    lines_max: 1 << 20,
};

fn country(code: &str) -> Country {
    Country::from_code(code.as_bytes().try_into().unwrap()).unwrap()
}

fn database(prefixes: &[(&str, &str)]) -> Database {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for (prefix, code) in prefixes {
        match prefix.parse().unwrap() {
            IpNet::V4(net) => v4.push((net, country(code))),
            IpNet::V6(net) => v6.push((net, country(code))),
        }
    }
    Database::from_prefixes(v4, v6)
}

fn address(text: &str) -> Address {
    Address::from(text.parse::<std::net::IpAddr>().unwrap())
}

fn class_in(image: &Image, address: &Address) -> Class {
    let position = image.words().class_lookup(address).unwrap();
    image.words().class_at(position).unwrap()
}

fn class_of(image: &Image, text: &str) -> Class {
    class_in(image, &address(text))
}

/// A database and lists that try each rule once.
fn example() -> (Policy, Database) {
    let mut policy = default_policy();
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    policy.management = nets(&["198.51.100.0/25", "81.2.69.142/32", "2002:5102::/32"]);
    policy.allow = nets(&["81.0.0.0/8", "81.2.69.142/32", "2a02:100::1/128"]);
    policy.deny = nets(&["81.2.69.128/25", "0.0.0.0/1"]);
    let database = database(&[
        ("81.2.0.0/16", "GB"),
        ("81.2.69.0/24", "RU"),
        ("192.168.3.0/24", "AU"),
        ("128.0.0.0/2", "CN"),
        ("2a02:100::/24", "DE"),
        ("2a02:100::/128", "KP"),
        ("2002::/16", "US"),
        ("fc00:1::/32", "US"),
    ]);
    (policy, database)
}

#[test]
fn layers_lie_in_order() {
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
fn the_header_says_what_was_compiled() {
    let (mut policy, database) = example();
    policy.settings.mode = Mode::Monitor;
    policy.settings.special_use = Action::Drop;
    policy.settings.icmp_echo = Action::Pass;
    let image = compile(&policy, &database, &TARGET).unwrap();
    let flags = image.flags();
    assert_eq!((flags.mode(), flags.slot()), (Mode::Monitor, 1));
    assert!(flags.blocks_special_use() && flags.passes_icmp_echo());
    assert_eq!(
        (image.generation(), image.compiled(), image.data_built()),
        (7, TARGET.compiled, UnixSeconds(0))
    );
    assert_eq!(image.prefixes(), [4, 4]);
    assert_eq!(image.words()[header::LINES] as usize, image.lines().len());
    assert_eq!(
        image.words()[header::CLASSES] as usize,
        image.classes().count()
    );
    assert!(image.nodes() > 0 && image.size() == image.to_bytes().len());

    let plain = compile(&default_policy(), &database, &Target { slot: 0, ..TARGET }).unwrap();
    assert_eq!(plain.flags().0, flag::REPLIES_MAIL);
}

#[test]
fn services_stand_in_their_sections() {
    let (mut policy, database) = example();
    policy.settings.mail = Mail::Mta;
    policy.settings.services = vec![
        Service {
            protocol: ServiceProtocol::Tcp,
            first: 20,
            last: 40,
        },
        Service {
            protocol: ServiceProtocol::Udp,
            first: 65_535,
            last: 65_535,
        },
        Service {
            protocol: ServiceProtocol::Tcp,
            first: 0,
            last: 0,
        },
    ];
    let image = compile(&policy, &database, &TARGET).unwrap();
    for port in 0..=u16::MAX {
        let tcp = match port {
            25 => PortRule::Mail,
            0 | 20..=40 => PortRule::Service,
            _ => PortRule::None,
        };
        let udp = if port == 65_535 {
            PortRule::Service
        } else {
            PortRule::None
        };
        assert_eq!(
            image.words().port_rule(TCP_SERVICES_LINE as u32, port),
            Some(tcp),
            "{port}"
        );
        assert_eq!(
            image.words().port_rule(UDP_SERVICES_LINE as u32, port),
            Some(udp),
            "{port}"
        );
    }
}

#[test]
fn a_change_of_mind_about_a_country_rewrites_class_records_only() {
    let (mut policy, database) = example();
    let before = compile(&policy, &database, &TARGET).unwrap();
    policy.settings.rule = CountryRule::AllowOnly(BTreeSet::from([country("GB")]));
    policy.settings.unknown = Action::Drop;
    let after = compile(&policy, &database, &TARGET).unwrap();
    assert!(
        class_of(&after, "2a02:1ff::").is_blocked() && !class_of(&after, "81.2.1.1").is_blocked()
    );
    assert!(class_of(&after, "9.9.9.9").is_blocked() && !class_of(&after, "10.0.0.1").is_blocked());
    let table =
        FREE_LINE..FREE_LINE + (before.classes().count() * CLASS_WORDS).div_ceil(LINE_WORDS);
    for (line, (a, b)) in before.lines().iter().zip(after.lines()).enumerate().skip(1) {
        assert!(a == b || table.contains(&line), "line {line} changed");
    }
    assert_eq!(before.lines().len(), after.lines().len());
}

#[test]
fn images_survive_storage_and_damage_is_noticed() {
    let (policy, database) = example();
    let image = compile(&policy, &database, &TARGET).unwrap();
    let bytes = image.to_bytes();
    assert_eq!(Image::from_bytes(&bytes).as_ref(), Ok(&image));

    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    assert_eq!(Image::from_bytes(&damaged), Err(ImageError::Checksum));
    damaged = bytes.clone();
    damaged[header::CHECKSUM * 4] ^= 1;
    assert_eq!(Image::from_bytes(&damaged), Err(ImageError::Checksum));
    damaged = bytes.clone();
    damaged[header::LAYOUT * 4] = 9;
    assert_eq!(
        Image::from_bytes(&damaged),
        Err(ImageError::Layout { found: 9 })
    );
    for cut in [63, 64, bytes.len() - 64, bytes.len() - 1] {
        assert!(Image::from_bytes(&bytes[..cut]).is_err(), "{cut}");
    }
    for padding in [1, 64] {
        let padded = [bytes.as_slice(), &vec![0; padding]].concat();
        assert!(matches!(
            Image::from_bytes(&padded),
            Err(ImageError::Length { .. })
        ));
    }
    assert_eq!(Image::from_bytes(&[0; 640]), Err(ImageError::NotAnImage));

    let other = image.clone().restamped(8, 0);
    assert_eq!((other.generation(), other.flags().slot()), (8, 0));
    assert_eq!(other.lines()[1..], image.lines()[1..]);
    assert_eq!(Image::from_bytes(&other.to_bytes()), Ok(other));
}

#[test]
fn compiling_twice_gives_the_same_bytes() {
    let (policy, database) = example();
    let [one, two] = [(); 2].map(|()| compile(&policy, &database, &TARGET).unwrap().to_bytes());
    assert!(one == two);
}

#[test]
fn what_does_not_fit_is_refused_with_both_sizes() {
    let (policy, database) = example();
    let lines = compile(&policy, &database, &TARGET).unwrap().lines().len() as u32;
    let fitting = Target {
        lines_max: lines,
        ..TARGET
    };
    assert!(compile(&policy, &database, &fitting).is_ok());
    let tight = Target {
        lines_max: lines - 1,
        ..TARGET
    };
    let error = compile(&policy, &database, &tight).unwrap_err();
    assert_eq!(
        error,
        CompileError::TooLarge(TooLarge {
            lines,
            lines_max: lines - 1
        })
    );
    let text = error.to_string();
    assert!(
        text.contains(&lines.to_string()) && text.contains(&(lines - 1).to_string()),
        "{text}"
    );
}

#[test]
fn prefixes_of_another_policy_or_database_are_refused() {
    let (policy, data) = example();
    let image = compile(&default_policy(), &data, &TARGET).unwrap();
    assert_eq!(image.prefixes_v4(&policy, &data), Err(ForeignImage));
    // The image has no class for France. Longer prefixes hold all of it but the start, the middle, the end, nothing.
    let hosts = [
        "2a02:100::/128",
        "2a02:100::1/128",
        "2a02:100::2/128",
        "2a02:100::3/128",
    ];
    for missing in 0..=4 {
        let mut prefixes = vec![("2a02:100::/126", "FR")];
        prefixes.extend(hosts.map(|host| (host, "DE")));
        if missing < 4 {
            prefixes.remove(missing + 1);
        }
        let other = image.prefixes_v6(&default_policy(), &database(&prefixes));
        assert_eq!(
            other.err(),
            (missing < 4).then_some(ForeignImage),
            "{missing}"
        );
    }
    let alone = database(&[("81.2.0.0/16", "FR")]);
    assert_eq!(
        image.prefixes_v4(&default_policy(), &alone),
        Err(ForeignImage)
    );
}

#[test]
fn the_last_address_of_a_node_is_told_from_the_others() {
    let database = database(&[
        ("81.2.69.15/32", "GB"),
        ("255.255.255.255/32", "US"),
        ("2a02:100::f/128", "DE"),
        ("2a02:1ff:ffff:ffff:ffff:ffff:ffff:ffff/128", "FR"),
    ]);
    let image = compile(&default_policy(), &database, &TARGET).unwrap();
    let country_of = |text| class_of(&image, text).country();
    assert_eq!(country_of("81.2.69.15"), country("GB"));
    assert_eq!(country_of("81.2.69.14"), Country::UNKNOWN);
    assert_eq!(country_of("255.255.255.255"), Country::SPECIAL);
    assert_eq!(country_of("2a02:100::f"), country("DE"));
    assert_eq!(country_of("2a02:100::e"), Country::UNKNOWN);
    assert_eq!(
        country_of("2a02:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
        country("FR")
    );
}

#[test]
fn dense_blocks_take_fewer_steps_and_give_the_same_answers() {
    // Two countries in turn, at depths where a node may take eight bits and where it may not: 16, 24, 56, 60, 120.
    let turn = |value: u32| ["DE", "FR"][value as usize % 2];
    let mut prefixes = Vec::new();
    for value in 0..256_u32 {
        prefixes.push((format!("81.2.{value}.0/24"), turn(value)));
        prefixes.push((format!("81.3.7.{value}/32"), turn(value)));
        prefixes.push((format!("2a02:100:0:{value:x}::/64"), turn(value)));
        prefixes.push((format!("2a02:101:0:5:{value:x}00::/72"), turn(value)));
        prefixes.push((
            format!("2a02:102:0:5:{:x}::/68", (value % 16) << 12),
            turn(value % 16),
        ));
        prefixes.push((format!("2a02:103::{value:x}/128"), turn(value)));
    }
    // And twelve, and sixteen.
    for value in 0..4096_u32 {
        prefixes.push((format!("2a04:{:x}::/28", value << 4), turn(value)));
    }
    for value in 0..65_536_u32 {
        let [high, low] = (value as u16).to_be_bytes();
        prefixes.push((format!("81.4.{high}.{low}/32"), turn(value)));
        prefixes.push((format!("2a05:{value:x}::/32"), turn(value)));
    }
    let given: Vec<(&str, &str)> = prefixes.iter().map(|(net, code)| (&**net, *code)).collect();
    let image = compile(&default_policy(), &database(&given), &TARGET).unwrap();
    for (net, code) in &given {
        let net: IpNet = net.parse().unwrap();
        for ip in [net.network(), net.broadcast()] {
            assert_eq!(
                class_in(&image, &Address::from(ip)).country(),
                country(code),
                "{ip}"
            );
        }
    }
    for outside in [
        "81.1.255.255",
        "81.3.6.255",
        "81.3.8.0",
        "2a02:100:0:100::",
        "2a02:104::",
    ] {
        assert_eq!(
            class_of(&image, outside).country(),
            Country::UNKNOWN,
            "{outside}"
        );
    }
    // At 60 bits a wide node would cross from one half of the address into the other.
    let wide = image
        .words()
        .iter()
        .skip(FREE_LINE * LINE_WORDS)
        .chain(&image.words()[ROOT_V4_LINE * LINE_WORDS..FREE_LINE * LINE_WORDS])
        .filter_map(|entry| Node::of(*entry))
        .filter(|node| node.bits() == 8)
        .count();
    assert!(wide >= 4, "{wide}");
    let below = |root: usize, value: usize| {
        Node::of(image.words()[root * LINE_WORDS + value]).map(Node::bits)
    };
    assert_eq!(below(ROOT_V6_LINE, 0x2a04), Some(12));
    assert_eq!(below(ROOT_V6_LINE, 0x2a05), Some(16));
    assert_eq!(below(ROOT_V4_LINE, 0x5104), Some(16));
}

#[test]
fn a_prefix_that_longer_ones_cover_whole_decides_nothing() {
    // Multicast and reserved space fill the first, its hosts the second: no address is in France or Peru.
    let database = database(&[
        ("224.0.0.0/3", "FR"),
        ("2a02:100::/127", "PE"),
        ("2a02:100::/128", "DE"),
        ("2a02:100::1/128", "KP"),
    ]);
    let policy = default_policy();
    let image = compile(&policy, &database, &TARGET).unwrap();
    let prefixes = image.prefixes_v4(&policy, &database).unwrap();
    assert!(!prefixes.iter().any(|prefix| prefix.1 == 3), "{prefixes:?}");
    let prefixes = image.prefixes_v6(&policy, &database).unwrap();
    let lengths =
        [126, 127, 128].map(|length| prefixes.iter().filter(|prefix| prefix.1 == length).count());
    // ::/127 is special-use space.
    assert_eq!(lengths, [0, 1, 2]);
}

#[test]
fn statistics_count_prefixes_and_addresses() {
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
    assert_eq!(v6, 0, "all of 2^128, which wraps to nothing");
}

/// Prefixes that crowd into little space, so that they nest, touch and repeat.
fn crowded_v4() -> impl Strategy<Value = Ipv4Net> {
    let base = prop_oneof![
        Just(0_u32),
        Just(0xc0a8_0000),
        Just(0x5102_0000),
        Just(0xffff_0000),
        any::<u32>()
    ];
    (base, any::<u32>(), 0_u8..=32).prop_map(|(base, low, length)| {
        Ipv4Net::new((base ^ (low & 0x0003_0303)).into(), length)
            .unwrap()
            .trunc()
    })
}

fn crowded_v6() -> impl Strategy<Value = Ipv6Net> {
    let base = prop_oneof![
        Just(0_u128),
        Just(0x2002 << 112),
        Just(0x2a02 << 112),
        Just(0x64_ff9b << 96),
        Just(u128::MAX << 64),
        any::<u128>(),
    ];
    (base, any::<u128>(), 0_u8..=128).prop_map(|(base, low, length)| {
        let low = low & 0x0003_0000_0003_0000_0000_0000_0000_0f0f;
        Ipv6Net::new((base ^ low).into(), length).unwrap().trunc()
    })
}

fn crowded() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        crowded_v4().prop_map(IpNet::V4),
        crowded_v6().prop_map(IpNet::V6)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_engine_agrees(
        v4 in proptest::collection::vec((crowded_v4(), 3_u8..12), 0..25),
        v6 in proptest::collection::vec((crowded_v6(), 3_u8..12), 0..25),
        lists in proptest::collection::vec(proptest::collection::vec(crowded(), 0..6), 3),
        listed in proptest::collection::vec((any::<bool>(), 0_u8..3, proptest::collection::vec(crowded(), 0..6)), 0..6),
        systems in proptest::collection::vec(proptest::collection::vec(crowded(), 0..6), 2),
        hosts in prop_oneof![Just(0), 300..400_usize],
        probes in proptest::collection::vec(crowded(), 30),
    ) {
        let mut policy = default_policy();
        policy.settings.rule = CountryRule::Block((3..7).map(Country::from_number).collect());
        [policy.management, policy.allow, policy.deny] = lists.try_into().unwrap();
        // Many single addresses are hosts, which no trie has.
        policy.deny.extend((0..hosts as u32).map(|number| {
            let ip: std::net::IpAddr = if number % 2 == 0 {
                (0x5102_0000 + number * 3).to_be_bytes().into()
            } else {
                let bits = (0x2a02 << 112) + u128::from(number) * 0x0005_0000_0003;
                bits.to_be_bytes().into()
            };
            IpNet::from(ip)
        }));
        let rules = [AsRule::Allow, AsRule::Deny].into_iter().zip(systems);
        policy.autonomous_systems = rules
            .map(|(rule, prefixes)| AutonomousSystem { number: 64_500, name: String::new(), rule, prefixes })
            .collect();
        policy.lists = (0..)
            .zip(listed)
            .map(|(number, (blocks, direction, nets))| listing(&format!("list-{number}"), blocks, direction, &nets))
            .collect();
        let database = Database::from_prefixes(
            v4.into_iter().map(|(net, number)| (net, Country::from_number(number))).collect(),
            v6.into_iter().map(|(net, number)| (net, Country::from_number(number))).collect(),
        );
        let image = compile(&policy, &database, &TARGET).unwrap();
        let oracle = Oracle::new(&policy, &database);

        let mut lpm_v4 = LongestPrefix::new(32);
        let mut map_v4 = PrefixMap::<Ipv4Net, u32>::new();
        for (octets, length, class) in image.prefixes_v4(&policy, &database).unwrap() {
            *lpm_v4.entry(u32::from_be_bytes(octets).into(), length, 0) = class;
            let previous = map_v4.insert(Ipv4Net::new(octets.into(), length).unwrap(), class);
            prop_assert_eq!(previous, None, "a prefix given twice");
        }
        let mut map_v6 = PrefixMap::<Ipv6Net, u32>::new();
        for (octets, length, class) in image.prefixes_v6(&policy, &database).unwrap() {
            let previous = map_v6.insert(Ipv6Net::new(octets.into(), length).unwrap(), class);
            prop_assert_eq!(previous, None, "a prefix given twice");
        }

        let probes = probes.iter().map(|net| Address::from(net.addr()));
        for address in edges_v4(&policy, &database).chain(edges_v6(&policy, &database)).chain(probes) {
            let expected = oracle.class(&address);
            let position = image.words().class_lookup(&address).unwrap();
            prop_assert_eq!(class_in(&image, &address), expected, "{:?}", address);
            for direction in Direction::ALL {
                prop_assert_eq!(
                    lists_in(&image, position, direction),
                    lists_on(&policy, &address, direction),
                    "{:?}",
                    address
                );
            }
            match address.ip() {
                std::net::IpAddr::V4(ip) => {
                    let host = Ipv4Net::from(ip);
                    prop_assert_eq!(map_v4.get_lpm(&host).map(|(_, class)| *class), Some(position));
                    prop_assert_eq!(lpm_v4.get(ip.to_bits().into()), Some(position));
                }
                std::net::IpAddr::V6(ip) => {
                    let host = Ipv6Net::from(ip);
                    prop_assert_eq!(map_v6.get_lpm(&host).map(|(_, class)| *class), Some(position));
                }
            }
        }
    }
}

#[test]
fn an_image_is_read_back_as_the_layers_it_was_compiled_from() {
    let (policy, database) = example();
    let image = compile(&policy, &database, &TARGET).unwrap();
    for family in Family::ALL {
        let expected: Vec<_> = layers::classes(&policy, &database, family)
            .into_iter()
            .map(|(start, class)| (start, class.with_blocked(policy.blocks(class))))
            .collect();
        assert_eq!(ranges(image.words(), family).unwrap(), expected);
    }
}

#[test]
fn a_broken_trie_is_an_error_and_not_a_hang() {
    let (policy, database) = example();
    let image = compile(&policy, &database, &TARGET).unwrap();
    let mut words = image.words().to_vec();
    let root = ROOT_V6_LINE * LINE_WORDS;
    // A node that leads to itself, and one past the end.
    let node = words.len() / LINE_WORDS - 1;
    for value in 0..LINE_WORDS {
        words[node * LINE_WORDS + value] = node as u32;
    }
    for entry in [node as u32, words.len() as u32] {
        words[root] = entry;
        assert_eq!(ranges(&words, Family::V6), Err(BrokenImage));
    }
    assert_eq!(ranges(&words[..root], Family::V6), Err(BrokenImage));
}
