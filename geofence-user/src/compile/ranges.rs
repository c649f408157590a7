//! An image read back: the class of every range of addresses, whoever compiled it and from whatever data.
//!
//! What two images are compared by, so that the older one may come from the kernel or from disk, long after its
//! database is gone. An image may be damaged here; a walk that leads nowhere, or never ends, is an error.

use std::net::{Ipv4Addr, Ipv6Addr};

use geofence_common::image::class::Class;
use geofence_common::image::host_table::{HOST_WORDS, IS_V6, table_start};
use geofence_common::image::{
    LEAF, LINE_WORDS, LONG_RANGE_STEPS, Node, POSITION, RANGE_LEAF, ROOT_BITS, ROOT_V4_LINE,
    ROOT_V6_LINE, SHORT_RANGE_STEPS, SKIP, STRIDE_MAX, STRIDE_MIN, Words, class_position, header,
};

use ipnet::IpNet;

use super::layers::{combine, layer};
use super::prefix::{Family, Prefix};

/// The class of every address: from each first address to the next, in order, starting with address zero. No two
/// neighbours are equal. IPv4 addresses take the upper 32 bits.
pub type Ranges = Vec<(u128, Class)>;

/// The image's trie is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy image is damaged: its trie does not end in classes")]
pub struct BrokenImage;

/// Entries a walk may look at. A world of a million prefixes has some ten million, and five million addresses on lists
/// are some two hundred million more; a loop of nodes has no end.
const ENTRIES_MAX: u64 = 1 << 29;

/// Walks one family's trie of an image, given by its words.
pub fn ranges(words: &[u32], family: Family) -> Result<Ranges, BrokenImage> {
    let root = match family {
        Family::V4 => ROOT_V4_LINE,
        Family::V6 => ROOT_V6_LINE,
    };
    let root = words
        .get(root * LINE_WORDS..)
        .and_then(|words| words.get(..1 << ROOT_BITS))
        .ok_or(BrokenImage)?;
    let mut walk = Walk {
        words,
        address_bits: 128 - family.spare_bits(),
        ranges: Vec::new(),
        left: ENTRIES_MAX,
    };
    for (value, entry) in (0_u128..).zip(root) {
        walk.entry(*entry, value << (128 - ROOT_BITS), ROOT_BITS)?;
    }
    let hosts = hosts(words, family)?;
    if hosts.is_empty() {
        return Ok(walk.ranges);
    }
    let length = walk.address_bits as u8;
    let hosts = hosts
        .into_iter()
        .map(|(start, class)| (Prefix { start, length }, Some(class)));
    let hosts = layer(hosts, None);
    Ok(combine(&walk.ranges, &hosts, |class, host| {
        host.unwrap_or(class)
    }))
}

/// The hosts of an image, in order.
fn hosts(words: &[u32], family: Family) -> Result<Vec<(u128, Class)>, BrokenImage> {
    let [at, count] = [header::HOSTS, header::HOST_LINES].map(|at| words.get(at).copied());
    let (at, count) = at.zip(count).ok_or(BrokenImage)?;
    let start = table_start(at, count) as usize;
    let lines = words.get(start..).ok_or(BrokenImage)?;
    let lines = lines.as_chunks::<LINE_WORDS>().0;
    let lines = lines.get(..count as usize).ok_or(BrokenImage)?;
    let mut hosts = Vec::new();
    for line in lines {
        for [address @ .., class] in line.as_chunks::<HOST_WORDS>().0 {
            if *class != 0 && (class & IS_V6 != 0) == (family == Family::V6) {
                let class = words.class_at(class & !IS_V6).ok_or(BrokenImage)?;
                let address = address
                    .iter()
                    .fold(0, |all, word| all << 32 | u128::from(*word));
                hosts.push((address, class));
            }
        }
    }
    hosts.sort_unstable_by_key(|(address, _)| *address);
    Ok(hosts)
}

struct Walk<'a> {
    words: &'a [u32],
    address_bits: u32,
    ranges: Ranges,
    left: u64,
}

impl Walk<'_> {
    /// Adds the block of addresses that begin with the first `bits` of `base`, whose entry this is.
    fn entry(&mut self, entry: u32, base: u128, bits: u32) -> Result<(), BrokenImage> {
        self.left = self.left.checked_sub(1).ok_or(BrokenImage)?;
        let Some(node) = Node::of(entry) else {
            return if entry & RANGE_LEAF == 0 {
                self.leaf(entry, base)
            } else {
                self.tail(entry, base, bits)
            };
        };
        let below = bits + node.bits();
        let known = STRIDE_MIN..=STRIDE_MAX;
        if !known.contains(&node.bits())
            || !node.bits().is_multiple_of(STRIDE_MIN)
            || below > self.address_bits
        {
            return Err(BrokenImage);
        }
        let position = node.position() as usize;
        let entries = self
            .words
            .get(position..position + (1 << node.bits()))
            .ok_or(BrokenImage)?;
        for (value, entry) in (0_u128..).zip(entries) {
            self.entry(*entry, base | value << (128 - below), below)?;
        }
        Ok(())
    }

    fn leaf(&mut self, entry: u32, start: u128) -> Result<(), BrokenImage> {
        let class = self
            .words
            .class_at(class_position(entry))
            .ok_or(BrokenImage)?;
        if self.ranges.last().is_none_or(|(_, last)| *last != class) {
            self.ranges.push((start, class));
        }
        Ok(())
    }

    /// A tail for the block of addresses that begin with the first `bits` of `base`.
    fn tail(&mut self, entry: u32, base: u128, bits: u32) -> Result<(), BrokenImage> {
        let at = (entry & POSITION & !SKIP) as usize;
        let line = self.words.get(at..at + LINE_WORDS).ok_or(BrokenImage)?;
        let end = base | u128::MAX.checked_shr(bits).unwrap_or(0);
        let skip = (entry & SKIP) * STRIDE_MIN;
        let (leaves, starts): (_, Vec<u128>) = if skip == 0 {
            let (leaves, starts) = line.split_at(LONG_RANGE_STEPS + 1);
            let (starts, _) = starts.as_chunks::<4>();
            let start = |words: &[u32; 4]| {
                words
                    .iter()
                    .fold(0, |start, word| start << 32 | u128::from(*word))
            };
            (leaves, starts.iter().map(start).collect())
        } else {
            let (leaves, starts) = line.split_at(SHORT_RANGE_STEPS + 1);
            let skipped = base & !(u128::MAX >> skip);
            let start = |word: &u32| skipped | u128::from(*word) << 96 >> skip;
            (
                leaves,
                starts[..SHORT_RANGE_STEPS].iter().map(start).collect(),
            )
        };
        let mut before = base;
        for (leaf, start) in leaves.iter().zip(std::iter::once(base).chain(starts)) {
            // One that is not needed is behind the last block, or at its very end and of the leaf before.
            if start < before || leaf & LEAF == 0 {
                return Err(BrokenImage);
            }
            if start <= end {
                self.leaf(*leaf, start)?;
            }
            before = start;
        }
        Ok(())
    }
}

