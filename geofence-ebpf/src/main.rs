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
use geofence_common::decide::{Verdict, filter, filter_fast, without_rules};
use geofence_common::image::{Flags, Words};

use counters::Fault;
use frame::{Device, EthernetDevice, IpDevice, PacketFrame};
use tables::{Bare, FastPath, KernelTables, Rules, Variant};

/// Ingress of Ethernet devices.
#[xdp(frags)]
// Before Linux 6.9 each call costs up to 31 bytes of the 512 of stack.
#[inline(always)]
pub(crate) fn geofence(ctx: XdpContext) -> u32 {
    judge::<EthernetDevice, Bare, true>(&ctx)
}

/// The same, where the policy has rules, and none concerns the frame.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn geofence_fast(ctx: XdpContext) -> u32 {
    judge::<EthernetDevice, FastPath, true>(&ctx)
}

/// The same, by all rules.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn geofence_rules(ctx: XdpContext) -> u32 {
    judge::<EthernetDevice, Rules, false>(&ctx)
}

/// Ingress of devices whose frames start with the IP header.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn geofence_ip(ctx: XdpContext) -> u32 {
    judge::<IpDevice, Bare, true>(&ctx)
}

/// The same, where the policy has rules, and none concerns the frame.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn geofence_ip_fast(ctx: XdpContext) -> u32 {
    judge::<IpDevice, FastPath, true>(&ctx)
}

/// The same, by all rules.
#[xdp(frags)]
#[inline(always)]
pub(crate) fn geofence_ip_rules(ctx: XdpContext) -> u32 {
    judge::<IpDevice, Rules, false>(&ctx)
}

/// Judges a frame by the rules of a variant, and with its length asked for late or at once.
///
/// A variant that may lack rules which concern the frame hands it over, as it came. The loader puts the programs into
/// their arrays before any packet comes. If one is missing, countries still hold.
#[inline(always)]
fn judge<D: Device, V: Variant, const LAZY: bool>(ctx: &XdpContext) -> u32 {
    let frame = PacketFrame::<_, D, LAZY>::new(ctx);
    let Some(tables) = KernelTables::<V>::current() else {
        return pass_without_policy(ctx, frame.counted_length());
    };
    if !V::HAS_RULES && !V::IS_FAST_PATH && needs_rules(&tables, Direction::In) {
        if !tables.flags().is_some_and(Flags::concern_every_packet) {
            // SAFETY: nothing here waits to be dropped.
            unsafe { maps::FAST_PATH.tail_call(ctx, D::LINK as u32) };
        }
        // SAFETY: as above.
        unsafe { maps::RULES.tail_call(ctx, D::LINK as u32) };
        counters::report(ctx, Fault::NoRules);
    }
    let verdict = if V::IS_FAST_PATH {
        match filter_fast(&frame, &tables, &mut ()) {
            Ok(verdict) => verdict,
            Err(class) => {
                // SAFETY: as above.
                unsafe { maps::RULES.tail_call(ctx, D::LINK as u32) };
                counters::report(ctx, Fault::NoRules);
                without_rules(class, &tables)
            }
        }
    } else {
        filter(&frame, &tables, &mut ())
    };
    if verdict.reason == Reason::NoPolicy {
        counters::report(ctx, Fault::NoPolicy);
    }
    counters::count(ctx, frame.counted_length(), verdict);
    if V::HAS_RULES && verdict.peer.class.is_listed(Direction::In) {
        let outcome = events::outcome(verdict.action, verdict.reason as u8, &frame);
        events::record(&frame, &verdict.peer, Direction::In, outcome, &tables);
    }
    if V::HAS_RULES {
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

/// Whether some packets of this direction need a program with rules.
#[inline(always)]
pub(crate) fn needs_rules(tables: &impl Words, direction: Direction) -> bool {
    tables
        .flags()
        .is_some_and(|flags| flags.need_rules(direction))
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
