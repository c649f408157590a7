//! Keys and values of the kernel's maps, as both sides lay them out, and the names of the maps.
//!
//! The only file of this crate with `unsafe`: the promise to aya that these types are plain bytes.
#![cfg_attr(
    feature = "user",
    expect(unsafe_code, reason = "Pod is an unsafe trait")
)]

use crate::action::{Action, COUNTERS, Direction, REASONS_MAX, Reason};
use crate::country::COUNTRIES_MAX;
use crate::event::Event;
use crate::flow::cache::CacheLine;
use crate::flow::fragments::{Datagram, DatagramKey};
use crate::flow::key::FlowKey;
use crate::flow::rate_limit::RateLimitKey;
use crate::flow::state::Flow;

/// Packets and bytes that ended in one reason.
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

/// The counters of one country on one interface; one element of a per-CPU map, so that a scrape is a few hundred reads.
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

    /// What was counted, and as what.
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

/// Interfaces with counters of their own; slot 0 is for frames of an interface that has none.
pub const INTERFACE_SLOTS_MAX: u32 = 64;

/// Elements of the map from an interface's index to its slot. Indexes are taken modulo this.
pub const INTERFACES_MAX: u32 = 4096;

/// Where the image that filters stands among the images.
pub const IMAGE_IN_USE: u32 = 0;

/// Where the one stands that counts again when a trial ends without a confirmation.
pub const IMAGE_BEFORE: u32 = 1;

/// The size of an image in the program's type information, which the loader replaces by the size the policy needs.
///
/// The kernel inlines look-ups in an inner array only when every array has the size of the declared one, and aya has
/// no way to set that size at load time; an odd number can be found and replaced.
pub const IMAGE_WORDS_PLACEHOLDER: u32 = 0x00c0_ffee;

/// The MiB that an image may have room for. The verifier lets no access reach as far as 512 MiB into an element
/// (`BPF_MAX_VAR_OFF` in the kernel's include/linux/bpf_verifier.h).
pub const IMAGE_MIB_MAX: u32 = 511;

/// The layout of the tables that outlive a program, `name::KEPT`.
///
/// Any change to the meaning of a key or a value is a new number: then tables of the old one are left behind, save that
/// `COUNTERS` and `INTERFACES` are copied where their keys and values have the same size. So a number of a country or
/// reason must not be used again for another.
pub const TABLES_LAYOUT: u32 = 1;

/// The element that holds an interface's counters of a country.
#[must_use]
#[inline(always)]
pub const fn counters_key(slot: u32, country: u8) -> u32 {
    slot * COUNTRIES_MAX as u32 + country as u32
}

/// Names of maps, programs and globals, as the loader finds them.
pub mod name {
    pub const PROGRAM: &str = "geofence";
    pub const IMAGES: &str = "IMAGES";
    pub const INTERFACES: &str = "INTERFACES";
    pub const COUNTERS: &str = "COUNTERS";
    pub const TRIES_V4: [&str; 2] = ["TRIE_V4_A", "TRIE_V4_B"];
    pub const TRIES_V6: [&str; 2] = ["TRIE_V6_A", "TRIE_V6_B"];
    pub const VERDICT: &str = "VERDICT";
    /// The egress program.
    pub const EGRESS: &str = "geofence_egress";
    /// Flows, by `Table`.
    pub const FLOWS: [&str; 3] = ["FLOWS_MAIL", "FLOWS_DNS", "FLOWS_OTHER"];
    pub const FLOW_COUNTERS: &str = "FLOW_COUNTERS";
    pub const DATAGRAMS: &str = "DATAGRAMS";
    /// Packets by tenant, and what exceptions let pass.
    pub const TENANTS: &str = "TENANTS";
    pub const HITS: &str = "HITS";
    /// Buckets of sources under pressure.
    pub const BUCKETS: &str = "BUCKETS";
    /// Packets by list and tenant, events of such packets, and how fast those of each list may follow each other.
    pub const LISTS: &str = "LISTS";
    pub const EVENTS: &str = "EVENTS";
    pub const EVENT_LIMITS: &str = "EVENT_LIMITS";
    /// The tables that a new program takes over from the one it replaces.
    pub const KEPT: [&str; 10] = [
        INTERFACES,
        COUNTERS,
        FLOWS[0],
        FLOWS[1],
        FLOWS[2],
        FLOW_COUNTERS,
        DATAGRAMS,
        BUCKETS,
        LISTS,
        EVENTS,
    ];
    /// Global: non-zero when look-ups go to the kernel's tries.
    pub const LPM: &str = "LPM";
    /// Global: how many words an image has room for.
    pub const IMAGE_WORDS: &str = "IMAGE_WORDS";
    /// Global: the numbers that prove a line of flows at hand.
    pub const CHECKSUM_KEY: &str = "CHECKSUM_KEY";
    /// Global: non-zero when verdicts are written to `VERDICT`, for test runs.
    pub const TRACE: &str = "TRACE";
}

