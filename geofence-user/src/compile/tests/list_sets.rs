//! What an image says of addresses that are on lists.

use super::*;

pub(super) fn listing(name: &str, blocks: bool, direction: u8, nets: &[IpNet]) -> Listing {
    let text: String = nets.iter().map(|net| format!("{net}\n")).collect();
    let read = lists::read(
        format!("#\n{text}").as_bytes(),
        Format::Plain,
        "x",
        UnixSeconds(0),
    );
    let action = if blocks {
        ListAction::Block
    } else {
        ListAction::Alert
    };
    let direction = [About::In, About::Out, About::Both][usize::from(direction)];
    Listing::new(name, action, direction, read.unwrap().entries)
}

/// The lists that an image has for the addresses of a class, by identity.
pub(super) fn lists_in(image: &Image, position: u32, direction: Direction) -> BTreeSet<u32> {
    let set = image.words()[position as usize + class_record::LISTS as usize];
    let listed = ListMatch {
        sets: [set, 0],
        tenant: 0,
    };
    let mut found = BTreeSet::new();
    each_list(&[].as_slice(), &listed, direction, &image.words(), |list| {
        assert!(found.insert(list.identity), "a list given twice");
    });
    found
}

/// The same by looking the address up on each list.
pub(super) fn lists_on(policy: &Policy, address: &Address, direction: Direction) -> BTreeSet<u32> {
    naming(&policy.lists, address.ip())
        .filter(|(list, _)| list.direction.is(direction))
        .map(|(list, _)| identity(list.name.as_bytes()))
        .collect()
}

#[test]
fn a_thousand_lists_on_one_address_and_each_on_its_own() {
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
    let crowded = lists("91.200.0.1");
    assert_eq!(
        crowded.len(),
        LISTS_MAX as usize,
        "of more, so many are counted"
    );
    for number in 990..1000 {
        let name = format!("list-{number}");
        assert!(
            crowded.contains(&identity(name.as_bytes())),
            "{name} blocks"
        );
    }
    assert!(class_of(&image, "91.200.0.1").is_denied_out());
    assert!(lists("91.200.0.2").is_empty());
}

#[test]
fn only_a_list_about_what_leaves_has_it_looked_up() {
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
fn what_a_list_blocks_is_denied_and_what_it_remarks_upon_is_not() {
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
