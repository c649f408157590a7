//! The host table: single addresses that lists or exceptions name, in a bucketed cuckoo hash table.
//!
//! In the trie, each would lengthen the walk of every neighbouring address to the last bit. So they have a table of
//! their own, and a leaf of the trie holds a filter: one bit for the fingerprint of each host among its addresses. An
//! address whose bit is clear is not in the table.
//!
//! A line holds three hosts: four words of address, then the position of the class, with the top bit set for IPv6; 0
//! for an empty place. A host is in one of two lines that its fingerprint selects. In front of the lines stands a word
//! for each of them, a Bloom filter with three bits for each host whose first line it is. Of the addresses that pass
//! the leaf's filter and are not in the table, about one in fifty reads more than that word.

use crate::address::Address;
use crate::image::layout::{LINE_SHIFT, LINE_WORDS, Line, header};
use crate::image::node::{CLASS_NUMBER_BITS, FILTER_BITS};
use crate::image::words::Words;

/// Words of a host.
pub const HOST_WORDS: usize = 5;

/// Hosts in a line.
pub const LINE_HOSTS: usize = LINE_WORDS / HOST_WORDS;

/// Set beside the position of the class if the host has an IPv6 address.
pub const IS_V6: u32 = 1 << 31;

/// A hash of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    #[must_use]
    #[inline(always)]
    pub const fn of(address: &Address) -> Self {
        // A cheap hash, because every packet computes it for the leaf's filter.
        let [high, low] = address.words();
        Self(
            high.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(low.wrapping_mul(0xd6e8_feb8_6659_fd93)),
        )
    }

    /// The bit in the filter of a trie leaf.
    #[must_use]
    #[inline(always)]
    pub const fn leaf_bit(self) -> u32 {
        1 << CLASS_NUMBER_BITS << (((self.0 >> 32) * FILTER_BITS as u64) >> 32)
    }

    /// The hash, mixed so that its bits are independent of those used before.
    #[inline(always)]
    const fn mixed(self) -> u64 {
        let hash = (self.0 ^ self.0 >> 32).wrapping_mul(0xa076_1d64_78bd_642f);
        (hash ^ hash >> 29).wrapping_mul(0xe703_7ed1_a0b4_28db)
    }

    /// The bits in the filter word of the first line.
    #[must_use]
    #[inline(always)]
    pub const fn filter_bits(self) -> u32 {
        let hash = self.mixed();
        1 << (hash >> 17 & 31) | 1 << (hash >> 22 & 31) | 1 << (hash >> 27 & 31)
    }

    /// The two lines where the host may be, of this many, counted from the first.
    #[must_use]
    #[inline(always)]
    pub const fn lines(self, count: u32) -> [u32; 2] {
        let one = self.mixed();
        let other = Self(one).mixed();
        let count = count as u64;
        [
            (((one >> 32) * count) >> 32) as u32,
            (((other >> 32) * count) >> 32) as u32,
        ]
    }
}

/// The position of the first line, behind the filter words of this many lines.
#[must_use]
#[inline(always)]
pub const fn table_start(at: u32, lines: u32) -> u32 {
    let words = lines.wrapping_add(LINE_WORDS as u32 - 1) >> LINE_SHIFT << LINE_SHIFT;
    at.wrapping_add(words)
}

/// The position of the class of a host, 0 if the address is not in the table.
///
/// A number rather than an option, so that the verifier need not follow each outcome.
#[inline(always)]
pub(crate) fn find<W: Words + ?Sized>(
    words: &W,
    address: &Address,
    fingerprint: Fingerprint,
) -> u32 {
    let word = |at: u32| words.word(at).unwrap_or(0);
    let (at, count) = (word(header::HOSTS as u32), word(header::HOST_LINES as u32));
    let lines = fingerprint.lines(count);
    if count == 0 || fingerprint.filter_bits() & !word(at.wrapping_add(lines[0])) != 0 {
        return 0;
    }
    let table = table_start(at, count);
    let [one, two] = lines.map(|line| {
        words
            .line(table.wrapping_add(line << LINE_SHIFT))
            .unwrap_or([0; LINE_WORDS])
    });
    class_in(&one, address) | class_in(&two, address)
}

/// The position of the class of this address in the line, or 0.
#[inline(always)]
fn class_in(line: &Line, address: &Address) -> u32 {
    let [high, low] = address.words();
    let (hosts, _) = line.as_chunks::<HOST_WORDS>();
    hosts
        .iter()
        .fold(0, |found, [one, two, three, four, class]| {
            let differs = (u64::from(*one) << 32 | u64::from(*two)) ^ high
                | (u64::from(*three) << 32 | u64::from(*four)) ^ low
                | u64::from(class >> 31) ^ address.is_v6() as u64;
            // By arithmetic, because the verifier follows both ways of a branch.
            let is_it = !(differs | differs.wrapping_neg()) >> 63;
            found | class & !IS_V6 & (is_it as u32).wrapping_neg()
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::image::{CLASS_NUMBER, INDIRECT, LEAF, RANGE_LEAF};

    proptest! {
        #[test]
        fn fingerprint_selects_lines_within_the_table(is_v6: bool, words: [u64; 2], lines in 1_u32..1 << 25) {
            let fingerprint = Fingerprint::of(&Address::from_words(is_v6, words));
            prop_assert!(fingerprint.lines(lines).iter().all(|line| *line < lines));
            prop_assert!((1..=3).contains(&fingerprint.filter_bits().count_ones()));
            prop_assert_eq!(fingerprint.leaf_bit().count_ones(), 1);
            prop_assert_eq!(fingerprint.leaf_bit() & (LEAF | RANGE_LEAF | INDIRECT | CLASS_NUMBER), 0);
        }
    }

    #[test]
    fn neighbouring_addresses_are_spread_evenly() {
        const LINES: u32 = 1000;
        const EACH: u32 = 100;
        for one_in in [1_u32, 256, 65_536, 1 << 20] {
            let mut first = [0_u32; LINES as usize];
            let mut second = [0_u32; LINES as usize];
            let mut bits = BTreeMap::<_, u32>::new();
            for number in 0..LINES * EACH {
                let address = if one_in < 1 << 12 {
                    Address::v4(0x0b00_0000 + number * one_in)
                } else {
                    Address::v6((0x2a02 << 112) + ((u128::from(number) * u128::from(one_in)) << 56))
                };
                let fingerprint = Fingerprint::of(&address);
                *bits.entry(fingerprint.leaf_bit()).or_default() += 1;
                let [one, two] = fingerprint.lines(LINES);
                first[one as usize] += 1;
                second[two as usize] += 1;
            }
            let even = LINES * EACH / FILTER_BITS;
            assert!(
                bits.values()
                    .all(|count| (even * 9 / 10..even * 11 / 10).contains(count)),
                "{bits:?}"
            );
            for counts in [first, second] {
                let (least, most) = (counts.iter().min(), counts.iter().max());
                assert!(
                    least > Some(&(EACH / 3)) && most < Some(&(EACH * 2)),
                    "{least:?} {most:?}"
                );
            }
        }
    }

    #[test]
    fn filter_words_fill_whole_lines() {
        assert_eq!(table_start(160, 1), 176);
        assert_eq!(table_start(160, 16), 176);
        assert_eq!(table_start(160, 17), 192);
    }
}
