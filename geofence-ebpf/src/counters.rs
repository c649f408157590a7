//! Counts a verdict on this CPU: packets and bytes, by interface, country, reason and action, and by tenant and
//! exception if one applies.

use core::hint::black_box;

use aya_ebpf::programs::{TcContext, XdpContext};
use geofence_common::action::{Action, COUNTERS};
use geofence_common::decide::{Tracking, Verdict};
use geofence_common::maps::{CountryCounters, INTERFACES_MAX, TracedVerdict, counters_key};
use geofence_common::service::PLACES;

use crate::clock;
use crate::frame::PacketContext as _;
use crate::maps;

#[inline(always)]
pub(crate) fn count(ctx: &XdpContext, length: usize, verdict: Verdict) {
    count_at(ctx.interface(), length, verdict);
    if maps::is_traced() {
        trace(verdict);
    }
}

/// Counts a packet that a list blocks on egress.
#[inline(always)]
pub(crate) fn count_egress(ctx: &TcContext, length: usize, verdict: Verdict) {
    count_at(ctx.interface(), length, verdict);
}

#[inline(always)]
fn count_at(interface: u32, length: usize, verdict: Verdict) {
    let length = length as u64;
    let slot = maps::INTERFACES
        .get(interface % INTERFACES_MAX)
        .copied()
        .unwrap_or(0);
    if let Some(counters) = maps::COUNTERS.get_ptr_mut(counters_key(slot, verdict.country.number()))
    {
        // SAFETY: the element is this CPU's own.
        unsafe { add(&mut *counters, verdict, length) };
    }
    if verdict.tenant != 0
        && let Some(counters) = maps::TENANTS.get_ptr_mut(verdict.tenant)
    {
        // SAFETY: the element is this CPU's own.
        unsafe { add(&mut *counters, verdict, length) };
    }
    if verdict.exception != 0
        && let Some(hits) = maps::HITS.get_ptr_mut(verdict.exception - 1)
    {
        // SAFETY: the element is this CPU's own.
        unsafe {
            (*hits).packets += 1;
            (*hits).last = clock::now();
        }
    }
}

#[inline(always)]
fn trace(verdict: Verdict) {
    let traced = TracedVerdict {
        reason: verdict.reason as u8,
        country: verdict.country.number(),
        dropped: u8::from(verdict.action == Action::Drop),
        padding: 0,
        tenant: verdict.tenant,
        exception: verdict.exception,
        class: verdict.peer.class.to_word(),
        records: verdict.peer.records,
        policy: verdict.peer.policy,
    };
    // Element 0 exists, so this cannot fail. A test run detects a stale verdict.
    let _ = maps::VERDICT.set(0, &traced, 0);
}

#[inline(always)]
fn add(counters: &mut CountryCounters, verdict: Verdict, length: u64) {
    // The compiler would remove the mask, because it knows the range; the verifier does not.
    let at = black_box(verdict.counter()) & (COUNTERS - 1);
    // SAFETY: the mask keeps the position inside.
    let counter = unsafe { counters.0.get_unchecked_mut(at) };
    counter.packets += 1;
    counter.bytes += length;
}

/// Counts a packet that passes because it is for an exempted service, by the place of its port.
///
/// Its symbol is global, so the verifier follows it once by itself, and not again from each state that calls it. Such a
/// function takes numbers and must return one, which has no meaning here.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn count_service(place: u32) -> u32 {
    // The verifier knows nothing about the argument.
    let place = place as usize & (PLACES - 1);
    if let Some(slots) = maps::SERVICE_PORTS.get_ptr(0) {
        // SAFETY: the element has a byte for each place. The daemon may be writing it; a byte is read at once.
        let slot = unsafe { slots.cast::<u8>().add(place).read_volatile() };
        if let Some(packets) = maps::SERVICES.get_ptr_mut(slot.into()) {
            // SAFETY: the element is this CPU's own.
            unsafe { *packets += 1 };
        }
    }
    0
}

/// Counts what a packet that leaves did to the flow tables.
#[inline(always)]
pub(crate) fn count_tracking(tracking: Tracking) {
    let (Tracking::Opened(table)
    | Tracking::Updated(table)
    | Tracking::Forwarded(table)
    | Tracking::Unattributed(table)
    | Tracking::Full(table)
    | Tracking::Unanswered(table)) = tracking
    else {
        return;
    };
    let alone = match tracking {
        Tracking::Unattributed(_) => maps::UNATTRIBUTED.get_ptr_mut(table as u32),
        Tracking::Unanswered(_) => maps::UNANSWERED.get_ptr_mut(table as u32),
        Tracking::Opened(_)
        | Tracking::Updated(_)
        | Tracking::Forwarded(_)
        | Tracking::Full(_)
        | Tracking::Nothing => None,
    };
    if let Some(counter) = alone {
        // SAFETY: the element is this CPU's own.
        unsafe { *counter += 1 };
        return;
    }
    let Some(counters) = maps::FLOW_COUNTERS.get_ptr_mut(table as u32) else {
        return;
    };
    // SAFETY: the element is this CPU's own.
    let counters = unsafe { &mut *counters };
    match tracking {
        Tracking::Opened(_) => counters.opened += 1,
        Tracking::Updated(_) => counters.updated += 1,
        Tracking::Forwarded(_) => counters.forwarded += 1,
        Tracking::Full(_) => counters.full += 1,
        Tracking::Unattributed(_) | Tracking::Unanswered(_) | Tracking::Nothing => {}
    }
}

/// A fault of the program.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Fault {
    /// There is no image: packets pass unjudged.
    NoPolicy = 0,
    /// The program that judges by rules is missing: packets are judged by their country alone.
    NoRules = 1,
}

/// Counts a fault, and logs it at the first such packet and at every doubling of their number.
///
/// One message for all faults, because each message is some two kilobytes of program.
#[inline(never)]
pub(crate) fn report(ctx: &XdpContext, fault: Fault) {
    let count = count_fault(fault as u32);
    if count.is_power_of_two() {
        aya_log_ebpf::error!(
            ctx,
            "the filter is incomplete: {} packets on this CPU were {}; restart geofence",
            count,
            match fault {
                Fault::NoPolicy => "passed unjudged, because no policy image is in place",
                Fault::NoRules =>
                    "judged by their country alone, because the program for rules is missing",
            }
        );
    }
}

/// Counts a fault of the program, and returns how many of its kind this CPU has seen; 0 if they cannot be counted.
#[inline(always)]
fn count_fault(kind: u32) -> u64 {
    let Some(faults) = maps::FAULTS.get_ptr_mut(kind) else {
        return 0;
    };
    // SAFETY: the element is this CPU's own.
    unsafe {
        *faults += 1;
        *faults
    }
}
