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

/// The most lists that an address is counted on. A packet walks all of them, and so does the verifier.
pub const LISTS_MAX: u32 = 16;

/// Words of a list in a set.
pub const LIST_WORDS: u32 = 2;

/// What a list is, in its second word in a set.
pub mod traits {
    /// It is about what comes in.
    pub const IN: u32 = 1;
    /// It is about what goes out.
    pub const OUT: u32 = 1 << 1;
    /// It blocks what it is about.
    pub const BLOCK: u32 = 1 << 2;
    /// The position of its pace from here on.
    pub const RATE_LIMIT: u32 = 8;
}

/// How many paces there are; lists beyond share them.
pub const RATE_LIMITS: u32 = 1024;

/// No list has this identity, and no tenant.
const NO_LIST: u32 = u32::MAX;

/// Whom a packet is exchanged with, as far as lists are concerned: where it stands in the image.
///
/// Only put together in passing, so that it costs nothing where no list is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub class: Class,
    /// Where the class's record stands, and that of the address around it; 0 for none.
    pub records: [u32; 2],
    /// Where the policy of our side stands; 0 for what holds everywhere.
    pub policy: u32,
}

opaque!(Peer {
    class,
    records,
    policy
});

impl Peer {
    /// Nobody of whom anything is known.
    pub const NONE: Self = Self {
        class: Class::from_word(0),
        records: [0; 2],
        policy: 0,
    };

    /// The lists it is on, if there are any about packets of this direction.
    #[inline(always)]
    pub fn list_match<W: Words>(&self, direction: Direction, words: &W) -> ListMatch {
        if !self.class.is_listed(direction) {
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

/// The lists that a packet is counted on, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListMatch {
    /// Where the sets start: the address's own, and that of the address around it; 0 for none.
    pub sets: [u32; 2],
    /// The identity of the tenant it concerns, 0 for none.
    pub tenant: u32,
}

opaque!(ListMatch { sets, tenant });

impl ListMatch {
    /// On none.
    pub const NONE: Self = Self {
        sets: [0; 2],
        tenant: 0,
    };
}

/// A list that a packet is counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    pub identity: u32,
    traits: u32,
}

impl List {
    /// Where its pace is kept.
    #[must_use]
    #[inline(always)]
    pub const fn rate_limit(self) -> u32 {
        (self.traits >> traits::RATE_LIMIT) & (RATE_LIMITS - 1)
    }
}

/// Calls back with each list that is about packets of this direction, in order and none twice.
#[inline(always)]
pub fn each_list<F: Frame, W: Words>(
    frame: &F,
    listed: &ListMatch,
    direction: Direction,
    words: &W,
    mut visit: impl FnMut(List),
) {
    // Between the steps the verifier forgets what they may have led to, or it would follow each combination.
    let [mut own, mut around] = listed.sets.map(|at| Cursor::of(at, words).opaque(frame));
    for _ in 0..LISTS_MAX {
        let of_own = own.first(words).opaque(frame);
        own = own.opaque(frame);
        let of_around = around.first(words).opaque(frame);
        around = around.opaque(frame);
        let identity = if of_own < of_around {
            of_own
        } else {
            of_around
        };
        let identity = identity.opaque(frame);
        if identity == NO_LIST {
            return;
        }
        let at = if identity == of_own {
            own.at
        } else {
            around.at
        };
        let at = at.opaque(frame);
        let traits = words.word(at.wrapping_add(1)).unwrap_or(0).opaque(frame);
        own.pass(of_own, identity);
        around.pass(of_around, identity);
        (own, around) = (own.opaque(frame), around.opaque(frame));
        if traits & trait_of(direction) != 0 {
            visit(List { identity, traits });
        }
    }
}

/// What is left of a set.
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

    /// Leaves the next list behind, if it is this one.
    #[inline(always)]
    fn pass(&mut self, first: u32, identity: u32) {
        // One for the same, by arithmetic: a number that is not zero, or its negative, has the highest bit set.
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

/// What a list or a tenant is known by in the kernel, from its name.
#[must_use]
pub fn identity(name: &[u8]) -> u32 {
    // CRC-32: no two names that differ in four bytes in a row have the same.
    let mut crc = u32::MAX;
    for byte in name {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ 0xedb8_8320 & (crc & 1).wrapping_neg();
        }
    }
    // Neither nothing nor nobody.
    match !crc {
        0 => 1,
        NO_LIST => NO_LIST - 1,
        other => other,
    }
}

#[cfg(test)]
mod tests;
