//! The trie of cache lines, built from the steps of a layer.
//!
//! Nodes of equal content are stored once, whichever family and depth they come from, and a node that would hold one
//! value only is a leaf in the line above. A layer's steps always differ, so such a node is recognised before it is
//! built: no step lies inside it.

use std::collections::HashMap;

use geofence_common::image::{LINE_WORDS, Line, NODE_BITS, ROOT_BITS};

/// The most lines an image can have. The walk multiplies a line by sixteen in 32 bits; half of what that allows is
/// 4 GiB, far beyond any kernel array worth having.
const LINES_MAX: usize = 1 << 26;

/// There are more nodes than an image can hold.
pub(super) struct Full;

/// Adds tries to an image's lines.
pub(super) struct Trie {
    lines: Vec<Line>,
    known: HashMap<Line, u32>,
}

impl Trie {
    /// Roots are written into these lines, nodes behind them.
    pub(super) fn new(lines: Vec<Line>) -> Self {
        Self {
            lines,
            known: HashMap::new(),
        }
    }

    /// Writes the root that starts at this line and the nodes below it; `leaf` gives the entry of a value.
    pub(super) fn add_family<T: Copy>(
        &mut self,
        root: usize,
        steps: &[(u128, T)],
        leaf: impl Fn(T) -> u32,
    ) -> Result<(), Full> {
        let mut cursor = Cursor { steps, at: 0 };
        for value in 0..1_usize << ROOT_BITS {
            let base = (value as u128) << (128 - ROOT_BITS);
            let entry = self.entry(&mut cursor, &leaf, base, ROOT_BITS)?;
            self.lines[root + value / LINE_WORDS][value % LINE_WORDS] = entry;
        }
        Ok(())
    }

    pub(super) fn into_lines(self) -> Vec<Line> {
        self.lines
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
            return Ok(leaf(value));
        }
        // A step inside the block means that it is longer than one address, so there are bits left to split by.
        let mut node = [0; LINE_WORDS];
        for (value, entry) in (0_u128..).zip(&mut node) {
            let child = base | value << (128 - bits - NODE_BITS);
            *entry = self.entry(cursor, leaf, child, bits + NODE_BITS)?;
        }
        self.store(node)
    }

    fn store(&mut self, node: Line) -> Result<u32, Full> {
        if let Some(line) = self.known.get(&node) {
            return Ok(*line);
        }
        if self.lines.len() >= LINES_MAX {
            return Err(Full);
        }
        let line = self.lines.len() as u32;
        self.lines.push(node);
        self.known.insert(node, line);
        Ok(line)
    }
}

/// A position in a layer that only moves forward.
struct Cursor<'a, T> {
    steps: &'a [(u128, T)],
    at: usize,
}

impl<T: Copy> Cursor<'_, T> {
    fn next_start(&self) -> Option<u128> {
        self.steps.get(self.at + 1).map(|(start, _)| *start)
    }

    fn value_at(&mut self, address: u128) -> T {
        while self.next_start().is_some_and(|next| next <= address) {
            self.at += 1;
        }
        self.steps[self.at].1
    }
}
