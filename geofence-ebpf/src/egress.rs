//! The egress hook: remember what our side opens, so that ingress knows a reply; never touch the packet.
//!
//! It says TC_ACT_UNSPEC, on which the next program or the packet's way goes on, whatever it found.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{__sk_buff, TC_ACT_UNSPEC};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use geofence_common::track::track;

use crate::account;
use crate::frame::SkbFrame;
use crate::maps;

#[classifier]
pub fn geofence_egress(ctx: TcContext) -> i32 {
    if let Some(tables) = maps::Live::current() {
        let is_foreign = || {
            // SAFETY: the context is valid for the whole run, and the kernel rewrites this read to its own field.
            account::is_protected(unsafe { (*ctx.as_ptr().cast::<__sk_buff>()).ingress_ifindex })
        };
        account::count_tracked(track(&SkbFrame::new(&ctx), is_foreign, &tables, &mut ()));
    }
    TC_ACT_UNSPEC
}
