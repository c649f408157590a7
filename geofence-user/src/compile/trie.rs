//! The trie of an image (an LC-trie of cache lines), built from the steps of a layer.
//!
//! Nodes with equal content are stored once, whatever depth they come from. A node that would have one value is a leaf
//! in the line above: because the steps of a layer differ, a block without a step inside has one value. A block with a
//! few deep steps is a range leaf; these are hardly ever equal, so each is stored.
//!
//! A trie is built with positions of its own, so that several can be built at the same time. `write` moves it to its
//! place in the image.

use std::hash::BuildHasher as _;
use std::ops::{Range, RangeInclusive};

use foldhash::fast::FixedState;
use geofence_common::image::{
    LEAF, LINE_SHIFT, LINE_WORDS, LINES_MAX, LONG_RANGE_STEPS, Line, Node, RANGE_LEAF, ROOT_BITS,
    ROOT_LINES, SHORT_RANGE_STEPS, STRIDE_MIN,
};
use hashbrown::HashTable;

use super::trie_cursor::{Cursor, RangeLeaf};

/// There are more nodes than an image can hold.
pub(super) struct Full;

/// A trie, with positions relative to its own first line.
pub(super) struct Trie {
    root: Vec<Line>,
    /// Nodes and range leaves.
    lines: Vec<Line>,
    /// The stored nodes, in order, and a table that finds them by content.
    nodes: Vec<Node>,
    known: HashTable<Node>,
    hash: FixedState,
}

impl Trie {
    /// The trie of the steps that a cursor reads. `leaf` gives the entry of a value; the filter bits of the hosts in
    /// its block are added.
    pub(super) fn new<T: Copy>(
        mut cursor: Cursor<'_, T>,
        leaf: impl Fn(T) -> u32,
    ) -> Result<Self, Full> {
        let mut trie = Self {
            root: vec![[0; LINE_WORDS]; ROOT_LINES],
            lines: Vec::new(),
            nodes: Vec::new(),
            known: HashTable::new(),
            hash: FixedState::default(),
        };
        for value in 0..1_usize << ROOT_BITS {
            let base = (value as u128) << (128 - ROOT_BITS);
            let entry = trie.entry(&mut cursor, &leaf, base, ROOT_BITS)?;
            trie.root[value / LINE_WORDS][value % LINE_WORDS] = entry;
        }
        Ok(trie)
    }

    /// Writes the root into an image at this line, and appends everything below it.
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
        if let Some(range_leaf) = cursor.range_leaf(bits, end) {
            return self.store_range_leaf(cursor, base..=end, leaf(value), range_leaf, leaf);
        }
        // A block with a step inside has more than one address, so there are bits left to split by.
        match cursor.stride(bits, end) {
            STRIDE_MIN => self.node(cursor, leaf, base, bits, &mut [0; LINE_WORDS]),
            wide => self.node(cursor, leaf, base, bits, &mut vec![0; 1 << wide]),
        }
    }

    /// The entry of a node for the block of addresses that begin with the first `bits` of `base`.
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

    /// The entry of a range leaf for a block that has the leaf `first` up to the first of the steps.
    fn store_range_leaf<T: Copy>(
        &mut self,
        cursor: &mut Cursor<'_, T>,
        block: RangeInclusive<u128>,
        first: u32,
        range_leaf: RangeLeaf<'_, T>,
        leaf: &impl Fn(T) -> u32,
    ) -> Result<u32, Full> {
        let RangeLeaf { steps, skip } = range_leaf;
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
        Ok(RANGE_LEAF_ENTRY | (at as u32) << LINE_SHIFT | (skip / STRIDE_MIN))
    }

    /// The entry of a node with this content, which is stored unless an equal one exists.
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

/// The words of a node.
fn entries(node: Node) -> Range<usize> {
    let position = node.position() as usize;
    position..position + (1 << node.bits())
}

/// An entry whose node or range leaf has moved by this many lines.
fn moved(entry: u32, lines: u32) -> u32 {
    match entry & (LEAF | RANGE_LEAF) {
        LEAF => entry,
        RANGE_LEAF_ENTRY => entry + (lines << LINE_SHIFT),
        _ => entry + lines,
    }
}

/// The bits that the entry of a range leaf has set.
const RANGE_LEAF_ENTRY: u32 = LEAF | RANGE_LEAF;

#[cfg(test)]
mod tests {
    use geofence_common::address::Address;
    use geofence_common::image::{FREE_LINE, INDIRECT, Lookup as _, ROOT_V6_LINE};
    use proptest::prelude::*;

    use super::*;
    use crate::compile::mechanisms::Mechanisms;
    use crate::compile::prefix::Family;

    /// The trie of a layer whose values are the positions of its leaves.
    fn trie(steps: &[(u128, u32)]) -> Vec<Line> {
        let mut lines = vec![[0; LINE_WORDS]; FREE_LINE];
        let leaf = |value| LEAF | INDIRECT | value;
        let trie = Trie::new(Cursor::new(Family::V6, steps, &[], Mechanisms::ALL), leaf);
        let written = trie.and_then(|trie| trie.write(&mut lines, ROOT_V6_LINE));
        assert!(written.is_ok());
        lines
    }

    fn found(lines: &[Line], address: u128) -> Option<u32> {
        lines.as_flattened().class_lookup(&Address::v6(address))
    }

    #[test]
    fn lone_address_costs_one_line() {
        const COUNT: u128 = 1000;
        // One at a different place in each of a thousand /64 networks.
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
        // Nodes lead to the networks, and each network is a range leaf.
        let below = lines.len() - FREE_LINE;
        assert!((1000..1150).contains(&below), "{below} lines");
    }

    proptest! {
        #[test]
        fn trie_gives_the_value_of_the_last_step_before_an_address(
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
