//! The ingress hook: decide about a frame, count the verdict, carry it out; nothing else.
//!
//! The decision is `geofence_common::policy::filter`; this crate gives it the packet (`frame`) and the tables (`maps`).
//! There is one way out of the program, so no packet goes uncounted. XDP_ABORTED is never returned. The egress hook is
//! in `egress`.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod account;
#[cfg(feature = "bench")]
mod bench;
mod clock;
mod contact;
mod egress;
mod frame;
mod maps;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use geofence_common::contact::Direction;
use geofence_common::policy::filter;
use geofence_common::verdict::{Action, Reason, Verdict};

#[xdp(frags)]
pub fn geofence(ctx: XdpContext) -> u32 {
    let frame = frame::XdpFrame::new(&ctx);
    let tables = maps::Live::current();
    let verdict = match &tables {
        Some(tables) => filter(&frame, tables, &mut ()),
        None => Verdict::NO_POLICY,
    };
    if verdict.reason == Reason::NoPolicy {
        account::report_no_policy(&ctx);
    }
    account::count(&ctx, &frame, verdict);
    if let Some(tables) = &tables
        && verdict.party.class.is_listed(Direction::In)
    {
        contact::tell(
            &frame,
            &verdict.party,
            Direction::In,
            verdict.action,
            tables,
        );
    }
    match verdict.action {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
