//! Layers of a few addresses each, and those with too many for one line.

use geofence_common::image::host_table::Fingerprint;
use geofence_common::image::{
    CLASS_NUMBER, FREE_LINE, Lookup as _, ROOT_V4_LINE, ROOT_V6_LINE, class_leaf, class_position,
    header,
};
use proptest::prelude::*;

use super::*;
use crate::compile::mechanisms::Mechanisms;
use crate::compile::trie::Trie;
use crate::compile::trie_cursor::Cursor;

/// Numbers from here on are of classes that lists or exceptions made.
const NAMED: u32 = 100;
/// Two other classes: one whose leaves have room for filter bits, and one whose number is too large for that.
const COMMON: u32 = 7;
const LARGE: u32 = CLASS_NUMBER << 13;

/// The position that the record of a class would have if there were a class table; hosts and nodes are there instead.
const fn position(class: u32) -> u32 {
    class_position(class_leaf(class))
}

/// The image of two layers.
fn image(mut layers: [Layer<u32>; 2]) -> (Vec<Line>, HostTable) {
    let [v4, v6] = &mut layers;
    let hosts = HostTable::take([v4, v6], |class| (NAMED..LARGE).contains(&class));
    let mut lines = vec![[0; LINE_WORDS]; FREE_LINE];
    let words = lines.as_flattened_mut();
    words[header::HOSTS] = (FREE_LINE as u32) << LINE_SHIFT;
    words[header::HOST_LINES] = hosts.line_count();
    lines.extend(hosts.lines(position));
    let roots = [ROOT_V4_LINE, ROOT_V6_LINE];
    for ((root, family), layer) in roots.into_iter().zip(Family::ALL).zip(&layers) {
        let hosts = hosts.addresses(family);
        let cursor = Cursor::new(family, layer, hosts, Mechanisms::ALL);
        let trie = Trie::new(cursor, class_leaf);
        let written = trie.and_then(|trie| trie.write(&mut lines, root));
        assert!(written.is_ok());
    }
    (lines, hosts)
}

/// The layer in which these addresses differ from the others, each with a class of its own.
fn standing_out(family: Family, addresses: &BTreeSet<u128>) -> Layer<u32> {
    standing_out_of(COMMON, family, addresses)
}

fn standing_out_of(others: u32, family: Family, addresses: &BTreeSet<u128>) -> Layer<u32> {
    let one = 1_u128 << family.spare_bits();
    let mut layer = vec![(0, others)];
    for (number, address) in addresses.iter().enumerate() {
        layer.pop_if(|(start, _)| start == address);
        layer.push((*address, NAMED + number as u32));
        if let Some(next) = address.checked_add(one) {
            layer.push((next, others));
        }
    }
    layer
}

/// Looks every step of a layer up, at both its ends.
fn check(lines: &[Line], family: Family, layer: &Layer<u32>) {
    let one = 1_u128 << family.spare_bits();
    for (at, (start, class)) in layer.iter().enumerate() {
        let last = layer.get(at + 1).map_or(
            u128::MAX >> family.spare_bits() << family.spare_bits(),
            |(next, _)| next - one,
        );
        for bits in [*start, last] {
            let found = lines.as_flattened().class_lookup(&family.address(bits));
            assert_eq!(found, Some(position(*class)), "{family} {bits:x}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_address_has_the_class_of_its_layer(
        base: u128,
        near in prop::collection::vec(any::<(u16, u8)>(), 300..600),
        others in prop::sample::select(vec![COMMON, LARGE]),
    ) {
        let layers = Family::ALL.map(|family| {
            let place = |(value, shift): &(u16, u8)| {
                let bits = base ^ u128::from(*value) << (shift % 112);
                bits >> family.spare_bits() << family.spare_bits()
            };
            let addresses = near.iter().map(place).filter(|address| *address != 0).collect();
            standing_out_of(others, family, &addresses)
        });
        let (lines, hosts) = image(layers.clone());
        prop_assert!(hosts.line_count() > 0);
        for (family, layer) in Family::ALL.into_iter().zip(&layers) {
            check(&lines, family, layer);
        }
    }
}

#[test]
fn host_without_a_place_stays_in_its_layer() {
    // More hosts than fit into the four lines that all of them have as candidates.
    const COUNT: usize = 300;
    let lines = (COUNT * PLACES[0]).div_ceil(PLACES[1] * LINE_HOSTS) as u32;
    let collides = |address: &u128| {
        let fingerprint = Fingerprint::of(&Address::v6(*address));
        fingerprint.lines(lines).iter().all(|line| *line < 4)
    };
    let addresses: BTreeSet<u128> = (0..)
        .map(|number| (0x2a02 << 112) + (number << 3))
        .filter(collides)
        .take(COUNT)
        .collect();
    let layer = standing_out(Family::V6, &addresses);
    let (image, hosts) = image([vec![(0, COMMON)], layer.clone()]);
    let placed: usize = hosts
        .lines
        .iter()
        .flatten()
        .filter(|host| **host != FREE)
        .count();
    assert_eq!(placed, 4 * LINE_HOSTS);
    check(&image, Family::V6, &layer);
}

#[test]
fn many_hosts_are_placed_and_few_need_no_table() {
    let layer = |count: u128| {
        let addresses = (1..=count).map(|number| (0x0b00_0000 + number * 77) << 96);
        standing_out(Family::V4, &addresses.collect())
    };
    let (_, hosts) = image([layer(100_000), vec![(0, COMMON)]]);
    let placed = hosts.lines.iter().flatten().filter(|host| **host != FREE);
    assert_eq!(placed.count(), 100_000);
    assert_eq!(hosts.line_count(), 41_667);
    let (_, hosts) = image([layer(HOSTS_MIN as u128 - 1), vec![(0, COMMON)]]);
    assert_eq!(hosts.line_count(), 0);
}

#[test]
fn address_outside_the_table_passes_the_filter_rarely() {
    let addresses = (1..=50_000)
        .map(|number| (0x0b00_0000 + number * 1_003) << 96)
        .collect();
    let (lines, hosts) = image([standing_out(Family::V4, &addresses), vec![(0, COMMON)]]);
    let words = lines.as_flattened();
    let passed = (0..100_000_u32).filter(|number| {
        let fingerprint = Fingerprint::of(&Address::v4(0x0b00_0001 + number * 499));
        let line = fingerprint.lines(hosts.line_count())[0];
        !words[FREE_LINE * LINE_WORDS + line as usize] & fingerprint.filter_bits() == 0
    });
    let passed = passed.count();
    assert!((200..2_000).contains(&passed), "{passed} of 100,000");
}
