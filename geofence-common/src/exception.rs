//! Exceptions: who may reach what although a list, a country or a protection says no.
//!
//! An exception names sources, destinations and services. A source has up to three names by which exceptions may know
//! it: the group of exception prefixes that hold its address, the same of an address it is embedded in, its country. A
//! destination has three as well: a group of prefixes, a tenant, and `ANYWHERE`. Each pair of names for which there are
//! exceptions stands in a table in the image and leads to a short run of them; so a packet costs at most nine probes,
//! however many exceptions there are, and one bit test if there is none for its source.
//!
//! The table is lines of four pairs. A pair stands in the line its hash names or in one of the few behind it, and the
//! compiler makes the table large enough for that. An exception lapses by its deadline in the image, which is compared
//! with the time since boot when a packet comes.

use crate::frame::Frame;
use crate::image::{LINE_SHIFT, Words, flag, header};
use crate::observe::{Observer, Step};
use crate::policy::Tables;
use crate::wire::protocol;
use crate::zone::Zone;

/// The name of every destination.
pub const ANYWHERE: u32 = u32::MAX;
/// Source names below are numbers of countries; from here on, of groups of prefixes.
pub const FIRST_SOURCE_GROUP: u32 = 1 << 8;
/// Destination names below are numbers of tenants; from here on, of groups of prefixes.
pub const FIRST_TARGET_GROUP: u32 = 1 << 16;

/// Words of a pair: source name (0 for no pair), destination name, the word where its exceptions start, their number.
pub const PAIR_WORDS: usize = 4;
/// How many pairs stand in a line.
const LINE_PAIRS: u32 = 4;
/// In how many lines, one behind the other, a pair is looked for.
pub const PROBES_MAX: u32 = 4;
/// How many exceptions a pair may lead to.
pub const RUN_MAX: u32 = 32;

/// Words of an exception: traffic and slot, the first port and the last in the upper half, when it lapses (nanoseconds
/// since boot, low word then high word).
pub const EXCEPTION_WORDS: usize = 4;
/// The deadline of an exception that does not lapse.
pub const NEVER: u64 = u64::MAX;

/// Bits of an exception's first word: a protocol in the lowest eight, these, and the position of its counter.
pub mod traffic {
    /// Whatever the protocol.
    pub const ANY: u32 = 8;
    /// Only the ports named.
    pub const PORTS: u32 = 9;
    /// It is the access to a protected port and opens no other.
    pub const ACCESS: u32 = 10;
    /// The counter's position from here on.
    pub const SLOT: u32 = 11;
}

/// Counters that there can be.
pub const SLOTS_MAX: u32 = 1 << (32 - traffic::SLOT);

/// The line, counted from the first, in which a pair is looked for first; there are `lines` to choose from.
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

/// What a packet is about, as far as exceptions tell packets apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    /// ICMP of either version counts as one; `NO_PROTOCOL` where none could be told.
    protocol: u32,
    /// `NO_PORT` where there is none.
    port: u32,
    /// 1 for a protected port, so that only an exception that names the port counts.
    is_protected: u32,
}

pub(crate) const NO_PROTOCOL: u32 = 0x100;
pub(crate) const NO_PORT: u32 = 0x1_0000;

impl Subject {
    #[inline(always)]
    pub(crate) fn new(transport: Option<u8>, port: Option<u16>, is_protected: bool) -> Self {
        let transport = transport.map_or(NO_PROTOCOL, u32::from);
        Self::of(transport, port.map_or(NO_PORT, u32::from), is_protected)
    }

    /// The same of numbers, which may be `NO_PROTOCOL` and `NO_PORT`.
    #[inline(always)]
    pub(crate) fn of(transport: u32, port: u32, is_protected: bool) -> Self {
        const ICMPV6: u32 = protocol::ICMPV6 as u32;
        Self {
            protocol: match transport {
                ICMPV6 => protocol::ICMP.into(),
                other => other,
            },
            port,
            is_protected: is_protected.into(),
        }
    }

