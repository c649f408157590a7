//! Programs that measure the filter. Only benchmarks load them; the object that the `geofence` command embeds has none.
//!
//! The addresses are varied inside the program, because one repeated packet would measure a warm cache. Every program
//! below takes the next address of a set; to subtract that cost, subtract a program that does nothing else.
//!
//! ```text
//! drop                        a bare XDP_DROP
//! fetch_*                     the next address, and nothing else
//! lookup_*                    the next address, and its class from the image
//! both_*                      the next address, and its classes from both images: the world's, and one of rules alone
//! vary_*  -> NEXT[0]          the next address written into the frame as its source, then another program
//! send_*  -> an interface     the same, and the frame redirected out of an interface
//! ```

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::btf_maps::{Array, PerCpuArray, ProgramArray};
use aya_ebpf::helpers::bpf_redirect;
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;
use geofence_common::address::Address;
use geofence_common::decide::Tables;
use geofence_common::image::{Words as _, flag};
use geofence_common::maps::{IMAGE_BEFORE, IMAGE_IN_USE};

use crate::tables::{Bare, KernelTables, Rules};

/// Every set of addresses, one after the other; the loader sets the size.
#[btf_map]
static ADDRESSES: Array<[u8; 16], 1> = Array::new();
/// Which set this CPU takes addresses from, and how many it took: see the positions below.
#[btf_map]
static CURSOR: PerCpuArray<[u32; 8], 1> = PerCpuArray::new();
/// The program that `vary_*` hands the frame to.
#[btf_map]
static NEXT: ProgramArray<1> = ProgramArray::new();

/// Positions in the cursor: where the set starts, its size less one (a power of two less one), addresses taken, where
/// in the frame the source stands, the interface to send out of, and how many next to it take turns, less one.
mod cursor {
    pub(super) const FIRST: usize = 0;
    pub(super) const MASK: usize = 1;
    pub(super) const TAKEN: usize = 2;
    pub(super) const SOURCE: usize = 3;
    pub(super) const INTERFACE: usize = 4;
    pub(super) const TURNS: usize = 5;
}

/// Frames are no longer than this up to the source address; the verifier needs a bound.
const SOURCE_MASK: usize = 0xff;

#[inline(always)]
fn next() -> Option<(&'static [u8; 16], &'static [u32; 8])> {
    let cursor = CURSOR.get_ptr_mut(0)?;
    // SAFETY: the element is this CPU's own.
    let cursor = unsafe { &mut *cursor };
    let at = cursor[cursor::FIRST] + (cursor[cursor::TAKEN] & cursor[cursor::MASK]);
    cursor[cursor::TAKEN] += 1;
    Some((ADDRESSES.get(at)?, cursor))
}

#[inline(always)]
fn family<const N: usize>(address: &[u8; 16]) -> Address {
    if N == 4 {
        let [a, b, c, d, ..] = *address;
        Address::v4(u32::from_be_bytes([a, b, c, d]))
    } else {
        Address::v6(u128::from_be_bytes(*address))
    }
}

/// Takes an address and folds it into a word, so that the compiler must read all of it.
#[inline(always)]
fn fetch<const N: usize>() -> Option<u32> {
    let (address, _) = next()?;
    let [a, b, c, d] = words(address);
    Some(if N == 4 { a } else { a ^ b ^ c ^ d })
}

#[inline(always)]
fn words(address: &[u8; 16]) -> [u32; 4] {
    // SAFETY: sixteen bytes are four words, read from wherever they are.
    unsafe { address.as_ptr().cast::<[u32; 4]>().read_unaligned() }
}

/// Takes an address and finds its class.
#[inline(always)]
fn lookup<const N: usize>() -> Option<u32> {
    let (address, _) = next()?;
    let tables = KernelTables::<Bare>::current()?;
    // As in the filter, only the programs with rules look into a host table.
    if tables.flags()?.has(flag::HOSTS) {
        class_of::<N, _>(address, &KernelTables::<Rules>::current()?)
    } else {
        class_of::<N, _>(address, &tables)
    }
}

/// Takes an address and finds its class in the image in use, and in the one before it.
#[inline(always)]
fn both<const N: usize>() -> Option<u32> {
    let (address, _) = next()?;
    let world = class_of::<N, _>(address, &KernelTables::<Bare>::at(IMAGE_IN_USE)?)?;
    let rules = class_of::<N, _>(address, &KernelTables::<Rules>::at(IMAGE_BEFORE)?)?;
    Some(world | rules)
}

#[inline(always)]
fn class_of<const N: usize, T: Tables>(address: &[u8; 16], tables: &T) -> Option<u32> {
    let class = tables.class_at(tables.lookup(&family::<N>(address))?)?;
    Some(class.to_word())
}

