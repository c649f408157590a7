//! The trie of cache lines, built from the steps of a layer.
//!
//! Nodes of equal content are stored once, whatever depth they come from, and a node that would hold one value only is
//! a leaf in the line above. A layer's steps always differ, so such a node is recognised before it is
//! built: no step lies inside it.
//!
//! A block in which a few steps lie deep down is a tail. Tails are hardly ever equal, so each is stored.
//!
//! A trie is built by itself, as if an image had nothing else, so that several can be built at once. Where its nodes
//! come to stand is known when it is written into the image.

use std::hash::BuildHasher as _;
use std::ops::{Range, RangeInclusive};

use foldhash::fast::FixedState;
use geofence_common::image::host_table::Fingerprint;
use geofence_common::image::{
    INDIRECT, LEAF, LINE_SHIFT, LINE_WORDS, LINES_MAX, LONG_RANGE_STEPS, Line, Node, RANGE_LEAF,
    ROOT_BITS, ROOT_LINES, SHORT_RANGE_STEPS, STRIDE_MAX, STRIDE_MIN,
};
use hashbrown::HashTable;

use super::prefix::Family;

/// How many bits a node may consume where enough of the blocks below are split again, the most first.
const WIDE: [u32; 3] = [STRIDE_MAX, 12, 8];

/// A tail in place of nodes that would consume more bits than this to reach the deepest step.
const SHALLOW: u32 = STRIDE_MIN;

/// There are more nodes than an image can hold.
pub(super) struct Full;

/// A trie of its own, whose nodes are counted from its first line.
pub(super) struct Trie {
    root: Vec<Line>,
    /// Nodes and tails.
    lines: Vec<Line>,
    /// The nodes that are stored, in order, and to be found by their content.
    nodes: Vec<Node>,
    known: HashTable<Node>,
    hash: FixedState,
}

impl Trie {
    /// The trie of these steps; `leaf` gives the entry of a value, which is marked for hosts among its addresses. Hosts
    /// come in order.
    pub(super) fn new<T: Copy>(
        family: Family,
        steps: &[(u128, T)],
        hosts: &[u128],
        leaf: impl Fn(T) -> u32,
    ) -> Result<Self, Full> {
        let mut trie = Self {
            root: vec![[0; LINE_WORDS]; ROOT_LINES],
            lines: Vec::new(),
            nodes: Vec::new(),
            known: HashTable::new(),
            hash: FixedState::default(),
        };
        let mut cursor = Cursor {
            steps,
            at: 0,
            hosts,
            family,
        };
        for value in 0..1_usize << ROOT_BITS {
            let base = (value as u128) << (128 - ROOT_BITS);
            let entry = trie.entry(&mut cursor, &leaf, base, ROOT_BITS)?;
            trie.root[value / LINE_WORDS][value % LINE_WORDS] = entry;
        }
        Ok(trie)
    }

    /// Writes the root into an image, from this line on, and all below it behind the image's lines.
    pub(super) fn write(mut self, image: &mut Vec<Line>, root: usize) -> Result<(), Full> {
        if image.len() + self.lines.len() > LINES_MAX {
            return Err(Full);
        }
        let first = image.len() as u32;
        for entry in self.root.as_flattened_mut() {
            *entry = moved(*entry, first);
        }
        for node in &self.nodes {
            for entry in &mut self.lines.as_flattened_mut()[entries(*node)] {
                *entry = moved(*entry, first);
            }
        }
        image[root..root + ROOT_LINES].copy_from_slice(&self.root);
        image.append(&mut self.lines);
        Ok(())
    }

    /// The entry for the block of addresses that begin with the first `bits` of `base`.
    fn entry<T: Copy>(
        &mut self,
        cursor: &mut Cursor<'_, T>,
        leaf: &impl Fn(T) -> u32,
        base: u128,
        bits: u32,
    ) -> Result<u32, Full> {
        let end = base | u128::MAX.checked_shr(bits).unwrap_or(0);
        let value = cursor.value_at(base);
        if cursor.next_start().is_none_or(|next| next > end) {
            return Ok(cursor.with_hosts(leaf(value), base, end));
        }
        if let Some(tail) = cursor.tail(bits, end) {
            return self.store_tail(cursor, base..=end, leaf(value), tail, leaf);
        }
        // A step inside the block means that it is longer than one address, so there are bits left to split by.
        match cursor.node_bits(bits, end) {
            STRIDE_MIN => self.node(cursor, leaf, base, bits, &mut [0; LINE_WORDS]),
            wide => self.node(cursor, leaf, base, bits, &mut vec![0; 1 << wide]),
        }
    }

    /// The entry of a node with so many entries, for the block of addresses that begin with the first `bits` of `base`.
    fn node<T: Copy>(
        &mut self,
        cursor: &mut Cursor<'_, T>,
        leaf: &impl Fn(T) -> u32,
        base: u128,
        bits: u32,
        entries: &mut [u32],
    ) -> Result<u32, Full> {
        let node_bits = entries.len().ilog2();
        let below = bits + node_bits;
        for (value, entry) in (0_u128..).zip(entries.iter_mut()) {
            *entry = self.entry(cursor, leaf, base | value << (128 - below), below)?;
        }
        self.store(entries, node_bits)
    }

