//! Observation: which frames an operator wants to see beside their counters, and the records of them.
//!
//! ```text
//! samples   some of the drops: so many a second for each reason, and exact counts of what was sent and what was not
//! capture   whole frames that match a filter, bounded in rate, number and time
//! ```
//!
//! The flags in an image's header say whether either goes on. The programs with rules then hand a frame over, once it
//! was judged and counted, to a program that does nothing else.

use crate::action::{Action, REASONS_MAX, Reason};
use crate::address::Address;
use crate::event::TracedVerdict;
use crate::flow::rate_limit::RateLimit;
use crate::image::settings::flag;
use crate::packet::FiveTuple;

/// The most bytes of a frame that a capture keeps: a power of two, so that the kernel can mask a length.
pub const SNAP_MAX: usize = 16 << 10;

/// Bytes of the ring buffers of samples and of captured frames.
pub const SAMPLES_BYTES: usize = 256 << 10;
pub const CAPTURED_BYTES: usize = 1 << 20;

/// No filter by tenant, by protocol, or by port.
pub const ANY_TENANT: u32 = u32::MAX;
pub const ANY_PROTOCOL: u16 = u16::MAX;
pub const ANY_PORT: u32 = u32::MAX;

/// The header's flag that has frames of this reason observed. In monitor mode, what would be dropped counts as drops.
#[must_use]
#[inline(always)]
pub const fn flag_of(reason: Reason) -> u32 {
    if is_drop(reason as u8) {
        flag::OBSERVE_DROPS
    } else {
        flag::OBSERVE_PASSES
    }
}

/// Whether the reason with this number drops. By its bit, so that the kernel needs neither a table nor a branch for
/// each.
#[must_use]
#[inline(always)]
pub const fn is_drop(reason: u8) -> bool {
    DROPS >> (reason & (REASONS_MAX as u8 - 1)) & 1 != 0
}

/// The reasons that drop, as bits.
const DROPS: u64 = {
    let (mut bits, mut at) = (0, 0);
    while at < REASONS_MAX as u8 {
        if let Some(reason) = Reason::from_number(at)
            && matches!(reason.action(), Action::Drop)
        {
            bits |= 1 << at;
        }
        at += 1;
    }
    bits
};

/// The reasons with this action, as bits.
#[must_use]
pub fn reasons_with(action: Action) -> u64 {
    let reasons = Reason::ALL.iter().filter(|one| one.action() == action);
    reasons.fold(0, |bits, one| bits | 1 << *one as u8)
}

/// What the programs with rules note of a frame that they hand over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Observed {
    pub verdict: TracedVerdict,
    /// The generation of the image that it was judged by, to which the numbers in the verdict belong.
    pub generation: u32,
}

/// A prefix that an address is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PrefixFilter {
    /// 0 for every address, 4 or 6 for a prefix of that family.
    pub family: u64,
    /// The words of its address and of its mask.
    pub words: [u64; 2],
    pub mask: [u64; 2],
}

impl PrefixFilter {
    /// The prefix with this address and length.
    #[must_use]
    pub fn new(address: Address, length: u8) -> Self {
        let length = if address.is_v6() {
            u32::from(length)
        } else {
            u32::from(length).min(32)
        };
        let bits = u128::MAX.checked_shl(128_u32.saturating_sub(length));
        let bits = bits.unwrap_or(0);
        Self {
            family: if address.is_v6() { 6 } else { 4 },
            words: address.words(),
            mask: [(bits >> 64) as u64, bits as u64],
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn matches(&self, address: &Address) -> bool {
        let [high, low] = address.words();
        let family = if address.is_v6() { 6 } else { 4 };
        self.family == 0
            || self.family == family
                && (high ^ self.words[0]) & self.mask[0] == 0
                && (low ^ self.words[1]) & self.mask[1] == 0
    }
}

/// Which frames a capture takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FrameFilter {
    /// Reasons and countries, as bits by their numbers.
    pub reasons: u64,
    pub countries: [u64; 4],
    pub source: PrefixFilter,
    pub destination: PrefixFilter,
    pub tenant: u32,
    /// Either port.
    pub port: u32,
    pub protocol: u16,
    pub padding: [u16; 3],
}

impl FrameFilter {
    /// Takes nothing.
    pub const NONE: Self = Self {
        reasons: 0,
        ..Self::ALL
    };

    /// Takes every frame.
    pub const ALL: Self = {
        let any = PrefixFilter {
            family: 0,
            words: [0; 2],
            mask: [0; 2],
        };
        Self {
            reasons: u64::MAX,
            countries: [u64::MAX; 4],
            source: any,
            destination: any,
            tenant: ANY_TENANT,
            port: ANY_PORT,
            protocol: ANY_PROTOCOL,
            padding: [0; 3],
        }
    };

