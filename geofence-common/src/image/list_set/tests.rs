//! The lists a packet is counted on, and the identity of a list.

use super::*;

/// A frame of which nothing is read.
const FRAME: &[u8] = &[];

fn listed(words: &[u32], sets: [u32; 2], direction: Direction) -> Vec<(u32, u32)> {
    let listed = ListMatch { sets, tenant: 0 };
    let mut found = Vec::new();
    each_list(&FRAME, &listed, direction, &words, |list| {
        found.push((list.identity, list.rate_limit()));
    });
    found
}

#[test]
fn sets_are_walked_as_one_and_by_direction() {
    use traits::{BLOCK, IN, OUT, RATE_LIMIT};
    let both = IN | OUT;
    #[rustfmt::skip]
    let words = [
        0,
        // Three lists, from word 1.
        3, 10, IN | 1 << RATE_LIMIT, 20, OUT | BLOCK | 2 << RATE_LIMIT, 30, both | 3 << RATE_LIMIT,
        // Two, from word 8, of which one is known by the first set.
        2, 20, OUT | BLOCK | 2 << RATE_LIMIT, 25, both | 4 << RATE_LIMIT,
        // More than there is room for, from word 13.
        9, 40, both,
    ];
    for (sets, direction, expected) in [
        ([0, 0], Direction::In, vec![]),
        ([1, 0], Direction::In, vec![(10, 1), (30, 3)]),
        ([1, 0], Direction::Out, vec![(20, 2), (30, 3)]),
        ([0, 8], Direction::Out, vec![(20, 2), (25, 4)]),
        ([1, 8], Direction::In, vec![(10, 1), (25, 4), (30, 3)]),
        ([8, 1], Direction::Out, vec![(20, 2), (25, 4), (30, 3)]),
        ([1, 1], Direction::Out, vec![(20, 2), (30, 3)]),
        ([13, 0], Direction::Out, vec![(40, 0)]),
        ([99, 1], Direction::In, vec![(10, 1), (30, 3)]),
    ] {
        assert_eq!(
            listed(&words, sets, direction),
            expected,
            "{sets:?} {direction:?}"
        );
    }
}

#[test]
fn no_more_lists_are_walked_than_the_verifier_follows() {
    let mut words = vec![0, LISTS_MAX + 5];
    for identity in 1..=LISTS_MAX + 5 {
        words.extend([identity, traits::IN]);
    }
    assert_eq!(
        listed(&words, [1, 0], Direction::In).len(),
        LISTS_MAX as usize
    );
}

#[test]
fn an_identity_is_a_names_crc_and_never_nobodys() {
    assert_eq!(identity(b"123456789"), 0xcbf4_3926);
    assert_eq!(identity(b""), 1);
    assert_ne!(identity(b"list-1"), identity(b"list-2"));
}