    /// The entry of a tail for a block that has this leaf up to the first of the steps.
    fn store_tail<T: Copy>(
        &mut self,
        cursor: &mut Cursor<'_, T>,
        block: RangeInclusive<u128>,
        first: u32,
        tail: Tail<'_, T>,
        leaf: &impl Fn(T) -> u32,
    ) -> Result<u32, Full> {
        let Tail { steps, skip } = tail;
        let at = self.lines.len();
        if at >= LINES_MAX {
            return Err(Full);
        }
        let mut line = [u32::MAX; LINE_WORDS];
        let leaves = if skip == 0 {
            let (leaves, starts) = line.split_at_mut(LONG_RANGE_STEPS + 1);
            let (starts, _) = starts.as_chunks_mut::<4>();
            for ((start, _), place) in steps.iter().zip(starts) {
                *place = [96, 64, 32, 0].map(|shift| (start >> shift) as u32);
            }
            leaves
        } else {
            let (leaves, starts) = line.split_at_mut(SHORT_RANGE_STEPS + 1);
            for ((start, _), place) in steps.iter().zip(starts) {
                *place = (start << skip >> 96) as u32;
            }
            leaves
        };
        let mut start = *block.start();
        let values = std::iter::once(first).chain(steps.iter().map(|(_, value)| leaf(*value)));
        for (number, leaf) in values.enumerate() {
            let next = steps.get(number).map(|(next, _)| *next);
            let end = next.map_or(*block.end(), |next| next - 1);
            leaves[number..].fill(cursor.with_hosts(leaf, start, end));
            start = end.wrapping_add(1);
        }
        self.lines.push(line);
        Ok(TAIL_ENTRY | (at as u32) << LINE_SHIFT | (skip / STRIDE_MIN))
    }

    /// The entry of a node of these entries, which is stored unless an equal one is.
    fn store(&mut self, entries: &[u32], bits: u32) -> Result<u32, Full> {
        let Self {
            lines,
            nodes,
            known,
            hash,
            ..
        } = self;
        let wanted = hash.hash_one(entries);
        if let Some(node) = known.find(wanted, |node| content(lines, *node) == entries) {
            return Ok(node.entry());
        }
        let (chunks, _) = entries.as_chunks::<LINE_WORDS>();
        if lines.len() + chunks.len() > LINES_MAX {
            return Err(Full);
        }
        let node = Node::new(lines.len() as u32, bits);
        lines.extend_from_slice(chunks);
        nodes.push(node);
        known.insert_unique(wanted, node, |node| hash.hash_one(content(lines, *node)));
        Ok(node.entry())
    }
}

/// The entries of a stored node.
fn content(lines: &[Line], node: Node) -> &[u32] {
    &lines.as_flattened()[entries(node)]
}

/// The words where they stand.
fn entries(node: Node) -> Range<usize> {
    let position = node.position() as usize;
    position..position + (1 << node.bits())
}

/// An entry whose node or tail stands so many lines further on.
fn moved(entry: u32, lines: u32) -> u32 {
    match entry & (LEAF | RANGE_LEAF) {
        LEAF => entry,
        TAIL_ENTRY => entry + (lines << LINE_SHIFT),
        _ => entry + lines,
    }
}

/// What the entry of a tail has set.
const TAIL_ENTRY: u32 = LEAF | RANGE_LEAF;

/// What a tail tells apart.
struct Tail<'a, T> {
    steps: &'a [(u128, T)],
    /// The address bits that a short one skips; a long one skips none.
    skip: u32,
}

/// A position in a layer that only moves forward.
struct Cursor<'a, T> {
    steps: &'a [(u128, T)],
    at: usize,
    /// Hosts that were not passed yet.
    hosts: &'a [u128],
    family: Family,
}

impl<'a, T: Copy> Cursor<'a, T> {
    fn next_start(&self) -> Option<u128> {
        self.steps.get(self.at + 1).map(|(start, _)| *start)
    }

    /// The leaf of these addresses, none of which was asked about before, with what it says of hosts among them.
    fn with_hosts(&mut self, leaf: u32, start: u128, end: u128) -> u32 {
        // Most blocks have none before them, and few have many.
        while self.hosts.first().is_some_and(|host| *host < start) {
            self.hosts = &self.hosts[1..];
        }
        if self.hosts.first().is_none_or(|host| *host > end) {
            return leaf;
        }
        if leaf & INDIRECT != 0 {
            return leaf;
        }
        let among = self.hosts.iter().take_while(|host| **host <= end);
        among.fold(leaf, |leaf, host| {
            leaf | Fingerprint::of(&self.family.address(*host)).leaf_bit()
        })
    }

    fn value_at(&mut self, address: u128) -> T {
        while self.next_start().is_some_and(|next| next <= address) {
            self.at += 1;
        }
        self.steps[self.at].1
    }