    /// Whether a frame is taken. Of one whose headers cannot be read there is no five-tuple: a filter by address, port
    /// or protocol does not take it.
    #[must_use]
    #[inline(always)]
    pub fn matches(&self, verdict: &TracedVerdict, five_tuple: Option<&FiveTuple>) -> bool {
        let country = self.countries.get(usize::from(verdict.country >> 6));
        let is_country = country.is_some_and(|bits| bits >> (verdict.country & 63) & 1 != 0);
        let is_reason = self.reasons >> (verdict.reason & (REASONS_MAX as u8 - 1)) & 1 != 0;
        let is_tenant = self.tenant == ANY_TENANT || self.tenant == verdict.tenant;
        if !(is_country && is_reason && is_tenant) {
            return false;
        }
        let Some(five_tuple) = five_tuple else {
            return self.source.family == 0
                && self.destination.family == 0
                && self.port == ANY_PORT
                && self.protocol == ANY_PROTOCOL;
        };
        let [from, to] = five_tuple.ports;
        self.source.matches(&five_tuple.source)
            && self.destination.matches(&five_tuple.destination)
            && (self.protocol == ANY_PROTOCOL || self.protocol == five_tuple.protocol as u16)
            && (self.port == ANY_PORT || self.port == from as u32 || self.port == to as u32)
    }
}

/// What is observed: the one element of a map, which the daemon writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Observation {
    /// The limit of each reason's samples; `RateLimit::OFF` for no samples.
    pub samples: RateLimit,
    pub filter: FrameFilter,
    /// The limit of captured frames.
    pub frames: RateLimit,
    /// When the capture ends, nanoseconds since boot.
    pub ends: u64,
    /// How many frames it takes.
    pub count: u64,
    /// Which capture the records belong to.
    pub session: u32,
    /// How many bytes of a frame are kept: from 1 to `SNAP_MAX`.
    pub snap: u32,
}

impl Observation {
    /// Nothing is observed.
    pub const OFF: Self = Self {
        samples: RateLimit::OFF,
        filter: FrameFilter::NONE,
        frames: RateLimit::OFF,
        ends: 0,
        count: 0,
        session: 0,
        snap: 1,
    };
}

/// How far the capture is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CaptureProgress {
    /// The state of its limit.
    pub full_at: u64,
    /// How many frames were taken.
    pub taken: u64,
}

/// What was observed on one CPU: records that were not sent, and records that were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ObservationCounters {
    /// By reason: drops while samples were on.
    pub samples: [[u64; 2]; REASONS_MAX],
    /// Frames that matched the filter of a capture.
    pub frames: [u64; 2],
}

impl ObservationCounters {
    pub const ZERO: Self = Self {
        samples: [[0; 2]; REASONS_MAX],
        frames: [0; 2],
    };
}

impl core::ops::AddAssign for ObservationCounters {
    fn add_assign(&mut self, other: Self) {
        let sums = self.samples.as_flattened_mut().iter_mut();
        let others = other.samples.as_flattened().iter().chain(&other.frames);
        for (sum, one) in sums.chain(&mut self.frames).zip(others) {
            *sum = sum.saturating_add(*one);
        }
    }
}

/// A sample: one packet that was dropped, or that enforce mode would drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Sample {
    /// Nanoseconds since boot.
    pub time: u64,
    /// The words of the addresses.
    pub source: [u64; 2],
    pub destination: [u64; 2],
    pub observed: Observed,
    /// The index of the interface.
    pub interface: u32,
    /// The length of the frame.
    pub length: u32,
    /// As in `FiveTuple`.
    pub ports: [u16; 2],
    pub protocol: u8,
    pub flags: u8,
    /// 4 or 6; 0 if the addresses could not be read.
    pub family: u8,
    pub padding: u8,
}

/// What comes before the bytes of a captured frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CapturedHeader {
    /// Nanoseconds since boot.
    pub time: u64,
    pub observed: Observed,
    /// The index of the interface.
    pub interface: u32,
    /// The length of the frame, and how many bytes of it follow.
    pub length: u32,
    pub kept: u32,
    /// As in `Observation`.
    pub session: u32,
    /// What the frame starts with: a `Link`, as its number.
    pub link: u32,
    pub padding: u32,
}

const _: () = assert!(size_of::<Observed>() == 32 && size_of::<PrefixFilter>() == 40);

const _: () = assert!(size_of::<FrameFilter>() == 136 && size_of::<Observation>() == 192);

const _: () = assert!(size_of::<CaptureProgress>() == 16);

const _: () = assert!(size_of::<ObservationCounters>() == 16 * (REASONS_MAX + 1));

const _: () = assert!(size_of::<Sample>() == 88 && size_of::<CapturedHeader>() == 64);

// A frame's number of bytes is masked.
const _: () = assert!(SNAP_MAX.is_power_of_two());

#[cfg(test)]
mod tests;
