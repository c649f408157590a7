//! Entries of the trie: how a word names a node, a range leaf or a leaf.

use crate::image::layout::{CLASS_TABLE, CLASS_WORDS, LINE_WORDS};

/// Set in a trie entry that ends the walk.
pub const LEAF: u32 = 1 << 31;

/// Set beside `LEAF` in an entry that names a tail.
pub const RANGE_LEAF: u32 = 1 << 30;

/// Set beside `LEAF` in a leaf that has the position of its class, and neither number nor marks.
pub const INDIRECT: u32 = 1 << 29;

/// Where a tail, a far class or a policy stands, in an entry that ends the walk.
pub const POSITION: u32 = INDIRECT - 1;

/// The number of the class, in a leaf that is not far.
pub const CLASS_NUMBER: u32 = (1 << CLASS_NUMBER_BITS) - 1;

/// The lowest bit that may be a mark, and how many may be.
pub const CLASS_NUMBER_BITS: u32 = 10;

pub const FILTER_BITS: u32 = INDIRECT.trailing_zeros() - CLASS_NUMBER_BITS;

/// Of the position of a tail, which is that of a line: a quarter of the address bits that a short one skips.
pub const SKIP: u32 = LINE_WORDS as u32 - 1;

/// How many addresses a tail has at which its leaves change, each from its highest word to its lowest. They stand
/// behind the leaves, of which there is one more. One that is not needed is the last address of all.
pub const SHORT_RANGE_STEPS: usize = 7;

pub const LONG_RANGE_STEPS: usize = 3;

/// Address bits the root consumes.
pub const ROOT_BITS: u32 = 16;

/// The fewest address bits a node consumes, those of one line, and the most.
pub const STRIDE_MIN: u32 = 4;

pub const STRIDE_MAX: u32 = 16;

/// Where a node's entry keeps the shift that leaves the bits it consumes of 64.
const SHIFT: u32 = 25;

/// The lines that an entry can name.
pub const LINES_MAX: usize = 1 << SHIFT;

/// A trie node as its entry names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(u32);

impl Node {
    /// The node that starts at this line and consumes this many bits.
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

    /// What 64 address bits are shifted right by, so that those the node consumes are left.
    #[inline(always)]
    pub(crate) const fn shift(self) -> u32 {
        self.0 >> SHIFT
    }

    /// How many address bits the node consumes.
    #[must_use]
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        64_u32.wrapping_sub(self.shift())
    }
}

/// The leaf of a class of this number, without hosts.
#[must_use]
pub const fn class_leaf(number: u32) -> u32 {
    if number <= CLASS_NUMBER {
        LEAF | number
    } else {
        LEAF | INDIRECT | (CLASS_TABLE + number * CLASS_WORDS as u32)
    }
}

/// The word where the class of a leaf stands.
#[must_use]
#[inline(always)]
pub const fn class_position(leaf: u32) -> u32 {
    if leaf & INDIRECT == 0 {
        CLASS_TABLE + (leaf & CLASS_NUMBER) * CLASS_WORDS as u32
    } else {
        leaf & POSITION
    }
}
