//! The steps of a layer, read in order of address while a trie is built: what a block contains, and how to store it.

use geofence_common::image::host_table::Fingerprint;
use geofence_common::image::{
    FILTER, INDIRECT, LONG_RANGE_STEPS, SHORT_RANGE_STEPS, STRIDE_MAX, STRIDE_MIN,
};

use super::mechanisms::Mechanisms;
use super::prefix::Family;

/// The strides of a node whose blocks are mostly split again, the widest first.
const WIDE_STRIDES: [u32; 3] = [STRIDE_MAX, 12, 8];

/// A range leaf replaces nodes that would consume more than this many bits to reach the deepest step.
const SHALLOW_BITS: u32 = STRIDE_MIN;

/// The content of a range leaf.
pub(super) struct RangeLeaf<'a, T> {
    pub(super) steps: &'a [(u128, T)],
    /// The address bits that a short one skips; a long one skips none.
    pub(super) skip: u32,
}

/// A position in a layer that only moves forward.
pub(super) struct Cursor<'a, T> {
    steps: &'a [(u128, T)],
    at: usize,
    /// The hosts at or after the position.
    hosts: &'a [u128],
    /// The filter bits that every leaf has; none unless leaf filters are left out.
    filter: u32,
    family: Family,
    mechanisms: Mechanisms,
}

impl<'a, T: Copy> Cursor<'a, T> {
    /// Hosts come in order.
    pub(super) const fn new(
        family: Family,
        steps: &'a [(u128, T)],
        hosts: &'a [u128],
        mechanisms: Mechanisms,
    ) -> Self {
        let is_filtered = mechanisms.leaf_filter || hosts.is_empty();
        Self {
            steps,
            at: 0,
            hosts,
            filter: if is_filtered { 0 } else { FILTER },
            family,
            mechanisms,
        }
    }

    pub(super) fn next_start(&self) -> Option<u128> {
        self.steps.get(self.at + 1).map(|(start, _)| *start)
    }

    /// The leaf of a block with the filter bits of the hosts in it. Blocks must be asked about in order.
    pub(super) fn with_hosts(&mut self, leaf: u32, start: u128, end: u128) -> u32 {
        while self.hosts.first().is_some_and(|host| *host < start) {
            self.hosts = &self.hosts[1..];
        }
        if leaf & INDIRECT != 0 {
            return leaf;
        }
        let leaf = leaf | self.filter;
        if self.hosts.first().is_none_or(|host| *host > end) {
            return leaf;
        }
        let among = self.hosts.iter().take_while(|host| **host <= end);
        among.fold(leaf, |leaf, host| {
            leaf | Fingerprint::of(&self.family.address(*host)).leaf_bit()
        })
    }

    /// Moves to an address, and returns the value there.
    pub(super) fn value_at(&mut self, address: u128) -> T {
        while self.next_start().is_some_and(|next| next <= address) {
            self.at += 1;
        }
        self.steps[self.at].1
    }

    /// The range leaf of the block that starts at the position, if its steps fit into one.
    pub(super) fn range_leaf(&self, bits: u32, end: u128) -> Option<RangeLeaf<'a, T>> {
        if !self.mechanisms.range_leaves {
            return None;
        }
        let ahead = &self.steps[self.at + 1..];
        let first = &ahead[..ahead.len().min(SHORT_RANGE_STEPS + 1)];
        let inside = first.partition_point(|(start, _)| *start <= end);
        let steps = &first[..inside];
        let deepest = steps
            .iter()
            .map(|(start, _)| 128 - start.trailing_zeros())
            .max()?;
        if deepest <= bits + SHALLOW_BITS {
            return None;
        }
        // At least one stride is skipped, because a skip of zero marks a long range leaf.
        let skip = deepest
            .saturating_sub(32)
            .max(1)
            .next_multiple_of(STRIDE_MIN);
        if inside <= SHORT_RANGE_STEPS && skip <= bits && deepest <= 64 {
            Some(RangeLeaf { steps, skip })
        } else {
            (inside <= LONG_RANGE_STEPS).then_some(RangeLeaf { steps, skip: 0 })
        }
    }

    /// The stride of the node for the block that starts at the position: the widest at which at least half of the lines
    /// would exist with narrow nodes as well.
    pub(super) fn stride(&self, bits: u32, end: u128) -> u32 {
        if !self.mechanisms.strides {
            return STRIDE_MIN;
        }
        let ahead = &self.steps[self.at + 1..];
        let inside = &ahead[..ahead.partition_point(|(start, _)| *start <= end)];
        WIDE_STRIDES
            .into_iter()
            // A walk reads an address in two halves, and a node must not cross from one to the other.
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

/// Whether at least `wanted` blocks of this many address bits have steps inside, not only at their starts.
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
