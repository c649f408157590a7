//! How the core sees a frame: bytes by value at an offset, or nothing.
//!
//! By value, because the verifier accepts a pointer compared with the end of the packet but not a slice with a length.

/// A frame as it came off the wire.
pub trait Frame {
    /// The bytes at this offset, or nothing when the frame ends before them.
    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// The length of the whole frame, every buffer of it included.
    fn length(&self) -> usize;
}

impl Frame for &[u8] {
    #[inline]
    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    #[inline]
    fn length(&self) -> usize {
        self.len()
    }
}
