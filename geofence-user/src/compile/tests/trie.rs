//! Strides, leaves and damage of the trie in an image.

use geofence_common::address::Address;
use geofence_common::country::Country;
use geofence_common::image::{FREE_LINE, LINE_WORDS, Node, ROOT_V4_LINE, ROOT_V6_LINE};
use ipnet::IpNet;

use super::helpers::*;
use crate::compile::prefix::Family;
use crate::compile::{BrokenImage, compile, ranges};
use crate::oracle::default_policy;

#[test]
fn last_address_of_a_node_has_its_own_class() {
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
fn dense_blocks_get_wide_strides_and_the_same_answers() {
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
    // At 60 bits a wide stride would cross from one half of the address into the other.
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
fn broken_trie_is_an_error_and_ends() {
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
