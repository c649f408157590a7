//! The frame behind an XDP or a TC context.
//!
//! Bytes are read straight from the first buffer. A helper copies what lies in a later buffer of a multi-buffer frame,
//! or outside the linear part of a socket buffer. A header may be split between the two.

use core::arch::asm;
use core::cell::Cell;
use core::ffi::c_void;
use core::marker::PhantomData;
use core::mem::{MaybeUninit, offset_of};

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::programs::{TcContext, XdpContext};
use geofence_common::frame::{Bytes, Frame, Link};
use geofence_common::opaque::Barrier;

/// Offsets beyond this are refused; headers end long before, and the verifier needs a bound.
const OFFSET_MAX: usize = 0x3fff;

/// Always zero. It is in writable memory, so the verifier does not know its value.
static mut ZERO: u64 = 0;

/// Reads `ZERO`, once a packet.
#[inline(always)]
pub(crate) fn zero() -> u64 {
    // SAFETY: no code writes it.
    unsafe { (&raw const ZERO).read_volatile() }
}

/// The number, of which the verifier knows nothing after an exclusive or with `zero()`.
///
/// In assembly, because the compiler would move the operation to where the number is used, behind later branches.
#[inline(always)]
pub(crate) fn hide(number: u64, zero: u64) -> u64 {
    let hidden;
    // SAFETY: it changes one register and reads another.
    unsafe {
        asm!(
            "{0} ^= {1}",
            inlateout(reg) number => hidden,
            in(reg) zero,
            options(pure, nomem, nostack),
        );
    }
    hidden
}

/// The packet pointer in a context's field at this offset.
///
/// The field has 32 bits, and the kernel loads a whole pointer from it. In assembly, because the compiler would extend
/// the 32 bits by shifts where it keeps them for later, and the verifier refuses to shift a pointer.
#[inline(always)]
fn pointer_in<const FIELD: usize>(ctx: &impl EbpfContext) -> usize {
    let pointer;
    // SAFETY: it reads a field of the context, which is valid for the whole run.
    unsafe {
        asm!(
            "{0} = *(u32 *)({1} + {2})",
            lateout(reg) pointer,
            in(reg) ctx.as_ptr(),
            const FIELD,
            options(pure, readonly, nostack),
        );
    }
    pointer
}

/// A context whose program sees a packet, and how its bytes are reached.
pub(crate) trait PacketContext: EbpfContext {
    /// Where the first buffer starts.
    fn start(&self) -> usize;

    /// Where the first buffer ends.
    fn end(&self) -> usize;

    /// The length of the whole frame, every buffer of it included.
    fn length(&self) -> usize;

    /// The index of the interface that the frame came in or leaves by.
    fn interface(&self) -> u32;

    /// Whether `length` is a helper call.
    const LENGTH_IS_CALL: bool;

    /// Copies `length` bytes at this offset, wherever they lie; anything but 0 is a failure.
    ///
    /// # Safety
    ///
    /// The buffer has room for `length` bytes.
    unsafe fn load_bytes(&self, at: u32, buffer: *mut c_void, length: u32) -> i64;
}

impl PacketContext for XdpContext {
    const LENGTH_IS_CALL: bool = true;

    #[inline(always)]
    fn start(&self) -> usize {
        pointer_in::<{ offset_of!(xdp_md, data) }>(self)
    }

    #[inline(always)]
    fn end(&self) -> usize {
        pointer_in::<{ offset_of!(xdp_md, data_end) }>(self)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        // SAFETY: the helper takes the context this program was called with.
        unsafe { bpf_xdp_get_buff_len(self.as_ptr().cast()) as usize }
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: the context is valid for the whole run, and the kernel rewrites this read to one of its own fields.
        unsafe { (*self.as_ptr().cast::<xdp_md>()).ingress_ifindex }
    }

    #[inline(always)]
    unsafe fn load_bytes(&self, at: u32, buffer: *mut c_void, length: u32) -> i64 {
        // SAFETY: the caller gives room for `length` bytes; the helper checks the offset against the frame's length.
        unsafe { bpf_xdp_load_bytes(self.as_ptr().cast(), at, buffer.cast(), length) }
    }
}

impl PacketContext for TcContext {
    const LENGTH_IS_CALL: bool = false;

    #[inline(always)]
    fn start(&self) -> usize {
        pointer_in::<{ offset_of!(__sk_buff, data) }>(self)
    }

    #[inline(always)]
    fn end(&self) -> usize {
        pointer_in::<{ offset_of!(__sk_buff, data_end) }>(self)
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.len() as usize
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: as for ingress.
        unsafe { (*self.as_ptr().cast::<__sk_buff>()).ifindex }
    }

    #[inline(always)]
    unsafe fn load_bytes(&self, at: u32, buffer: *mut c_void, length: u32) -> i64 {
        // SAFETY: the caller gives room for `length` bytes; the helper checks the offset against the frame's length.
        unsafe { bpf_skb_load_bytes(self.as_ptr().cast(), at, buffer.cast(), length) }
    }
}

