//! An image read back: the class of every range of addresses, whatever data it was compiled from, and the policy of
//! every range of destinations.
//!
//! Images are compared by their ranges, so the older one may come from the kernel or from disk, after its database is
//! gone. An image may be damaged here: a walk that leads nowhere, or does not end, is an error.

use geofence_common::image::class::Class;
use geofence_common::image::host_table::{HOST_WORDS, IS_V6, table_start};
use geofence_common::image::{
    LEAF, LINE_WORDS, LONG_RANGE_STEPS, Node, POSITION, RANGE_LEAF, ROOT_BITS, ROOT_V4_LINE,
    ROOT_V6_LINE, SHORT_RANGE_STEPS, SKIP, STRIDE_MAX, STRIDE_MIN, Words, class_position, header,
};

use super::layer::{combine, layer};
use super::prefix::{Family, Prefix};

/// The class of every address: steps from each first address to the next, in order, from address zero on. Neighbours
/// differ. IPv4 addresses take the upper 32 bits.
pub type Ranges = Vec<(u128, Class)>;

/// The image's trie is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy image is damaged: its trie does not end in classes")]
pub struct BrokenImage;

/// The most entries that a walk reads, because a loop of nodes has no end. A database of a million prefixes has some
/// ten million, and five million listed addresses add two hundred million.
const ENTRIES_MAX: u64 = 1 << 29;

/// Walks one family's trie of an image, given by its words.
pub fn ranges(words: &[u32], family: Family) -> Result<Ranges, BrokenImage> {
    let root = match family {
        Family::V4 => ROOT_V4_LINE,
        Family::V6 => ROOT_V6_LINE,
    };
    let classes = Walk::through(words, root, family, |entry| {
        words.class_at(class_position(entry))
    })?;
    let hosts = host_table(words, family)?;
    if hosts.is_empty() {
        return Ok(classes);
    }
    let length = (128 - family.spare_bits()) as u8;
    let hosts = hosts
        .into_iter()
        .map(|(start, class)| (Prefix { start, length }, Some(class)));
    let hosts = layer(hosts, None);
    Ok(combine(&classes, &hosts, |class, host| {
        host.unwrap_or(class)
    }))
}

/// The position of the destination policy of every address, as steps; 0 where the header has it. Positions that differ
/// may have equal policies.
pub fn destinations(words: &[u32], family: Family) -> Result<Vec<(u128, u32)>, BrokenImage> {
    let root = match family {
        Family::V4 => header::DESTINATIONS_V4,
        Family::V6 => header::DESTINATIONS_V6,
    };
    match words.get(root).ok_or(BrokenImage)? {
        0 => Ok(vec![(0, 0)]),
        root => Walk::through(words, *root as usize, family, |entry| {
            Some(entry & POSITION)
        }),
    }
}

/// The addresses in the host table, in order.
fn host_table(words: &[u32], family: Family) -> Result<Vec<(u128, Class)>, BrokenImage> {
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

/// A walk through a trie whose leaves `read` understands.
struct Walk<'a, T, F> {
    words: &'a [u32],
    address_bits: u32,
    read: F,
    ranges: Vec<(u128, T)>,
    left: u64,
}

impl<'a, T: Copy + PartialEq, F: Fn(u32) -> Option<T>> Walk<'a, T, F> {
    /// Walks one family's trie from the root at this line.
    fn through(
        words: &'a [u32],
        root: usize,
        family: Family,
        read: F,
    ) -> Result<Vec<(u128, T)>, BrokenImage> {
        let root = words
            .get(root * LINE_WORDS..)
            .and_then(|words| words.get(..1 << ROOT_BITS))
            .ok_or(BrokenImage)?;
        let mut walk = Self {
            words,
            address_bits: 128 - family.spare_bits(),
            read,
            ranges: Vec::new(),
            left: ENTRIES_MAX,
        };
        for (value, entry) in (0_u128..).zip(root) {
            walk.entry(*entry, value << (128 - ROOT_BITS), ROOT_BITS)?;
        }
        Ok(walk.ranges)
    }

    /// Adds the entry for the block of addresses that begin with the first `bits` of `base`.
    fn entry(&mut self, entry: u32, base: u128, bits: u32) -> Result<(), BrokenImage> {
        self.left = self.left.checked_sub(1).ok_or(BrokenImage)?;
        let Some(node) = Node::of(entry) else {
            return if entry & RANGE_LEAF == 0 {
                self.leaf(entry, base)
            } else {
                self.range_leaf(entry, base, bits)
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
        let value = (self.read)(entry).ok_or(BrokenImage)?;
        if self.ranges.last().is_none_or(|(_, last)| *last != value) {
            self.ranges.push((start, value));
        }
        Ok(())
    }

    /// Adds a range leaf for the block of addresses that begin with the first `bits` of `base`.
    fn range_leaf(&mut self, entry: u32, base: u128, bits: u32) -> Result<(), BrokenImage> {
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
            // An unused step lies after the block, or at its very end with the leaf before it.
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
