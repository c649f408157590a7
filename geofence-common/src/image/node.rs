//! Trie entries: one word names a node, a range leaf or a leaf.
//!
//! ```text
//! node            0  | 64 - stride (6) | line (25)
//! leaf            1 0 0 | filter bits (19) | class number (10)
//! indirect leaf   1 0 1 | position of the class record (29)
//! range leaf      1 1 | position of a line (30), whose lowest 4 bits are the skip
//! ```
//!
//! A node has an entry for each value of the next 4 to 16 address bits (its stride): where prefixes are dense, a wide
//! stride keeps the walk short. A range leaf is a line that ends the walk early: leaves, and the addresses where one
//! gives way to the next. A short one has eight leaves and compares 32 address bits, behind skip times four. A long one
//! has skip 0, four leaves, and compares whole IPv6 addresses. See `host_table` for the filter bits.

use crate::image::layout::{CLASS_TABLE, CLASS_WORDS, LINE_WORDS};

/// Set in a trie entry that ends the walk.
pub const LEAF: u32 = 1 << 31;

/// Set beside `LEAF` in an entry that names a range leaf.
pub const RANGE_LEAF: u32 = 1 << 30;

/// Set beside `LEAF` in an indirect leaf: it holds the position of its class record, and neither number nor filter.
pub const INDIRECT: u32 = 1 << 29;

/// The position of a range leaf, a class record or a destination policy, in an entry that ends the walk.
pub const POSITION: u32 = INDIRECT - 1;

/// Beside the position of a class that a look-up found: the host table may have another class for the address.
pub const MAY_BE_HOST: u32 = 1 << 31;

/// The number of the class, in a direct leaf.
pub const CLASS_NUMBER: u32 = (1 << CLASS_NUMBER_BITS) - 1;

/// The lowest bit of the filter, and its width.
pub const CLASS_NUMBER_BITS: u32 = 10;

pub const FILTER_BITS: u32 = INDIRECT.trailing_zeros() - CLASS_NUMBER_BITS;

/// The filter, in a direct leaf.
pub const FILTER: u32 = POSITION & !CLASS_NUMBER;

/// The bits of a range leaf's position that hold its skip, in units of four address bits.
pub const SKIP: u32 = LINE_WORDS as u32 - 1;

/// The addresses in a range leaf at which its leaves change, highest word first. They stand behind the leaves, of which
/// there is one more. An unused one is the highest address.
pub const SHORT_RANGE_STEPS: usize = 7;

pub const LONG_RANGE_STEPS: usize = 3;

/// The stride of a root.
pub const ROOT_BITS: u32 = 16;

/// The smallest stride of a node, which fills one line, and the largest.
pub const STRIDE_MIN: u32 = 4;

pub const STRIDE_MAX: u32 = 16;

/// The lowest bit of a node's shift (64 less the stride).
const SHIFT: u32 = 25;

/// The most lines that an entry can address.
pub const LINES_MAX: usize = 1 << SHIFT;

/// A trie node, as its entry names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(u32);

impl Node {
    /// The node at this line with this stride.
    #[must_use]
    pub const fn new(line: u32, bits: u32) -> Self {
        Self((64 - bits) << SHIFT | line)
    }

    /// The node that an entry names, unless it is a leaf.
    #[must_use]
    #[inline(always)]
    pub const fn of(entry: u32) -> Option<Self> {
        if entry & LEAF == 0 {
            Some(Self(entry))
        } else {
            None
        }
    }

    #[must_use]
    pub const fn entry(self) -> u32 {
        self.0
    }

    /// The position of the node's first entry.
    #[must_use]
    #[inline(always)]
    pub const fn position(self) -> u32 {
        (self.0 & (LINES_MAX as u32 - 1)) << LINE_WORDS.trailing_zeros()
    }

    /// Shifting 64 address bits right by this leaves the bits that the node consumes.
    #[inline(always)]
    pub(crate) const fn shift(self) -> u32 {
        self.0 >> SHIFT
    }

    /// The stride of the node.
    #[must_use]
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        64_u32.wrapping_sub(self.shift())
    }
}

/// The leaf of the class with this number, with an empty filter.
#[must_use]
pub const fn class_leaf(number: u32) -> u32 {
    if number <= CLASS_NUMBER {
        LEAF | number
    } else {
        LEAF | INDIRECT | (CLASS_TABLE + number * CLASS_WORDS as u32)
    }
}

/// The position of the class record of a leaf.
#[must_use]
#[inline(always)]
pub const fn class_position(leaf: u32) -> u32 {
    if leaf & INDIRECT == 0 {
        CLASS_TABLE + (leaf & CLASS_NUMBER) * CLASS_WORDS as u32
    } else {
        leaf & POSITION
    }
}
