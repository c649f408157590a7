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

use crate::image::{LINE_SHIFT, Words, flag, header};
use crate::observe::{Observer, Step};
use crate::policy::{Source, Tables};
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

/// Words of an exception.
pub const EXCEPTION_WORDS: usize = 8;

/// Words of an exception, by position.
pub mod word {
    /// A protocol, and bits of `super::traffic`.
    pub const TRAFFIC: u32 = 0;
    /// The first port, and the last in the upper half.
    pub const PORTS: u32 = 1;
    /// When it lapses, nanoseconds since boot, low word then high word; 0 for never.
    pub const DEADLINE: u32 = 2;
    /// The position of its counter.
    pub const SLOT: u32 = 4;
}

/// Bits above the protocol in an exception's first word.
pub mod traffic {
    /// Whatever the protocol.
    pub const ANY: u32 = 1 << 8;
    /// Only the ports named.
    pub const PORTS: u32 = 1 << 9;
    /// It is the access to a protected port and opens no other.
    pub const ACCESS: u32 = 1 << 10;
}

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
    /// ICMP of either version counts as one.
    pub(crate) protocol: Option<u8>,
    pub(crate) port: Option<u16>,
    /// To a protected port, so that only an exception that names the port counts.
    pub(crate) is_protected: bool,
}

impl Subject {
    #[inline(always)]
    pub(crate) const fn new(transport: Option<u8>, port: Option<u16>, is_protected: bool) -> Self {
        let protocol = match transport {
            Some(protocol::ICMPV6) => Some(protocol::ICMP),
            other => other,
        };
        Self {
            protocol,
            port,
            is_protected,
        }
    }
}

/// An exception that lets a packet pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) slot: u32,
    pub(crate) is_access: bool,
}

/// Finds an exception for this source, destination and subject.
#[inline(always)]
pub(crate) fn find<T: Tables, O: Observer>(
    source: &Source,
    zone: &Zone,
    subject: &Subject,
    tables: &T,
    observer: &mut O,
) -> Option<Found> {
    let sources = source.names(tables);
    let [group, tenant] = zone.targets(tables);
    let anywhere = if zone.flags.has(flag::ANYWHERE) {
        ANYWHERE
    } else {
        0
    };
    for source in sources {
        for target in [group, tenant, anywhere] {
            if source == 0 || target == 0 {
                continue;
            }
            if let Some((at, count)) = pair(source, target, tables)
                && let Some(found) = run(at, count, subject, tables, observer)
            {
                return Some(found);
            }
        }
    }
    None
}

/// Where the exceptions of a pair stand, and how many there are.
#[inline(always)]
fn pair<W: Words>(source: u32, target: u32, words: &W) -> Option<(u32, u32)> {
    let lines = words.word(header::PAIR_LINES as u32)?;
    let first = words
        .word(header::PAIRS as u32)?
        .wrapping_add(first_line(source, target, lines))
        << LINE_SHIFT;
    for number in 0..PROBES_MAX * LINE_PAIRS {
        let at = first.wrapping_add(number * PAIR_WORDS as u32);
        let known = words.word(at)?;
        if known == 0 {
            return None;
        }
        if known == source && words.word(at.wrapping_add(1))? == target {
            let run = words.word(at.wrapping_add(2))?;
            return Some((run, words.word(at.wrapping_add(3))?));
        }
    }
    None
}

/// The first of a run of exceptions that holds for the subject and has not lapsed.
#[inline(always)]
fn run<T: Tables, O: Observer>(
    at: u32,
    count: u32,
    subject: &Subject,
    tables: &T,
    observer: &mut O,
) -> Option<Found> {
    for number in 0..RUN_MAX {
        if number >= count {
            break;
        }
        let at = at.wrapping_add(number * EXCEPTION_WORDS as u32);
        let traffic = tables.word(at.wrapping_add(word::TRAFFIC))?;
        let ports = tables.word(at.wrapping_add(word::PORTS))?;
        if !holds(traffic, ports, subject) {
            continue;
        }
        let slot = tables.word(at.wrapping_add(word::SLOT))?;
        let low = tables.word(at.wrapping_add(word::DEADLINE))?;
        let high = tables.word(at.wrapping_add(word::DEADLINE + 1))?;
        let deadline = u64::from(high) << 32 | u64::from(low);
        let is_live = deadline == 0 || deadline > tables.now();
        observer.step(Step::Exception { slot, is_live });
        if is_live {
            return Some(Found {
                slot,
                is_access: traffic & traffic::ACCESS != 0,
            });
        }
    }
    None
}

#[inline(always)]
fn holds(traffic: u32, ports: u32, subject: &Subject) -> bool {
    if traffic & traffic::ACCESS != 0 && !subject.is_protected {
        return false;
    }
    if traffic & traffic::ANY == 0 && subject.protocol.map(u32::from) != Some(traffic & 0xff) {
        return false;
    }
    if traffic & traffic::PORTS == 0 {
        return !subject.is_protected;
    }
    match subject.port {
        Some(port) => {
            let port = u32::from(port);
            port >= ports & 0xffff && port <= ports >> 16
        }
        None => false,
    }
}
