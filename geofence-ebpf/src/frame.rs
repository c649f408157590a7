//! The frame behind an XDP or a TC context.
//!
//! Bytes are read straight from the first buffer; what lies in a later buffer of a multi-buffer frame, or outside the
//! linear part of a socket buffer, is copied by a helper. A header may be split between the two.

use core::arch::asm;
use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::programs::{TcContext, XdpContext};
use geofence_common::frame::{Bytes, Frame};

/// Offsets beyond this are refused; headers end long before, and the verifier needs a bound.
const OFFSET_MAX: usize = 0x3fff;

/// Zero; but it is in memory that anybody might write, for all that the verifier can tell.
static mut NOTHING: u64 = 0;

/// Reads `NOTHING`, once a packet.
#[inline(always)]
pub(crate) fn nothing() -> u64 {
    // SAFETY: nobody writes it.
    unsafe { (&raw const NOTHING).read_volatile() }
}

/// The number, of which the verifier knows nothing after `nothing` was added to it.
///
/// In assembly, because the compiler would leave the sum to where the number is used, after the ways have parted.
#[inline(always)]
pub(crate) fn forget_long(number: u64, nothing: u64) -> u64 {
    let forgotten;
    // SAFETY: it changes one register and reads another.
    unsafe {
        asm!(
            "{0} ^= {1}",
            inlateout(reg) number => forgotten,
            in(reg) nothing,
            options(pure, nomem, nostack),
        );
    }
    forgotten
}

pub struct XdpFrame<'a> {
    ctx: &'a XdpContext,
    length: usize,
    nothing: u64,
}

impl<'a> XdpFrame<'a> {
    #[inline(always)]
    pub fn new(ctx: &'a XdpContext) -> Self {
        // SAFETY: the helper takes the context this program was called with.
        let length = unsafe { bpf_xdp_get_buff_len(ctx.as_ptr().cast()) };
        Self {
            ctx,
            length: length as usize,
            nothing: nothing(),
        }
    }
}

impl Frame for XdpFrame<'_> {
    #[inline(always)]
    fn bytes<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        const { assert!(N > 1) };
        if at > OFFSET_MAX {
            return None;
        }
        let start = self.ctx.data() + at;
        if start + N <= self.ctx.data_end() {
            // SAFETY: the N bytes at `start` end before `data_end`, as just compared.
            return Some(Bytes(unsafe { (start as *const [u8; N]).read_unaligned() }));
        }
        self.bytes_in_loop(at)
    }

    #[inline(always)]
    fn bytes_in_loop<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        let mut buffer = MaybeUninit::<Bytes<N>>::uninit();
        // SAFETY: the buffer is N bytes long; the helper checks the offset against the frame's length.
        let failed = unsafe {
            bpf_xdp_load_bytes(
                self.ctx.as_ptr().cast(),
                at as u32,
                buffer.as_mut_ptr().cast(),
                N as u32,
            )
        };
        // SAFETY: unless it failed, the helper wrote every byte.
        (failed == 0).then(|| unsafe { buffer.assume_init() })
    }

    #[inline(always)]
    fn forget(&self, number: u32) -> u32 {
        forget_long(number.into(), self.nothing) as u32
    }

    #[inline(always)]
    fn forget_long(&self, number: u64) -> u64 {
        forget_long(number, self.nothing)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.length
    }
}

pub struct SkbFrame<'a> {
    ctx: &'a TcContext,
    nothing: u64,
}

impl<'a> SkbFrame<'a> {
    #[inline(always)]
    pub fn new(ctx: &'a TcContext) -> Self {
        Self {
            ctx,
            nothing: nothing(),
        }
    }
}

impl Frame for SkbFrame<'_> {
    #[inline(always)]
    fn bytes<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        const { assert!(N > 1) };
        if at > OFFSET_MAX {
            return None;
        }
        let start = self.ctx.data() + at;
        if start + N <= self.ctx.data_end() {
            // SAFETY: the N bytes at `start` end before `data_end`, as just compared.
            return Some(Bytes(unsafe { (start as *const [u8; N]).read_unaligned() }));
        }
        self.bytes_in_loop(at)
    }

    #[inline(always)]
    fn bytes_in_loop<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        let mut buffer = MaybeUninit::<Bytes<N>>::uninit();
        // SAFETY: the buffer is N bytes long; the helper checks the offset against the frame's length.
        let failed = unsafe {
            bpf_skb_load_bytes(
                self.ctx.as_ptr().cast(),
                at as u32,
                buffer.as_mut_ptr().cast(),
                N as u32,
            )
        };
        // SAFETY: unless it failed, the helper wrote every byte.
        (failed == 0).then(|| unsafe { buffer.assume_init() })
    }

    #[inline(always)]
    fn forget(&self, number: u32) -> u32 {
        forget_long(number.into(), self.nothing) as u32
    }

    #[inline(always)]
    fn forget_long(&self, number: u64) -> u64 {
        forget_long(number, self.nothing)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.ctx.len() as usize
    }
}