/// A range of addresses in which neither of two layers changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<T> {
    pub start: u128,
    /// The address behind the last; zero behind the last of all.
    pub end: u128,
    pub before: T,
    pub after: T,
}

/// Two layers side by side: what each has, range by range, from address zero to the last.
#[must_use]
pub fn side_by_side<T: Copy + PartialEq>(
    before: &[(u128, T)],
    after: &[(u128, T)],
) -> Vec<Segment<T>> {
    let both = combine(before, after, |before, after| (before, after));
    spans(&both)
        .map(|(start, end, (before, after))| Segment {
            start,
            end,
            before,
            after,
        })
        .collect()
}

/// Each range of a layer with its end, which is zero behind the last address of all.
pub fn spans<T: Copy>(layer: &[(u128, T)]) -> impl Iterator<Item = (u128, u128, T)> {
    let ends = layer.iter().skip(1).map(|(start, _)| *start).chain([0]);
    layer
        .iter()
        .zip(ends)
        .map(|((start, value), end)| (*start, end, *value))
}

/// The prefixes that hold the addresses from `start` to the last before `end` and no others.
pub fn prefixes(family: Family, start: u128, end: u128) -> impl Iterator<Item = IpNet> {
    let spare = family.spare_bits();
    cover(start >> spare, end.wrapping_sub(1) >> spare).filter_map(move |(first, free)| {
        let length = u8::try_from(128 - spare - free).ok()?;
        let address = match family {
            Family::V4 => Ipv4Addr::from_bits(first as u32).into(),
            Family::V6 => Ipv6Addr::from_bits(first).into(),
        };
        IpNet::new(address, length).ok()
    })
}

/// The fewest prefixes that hold just these addresses: the first address of each, and how many low bits are free.
pub(super) fn cover(first: u128, last: u128) -> impl Iterator<Item = (u128, u32)> {
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let start = next.filter(|start| *start <= last)?;
        let room = (last - start).checked_add(1).map_or(128, u128::ilog2);
        let free = start.trailing_zeros().min(room);
        let size = 1_u128.checked_shl(free);
        next = size.and_then(|size| start.checked_add(size));
        Some((start, free))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compile::Extent;

    #[test]
    fn the_fewest_prefixes_cover_a_range() {
        for (first, last, expected) in [
            (0, u128::MAX, vec![(0, 128)]),
            (0, 0, vec![(0, 0)]),
            (1, 2, vec![(1, 0), (2, 0)]),
            (8, 15, vec![(8, 3)]),
            (3, 12, vec![(3, 0), (4, 2), (8, 2), (12, 0)]),
            (u128::MAX, u128::MAX, vec![(u128::MAX, 0)]),
        ] {
            assert_eq!(cover(first, last).collect::<Vec<_>>(), expected);
        }
        let extent = |family, start, end| {
            let Extent {
                prefixes,
                addresses,
            } = Extent::of(family, start, end);
            (prefixes, addresses)
        };
        assert_eq!(extent(Family::V4, 0, 0), (1, 1 << 32));
        assert_eq!(extent(Family::V4, 3 << 96, 5 << 96), (2, 2));
        assert_eq!(extent(Family::V6, 0, 0), (1, u128::MAX));
        let texts = |family, start, end| -> Vec<String> {
            prefixes(family, start, end)
                .map(|net| net.to_string())
                .collect()
        };
        assert_eq!(
            texts(Family::V4, 0x0a00_0001 << 96, 0x0a00_0003 << 96),
            ["10.0.0.1/32", "10.0.0.2/32"]
        );
        assert_eq!(texts(Family::V6, 0, 0), ["::/0"]);
    }

    proptest! {
        #[test]
        fn a_cover_has_neither_gaps_nor_overlaps(one: u128, other: u128) {
            let (first, last) = (one.min(other), one.max(other));
            let mut next = Some(first);
            for (start, free) in cover(first, last) {
                prop_assert_eq!(Some(start), next);
                prop_assert!(start.trailing_zeros() >= free);
                next = 1_u128.checked_shl(free).and_then(|size| start.checked_add(size));
            }
            prop_assert_eq!(next, last.checked_add(1));
        }
    }
}