/// Takes an address and writes it into the frame. The caller updates the header's checksum if it needs one.
#[inline(always)]
fn vary<const N: usize>(ctx: &XdpContext) -> Option<&'static [u32; 8]> {
    let (address, cursor) = next()?;
    let start = ctx.data() + (cursor[cursor::SOURCE] as usize & SOURCE_MASK);
    if start + N > ctx.data_end() {
        return None;
    }
    // SAFETY: the N bytes at `start` end before `data_end`, as just compared, and N is no more than sixteen.
    unsafe { (start as *mut [u8; N]).write_unaligned(*address.as_ptr().cast::<[u8; N]>()) };
    Some(cursor)
}

#[inline(always)]
fn hand_over<const N: usize>(ctx: &XdpContext) -> u32 {
    if vary::<N>(ctx).is_some() {
        // SAFETY: the context is the one this program was called with; a call that succeeds does not return.
        unsafe { NEXT.tail_call(ctx, 0) };
    }
    xdp_action::XDP_ABORTED
}

#[inline(always)]
fn send<const N: usize>(ctx: &XdpContext) -> u32 {
    // Taken twice, before and after, because only the stack behind a raw hook looks at it.
    let before = checksummed::<N>(ctx);
    let Some(cursor) = vary::<N>(ctx) else {
        return xdp_action::XDP_ABORTED;
    };
    if let (Some((at, old)), Some((_, new))) = (before, checksummed::<N>(ctx)) {
        // RFC 1624, equation 3, for two words at once; in any byte order.
        let mut sum = u32::from(!new[0]) + u32::from(!old[1]) + u32::from(!old[2]);
        sum += u32::from(new[1]) + u32::from(new[2]);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        // SAFETY: the six bytes at `at` are inside the frame, as compared where it was read.
        unsafe { (at as *mut u16).write_unaligned(!(sum as u16)) };
    }
    let turn = cursor[cursor::TAKEN] & cursor[cursor::TURNS];
    // SAFETY: the helper takes any number and refuses one that is no interface.
    unsafe { bpf_redirect(cursor[cursor::INTERFACE] + turn, 0) as u32 }
}

/// Where an IPv4 header's checksum stands; the checksum, and the source behind it.
#[inline(always)]
fn checksummed<const N: usize>(ctx: &XdpContext) -> Option<(usize, [u16; 3])> {
    // SAFETY: the element is this CPU's own.
    let cursor = unsafe { &*CURSOR.get_ptr_mut(0)? };
    // The checksum stands right before the source.
    let at = ctx.data() + ((cursor[cursor::SOURCE] as usize).wrapping_sub(2) & SOURCE_MASK);
    if N != 4 || at + 6 > ctx.data_end() {
        return None;
    }
    // SAFETY: the six bytes at `at` end before `data_end`, as just compared.
    Some((at, unsafe { (at as *const [u16; 3]).read_unaligned() }))
}

#[xdp(frags)]
pub(crate) fn drop(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

#[xdp(frags)]
pub(crate) fn fetch_v4(_: XdpContext) -> u32 {
    fetch::<4>().unwrap_or(u32::MAX)
}

#[xdp(frags)]
pub(crate) fn fetch_v6(_: XdpContext) -> u32 {
    fetch::<16>().unwrap_or(u32::MAX)
}

#[xdp(frags)]
pub(crate) fn lookup_v4(_: XdpContext) -> u32 {
    lookup::<4>().unwrap_or(u32::MAX)
}

#[xdp(frags)]
pub(crate) fn lookup_v6(_: XdpContext) -> u32 {
    lookup::<16>().unwrap_or(u32::MAX)
}

#[xdp(frags)]
pub(crate) fn both_v4(_: XdpContext) -> u32 {
    both::<4>().unwrap_or(u32::MAX)
}

#[xdp(frags)]
pub(crate) fn both_v6(_: XdpContext) -> u32 {
    both::<16>().unwrap_or(u32::MAX)
}

#[xdp(frags)]
pub(crate) fn vary_v4(ctx: XdpContext) -> u32 {
    hand_over::<4>(&ctx)
}

#[xdp(frags)]
pub(crate) fn vary_v6(ctx: XdpContext) -> u32 {
    hand_over::<16>(&ctx)
}

#[xdp(frags)]
pub(crate) fn send_v4(ctx: XdpContext) -> u32 {
    send::<4>(&ctx)
}

#[xdp(frags)]
pub(crate) fn send_v6(ctx: XdpContext) -> u32 {
    send::<16>(&ctx)
}
