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
use geofence_common::opaque::Opaque as _;
use geofence_common::packet::FiveTuple;
use geofence_common::wire::parse::read_five_tuple;

use crate::maps;
use crate::tables::{KernelTables, Variant};

static ZERO: ListCounters = ListCounters::ZERO;

/// What all records of one packet have in common.
struct ListRecord {
    five_tuple: FiveTuple,
    direction: Direction,
    /// 1 for a packet that was dropped.
    is_dropped: u8,
    /// The number of the listed address's country.
    country: u8,
    tenant: u32,
    now: u64,
}

/// Counts a packet on every list that it concerns.
#[inline(always)]
pub(crate) fn record<F: Frame, V: Variant>(
    frame: &F,
    peer: &Peer,
    direction: Direction,
    action: Action,
    tables: &KernelTables<V>,
) {
    // Opaque, so that the verifier follows the rest once, whatever the verdict.
    let peer = peer.opaque(frame);
    let is_dropped = u32::from(action == Action::Drop).opaque(frame) & 1;
    // The decision parsed the frame, so this does not fail.
    let Some(five_tuple) = read_five_tuple(frame) else {
        return;
    };
    let five_tuple = five_tuple.opaque(frame);
    let listed = peer.list_match(direction, tables).opaque(frame);
    let record = ListRecord {
        five_tuple,
        direction,
        is_dropped: is_dropped as u8,
        country: peer.class.country().number(),
        tenant: listed.tenant,
        now: tables.now(),
    };
    each_list(frame, &listed, direction, tables, |list| {
        record.record(list, frame);
    });
}

impl ListRecord {
    #[inline(always)]
    fn record<F: Frame>(&self, list: List, frame: &F) {
        let is_reported = is_due(list, self.now) && self.send(list);
        // By position rather than by a branch, and opaque, so that the verifier follows the rest once.
        let reported = u32::from(is_reported).opaque(frame) as usize;
        let Some(counters) = counters(list.identity, self.tenant) else {
            return;
        };
        // SAFETY: the element is this CPU's own. If the daemon removes it meanwhile, because the list is gone from
        // the configuration, its memory stays until the program ends.
        let counters = unsafe { &mut *counters };
        // The compiler would remove the masks, because it knows the ranges; the verifier does not.
        let direction = self.direction as usize;
        let at =
            black_box(list_counter(self.direction, Action::Pass) | usize::from(self.is_dropped));
        counters.packets[at & 3] += 1;
        counters.events[direction][black_box(reported) & 1] += 1;
    }

    /// Sends the daemon an event, if the ring buffer has room.
    #[inline(always)]
    fn send(&self, list: List) -> bool {
        let Some(mut event) = maps::EVENTS.reserve(0) else {
            return false;
        };
        event.write(Event {
            time: self.now,
            source: self.five_tuple.source.words(),
            destination: self.five_tuple.destination.words(),
            list: list.identity,
            tenant: self.tenant,
            ports: self.five_tuple.ports,
            protocol: self.five_tuple.protocol,
            flags: self.five_tuple.flags,
            is_v6: u8::from(self.five_tuple.source.is_v6()),
            direction: self.direction as u8,
            is_dropped: self.is_dropped,
            country: self.country,
            padding: [0; 2],
        });
        event.submit(0);
        true
    }
}

/// The counters of a list at a tenant; those of all tenants if the table has no room.
#[inline(always)]
fn counters(list: u32, tenant: u32) -> Option<*mut ListCounters> {
    let key = ListKey { list, tenant };
    if let Some(counters) = maps::LISTS.get_ptr_mut(key) {
        return Some(counters);
    }
    // Another CPU may insert first, with the same result.
    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "by value it is copied to the stack word by word, for each list anew"
    )]
    let _ = maps::LISTS.insert(key, &ZERO, BPF_NOEXIST.into());
    if let Some(counters) = maps::LISTS.get_ptr_mut(key) {
        return Some(counters);
    }
    // The daemon creates this one.
    maps::LISTS.get_ptr_mut(ListKey { list, tenant: 0 })
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
