//! How the core sees a frame: bytes by value at an offset, or nothing.
//!
//! By value, because the verifier accepts a pointer compared with the end of the packet but not a slice with a length.

use crate::opaque::Barrier;

/// Bytes of a frame.
///
/// Aligned, because they may lie on the data path's stack, where the verifier has a word read at its own multiple only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Bytes<const N: usize>(pub [u8; N]);

/// A frame as it came off the wire.
pub trait Frame: Barrier {
    /// The bytes at this offset, or nothing when the frame ends before them.
    ///
    /// Ask for two or more: the compiler turns "one byte more" into "not yet at the end", from which the verifier does
    /// not learn that there is a byte (`find_good_pkt_pointers` in kernel/bpf/verifier.c).
    fn bytes<const N: usize>(&self, at: usize) -> Option<Bytes<N>>;

    /// The same, read in a way that the verifier need not follow; for loops over headers whose length varies.
    ///
    /// A pointer into the packet is a state for every offset it may have, and a loop multiplies them beyond what the
    /// verifier accepts; a helper takes any offset.
    #[inline(always)]
    fn bytes_in_loop<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        self.bytes(at)
    }

    /// The length of the whole frame, every buffer of it included.
    fn length(&self) -> usize;
}

impl Frame for &[u8] {
    #[inline(always)]
    fn bytes<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        let bytes = self.get(at..at.checked_add(N)?)?.try_into().ok()?;
        Some(Bytes(bytes))
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.len()
    }
}
