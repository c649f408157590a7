//! Keys and values of the kernel's maps, as both sides lay them out, and the names of the maps.
//!
//! The only file of this crate with `unsafe`: the promise to aya that these types are plain bytes.
#![cfg_attr(
    feature = "user",
    expect(unsafe_code, reason = "Pod is an unsafe trait")
)]

use crate::country::COUNTRIES_MAX;
use crate::flow::{Datagram, DatagramKey, Flow, FlowKey};
use crate::verdict::COUNTERS;

/// Packets and bytes that ended in one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    pub packets: u64,
    pub bytes: u64,
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
    /// The tables that a new program takes over from the one it replaces.
    pub const KEPT: [&str; 7] = [
        INTERFACES,
        COUNTERS,
        FLOWS[0],
        FLOWS[1],
        FLOWS[2],
        FLOW_COUNTERS,
        DATAGRAMS,
    ];
    /// Global: non-zero when look-ups go to the kernel's tries.
    pub const LPM: &str = "LPM";
    /// Global: how many words an image has room for.
    pub const IMAGE_WORDS: &str = "IMAGE_WORDS";
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
    pub amended: u64,
    /// Packets that opened nothing because they came in by a protected interface.
    pub foreign: u64,
    /// Packets that opened nothing because the table did not take them.
    pub full: u64,
}

/// The last verdict on a CPU, written when a program is loaded to be asked, never while it filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TracedVerdict {
    pub reason: u8,
    pub country: u8,
    pub dropped: u8,
    pub padding: u8,
}

const _: () = assert!(size_of::<Counter>() == 16);
const _: () = assert!(size_of::<CountryCounters>() == 16 * COUNTERS);
// The kernel's limit on one element of a per-CPU map (PCPU_MIN_UNIT_SIZE).
const _: () = assert!(size_of::<CountryCounters>() <= 32 << 10);
const _: () = assert!(size_of::<TracedVerdict>() == 4);
const _: () = assert!(size_of::<FlowKey>() == 40 && size_of::<Flow>() == 24);
const _: () = assert!(size_of::<DatagramKey>() == 40 && size_of::<Datagram>() == 16);
const _: () = assert!(size_of::<FlowCounters>() == 32);

#[cfg(feature = "user")]
mod pod {
    use super::{Counter, CountryCounters, FlowCounters, TracedVerdict};
    use crate::flow::{Datagram, DatagramKey, Flow, FlowKey};

    // SAFETY: repr(C), integers only, no padding (asserted above), every bit pattern valid.
    unsafe impl aya::Pod for Counter {}
    // SAFETY: an array of `Counter`.
    unsafe impl aya::Pod for CountryCounters {}
    // SAFETY: four bytes, no padding, every bit pattern valid.
    unsafe impl aya::Pod for TracedVerdict {}
    // SAFETY: repr(C), integers only, no padding but what is named (asserted above), every bit pattern valid.
    unsafe impl aya::Pod for FlowKey {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for Flow {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for DatagramKey {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for Datagram {}
    // SAFETY: as for `FlowKey`.
    unsafe impl aya::Pod for FlowCounters {}
}
