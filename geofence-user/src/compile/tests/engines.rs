//! Random policies and databases: the trie, the LPM prefixes and the oracle give the same answers.

use geofence_common::action::Direction;
use geofence_common::address::Address;
use geofence_common::country::Country;
use geofence_common::image::Lookup as _;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use proptest::prelude::*;

use super::helpers::*;
use crate::compile::{Mechanisms, compile_with};
use crate::data::geoip::Database;
use crate::model::policy::{AsRule, AutonomousSystem, CountryRule};
use crate::oracle::{LongestPrefix, Oracle, default_policy, edges_v4, edges_v6};

/// Prefixes in little space, so that they nest, touch and repeat.
fn dense_v4() -> impl Strategy<Value = Ipv4Net> {
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

fn dense_v6() -> impl Strategy<Value = Ipv6Net> {
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

fn dense() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        dense_v4().prop_map(IpNet::V4),
        dense_v6().prop_map(IpNet::V6)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_engine_gives_the_same_answers(
        v4 in proptest::collection::vec((dense_v4(), 3_u8..12), 0..25),
        v6 in proptest::collection::vec((dense_v6(), 3_u8..12), 0..25),
        lists in proptest::collection::vec(proptest::collection::vec(dense(), 0..6), 3),
        listed in proptest::collection::vec((any::<bool>(), 0_u8..3, proptest::collection::vec(dense(), 0..6)), 0..6),
        systems in proptest::collection::vec(proptest::collection::vec(dense(), 0..6), 2),
        hosts in prop_oneof![Just(0), 300..400_usize],
        probes in proptest::collection::vec(dense(), 30),
        mechanisms in prop_oneof![Just([true; 4]), any::<[bool; 4]>()],
    ) {
        let mut policy = default_policy();
        policy.settings.rule = CountryRule::Block((3..7).map(Country::from_number).collect());
        [policy.management, policy.allow, policy.deny] = lists.try_into().unwrap();
        // Many single addresses go to the host table.
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
        let [strides, range_leaves, host_table, leaf_filter] = mechanisms;
        let mechanisms = Mechanisms { strides, range_leaves, host_table, leaf_filter };
        let image = compile_with(mechanisms, &policy, &database, &TARGET).unwrap();
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
