//! The ingress hook: decides about a frame, counts the verdict and enforces it.
//!
//! The decision is `geofence_common::decide::filter`; this crate gives it the packet (`frame`) and the tables
//! (`tables`, over `maps`). Every exit counts the packet, and none returns XDP_ABORTED. The egress hook is in `egress`.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, asm_goto_with_outputs)]
#![expect(
    unsafe_code,
    reason = "maps, contexts and helpers of the kernel are reached by pointers"
)]

#[cfg(feature = "bench")]
mod bench;
mod clock;
mod counters;
mod egress;
mod events;
mod frame;
mod maps;
mod observe;
mod tables;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use geofence_common::action::{Action, Direction, Reason};
use geofence_common::decide::{Verdict, filter};
use geofence_common::image::{Flags, Words};

use counters::Fault;
use frame::{Device, EthernetDevice, IpDevice, PacketFrame};

/// Ingress of Ethernet devices.
#[xdp(frags)]
// Before Linux 6.9 each call costs up to 31 bytes of the 512 of stack.
#[inline(always)]
pub(crate) fn geofence(ctx: XdpContext) -> u32 {
    ingress::<EthernetDevice, false>(&ctx)
}

/// The same, where the policy has rules.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn geofence_rules(ctx: XdpContext) -> u32 {
    ingress::<EthernetDevice, true>(&ctx)
}

/// Ingress of devices whose frames start with the IP header.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn geofence_ip(ctx: XdpContext) -> u32 {
    ingress::<IpDevice, false>(&ctx)
}

/// The same, where the policy has rules.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn geofence_ip_rules(ctx: XdpContext) -> u32 {
    ingress::<IpDevice, true>(&ctx)
}

#[inline(always)]
fn ingress<D: Device, const RULES: bool>(ctx: &XdpContext) -> u32 {
    if RULES {
        judge::<D, true, false>(ctx)
    } else {
        judge::<D, false, true>(ctx)
    }
}

/// Judges a frame: with or without rules, and with its length asked for late or at once.
#[inline(always)]
fn judge<D: Device, const RULES: bool, const LAZY: bool>(ctx: &XdpContext) -> u32 {
    let frame = PacketFrame::<_, D, LAZY>::new(ctx);
    let Some(tables) = tables::KernelTables::<RULES>::current() else {
        return pass_without_policy(ctx, frame.counted_length());
    };
    if !RULES && needs_rules(&tables) {
        // SAFETY: nothing here waits to be dropped.
        unsafe { maps::RULES.tail_call(ctx, D::LINK as u32) };
        // The loader puts the program there before any packet comes. Without it, countries still hold.
        counters::report(ctx, Fault::NoRules);
    }
    let verdict = filter(&frame, &tables, &mut ());
    if verdict.reason == Reason::NoPolicy {
        counters::report(ctx, Fault::NoPolicy);
    }
    counters::count(ctx, frame.counted_length(), verdict);
    if RULES && verdict.peer.class.is_listed(Direction::In) {
        events::record(
            &frame,
            &verdict.peer,
            Direction::In,
            verdict.action,
            &tables,
        );
    }
    if RULES {
        observe::hand_over::<D>(ctx, &verdict, &tables);
    }
    match verdict.action {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
    }
}

/// Passes a frame that cannot be judged, because no image is in place.
#[inline(never)]
fn pass_without_policy(ctx: &XdpContext, length: usize) -> u32 {
    counters::report(ctx, Fault::NoPolicy);
    counters::count(ctx, length, Verdict::NO_POLICY);
    xdp_action::XDP_PASS
}

/// Whether the image needs a program that judges by rules.
#[inline(always)]
pub(crate) fn needs_rules(tables: &impl Words) -> bool {
    tables.flags().is_some_and(Flags::need_rules)
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