    /// The same, of which the verifier knows nothing.
    #[inline(always)]
    pub(crate) fn forgotten<F: Frame>(self, frame: &F) -> Self {
        let forget = |number| frame.forget(number);
        Self {
            protocol: forget(self.protocol),
            port: forget(self.port),
            is_protected: forget(self.is_protected),
        }
    }

    /// Whether an exception for this traffic is for this packet.
    ///
    /// By arithmetic, as what is against it: the verifier follows every branch into every later exception.
    #[inline(always)]
    fn is_of(self, traffic: u32, ports: u32) -> bool {
        let bit = |number: u32| traffic >> number & 1;
        // All bits unless any protocol will do.
        let is_bound = bit(traffic::ANY).wrapping_sub(1);
        let other_protocol = (traffic & 0xff ^ self.protocol) & is_bound;
        // A difference below zero has its highest bit set.
        let below = self.port.wrapping_sub(ports & 0xffff);
        let above = (ports >> 16).wrapping_sub(self.port);
        let other_port = (below | above) >> 31 & bit(traffic::PORTS);
        let unnamed = self.is_protected & (bit(traffic::PORTS) ^ 1);
        let no_access = bit(traffic::ACCESS) & (self.is_protected ^ 1);
        other_protocol | other_port | unnamed | no_access == 0
    }
}

/// An exception that lets a packet pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) slot: u32,
    pub(crate) is_access: bool,
}

/// Finds an exception for a source of these names, this destination and subject.
#[inline(always)]
pub(crate) fn find<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    [around, inner, country]: [u32; 3],
    zone: &Zone,
    subject: &Subject,
    tables: &T,
    observer: &mut O,
) -> Option<Found> {
    if around | inner | country == 0 {
        return None;
    }
    let forget = |number| frame.forget(number);
    let [group, tenant] = zone.targets(tables).map(forget);
    let anywhere = if zone.flags.has(flag::ANYWHERE) {
        ANYWHERE
    } else {
        0
    };
    let anywhere = forget(anywhere);
    for number in 0..9 {
        // By arithmetic, so that nine pairs stay one loop.
        let source = match number / 3 {
            0 => around,
            1 => inner,
            _ => country,
        };
        let target = match number % 3 {
            0 => group,
            1 => tenant,
            _ => anywhere,
        };
        let (source, target) = (forget(source), forget(target));
        if source == 0 || target == 0 {
            continue;
        }
        let [at, count] = pair(frame, source, target, tables).map(forget);
        if count == 0 {
            continue;
        }
        let found = run(frame, at, count, subject, tables, observer);
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Where the exceptions of a pair stand, and how many there are.
#[inline(always)]
fn pair<F: Frame, W: Words>(frame: &F, source: u32, target: u32, words: &W) -> [u32; 2] {
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
        at = frame.forget(at.wrapping_add(PAIR_WORDS as u32));
    }
    NONE
}

/// The first of a run of exceptions that holds for the subject and has not lapsed.
#[inline(always)]
fn run<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    at: u32,
    count: u32,
    subject: &Subject,
    tables: &T,
    observer: &mut O,
) -> Option<Found> {
    let (mut at, mut left) = (at, count);
    for _ in 0..RUN_MAX {
        if left == 0 {
            break;
        }
        let [first, ports, low, high] = tables.quad(at)?;
        if subject.is_of(first, ports) {
            let slot = first >> traffic::SLOT;
            let is_live = (u64::from(high) << 32 | u64::from(low)) > tables.now();
            observer.step(Step::Exception { slot, is_live });
            if is_live {
                return Some(Found {
                    slot,
                    is_access: first >> traffic::ACCESS & 1 != 0,
                });
            }
        }
        at = frame.forget(at.wrapping_add(EXCEPTION_WORDS as u32));
        left = frame.forget(left.wrapping_sub(1));
    }
    None
}
