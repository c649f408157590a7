//! The lists a packet is counted on, and the identity of a list.

use super::*;

/// A frame; no byte of it is read.
const FRAME: &[u8] = &[];

fn matched(words: &[u32], sets: [u32; 2], direction: Direction) -> Vec<(u32, u32)> {
    let list_match = ListMatch { sets, tenant: 0 };
    let mut found = Vec::new();
    each_list(&FRAME, &list_match, direction, &words, |list| {
        found.push((list.identity, list.rate_limit()));
    });
    found
}

#[test]
fn two_sets_are_walked_as_one_by_direction() {
    use traits::{BLOCK, IN, OUT, RATE_LIMIT};
    let both = IN | OUT;
    #[rustfmt::skip]
    let words = [
        0,
        // Three lists, from word 1.
        3, 10, IN | 1 << RATE_LIMIT, 20, OUT | BLOCK | 2 << RATE_LIMIT, 30, both | 3 << RATE_LIMIT,
        // Two, from word 8, one of them also in the first set.
        2, 20, OUT | BLOCK | 2 << RATE_LIMIT, 25, both | 4 << RATE_LIMIT,
        // A set that claims more lists than the image holds, from word 13.
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
            matched(&words, sets, direction),
            expected,
            "{sets:?} {direction:?}"
        );
    }
}

#[test]
fn walk_stops_at_the_most_lists() {
    let mut words = vec![0, LISTS_MAX + 5];
    for identity in 1..=LISTS_MAX + 5 {
        words.extend([identity, traits::IN]);
    }
    assert_eq!(
        matched(&words, [1, 0], Direction::In).len(),
        LISTS_MAX as usize
    );
}

#[test]
fn identity_is_a_crc_and_never_reserved() {
    assert_eq!(identity(b"123456789"), 0xcbf4_3926);
    assert_eq!(identity(b""), 1);
    assert_ne!(identity(b"list-1"), identity(b"list-2"));
}
