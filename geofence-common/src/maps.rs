//! Keys, values and names of the kernel's maps, as both sides lay them out.
//!
//! The only file of this crate with `unsafe`: the promise to aya that these types are plain bytes.
#![cfg_attr(
    feature = "user",
    expect(unsafe_code, reason = "Pod is an unsafe trait")
)]

use crate::action::{Action, COUNTERS, Direction, REASONS_MAX, Reason};
use crate::country::COUNTRIES_MAX;
use crate::decide::origin::Origin;
use crate::event::Event;
pub use crate::event::TracedVerdict;
use crate::flow::cache::CacheLine;
use crate::flow::fragments::{Datagram, DatagramKey};
use crate::flow::key::FlowKey;
use crate::flow::rate_limit::RateLimitKey;
use crate::flow::state::Flow;

/// The packets and bytes of one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    pub packets: u64,
    pub bytes: u64,
}

impl core::ops::AddAssign for Counter {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// The counters of one country on one interface: one element of a per-CPU map, so that a scrape is a few hundred reads.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CountryCounters(pub [Counter; COUNTERS]);

impl CountryCounters {
    pub const ZERO: Self = Self(
        [Counter {
            packets: 0,
            bytes: 0,
        }; COUNTERS],
    );

    /// Whether nothing has been counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|counter| counter.packets == 0)
    }

    /// The counters that are not zero, with their action and reason.
    pub fn counted(&self) -> impl Iterator<Item = (Action, Reason, Counter)> {
        let counted = self.0.iter().enumerate();
        let counted = counted.filter(|(_, counter)| counter.packets != 0);
        counted.filter_map(|(at, counter)| {
            let action = if at < REASONS_MAX {
                Action::Pass
            } else {
                Action::Drop
            };
            let reason = Reason::from_number((at % REASONS_MAX) as u8)?;
            Some((action, reason, *counter))
        })
    }
}

/// Interfaces with counters of their own. Slot 0 counts frames of every other interface.
pub const INTERFACE_SLOTS_MAX: u32 = 64;

/// Elements of the map from an interface's index to its slot. Indexes are taken modulo this.
pub const INTERFACES_MAX: u32 = 4096;

/// Elements of the map of devices. Indexes are taken modulo this.
pub const DEVICES_MAX: u32 = 16_384;

/// A device of the host's network namespace, and whether a packet that came in by it may come from outside.
///
/// The index is compared, because a packet may bring the index of a device of another namespace, or one that is equal
/// modulo `DEVICES_MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Device {
    pub index: u32,
    /// An `Origin`, as its number.
    pub origin: u32,
}

impl Device {
    /// Where a packet came in that brings this index.
    #[must_use]
    #[inline(always)]
    pub const fn origin(&self, index: u32) -> Origin {
        if self.index != index {
            return Origin::Unknown;
        }
        Origin::from_number(self.origin)
    }
}

/// The position of the active image among the images.
pub const IMAGE_IN_USE: u32 = 0;

/// The position of the previous image, which becomes active again when a trial expires.
pub const IMAGE_BEFORE: u32 = 1;

/// The size of an image in the program's type information. The loader replaces it by the size that the policy needs.
///
/// The kernel inlines look-ups in an inner array only if every array has the declared size, and aya cannot set that
/// size at load time. This number occurs nowhere else, so it can be found and replaced.
pub const IMAGE_WORDS_PLACEHOLDER: u32 = 0x00c0_ffee;

/// The largest image in MiB. The verifier refuses an access 512 MiB into an element (`BPF_MAX_VAR_OFF` in the kernel's
/// include/linux/bpf_verifier.h).
pub const IMAGE_MIB_MAX: u32 = 511;

/// The layout of the tables that outlive a program, `name::KEPT`.
///
/// Any change to the meaning of a key or value is a new number. Tables of the old layout are then left behind, except
/// `COUNTERS` and `INTERFACES`, which are copied if their keys and values have the same size. So the number of a
/// country or reason is never used for another.
pub const TABLES_LAYOUT: u32 = 1;

/// The element that holds an interface's counters of a country.
#[must_use]
#[inline(always)]
pub const fn counters_key(slot: u32, country: u8) -> u32 {
    slot * COUNTRIES_MAX as u32 + country as u32
}

