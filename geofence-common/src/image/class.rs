//! The class of an address: everything the policy knows about it, in one word.
//!
//! The compiler turns every distinct combination of country, lists and exceptions into a class and stores the word in
//! the image's class table. The data path only tests bits.

use crate::action::Direction;
use crate::address::{Embedding, SpecialUse};
use crate::country::Country;
use crate::opaque::opaque;

/// The class of an address. Bits 0 to 7 are the country's number, the others are flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(u32);

const COUNTRY: u32 = 0xff;

const BLOCKED: u32 = 1 << 8;

const MANAGEMENT: u32 = 1 << 9;

const ALLOWED: u32 = 1 << 10;

const DENIED: u32 = 1 << 11;

const MAPPED: u32 = 1 << 12;

const SIX_TO_FOUR: u32 = 1 << 13;

const TEREDO: u32 = 1 << 14;

const NAT64: u32 = 1 << 15;

/// The record names a group of prefixes with exceptions.
const EXCEPTED: u32 = 1 << 16;

/// The country has exceptions.
const COUNTRY_EXCEPTED: u32 = 1 << 17;

/// The record names a set of lists, at least one of which covers packets that enter.
const LISTED_IN: u32 = 1 << 18;

/// At least one of them covers packets that leave.
const LISTED_OUT: u32 = 1 << 19;

/// At least one of those blocks.
const DENIED_OUT: u32 = 1 << 20;

/// The host table may have another class. Never in an image, and only where no host table is read.
const HOST: u32 = 1 << 21;

const LISTS: u32 =
    MANAGEMENT | ALLOWED | DENIED | EXCEPTED | LISTED_IN | LISTED_OUT | DENIED_OUT | HOST;

/// A list of the operator, which overrides countries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorList {
    /// The operator's own prefixes.
    Management,
    /// Sources that pass whatever their country.
    Allow,
    /// Sources that are dropped whatever their country.
    Deny,
}

opaque!(Class { 0 });

impl Class {
    /// The class of an address in this country and on no list.
    #[must_use]
    pub const fn of_country(country: Country) -> Self {
        Self(country.number() as u32)
    }

    /// The class of an address in special-use space and on no list.
    #[must_use]
    pub const fn of_special_use(kind: SpecialUse) -> Self {
        let flags = match kind {
            SpecialUse::Local => 0,
            SpecialUse::Mapped => MAPPED,
            SpecialUse::Embedded(Embedding::SixToFour) => SIX_TO_FOUR,
            SpecialUse::Embedded(Embedding::Teredo) => TEREDO,
            SpecialUse::Embedded(Embedding::Nat64) => NAT64,
        };
        Self(Country::SPECIAL.number() as u32 | flags)
    }

    /// The class as the image stores it.
    #[must_use]
    pub const fn to_word(self) -> u32 {
        self.0
    }

    /// The class that the image stores as this word.
    #[must_use]
    #[inline(always)]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// The same class with the policy's answer for its country.
    #[must_use]
    pub const fn with_blocked(self, blocked: bool) -> Self {
        if blocked {
            Self(self.0 | BLOCKED)
        } else {
            Self(self.0 & !BLOCKED)
        }
    }

    /// The same class, in a prefix that exceptions name.
    #[must_use]
    pub const fn with_excepted_prefix(self) -> Self {
        Self(self.0 | EXCEPTED)
    }

    /// The same class with whether exceptions name its country.
    #[must_use]
    pub const fn with_excepted_country(self, excepted: bool) -> Self {
        if excepted {
            Self(self.0 | COUNTRY_EXCEPTED)
        } else {
            Self(self.0 & !COUNTRY_EXCEPTED)
        }
    }

    /// The same class, on one more list.
    #[must_use]
    pub const fn with_list(self, list: OperatorList) -> Self {
        let flag = match list {
            OperatorList::Management => MANAGEMENT,
            OperatorList::Allow => ALLOWED,
            OperatorList::Deny => DENIED,
        };
        Self(self.0 | flag)
    }

