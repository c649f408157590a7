//! Sets of lists: on which lists of third parties an address is.
//!
//! The class of a listed address names its set of lists, which stands in the image once for all addresses on the same
//! lists:
//!
//! ```text
//! number of lists, then for each, in order of its identity: identity, traits
//! ```
//!
//! A list's identity comes from its name, so that its counts stay its own whatever else the configuration says.
//! An address that embeds another is on the lists of both, of which there may be two sets; they are walked as one.

use crate::action::Direction;
use crate::frame::Frame;
use crate::image::class::Class;
use crate::image::destination::policy_record;
use crate::image::layout::class_record;
use crate::image::words::Words;
use crate::opaque::{Opaque as _, opaque};

/// The most lists of one address. A packet walks all of them, and so does the verifier.
pub const LISTS_MAX: u32 = 16;

/// Words of a list in a set.
pub const LIST_WORDS: u32 = 2;

/// The traits of a list, its second word in a set.
pub mod traits {
    /// It covers packets that enter.
    pub const IN: u32 = 1;
    /// It covers packets that leave.
    pub const OUT: u32 = 1 << 1;
    /// It blocks the packets it covers.
    pub const BLOCK: u32 = 1 << 2;
    /// The lowest bit of the position of its events' rate limit.
    pub const RATE_LIMIT: u32 = 8;
}

/// The number of rate limits; lists beyond share them.
pub const RATE_LIMITS: u32 = 1024;

/// No list and no tenant has this identity.
const NO_LIST: u32 = u32::MAX;

/// The remote address of a packet, as far as lists are concerned: its positions in the image.
///
/// It is derived from values that are there anyway, so it costs nothing where no list is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub class: Class,
    /// The positions of its class record and of that of the address that embeds it; 0 for none.
    pub records: [u32; 2],
    /// The position of our side's destination policy; 0 for everyone's.
    pub policy: u32,
}

opaque!(Peer {
    class,
    records,
    policy
});

impl Peer {
    /// No address.
    pub const NONE: Self = Self {
        class: Class::from_word(0),
        records: [0; 2],
        policy: 0,
    };

    /// The lists that cover its packets in this direction.
    #[inline(always)]
    pub fn list_match<W: Words>(&self, direction: Direction, words: &W) -> ListMatch {
        if !W::HAS_RULES || !self.class.is_listed(direction) {
            return ListMatch::NONE;
        }
        let read = |record: u32, at: u32| match record {
            0 => 0,
            record => words.word(record.wrapping_add(at)).unwrap_or(0),
        };
        ListMatch {
            sets: self.records.map(|record| read(record, class_record::LISTS)),
            tenant: read(self.policy, policy_record::IDENTITY),
        }
    }
}

/// The lists that a packet matches, and the tenant it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListMatch {
    /// The positions of the sets: of the address, and of the address that embeds it; 0 for none.
    pub sets: [u32; 2],
    /// The identity of the tenant, 0 for none.
    pub tenant: u32,
}

opaque!(ListMatch { sets, tenant });

impl ListMatch {
    /// No list.
    pub const NONE: Self = Self {
        sets: [0; 2],
        tenant: 0,
    };
}

/// A list that a packet matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    pub identity: u32,
    traits: u32,
}

impl List {
    /// The position of its events' rate limit.
    #[must_use]
    #[inline(always)]
    pub const fn rate_limit(self) -> u32 {
        (self.traits >> traits::RATE_LIMIT) & (RATE_LIMITS - 1)
    }
}

/// Calls `visit` with each list that covers packets of this direction, in order and without duplicates.
#[inline(always)]
pub fn each_list<F: Frame, W: Words>(
    frame: &F,
    list_match: &ListMatch,
    direction: Direction,
    words: &W,
    mut visit: impl FnMut(List),
) {
    // Every value is made opaque between the steps, or the verifier would follow each combination.
    let [mut own, mut outer] = list_match
        .sets
        .map(|at| Cursor::of(at, words).opaque(frame));
    for _ in 0..LISTS_MAX {
        let of_own = own.first(words).opaque(frame);
        own = own.opaque(frame);
        let of_outer = outer.first(words).opaque(frame);
        outer = outer.opaque(frame);
        let identity = if of_own < of_outer { of_own } else { of_outer };
        let identity = identity.opaque(frame);
        if identity == NO_LIST {
            return;
        }
        let at = if identity == of_own { own.at } else { outer.at };
        let at = at.opaque(frame);
        // Opaque in each arm: the compiler would read the word where there is none, and then choose zero.
        let traits = match words.word(at.wrapping_add(1)) {
            Some(word) => word.opaque(frame),
            None => 0_u32.opaque(frame),
        };
        own.pass(of_own, identity);
        outer.pass(of_outer, identity);
        (own, outer) = (own.opaque(frame), outer.opaque(frame));
        if traits & trait_of(direction) != 0 {
            visit(List { identity, traits });
        }
    }
}

/// The rest of a set.
#[derive(Clone, Copy)]
struct Cursor {
    at: u32,
    lists: u32,
}

opaque!(Cursor { at, lists });

impl Cursor {
    #[inline(always)]
    fn of<W: Words>(set: u32, words: &W) -> Self {
        Self {
            at: set.wrapping_add(1),
            lists: match set {
                0 => 0,
                at => words.word(at).unwrap_or(0),
            },
        }
    }

    /// The identity of the next list.
    #[inline(always)]
    fn first<W: Words>(&self, words: &W) -> u32 {
        if self.lists == 0 {
            return NO_LIST;
        }
        words.word(self.at).unwrap_or(NO_LIST)
    }

    /// Skips the next list, if it is this one.
    #[inline(always)]
    fn pass(&mut self, first: u32, identity: u32) {
        // 1 if they are equal. By arithmetic: a number other than zero, or its negative, has the highest bit set.
        let difference = first ^ identity;
        let same = (difference | difference.wrapping_neg()) >> 31 ^ 1;
        self.at = self.at.wrapping_add(same * LIST_WORDS);
        self.lists = self.lists.wrapping_sub(same);
    }
}

/// The trait of lists about packets of this direction.
const fn trait_of(direction: Direction) -> u32 {
    match direction {
        Direction::In => traits::IN,
        Direction::Out => traits::OUT,
    }
}

/// The identity of a list or tenant in the kernel, from its name.
#[must_use]
pub fn identity(name: &[u8]) -> u32 {
    // CRC-32: names that differ in at most four consecutive bytes have different identities.
    let mut crc = u32::MAX;
    for byte in name {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ 0xedb8_8320 & (crc & 1).wrapping_neg();
        }
    }
    // 0 and `NO_LIST` are reserved.
    match !crc {
        0 => 1,
        NO_LIST => NO_LIST - 1,
        other => other,
    }
}

#[cfg(test)]
mod tests;
