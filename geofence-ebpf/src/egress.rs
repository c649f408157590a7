//! The egress hook: remember what our side opens, so that ingress knows a reply, and stop what a list says must not
//! leave.
//!
//! To every other packet it says TC_ACT_UNSPEC, on which the next program or the packet's way goes on.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use geofence_common::contact::Direction;
use geofence_common::leave::leave;
use geofence_common::verdict::Action;

use crate::frame::SkbFrame;
use crate::{account, contact, maps};

#[classifier]
pub fn geofence_egress(ctx: TcContext) -> i32 {
    let Some(tables) = maps::Live::current() else {
        return TC_ACT_UNSPEC;
    };
    let is_foreign = || {
        // SAFETY: the context is valid for the whole run, and the kernel rewrites this read to its own field.
        account::is_protected(unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).ingress_ifindex })
    };
    let frame = SkbFrame::new(&ctx);
    let departure = leave(&frame, is_foreign, &tables, &mut ());
    account::count_tracked(departure.tracked);
    let action = departure.action();
    if let Some(verdict) = departure.refusal() {
        account::count_refusal(&ctx, &frame, verdict);
    }
    if departure.party.class.is_listed(Direction::Out) {
        contact::tell(&frame, &departure.party, Direction::Out, action, &tables);
    }
    match action {
        Action::Pass => TC_ACT_UNSPEC,
        Action::Drop => TC_ACT_SHOT,
    }
}