/// What frames of a program's devices start with.
pub(crate) trait Device {
    const LINK: Link;
}

pub(crate) struct EthernetDevice;

impl Device for EthernetDevice {
    const LINK: Link = Link::Ethernet;
}

pub(crate) struct IpDevice;

impl Device for IpDevice {
    const LINK: Link = Link::Ip;
}

/// The frame of a context. `LAZY` spares helper calls: its whole length is asked for only where the first buffer is
/// short, and the header behind a walk is read directly. That gives the verifier more ways to follow, so only the
/// programs without rules do it.
pub(crate) struct PacketFrame<'a, C: PacketContext, D, const LAZY: bool> {
    ctx: &'a C,
    /// The whole length; if `LAZY`, that of the first buffer until something asked for the whole.
    known: Cell<usize>,
    zero: u64,
    device: PhantomData<D>,
}

impl<'a, C: PacketContext, D: Device, const LAZY: bool> PacketFrame<'a, C, D, LAZY> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a C) -> Self {
        Self {
            ctx,
            known: Cell::new(if !C::LENGTH_IS_CALL {
                0
            } else if LAZY {
                ctx.end() - ctx.start()
            } else {
                ctx.length()
            }),
            zero: zero(),
            device: PhantomData,
        }
    }
}

impl<C: PacketContext, D: Device, const LAZY: bool> PacketFrame<'_, C, D, LAZY> {
    /// The bytes to count. Of a frame in several buffers whose packet ends in the first, those of the first.
    #[inline(always)]
    pub(crate) fn counted_length(&self) -> usize {
        if C::LENGTH_IS_CALL {
            self.known.get()
        } else {
            self.ctx.length()
        }
    }

    #[inline(always)]
    pub(crate) fn interface(&self) -> u32 {
        self.ctx.interface()
    }

    /// The address of the byte at an offset of which the verifier knows nothing, unless it is beyond `OFFSET_MAX`.
    ///
    /// In assembly, so that the register that is compared is the one that is added to the pointer: see
    /// `KernelTables::reach`.
    #[inline(always)]
    fn within_reach(&self, at: usize) -> Option<usize> {
        let address;
        // SAFETY: it changes one register.
        unsafe {
            asm!(
                "if {at} > {max} goto {out}",
                "{at} += {start}",
                at = inout(reg) at => address,
                start = in(reg) self.ctx.start(),
                max = const OFFSET_MAX,
                out = label { return None },
                options(nomem, nostack),
            );
        }
        Some(address)
    }
}

impl<C: PacketContext, D: Device, const LAZY: bool> Barrier for PacketFrame<'_, C, D, LAZY> {
    #[inline(always)]
    fn hide(&self, number: u64) -> u64 {
        hide(number, self.zero)
    }
}

impl<C: PacketContext, D: Device, const LAZY: bool> Frame for PacketFrame<'_, C, D, LAZY> {
    const LINK: Link = D::LINK;

    #[inline(always)]
    fn bytes<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        const { assert!(N > 1) };
        if at > OFFSET_MAX {
            return None;
        }
        let start = self.ctx.start() + at;
        if start + N <= self.ctx.end() {
            // SAFETY: the N bytes at `start` end before `data_end`, as just compared.
            return Some(Bytes(unsafe { (start as *const [u8; N]).read_unaligned() }));
        }
        self.bytes_in_loop(at)
    }

    #[inline(always)]
    fn bytes_behind<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        if LAZY
            && let Some(start) = self.within_reach(at)
            && start + N <= self.ctx.end()
        {
            // SAFETY: the N bytes at `start` end before `data_end`, as just compared.
            return Some(Bytes(unsafe { (start as *const [u8; N]).read_unaligned() }));
        }
        self.bytes_in_loop(at)
    }

    #[inline(always)]
    fn bytes_in_loop<const N: usize>(&self, at: usize) -> Option<Bytes<N>> {
        let mut buffer = MaybeUninit::<Bytes<N>>::uninit();
        // SAFETY: the buffer is N bytes long.
        let failed = unsafe {
            self.ctx
                .load_bytes(at as u32, buffer.as_mut_ptr().cast(), N as u32)
        };
        // SAFETY: unless it failed, the helper wrote every byte.
        (failed == 0).then(|| unsafe { buffer.assume_init() })
    }

    #[inline(always)]
    fn length(&self) -> usize {
        if C::LENGTH_IS_CALL && !LAZY {
            return self.known.get();
        }
        let length = self.ctx.length();
        if C::LENGTH_IS_CALL {
            self.known.set(length);
        }
        length
    }

    #[inline(always)]
    fn reaches(&self, end: usize) -> bool {
        (C::LENGTH_IS_CALL && LAZY && end <= self.known.get()) || end <= self.length()
    }
}
