//! Which lists a packet is counted on, whose ends it has, and how many events a pace allows.

use super::*;

/// A frame of which nothing is read.
const FRAME: &[u8] = &[];

fn listed(words: &[u32], sets: [u32; 2], direction: Direction) -> Vec<(u32, u32)> {
    let listed = Listed { sets, tenant: 0 };
    let mut found = Vec::new();
    each_list(&FRAME, &listed, direction, &words, |list| {
        found.push((list.identity, list.pace()));
    });
    found
}

#[test]
fn sets_are_walked_as_one_and_by_direction() {
    use traits::{BLOCK, IN, OUT, PACE};
    let both = IN | OUT;
    #[rustfmt::skip]
    let words = [
        0,
        // Three lists, from word 1.
        3, 10, IN | 1 << PACE, 20, OUT | BLOCK | 2 << PACE, 30, both | 3 << PACE,
        // Two, from word 8, of which one is known by the first set.
        2, 20, OUT | BLOCK | 2 << PACE, 25, both | 4 << PACE,
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
fn no_second_has_more_than_a_hundred_events() {
    let mut full = 0;
    let mut sent = Vec::new();
    // Silence, then a flood of ten thousand packets a second, for five seconds.
    for number in 0..50_000_u64 {
        let now = 60 * SECOND + number * SECOND / 10_000;
        if let Some(next) = draw(full, now) {
            full = next;
            sent.push(now);
        }
    }
    let most = sent.iter().map(|start| {
        let within = |one: &&u64| (*start..*start + SECOND).contains(*one);
        sent.iter().filter(within).count()
    });
    let most = most.max().unwrap();
    assert!((95..=100).contains(&most), "{most}");
    assert!((295..=305).contains(&sent.len()), "{}", sent.len());
    // And one a minute is always told.
    assert!((1..100).all(|minute| draw(full, 120 * SECOND * minute).is_some()));
}

#[test]
fn an_identity_is_a_names_crc_and_never_nobodys() {
    assert_eq!(identity(b"123456789"), 0xcbf4_3926);
    assert_eq!(identity(b""), 1);
    assert_ne!(identity(b"list-1"), identity(b"list-2"));
}

#[test]
fn both_ends_are_read_as_far_as_they_can_be() {
    let mut frame = vec![0_u8; 12];
    frame.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol::TCP, 0, 0]);
    frame.extend([192, 0, 2, 1, 5, 9, 0, 1]);
    frame.extend([
        0xc8, 0x22, 1, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
    ]);
    let ends = Ends::read(&frame.as_slice()).unwrap();
    assert_eq!(
        (ends.ports, ends.protocol, ends.flags),
        ([51_234, 443], protocol::TCP, 2)
    );
    assert_eq!(ends.source, Address::v4(0xc000_0201));
    assert_eq!(ends.destination, Address::v4(0x0509_0001));
    // A later fragment has none, nor has what is cut short.
    frame[21] = 3;
    assert_eq!(Ends::read(&frame.as_slice()).unwrap().ports, [0; 2]);
    frame[21] = 0;
    frame.truncate(40);
    frame[17] = 26;
    assert_eq!(Ends::read(&frame.as_slice()).unwrap().ports, [0; 2]);
    assert_eq!(Ends::read(&&frame[..20]), None);
}

#[test]
fn ports_are_read_behind_extension_headers() {
    const TCP: [u8; 20] = [
        0xc8, 0x22, 1, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
    ];
    const OPTIONS: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];
    // Every header names the one behind it; the last is TCP's.
    let ends = |headers: &[(u8, [u8; 8])]| {
        let numbers = headers.iter().map(|(number, _)| *number);
        let mut numbers = numbers.chain([protocol::TCP]);
        let mut frame = vec![0_u8; 12];
        let length = headers.len() * 8 + TCP.len();
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, length as u8]);
        frame.extend([numbers.next().unwrap(), 64]);
        frame.extend([0x20; 32]);
        for ((_, header), next) in headers.iter().zip(numbers) {
            frame.extend([&[next], &header[1..]].concat());
        }
        frame.extend(TCP);
        let ends = Ends::read(&frame.as_slice()).unwrap();
        (ends.protocol, ends.ports, ends.flags)
    };
    let fragment = |field: u16| {
        let [high, low] = field.to_be_bytes();
        (protocol::FRAGMENT, [0, 0, high, low, 0, 0, 0, 7])
    };
    let options = (protocol::DESTINATION_OPTIONS, OPTIONS);
    let found = (protocol::TCP, [51_234, 443], 2);
    assert_eq!(ends(&[]), found);
    assert_eq!(ends(&[(protocol::HOP_BY_HOP, OPTIONS), options]), found);
    assert_eq!(ends(&[fragment(1), options]), found);
    // A later fragment has none; nor has what nobody walks to the end of.
    assert_eq!(ends(&[fragment(8)]), (protocol::TCP, [0; 2], 0));
    assert_eq!(
        ends(&[options; 9]),
        (protocol::DESTINATION_OPTIONS, [0; 2], 0)
    );
}