    /// The same class, on a third-party list for this direction.
    #[must_use]
    pub const fn with_listing(self, direction: Direction, blocks: bool) -> Self {
        let flags = match (direction, blocks) {
            (Direction::In, false) => LISTED_IN,
            (Direction::In, true) => LISTED_IN | DENIED,
            (Direction::Out, false) => LISTED_OUT,
            (Direction::Out, true) => LISTED_OUT | DENIED_OUT,
        };
        Self(self.0 | flags)
    }

    /// Whether a list or an exception names the address.
    #[must_use]
    pub const fn has_lists(self) -> bool {
        self.0 & LISTS != 0
    }

    /// This class with the other's lists as well: what an embedded address inherits from the address that embeds it.
    #[must_use]
    #[inline(always)]
    pub const fn with_lists_of(self, other: Self) -> Self {
        Self(self.0 | (other.0 & LISTS))
    }

    /// The country of an address of this class.
    #[must_use]
    #[inline(always)]
    pub const fn country(self) -> Country {
        Country::from_number((self.0 & COUNTRY) as u8)
    }

    /// Whether the policy blocks this class, lists apart.
    #[must_use]
    #[inline(always)]
    pub const fn is_blocked(self) -> bool {
        self.0 & BLOCKED != 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_management(self) -> bool {
        self.0 & MANAGEMENT != 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_allowed(self) -> bool {
        self.0 & ALLOWED != 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_denied(self) -> bool {
        self.0 & DENIED != 0
    }

    /// Whether packets of this direction match a list. The operator's own prefixes match none.
    #[must_use]
    #[inline(always)]
    pub const fn is_listed(self, direction: Direction) -> bool {
        let flag = match direction {
            Direction::In => LISTED_IN,
            Direction::Out => LISTED_OUT,
        };
        self.0 & flag != 0 && self.0 & (MANAGEMENT | ALLOWED) == 0
    }

    /// Whether a list blocks packets to this address.
    #[must_use]
    #[inline(always)]
    pub const fn is_denied_out(self) -> bool {
        self.0 & DENIED_OUT != 0
    }

    /// This class, found without the host table; `may_be_host` is 1 if that table may have another one, and 0 if not.
    #[must_use]
    #[inline(always)]
    pub const fn with_host(self, may_be_host: u32) -> Self {
        Self(self.0 | may_be_host << HOST.trailing_zeros())
    }

    /// Whether an exception or a third-party list may decide about packets from this class.
    #[must_use]
    #[inline(always)]
    pub const fn is_named(self) -> bool {
        self.0 & (EXCEPTED | COUNTRY_EXCEPTED | LISTED_IN | HOST) != 0
    }

    /// Whether there may be an exception for an address of this class.
    #[must_use]
    #[inline(always)]
    pub const fn is_excepted(self) -> bool {
        self.0 & (EXCEPTED | COUNTRY_EXCEPTED) != 0
    }

    /// Whether exceptions name a prefix that holds the address.
    #[must_use]
    #[inline(always)]
    pub const fn has_excepted_prefix(self) -> bool {
        self.0 & EXCEPTED != 0
    }

    /// Whether exceptions name the country.
    #[must_use]
    #[inline(always)]
    pub const fn has_excepted_country(self) -> bool {
        self.0 & COUNTRY_EXCEPTED != 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_mapped(self) -> bool {
        self.0 & MAPPED != 0
    }

    /// Where the address embeds an IPv4 address, if it does.
    #[must_use]
    #[inline(always)]
    pub const fn embedding(self) -> Option<Embedding> {
        if self.0 & (SIX_TO_FOUR | TEREDO | NAT64) == 0 {
            None
        } else if self.0 & SIX_TO_FOUR != 0 {
            Some(Embedding::SixToFour)
        } else if self.0 & TEREDO != 0 {
            Some(Embedding::Teredo)
        } else {
            Some(Embedding::Nat64)
        }
    }
}