/// What became of the packets of ours that a table of flows was asked about; one element a table, per CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FlowCounters {
    /// Flows added.
    pub opened: u64,
    /// Packets of flows that were known.
    pub updated: u64,
    /// Packets that opened nothing because they came in by a protected interface.
    pub forwarded: u64,
    /// Packets that opened nothing because the table did not take them.
    pub full: u64,
}

/// What an exception let pass on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Hits {
    pub packets: u64,
    /// When the last of them came, nanoseconds since boot.
    pub last: u64,
}

/// Whose packets are counted: those from or to addresses on a list, at a tenant. By identity, and not by a number, so
/// that the table can outlive an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct ListKey {
    pub list: u32,
    /// 0 for no tenant, and for tenants that there is no room for.
    pub tenant: u32,
}

/// What was counted of a list at a tenant on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ListCounters {
    /// By `list_counter`.
    pub packets: [u64; 4],
    /// By direction: packets that there is no event of, and packets that there is one of.
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

/// Pairs of lists and tenants that are counted apart.
pub const LIST_KEYS_MAX: usize = 16_384;

/// Bytes of events under way to the daemon.
pub const EVENTS_BYTES: usize = 256 << 10;

/// The last verdict on a CPU, written when a program is loaded to be asked, never while it filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TracedVerdict {
    pub reason: u8,
    pub country: u8,
    pub dropped: u8,
    pub padding: u8,
    pub tenant: u32,
    pub exception: u32,
    /// As in `Peer`.
    pub class: u32,
    pub records: [u32; 2],
    pub policy: u32,
}

const _: () = assert!(size_of::<Counter>() == 16);

const _: () = assert!(size_of::<CountryCounters>() == 16 * COUNTERS);

// The kernel's limit on one element of a per-CPU map (PCPU_MIN_UNIT_SIZE).
const _: () = assert!(size_of::<CountryCounters>() <= 32 << 10);

const _: () = assert!(size_of::<TracedVerdict>() == 28);

const _: () = assert!(size_of::<Hits>() == 16 && size_of::<RateLimitKey>() == 16);

const _: () = assert!(size_of::<FlowKey>() == 40 && size_of::<Flow>() == 24);

const _: () = assert!(size_of::<CacheLine>() == 64);

const _: () = assert!(size_of::<DatagramKey>() == 40 && size_of::<Datagram>() == 16);

const _: () = assert!(size_of::<FlowCounters>() == 32);

const _: () = assert!(size_of::<ListKey>() == 8 && size_of::<ListCounters>() == 64);

const _: () = assert!(size_of::<Event>() == 64);

#[cfg(feature = "user")]
mod pod {
    use super::{
        Counter, CountryCounters, FlowCounters, Hits, ListCounters, ListKey, TracedVerdict,
    };
    use crate::event::Event;
    use crate::flow::cache::ChecksumKey;
    use crate::flow::fragments::{Datagram, DatagramKey};
    use crate::flow::key::FlowKey;
    use crate::flow::rate_limit::RateLimitKey;
    use crate::flow::state::Flow;

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
}
