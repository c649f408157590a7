//! Look-ups in the image's tries (LC-tries: path and level compression, as in the kernel's fib_trie).
//!
//! Every loop has a constant bound. Choices between leaves are arithmetic, because the verifier follows both ways of a
//! branch.

use crate::address::Address;
use crate::image::host_table::{self, Fingerprint};
use crate::image::layout::{LINE_SHIFT, ROOT_V4_LINE, ROOT_V6_LINE, header};
use crate::image::node::{
    FILTER, INDIRECT, LEAF, LONG_RANGE_STEPS, MAY_BE_HOST, Node, POSITION, RANGE_LEAF, ROOT_BITS,
    SHORT_RANGE_STEPS, SKIP, STRIDE_MIN, class_position,
};
use crate::image::words::Words;
use crate::opaque::Opaque as _;

/// The most nodes behind the root: through 32 address bits, through 64, and through 64 without a root.
const NODES_V4: u32 = (32 - ROOT_BITS) / STRIDE_MIN;

const NODES_V6_HIGH: u32 = (64 - ROOT_BITS) / STRIDE_MIN;

const NODES_V6_LOW: u32 = 64 / STRIDE_MIN;

/// Longest-prefix look-ups in an image.
pub trait Lookup: Words {
    /// The position of the class of the longest prefix that holds the address.
    ///
    /// Without rules, no host table is read. On the fast path, `MAY_BE_HOST` is set beside the position if the address
    /// may be in it.
    #[inline(always)]
    fn class_lookup(&self, address: &Address) -> Option<u32> {
        let [high, low] = address.words();
        let leaf = if address.is_v6() {
            walk::<_, NODES_V6_HIGH, NODES_V6_LOW>(self, ROOT_V6_LINE as u32, high, low)?
        } else {
            walk::<_, NODES_V4, 0>(self, ROOT_V4_LINE as u32, high, 0)?
        };
        // The verifier must not follow each way through the walk.
        let leaf = leaf.opaque(self);
        if Self::IS_FAST_PATH {
            let named = leaf.opaque(self);
            let may_be_host = named & (FILTER | INDIRECT) != 0
                && named & (Fingerprint::of(address).leaf_bit() | INDIRECT) != 0;
            let may_be_host = if may_be_host { MAY_BE_HOST } else { 0 };
            return Some(class_position(leaf) | may_be_host);
        }
        if !Self::HAS_RULES {
            return Some(class_position(leaf));
        }
        let fingerprint = Fingerprint::of(address);
        if leaf & (fingerprint.leaf_bit() | INDIRECT) == 0 {
            return Some(class_position(leaf));
        }
        // Direct and indirect leaves are distinguished only here, where few packets come.
        let class = class_position(leaf.opaque(self)).opaque(self);
        let host = host_table::find(self, address, fingerprint).opaque(self);
        Some(if host == 0 { class } else { host })
    }

    /// The position of the destination policy of the longest prefix that holds the address, in an image that has such
    /// policies.
    #[inline(always)]
    fn policy_lookup(&self, address: &Address) -> Option<u32> {
        let [high, low] = address.words();
        let leaf = if address.is_v6() {
            let root = self.word(header::DESTINATIONS_V6 as u32)?;
            walk::<_, NODES_V6_HIGH, NODES_V6_LOW>(self, root, high, low)?
        } else {
            let root = self.word(header::DESTINATIONS_V4 as u32)?;
            walk::<_, NODES_V4, 0>(self, root, high, 0)?
        };
        Some(leaf & POSITION)
    }
}

impl<W: Words + ?Sized> Lookup for W {}

/// Walks from a root to a leaf. `high` and `low` are the address, left-aligned. No node consumes bits of both.
#[inline(always)]
fn walk<W: Words + ?Sized, const NODES_HIGH: u32, const NODES_LOW: u32>(
    words: &W,
    root: u32,
    high: u64,
    low: u64,
) -> Option<u32> {
    let first = (root << LINE_SHIFT).wrapping_add((high >> (64 - ROOT_BITS)) as u32);
    let entry = words.word(first)?;
    let entry = descend::<_, NODES_HIGH>(words, entry, high << ROOT_BITS, 64 - ROOT_BITS)?;
    let entry = descend::<_, NODES_LOW>(words, entry, low, 64)?.opaque(words);
    if entry & LEAF == 0 {
        None
    } else if entry & RANGE_LEAF == 0 {
        Some(entry)
    } else if NODES_LOW == 0 || entry & SKIP != 0 {
        short_range_leaf(words, entry, high)
    } else {
        long_range_leaf(words, entry & POSITION, high, low)
    }
}

/// The leaf of an address in the short range leaf that an entry names.
#[inline(always)]
fn short_range_leaf<W: Words + ?Sized>(words: &W, entry: u32, high: u64) -> Option<u32> {
    let at = entry & POSITION & !SKIP;
    let [_, _, _, _, _, _, _, _, starts @ .., _] = words.line(at)?;
    let starts: [u32; SHORT_RANGE_STEPS] = starts;
    // A bit above the 32 that are compared; a subtraction clears it if the start is greater.
    let compared = high << ((entry & SKIP) * STRIDE_MIN) >> 32 | 1 << 32;
    let mut leaf = at;
    for start in starts {
        let is_reached = compared.wrapping_sub(u64::from(start)) >> 32;
        leaf = leaf.wrapping_add(is_reached as u32);
    }
    words.word(leaf)
}

/// The leaf of an address in the long range leaf at this word.
#[inline(always)]
fn long_range_leaf<W: Words + ?Sized>(words: &W, at: u32, high: u64, low: u64) -> Option<u32> {
    let mut leaf = at.wrapping_add(LONG_RANGE_STEPS as u32);
    for step in 0..LONG_RANGE_STEPS {
        let [one, two, three, four] =
            words.quad(at.wrapping_add((LONG_RANGE_STEPS + 1 + 4 * step) as u32))?;
        let start_high = u64::from(one) << 32 | u64::from(two);
        let start_low = u64::from(three) << 32 | u64::from(four);
        let is_below = borrow(high, start_high, borrow(low, start_low, 0));
        leaf = leaf.wrapping_sub(is_below as u32);
    }
    words.word(leaf)
}

/// The borrow of a subtraction of words. By arithmetic, because the verifier follows both ways of a branch.
#[inline(always)]
const fn borrow(from: u64, word: u64, borrowed: u64) -> u64 {
    let difference = from.wrapping_sub(word).wrapping_sub(borrowed);
    ((!from & word) | ((!from | word) & difference)) >> 63
}

/// Follows nodes to a leaf, or until these left-aligned address bits are used up.
#[inline(always)]
fn descend<W: Words + ?Sized, const NODES: u32>(
    words: &W,
    mut entry: u32,
    mut address: u64,
    mut left: u32,
) -> Option<u32> {
    for _ in 0..NODES {
        let Some(node) = Node::of(entry) else { break };
        if left == 0 {
            break;
        }
        let value = address.wrapping_shr(node.shift()) as u32;
        entry = words.word(node.position().wrapping_add(value))?;
        // In a damaged image a node may name any number of bits. These wrap, and the walk stays within the image.
        address = address.wrapping_shl(node.bits());
        left = left.wrapping_sub(node.bits());
    }
    Some(entry)
}
