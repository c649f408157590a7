//! Exceptions: which sources may reach which destinations although a list, a country or a protected port says no.
//!
//! An exception names sources, destinations and services. A source has up to three names: the group of exception
//! prefixes that hold its address, the group of the address that embeds it, and its country. A destination has three as
//! well: a group of prefixes, a tenant, and `ANYWHERE`. A table in the image maps each pair of names to a short run of
//! exceptions. So a packet costs at most nine probes, however many exceptions there are, and one bit test if no
//! exception names its source.
//!
//! Bans are in the same table, for destinations that no packet has by its address: see [`BANNED`].
//!
//! The table has lines of four pairs. A pair is in the line that its hash selects or in one of the few behind it; the
//! compiler makes the table large enough for that. An exception has a deadline, which is compared with the time since
//! boot.

use crate::frame::Frame;
use crate::image::layout::{LINE_SHIFT, header};
use crate::image::words::Words;
use crate::opaque::Opaque as _;

/// The destination name of exceptions for every destination.
pub const ANYWHERE: u32 = u32::MAX;

/// The destination name of bans, which are exceptions the other way round: packets from these sources are dropped.
pub const BANNED: u32 = u32::MAX - 1;

/// Source names below this are country numbers, the others are groups of prefixes.
pub const FIRST_SOURCE_GROUP: u32 = 1 << 8;

/// Destination names below this are tenant numbers, the others are groups of prefixes.
pub const FIRST_TARGET_GROUP: u32 = 1 << 16;

/// Words of a pair: source name (0 for no pair), destination name, the word where its exceptions start, their number.
pub const PAIR_WORDS: usize = 4;

/// Pairs in a line.
const LINE_PAIRS: u32 = 4;

/// The lines in which a pair is searched, one after the other.
pub const PROBES_MAX: u32 = 4;

/// The most exceptions of one pair.
pub const RUN_MAX: u32 = 32;

/// Words of an exception: traffic and slot; the first port, and the last in the upper half; the deadline (nanoseconds
/// since boot, low word then high word).
pub const EXCEPTION_WORDS: usize = 4;

/// The deadline of an exception that does not expire.
pub const NEVER: u64 = u64::MAX;

/// Bits of an exception's first word. The lowest eight are the protocol.
pub mod traffic {
    /// Any protocol.
    pub const ANY: u32 = 8;
    /// Only these ports.
    pub const PORTS: u32 = 9;
    /// It is an access to a protected port, and opens no other.
    pub const ACCESS: u32 = 10;
    /// The lowest bit of the counter's position.
    pub const SLOT: u32 = 11;
}

/// The most counters.
pub const SLOTS_MAX: u32 = 1 << (32 - traffic::SLOT);

/// The line, counted from the first of `lines`, where the search for a pair starts.
#[must_use]
#[inline(always)]
pub const fn first_line(source: u32, target: u32, lines: u32) -> u32 {
    let mut hash = source.wrapping_mul(0x9e37_79b1) ^ target.wrapping_mul(0x85eb_ca77);
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(0x2c1b_3c6d);
    hash ^= hash >> 12;
    hash = hash.wrapping_mul(0x297a_2d39);
    hash ^= hash >> 15;
    ((hash as u64 * lines as u64) >> 32) as u32
}

/// The position and number of the exceptions of a pair.
#[inline(always)]
pub(crate) fn pair<F: Frame, W: Words>(frame: &F, source: u32, target: u32, words: &W) -> [u32; 2] {
    const NONE: [u32; 2] = [0, 0];
    let (Some(lines), Some(first)) = (
        words.word(header::PAIR_LINES as u32),
        words.word(header::PAIRS as u32),
    ) else {
        return NONE;
    };
    let mut at = first.wrapping_add(first_line(source, target, lines)) << LINE_SHIFT;
    for _ in 0..PROBES_MAX * LINE_PAIRS {
        let Some([known_source, known_target, run, count]) = words.quad(at) else {
            return NONE;
        };
        if known_source == 0 {
            return NONE;
        }
        if (known_source ^ source) | (known_target ^ target) == 0 {
            return [run, count];
        }
        at = at.wrapping_add(PAIR_WORDS as u32).opaque(frame);
    }
    NONE
}
