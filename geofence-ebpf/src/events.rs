//! List matches: counts each packet from or to a listed address by list and tenant, and sends the daemon an event of as
//! many as the list's rate limit allows.

use core::arch::asm;
use core::hint::black_box;

use aya_ebpf::bindings::BPF_NOEXIST;
use geofence_common::action::{Action, Direction};
use geofence_common::decide::Tables as _;
use geofence_common::event::Event;
use geofence_common::flow::rate_limit::RateLimit;
use geofence_common::frame::Frame;
use geofence_common::image::list_set::{List, Peer, each_list};
use geofence_common::maps::{ListCounters, ListKey, list_counter};
use geofence_common::opaque::{Barrier, Opaque as _};
use geofence_common::wire::parse::read_five_tuple;

use crate::frame::{Device, PacketContext, PacketFrame};
use crate::maps;
use crate::tables::{KernelTables, Variant};

static ZERO: ListCounters = ListCounters::ZERO;

/// What became of a packet: the number of the reason and, above it, whether it was dropped. One number, because the
/// stack is nearly full, and opaque, or the compiler would repeat what follows for each value.
#[inline(always)]
pub(crate) fn outcome(action: Action, reason: u8, barrier: &impl Barrier) -> u32 {
    let is_dropped = u32::from(action == Action::Drop);
    (is_dropped << u8::BITS | u32::from(reason)).opaque(barrier)
}

/// Counts a packet on every list that it concerns.
#[inline(always)]
pub(crate) fn record<C: PacketContext, D: Device, const LAZY: bool, V: Variant>(
    frame: &PacketFrame<'_, C, D, LAZY>,
    peer: &Peer,
    direction: Direction,
    outcome: u32,
    tables: &KernelTables<V>,
) {
    // In a map, because the stack is nearly full. Element 0 exists.
    let Some(event) = maps::EVENT.get_ptr_mut(0) else {
        return;
    };
    // SAFETY: the element is this CPU's own: a program that filters is not interrupted by another.
    let event = unsafe { &mut *event };
    // Opaque, so that the verifier follows the rest once, whatever the verdict.
    let peer = peer.opaque(frame);
    event.is_dropped = (outcome >> u8::BITS) as u8;
    event.reason = outcome as u8;
    event.country = peer.class.country().number();
    event.direction = direction as u8;
    event.interface = frame.interface();
    event.length = frame.counted_length() as u32;
    // The decision parsed the frame, so this does not fail.
    let Some(five_tuple) = read_five_tuple(frame) else {
        return;
    };
    let five_tuple = five_tuple.opaque(frame);
    event.source = five_tuple.source.words();
    event.destination = five_tuple.destination.words();
    event.ports = five_tuple.ports;
    event.protocol = five_tuple.protocol;
    event.flags = five_tuple.flags;
    event.is_v6 = u8::from(five_tuple.source.is_v6());
    let listed = peer.list_match(direction, tables).opaque(frame);
    event.tenant = listed.tenant;
    event.time = tables.now();
    each_list(frame, &listed, direction, tables, |list| {
        count(event, list, direction, frame);
    });
}

/// Counts a packet on a list, and sends its event if the list's rate limit allows one.
#[inline(always)]
fn count<F: Frame>(event: &Event, list: List, direction: Direction, frame: &F) {
    let is_reported = is_due(list, event.time) && send(event, list);
    // By position rather than by a branch, and opaque, so that the verifier follows the rest once.
    let reported = u32::from(is_reported).opaque(frame) as usize;
    let Some(counters) = counters(list.identity, event.tenant) else {
        return;
    };
    // SAFETY: the element is this CPU's own. If the daemon removes it meanwhile, because the list is gone from the
    // configuration, its memory stays until the program ends.
    let counters = unsafe { &mut *counters };
    // The compiler would remove the masks, because it knows the ranges; the verifier does not.
    let at = black_box(list_counter(direction, Action::Pass) | usize::from(event.is_dropped));
    counters.packets[at & 3] += 1;
    counters.events[direction as usize][black_box(reported) & 1] += 1;
}

/// Sends the daemon an event, if the ring buffer has room.
#[inline(always)]
fn send(event: &Event, list: List) -> bool {
    let Some(mut sent) = maps::EVENTS.reserve(0) else {
        return false;
    };
    let place = sent.as_mut_ptr();
    // SAFETY: both are whole events, in different maps. Copied as a whole: by fields it would go over the stack.
    unsafe {
        place.copy_from_nonoverlapping(event, 1);
        (*place).list = list.identity;
    }
    sent.submit(0);
    true
}

/// The counters of a list at a tenant; those of all tenants if the table has no room.
#[inline(always)]
fn counters(list: u32, tenant: u32) -> Option<*mut ListCounters> {
    let key = ListKey { list, tenant };
    if let Some(counters) = maps::LISTS.get_ptr_mut(&key) {
        return Some(counters);
    }
    // Another CPU may insert first, with the same result.
    let _ = maps::LISTS.insert(&key, &ZERO, BPF_NOEXIST.into());
    if let Some(counters) = maps::LISTS.get_ptr_mut(&key) {
        return Some(counters);
    }
    // The daemon creates this one.
    maps::LISTS.get_ptr_mut(&ListKey { list, tenant: 0 })
}

/// Whether the list's rate limit allows an event now.
#[inline(always)]
fn is_due(list: List, now: u64) -> bool {
    let Some(limit) = maps::EVENT_LIMITS.get_ptr_mut(list.rate_limit()) else {
        return false;
    };
    // SAFETY: the element is a whole number, read at once.
    let full = unsafe { limit.read_volatile() };
    match RateLimit::EVENTS.try_acquire(full, now) {
        // Of CPUs that acquire at the same moment one succeeds. The others send no event, and count that.
        Some(next) => replace(limit, full, next) == full,
        None => false,
    }
}

/// Compare and exchange: writes `new` if the number is `expected`, and returns the previous number. `core` has no such
/// operation for this target.
#[inline(always)]
pub(crate) fn replace(number: *mut u64, expected: u64, new: u64) -> u64 {
    let found;
    // SAFETY: the pointer is to a whole number in a map; the instruction reads and writes nothing else.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({0} + 0, r0, {1})",
            in(reg) number,
            in(reg) new,
            inlateout("r0") expected => found,
            options(nostack),
        );
    }
    found
}
