//! The egress hook: records the flows that our side opens, and drops packets that a list blocks.
//!
//! Every other packet gets TC_ACT_UNSPEC, so that it continues to the next program.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use geofence_common::action::{Action, Direction};
use geofence_common::decide::egress;

use crate::frame::PacketFrame;
use crate::{counters, events, tables};

#[classifier]
pub(crate) fn geofence_egress(ctx: TcContext) -> i32 {
    let Some(tables) = tables::KernelTables::current() else {
        return TC_ACT_UNSPEC;
    };
    let is_forwarded = || {
        // SAFETY: the context is valid for the whole run, and the kernel rewrites this read to its own field.
        counters::is_protected(unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).ingress_ifindex })
    };
    let frame = PacketFrame::new(&ctx);
    let verdict = egress(&frame, is_forwarded, &tables, &mut ());
    counters::count_tracking(verdict.tracking);
    let action = verdict.action();
    if let Some(verdict) = verdict.list_verdict() {
        counters::count_egress(&ctx, &frame, verdict);
    }
    if verdict.peer.class.is_listed(Direction::Out) {
        events::record(&frame, &verdict.peer, Direction::Out, action, &tables);
    }
    match action {
        Action::Pass => TC_ACT_UNSPEC,
        Action::Drop => TC_ACT_SHOT,
    }
}
