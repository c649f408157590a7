//! The trie of cache lines, built from the steps of a layer.
//!
//! Nodes of equal content are stored once, whichever family and depth they come from, and a node that would hold one
//! class only is a leaf in the line above. A layer's steps always differ, so such a node is recognised before it is
//! built: no step lies inside it.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use geofence_common::class::Class;
use geofence_common::image::{
    LINE_WORDS, LINES_MAX, Line, NODE_BITS, NODE_BITS_MAX, Node, ROOT_BITS,
};
use hashbrown::HashTable;

/// Of the sixteen blocks of a line, how many must be split again for a node of both levels to be worth its lines.
const DENSE: u32 = 8;

/// There are more nodes than an image can hold.
pub(super) struct Full;

/// Adds tries to an image's lines.
pub(super) struct Trie<L> {
    lines: Vec<Line>,
    /// The nodes that are stored, to be found by their content.
    known: HashTable<Node>,
    hash: FixedState,
    leaf: L,
}

impl<L: Fn(Class) -> u32> Trie<L> {
    /// Roots are written into these lines, nodes behind them; `leaf` gives the entry of a class.
    pub(super) fn new(lines: Vec<Line>, leaf: L) -> Self {
        Self {
            lines,
            known: HashTable::new(),
            hash: FixedState::default(),
            leaf,
        }
    }

    /// Writes the root that starts at this line and the nodes below it.
    pub(super) fn add_family(&mut self, root: usize, steps: &[(u128, Class)]) -> Result<(), Full> {
        let mut cursor = Cursor { steps, at: 0 };
        for value in 0..1_usize << ROOT_BITS {
            let base = (value as u128) << (128 - ROOT_BITS);
            let entry = self.entry(&mut cursor, base, ROOT_BITS)?;
            self.lines[root + value / LINE_WORDS][value % LINE_WORDS] = entry;
        }
        Ok(())
    }

    pub(super) fn into_lines(self) -> Vec<Line> {
        self.lines
    }

    /// The entry for the block of addresses that begin with the first `bits` of `base`.
    fn entry(&mut self, cursor: &mut Cursor<'_>, base: u128, bits: u32) -> Result<u32, Full> {
        let end = base | u128::MAX.checked_shr(bits).unwrap_or(0);
        let class = cursor.class_at(base);
        if cursor.next_start().is_none_or(|next| next > end) {
            return Ok((self.leaf)(class));
        }
        // A step inside the block means that it is longer than one address, so there are bits left to split by.
        let below = bits + cursor.node_bits(bits, end);
        let mut entries = vec![0; 1 << (below - bits)];
        for (value, entry) in (0_u128..).zip(&mut entries) {
            *entry = self.entry(cursor, base | value << (128 - below), below)?;
        }
        self.store(&entries, below - bits)
    }

    /// The entry of a node of these entries, which is stored unless an equal one is.
    fn store(&mut self, entries: &[u32], bits: u32) -> Result<u32, Full> {
        let Self {
            lines, known, hash, ..
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
        known.insert_unique(wanted, node, |node| hash.hash_one(content(lines, *node)));
        Ok(node.entry())
    }
}

/// The entries of a stored node.
fn content(lines: &[Line], node: Node) -> &[u32] {
    let position = node.position() as usize;
    &lines.as_flattened()[position..position + (1 << node.bits())]
}

/// A position in a layer that only moves forward.
struct Cursor<'a> {
    steps: &'a [(u128, Class)],
    at: usize,
}

impl Cursor<'_> {
    fn next_start(&self) -> Option<u128> {
        self.steps.get(self.at + 1).map(|(start, _)| *start)
    }

    fn class_at(&mut self, address: u128) -> Class {
        while self.next_start().is_some_and(|next| next <= address) {
            self.at += 1;
        }
        self.steps[self.at].1
    }
    /// How many bits to split a block by whose first address has been reached: twice the fewest where most of the
    /// lines below would be there anyway.
    fn node_bits(&self, bits: u32, end: u128) -> u32 {
        // A walk reads an address in two halves, and no node crosses from one to the other.
        if !bits.is_multiple_of(NODE_BITS_MAX) {
            return NODE_BITS;
        }
        let level = bits + NODE_BITS;
        let mut split = 0;
        let mut last = None;
        for (start, _) in &self.steps[self.at + 1..] {
            if *start > end || split == DENSE {
                break;
            }
            let block = start.checked_shr(128 - level);
            if start.unbounded_shl(level) != 0 && last != block {
                split += 1;
                last = block;
            }
        }
        if split == DENSE {
            NODE_BITS_MAX
        } else {
            NODE_BITS
        }
    }
}
