//! The list sets of an image.

use std::collections::BTreeSet;

use geofence_common::action::Direction;
use geofence_common::image::list_set::{LISTS_MAX, identity};
use geofence_common::image::{Lookup as _, flag};

use super::helpers::*;
use crate::compile::compile;

#[test]
fn set_of_a_thousand_lists_is_cut_to_the_limit_and_keeps_those_that_block() {
    let (mut policy, database) = example();
    policy.lists = (0..1000)
        .map(|number: u32| {
            let own = format!("91.{}.{}.0/24", number >> 8, number & 255);
            let nets = [own.parse().unwrap(), "91.200.0.1/32".parse().unwrap()];
            listing(&format!("list-{number}"), number >= 990, 2, &nets)
        })
        .collect();
    let image = compile(&policy, &database, &TARGET).unwrap();
    let lists = |text: &str| {
        let position = image.words().class_lookup(&address(text)).unwrap();
        lists_in(&image, position, Direction::Out)
    };
    for number in 0..1000 {
        let own = format!("91.{}.{}.7", number >> 8, number & 255);
        let name = format!("list-{number}");
        assert_eq!(lists(&own), BTreeSet::from([identity(name.as_bytes())]));
    }
    let shared = lists("91.200.0.1");
    assert_eq!(
        shared.len(),
        LISTS_MAX as usize,
        "the limit applies to a set of more"
    );
    for number in 990..1000 {
        let name = format!("list-{number}");
        assert!(shared.contains(&identity(name.as_bytes())), "{name} blocks");
    }
    assert!(class_of(&image, "91.200.0.1").is_denied_out());
    assert!(lists("91.200.0.2").is_empty());
}

#[test]
fn outbound_flag_is_set_by_a_list_for_outbound_packets_only() {
    let (mut policy, database) = example();
    let net = "81.2.69.64/26".parse().unwrap();
    for (direction, is_watched) in [(0, false), (1, true), (2, true)] {
        for nets in [&[net][..], &[]] {
            policy.lists = vec![listing("x", false, direction, nets)];
            let image = compile(&policy, &database, &TARGET).unwrap();
            let expected = is_watched && !nets.is_empty();
            assert_eq!(
                image.flags().has(flag::LISTS_OUT),
                expected,
                "{direction} {nets:?}"
            );
        }
    }
}

#[test]
fn address_on_a_blocking_list_is_denied_and_on_an_alert_list_is_not() {
    let (mut policy, database) = example();
    policy.deny.clear();
    let net = "81.2.69.64/26".parse().unwrap();
    for (blocks, direction, is_denied) in [
        (true, 0, true),
        (true, 1, false),
        (true, 2, true),
        (false, 0, false),
        (false, 2, false),
    ] {
        policy.lists = vec![listing("x", blocks, direction, &[net])];
        let image = compile(&policy, &database, &TARGET).unwrap();
        let denied = ["81.2.69.63", "81.2.69.64", "81.2.69.127", "81.2.69.128"]
            .map(|address| class_of(&image, address).is_denied());
        assert_eq!(
            denied,
            [false, is_denied, is_denied, false],
            "{blocks} {direction}"
        );
    }
}
