//! The egress hook: records the flows that our side opens, and drops packets that a list blocks.
//!
//! Every other packet gets TC_ACT_UNSPEC, so that it continues to the next program.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use geofence_common::action::{Action, Direction};
use geofence_common::decide::{Origin, egress};
use geofence_common::maps::DEVICES_MAX;

use crate::frame::{Device, EthernetDevice, IpDevice, PacketFrame};
use crate::tables::{Bare, KernelTables, Rules, Variant};
use crate::{counters, events, maps, needs_rules};

/// Egress of Ethernet devices.
#[classifier]
// For the stack, as in `main`.
#[inline(always)]
pub(crate) fn geofence_egress(ctx: TcContext) -> i32 {
    leave::<EthernetDevice, Bare>(&ctx)
}

/// The same, where the policy has rules.
#[classifier]
#[inline(always)]
pub(crate) fn geofence_egress_rules(ctx: TcContext) -> i32 {
    leave::<EthernetDevice, Rules>(&ctx)
}

/// Egress of devices whose frames start with the IP header.
#[classifier]
#[inline(always)]
pub(crate) fn geofence_egress_ip(ctx: TcContext) -> i32 {
    leave::<IpDevice, Bare>(&ctx)
}

/// The same, where the policy has rules.
#[classifier]
#[inline(always)]
pub(crate) fn geofence_egress_ip_rules(ctx: TcContext) -> i32 {
    leave::<IpDevice, Rules>(&ctx)
}

#[inline(always)]
fn leave<D: Device, V: Variant>(ctx: &TcContext) -> i32 {
    let Some(tables) = KernelTables::<V>::current() else {
        return TC_ACT_UNSPEC;
    };
    if !V::HAS_RULES && needs_rules(&tables, Direction::Out) {
        // SAFETY: nothing here waits to be dropped.
        unsafe { maps::RULES_EGRESS.tail_call(ctx, D::LINK as u32) };
        // As in `main`: without it, flows are still recorded. Ingress reports it.
    }
    // SAFETY: the context is valid for the whole run, and the kernel rewrites this read to its own field.
    let came_in_by = || origin(unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).ingress_ifindex });
    let frame = PacketFrame::<_, D, false>::new(ctx);
    let verdict = egress(&frame, came_in_by, &tables, &mut ());
    counters::count_tracking(verdict.tracking);
    let action = verdict.action();
    let outcome = events::outcome(action, verdict.reason(), &frame);
    if let Some(verdict) = verdict.list_verdict() {
        counters::count_egress(ctx, frame.counted_length(), verdict);
    }
    if V::HAS_RULES && verdict.peer.class.is_listed(Direction::Out) {
        events::record(&frame, &verdict.peer, Direction::Out, outcome, &tables);
    }
    match action {
        Action::Pass => TC_ACT_UNSPEC,
        Action::Drop => TC_ACT_SHOT,
    }
}

/// Where a packet came in that leaves now. The kernel keeps the index of the device by which it came in last; index 0
/// is a packet of this host.
#[inline(always)]
fn origin(index: u32) -> Origin {
    if index == 0 {
        return Origin::Local;
    }
    match maps::DEVICES.get(index % DEVICES_MAX) {
        Some(device) => device.origin(index),
        None => Origin::Unknown,
    }
}
