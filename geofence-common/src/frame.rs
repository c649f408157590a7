//! A frame: bytes by value at an offset, if the frame reaches that far.
//!
//! By value, because the verifier accepts a pointer compared with the end of the packet, but not a slice and its
//! length.

use crate::opaque::Barrier;

/// Bytes of a frame.
///
/// Aligned, because they may lie on the stack, where the verifier accepts a word only at a multiple of its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Bytes<const N: usize>(pub [u8; N]);

/// What a device's frames start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// An Ethernet header.
    Ethernet,
    /// The IP header: tunnels, tun and PPP devices.
    Ip,
}

/// A frame as the hook sees it.
pub trait Frame: Barrier {
    /// What the frame starts with. A constant, so that a program holds the code for one kind of device.
    const LINK: Link;

    /// The bytes at this offset, or nothing if the frame ends before them.
    ///
    /// Ask for two or more: for one byte the compiler turns the comparison into an equality, from which the verifier
    /// does not learn that the byte exists (`find_good_pkt_pointers` in kernel/bpf/verifier.c).
    fn bytes<const N: usize>(&self, at: usize) -> Option<Bytes<N>>;

    /// The same through a helper call, for offsets that depend on a walk over headers.
    ///
    /// With a pointer into the packet the verifier keeps a state for every possible offset, and a loop multiplies them
    /// beyond its limit. A helper accepts any offset.
    #[inline(always)]
    fn bytes_in_loop<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        self.bytes(at)
    }

    /// The bytes at the offset where a walk over headers ended, outside of any loop. The offset is opaque.
    #[inline(always)]
    fn bytes_behind<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        self.bytes(at)
    }

    /// The length of the whole frame, every buffer of it included.
    fn length(&self) -> usize;

    /// Whether the frame is at least this long. The whole length is asked for only if the first buffer is shorter.
    #[inline(always)]
    fn reaches(&self, end: usize) -> bool {
        end <= self.length()
    }
}

impl Frame for &[u8] {
    const LINK: Link = Link::Ethernet;

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

/// A frame of a device without Ethernet headers.
#[derive(Clone, Copy, Debug)]
pub struct IpFrame<'a>(pub &'a [u8]);

impl Barrier for IpFrame<'_> {
    #[inline(always)]
    fn hide(&self, number: u64) -> u64 {
        self.0.hide(number)
    }
}

impl Frame for IpFrame<'_> {
    const LINK: Link = Link::Ip;

    #[inline(always)]
    fn bytes<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        self.0.bytes(at)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.0.len()
    }
}