/// Names of maps, programs and globals, as the loader finds them.
pub mod name {
    /// The ingress programs: of Ethernet devices, and of devices whose frames start with the IP header.
    pub const PROGRAM: &str = "geofence";
    pub const PROGRAM_IP: &str = "geofence_ip";
    /// The ingress programs for policies with rules, and the array from which the others call them.
    pub const PROGRAM_RULES: &str = "geofence_rules";
    pub const PROGRAM_IP_RULES: &str = "geofence_ip_rules";
    pub const RULES: &str = "RULES";
    /// The same for packets that no rule concerns, which hand the others to those above.
    pub const PROGRAM_FAST: &str = "geofence_fast";
    pub const PROGRAM_IP_FAST: &str = "geofence_ip_fast";
    pub const FAST_PATH: &str = "FAST_PATH";
    pub const IMAGES: &str = "IMAGES";
    pub const INTERFACES: &str = "INTERFACES";
    pub const COUNTERS: &str = "COUNTERS";
    pub const TRIES_V4: [&str; 2] = ["TRIE_V4_A", "TRIE_V4_B"];
    pub const TRIES_V6: [&str; 2] = ["TRIE_V6_A", "TRIE_V6_B"];
    pub const VERDICT: &str = "VERDICT";
    /// The egress programs of the same devices.
    pub const EGRESS: &str = "geofence_egress";
    pub const EGRESS_IP: &str = "geofence_egress_ip";
    pub const EGRESS_RULES: &str = "geofence_egress_rules";
    pub const EGRESS_IP_RULES: &str = "geofence_egress_ip_rules";
    pub const RULES_EGRESS: &str = "RULES_EGRESS";
    pub const DEVICES: &str = "DEVICES";
    pub const UNATTRIBUTED: &str = "UNATTRIBUTED";
    pub const UNANSWERED: &str = "UNANSWERED";
    /// The flow tables, by `Table`.
    pub const FLOWS: [&str; 3] = ["FLOWS_MAIL", "FLOWS_DNS", "FLOWS_OTHER"];
    pub const FLOW_COUNTERS: &str = "FLOW_COUNTERS";
    pub const DATAGRAMS: &str = "DATAGRAMS";
    /// Packets by tenant, and packets that exceptions passed.
    pub const TENANTS: &str = "TENANTS";
    pub const HITS: &str = "HITS";
    /// States of the sources' rate limits.
    pub const BUCKETS: &str = "BUCKETS";
    /// Packets by list and tenant, their events, and the rate limits of events.
    pub const LISTS: &str = "LISTS";
    pub const EVENTS: &str = "EVENTS";
    pub const EVENT_LIMITS: &str = "EVENT_LIMITS";
    /// Packets by exempted service, the slot of each port, and the service of each slot.
    pub const SERVICES: &str = "SERVICES";
    pub const SERVICE_PORTS: &str = "SERVICE_PORTS";
    pub const SERVICE_NAMES: &str = "SERVICE_NAMES";
    /// The programs that observe, by the kind of device.
    pub const PROGRAM_OBSERVE: &str = "geofence_observe";
    pub const PROGRAM_IP_OBSERVE: &str = "geofence_ip_observe";
    pub const OBSERVERS: &str = "OBSERVERS";
    /// What is observed, how far a capture is, what was counted, and the records.
    pub const OBSERVATION: &str = "OBSERVATION";
    pub const CAPTURE: &str = "CAPTURE";
    pub const OBSERVATION_COUNTERS: &str = "OBSERVATION_COUNTERS";
    pub const SAMPLES: &str = "SAMPLES";
    pub const CAPTURED: &str = "CAPTURED";
    /// The tables that a new program inherits from the one it replaces.
    pub const KEPT: [&str; 15] = [
        INTERFACES,
        COUNTERS,
        FLOWS[0],
        FLOWS[1],
        FLOWS[2],
        FLOW_COUNTERS,
        UNATTRIBUTED,
        UNANSWERED,
        DATAGRAMS,
        BUCKETS,
        LISTS,
        EVENTS,
        SERVICES,
        SERVICE_PORTS,
        SERVICE_NAMES,
    ];
    /// The arrays of programs. The kernel empties an array that no process and no pin holds.
    pub const PROGRAM_ARRAYS: [&str; 4] = [FAST_PATH, RULES, RULES_EGRESS, OBSERVERS];
    /// Global: non-zero when look-ups go to the kernel's tries.
    pub const LPM: &str = "LPM";
    /// Global: how many words an image has room for.
    pub const IMAGE_WORDS: &str = "IMAGE_WORDS";
    /// Global: the key of the flow cache's checksums.
    pub const CHECKSUM_KEY: &str = "CHECKSUM_KEY";
    /// Global: non-zero when verdicts are written to `VERDICT`, for test runs.
    pub const TRACE: &str = "TRACE";
}

/// What happened to packets of our side, for one flow table on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FlowCounters {
    /// Flows added.
    pub opened: u64,
    /// Packets of flows that existed.
    pub updated: u64,
    /// Packets that opened no flow because they were forwarded.
    pub forwarded: u64,
    /// Packets that opened no flow because the table had no room.
    pub full: u64,
}

/// The packets that an exception passed on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Hits {
    pub packets: u64,
    /// When the last one arrived, nanoseconds since boot.
    pub last: u64,
}