    /// The steps inside a block whose first address has been reached, if they make a tail.
    fn tail(&self, bits: u32, end: u128) -> Option<Tail<'a, T>> {
        let behind = &self.steps[self.at + 1..];
        let first = &behind[..behind.len().min(SHORT_RANGE_STEPS + 1)];
        let inside = first.partition_point(|(start, _)| *start <= end);
        let steps = &first[..inside];
        let deepest = steps
            .iter()
            .map(|(start, _)| 128 - start.trailing_zeros())
            .max()?;
        if deepest <= bits + SHALLOW {
            return None;
        }
        // Some are skipped in any case, because none is what a long tail says.
        let skip = deepest
            .saturating_sub(32)
            .max(1)
            .next_multiple_of(STRIDE_MIN);
        if inside <= SHORT_RANGE_STEPS && skip <= bits && deepest <= 64 {
            Some(Tail { steps, skip })
        } else {
            (inside <= LONG_RANGE_STEPS).then_some(Tail { steps, skip: 0 })
        }
    }

    /// How many bits to split a block by whose first address has been reached: as many as leave half of the lines that
    /// there would be anyway.
    fn node_bits(&self, bits: u32, end: u128) -> u32 {
        let behind = &self.steps[self.at + 1..];
        let inside = &behind[..behind.partition_point(|(start, _)| *start <= end)];
        WIDE.into_iter()
            // A walk reads an address in two halves, and no node crosses from one to the other.
            .filter(|wide| bits % 64 + wide <= 64)
            .find(|wide| {
                are_split(
                    inside,
                    bits + wide - STRIDE_MIN,
                    1 << (wide - STRIDE_MIN) >> 1,
                )
            })
            .unwrap_or(STRIDE_MIN)
    }
}

/// Whether steps lie inside so many of the blocks of this many address bits, and not only at their starts.
fn are_split<T>(steps: &[(u128, T)], bits: u32, wanted: usize) -> bool {
    if steps.len() < wanted {
        return false;
    }
    let inside = steps.iter().filter(|(start, _)| start << bits != 0);
    let mut last = None;
    inside
        .map(|(start, _)| start >> (128 - bits))
        .filter(|block| last.replace(*block) != Some(*block))
        .take(wanted)
        .count()
        == wanted
}

#[cfg(test)]
mod tests {
    use geofence_common::address::Address;
    use geofence_common::image::{FREE_LINE, Lookup as _, ROOT_V6_LINE};
    use proptest::prelude::*;

    use super::*;

    /// The trie of a layer whose values are the positions of its leaves.
    fn trie(steps: &[(u128, u32)]) -> Vec<Line> {
        let mut lines = vec![[0; LINE_WORDS]; FREE_LINE];
        let leaf = |value| LEAF | INDIRECT | value;
        let trie = Trie::new(Family::V6, steps, &[], leaf);
        let written = trie.and_then(|trie| trie.write(&mut lines, ROOT_V6_LINE));
        assert!(written.is_ok());
        lines
    }

    fn found(lines: &[Line], address: u128) -> Option<u32> {
        lines.as_flattened().class_lookup(&Address::v6(address))
    }

    #[test]
    fn an_address_on_its_own_costs_one_line() {
        const COUNT: u128 = 1000;
        // One in each of a thousand networks of 64 bits, in a place of its own.
        let address = |number: u128| {
            (0x2a02 << 112) + (number << 64) + number * 0x0123_4567_89ab_cdef % (1 << 64)
        };
        let mut steps = vec![(0, 7)];
        for number in 1..=COUNT {
            steps.extend([(address(number), 8), (address(number) + 1, 7)]);
        }
        let lines = trie(&steps);
        for number in 1..=COUNT {
            let around = [-1_i128, 0, 1].map(|by| address(number).wrapping_add_signed(by));
            let found = around.map(|address| found(&lines, address));
            assert_eq!(found, [Some(7), Some(8), Some(7)], "{number}");
        }
        // Down to the networks there are nodes, and from each of them a tail.
        let below = lines.len() - FREE_LINE;
        assert!((1000..1150).contains(&below), "{below} lines");
    }

    proptest! {
        #[test]
        fn every_address_has_the_value_of_the_last_step_before_it(
            base: u128,
            near in prop::collection::btree_set(any::<(u8, u8)>(), 0..24),
            more in prop::collection::vec(any::<u128>(), 0..4),
        ) {
            let steps: std::collections::BTreeSet<u128> = near
                .iter()
                .map(|(value, shift)| base ^ u128::from(*value) << (shift % 121))
                .chain(more)
                .chain([0, u128::MAX])
                .collect();
            let steps: Vec<_> = steps.into_iter().zip(16_u32..).collect();
            let lines = trie(&steps);
            for (number, (start, value)) in steps.iter().enumerate() {
                prop_assert_eq!(found(&lines, *start), Some(*value));
                let end = steps.get(number + 1).map_or(u128::MAX, |(next, _)| next - 1);
                prop_assert_eq!(found(&lines, end), Some(*value));
            }
        }
    }
}