/// The key of list counters: packets from or to addresses on a list, at a tenant. By identity rather than by number, so
/// that the table can outlive an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct ListKey {
    pub list: u32,
    /// 0 for no tenant, and for tenants that the table has no room for.
    pub tenant: u32,
}

/// The counters of a list at a tenant on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ListCounters {
    /// By `list_counter`.
    pub packets: [u64; 4],
    /// By direction: packets without an event, and packets with one.
    pub events: [[u64; 2]; 2],
}

impl ListCounters {
    pub const ZERO: Self = Self {
        packets: [0; 4],
        events: [[0; 2]; 2],
    };
}

impl core::ops::AddAssign for ListCounters {
    fn add_assign(&mut self, other: Self) {
        let sums = self
            .packets
            .iter_mut()
            .chain(self.events.as_flattened_mut());
        let others = other.packets.iter().chain(other.events.as_flattened());
        for (sum, one) in sums.zip(others) {
            *sum += *one;
        }
    }
}

/// The position of a list's counter.
#[must_use]
#[inline(always)]
pub const fn list_counter(direction: Direction, action: Action) -> usize {
    let action = match action {
        Action::Pass => 0,
        Action::Drop => 1,
    };
    (direction as usize) << 1 | action
}

/// The most pairs of list and tenant with counters of their own.
pub const LIST_KEYS_MAX: usize = 16_384;

/// Bytes of the ring buffer of events.
pub const EVENTS_BYTES: usize = 256 << 10;

const _: () = assert!(size_of::<Counter>() == 16);

const _: () = assert!(size_of::<CountryCounters>() == 16 * COUNTERS);

// The kernel's limit on one element of a per-CPU map (PCPU_MIN_UNIT_SIZE).
const _: () = assert!(size_of::<CountryCounters>() <= 32 << 10);

const _: () = assert!(size_of::<TracedVerdict>() == 28);

const _: () = assert!(size_of::<Hits>() == 16 && size_of::<RateLimitKey>() == 16);

const _: () = assert!(size_of::<FlowKey>() == 40 && size_of::<Flow>() == 24);

const _: () = assert!(size_of::<CacheLine>() == 64);

const _: () = assert!(size_of::<DatagramKey>() == 16 && size_of::<Datagram>() == 32);

const _: () = assert!(size_of::<FlowCounters>() == 32 && size_of::<Device>() == 8);

const _: () = assert!(size_of::<ListKey>() == 8 && size_of::<ListCounters>() == 64);

const _: () = assert!(size_of::<Event>() == 72);

#[cfg(feature = "user")]
mod pod {
    use super::{
        Counter, CountryCounters, Device, FlowCounters, Hits, ListCounters, ListKey, TracedVerdict,
    };
    use crate::event::Event;
    use crate::flow::cache::ChecksumKey;
    use crate::flow::fragments::{Datagram, DatagramKey};
    use crate::flow::key::FlowKey;
    use crate::flow::rate_limit::RateLimitKey;
    use crate::flow::state::Flow;
    use crate::observe::{CaptureProgress, Observation, ObservationCounters};
    use crate::service::ServiceName;

    // SAFETY: repr(C), integers only, no padding (asserted above), every bit pattern valid.
    unsafe impl aya::Pod for Counter {}
    // SAFETY: an array of `Counter`.
    unsafe impl aya::Pod for CountryCounters {}
    // SAFETY: no padding but what is named, every bit pattern valid.
    unsafe impl aya::Pod for TracedVerdict {}
    // SAFETY: repr(C), integers only, no padding but what is named (asserted above), every bit pattern valid.
    unsafe impl aya::Pod for FlowKey {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for Flow {}
    // SAFETY: an array of numbers.
    unsafe impl aya::Pod for ChecksumKey {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for DatagramKey {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for Datagram {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for FlowCounters {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for Device {}
    // SAFETY: as for `Counter`.
    unsafe impl aya::Pod for Hits {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for RateLimitKey {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for ListKey {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for ListCounters {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for Event {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for ServiceName {}
    // SAFETY: repr(C), integers only, no padding but what is named (asserted in `observe`), every bit pattern valid.
    unsafe impl aya::Pod for Observation {}
    // SAFETY: as for `Observation`.
    unsafe impl aya::Pod for CaptureProgress {}
    // SAFETY: as for `Observation`.
    unsafe impl aya::Pod for ObservationCounters {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_answers_for_its_own_index_only() {
        for origin in [Origin::Inside, Origin::Protected, Origin::Above] {
            let device = Device {
                index: 7,
                origin: origin as u32,
            };
            assert_eq!(device.origin(7), origin);
            // The same place, and another device.
            assert_eq!(device.origin(7 + DEVICES_MAX), Origin::Unknown);
            // An index of another network namespace that no device here has.
            assert_eq!(device.origin(8), Origin::Unknown);
        }
        // A place that is empty.
        assert_eq!(Device::default().origin(7), Origin::Unknown);
    }
}
