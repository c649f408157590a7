//! An endpoint: the class of an address; and what follows from the addresses of a packet alone.

use crate::action::Reason;
use crate::address::Address;
use crate::country::Country;
use crate::decide::tables::Tables;
use crate::explain::{Observer, Step};
use crate::image::class::Class;
use crate::image::destination::DestinationPolicy;
use crate::image::layout::class_record;
use crate::image::list_set::Peer;
use crate::image::words::Words;
use crate::opaque::opaque;

/// What the image says of one address of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub class: Class,
    /// The position of the class record.
    record: u32,
    /// The position of the class record of the address that embeds it, 0 if none does.
    outer_record: u32,
}

opaque!(Endpoint {
    class,
    record,
    outer_record
});

impl Endpoint {
    /// The endpoint as lists see it, in traffic with this destination.
    #[inline(always)]
    pub(crate) const fn peer(&self, policy: &DestinationPolicy) -> Peer {
        Peer {
            class: self.class,
            records: [self.record, self.outer_record],
            policy: policy.at(),
        }
    }

    /// The names that exceptions have for this source: groups of prefixes (outer and inner address) and country; 0 for
    /// none.
    #[inline(always)]
    pub(crate) fn exception_names<W: Words>(&self, words: &W) -> [u32; 3] {
        // Position 0 is the header, which is no class record.
        let group = |at: u32| match at {
            0 => 0,
            at => words
                .word(at.wrapping_add(class_record::GROUP))
                .unwrap_or(0),
        };
        let country = if self.class.has_excepted_country() {
            u32::from(self.class.country().number())
        } else {
            0
        };
        if !self.class.has_excepted_prefix() {
            return [0, 0, country];
        }
        [group(self.outer_record), group(self.record), country]
    }
}

#[inline(always)]
pub(crate) fn find_endpoint<T: Tables, O: Observer>(
    address: &Address,
    tables: &T,
    observer: &mut O,
) -> Option<Endpoint> {
    let at = tables.lookup(address)?;
    let class = tables.class_at(at)?;
    observer.step(Step::Class {
        address: *address,
        class,
    });
    let Some(how) = class.embedding() else {
        return Some(Endpoint {
            class,
            record: at,
            outer_record: 0,
        });
    };
    let inner = how.inner(address);
    observer.step(Step::Embedded { how, inner });
    let within = tables.lookup(&inner)?;
    let embedded = tables.class_at(within)?.with_lists_of(class);
    observer.step(Step::Class {
        address: inner,
        class: embedded,
    });
    Some(Endpoint {
        class: embedded,
        record: within,
        outer_record: at,
    })
}

/// The class of an address. An address that embeds an IPv4 address has that address's class and the lists of both.
#[inline(always)]
pub fn classify<T: Tables, O: Observer>(
    address: &Address,
    tables: &T,
    observer: &mut O,
) -> Option<Class> {
    find_endpoint(address, tables, observer).map(|source| source.class)
}

/// The reason that the addresses alone give; nothing if the source is blocked and only an exemption can pass the
/// packet.
#[inline(always)]
pub(crate) fn verdict_by_addresses<W: Words>(
    class: Class,
    policy: &DestinationPolicy,
    words: &W,
) -> Option<Reason> {
    if class.is_allowed() {
        return Some(Reason::Allowed);
    }
    if class.is_denied() {
        return Some(Reason::Denied);
    }
    match class.country() {
        Country::SPECIAL if policy.flags.blocks_special_use() => Some(Reason::SpecialUseBlocked),
        Country::SPECIAL => Some(Reason::SpecialUse),
        _ if policy.blocks(class, words) => None,
        Country::UNKNOWN => Some(Reason::CountryUnknown),
        _ => Some(Reason::CountryAllowed),
    }
}

/// Whether a packet from an address of this class to this destination passes only by an exemption.
#[must_use]
#[inline(always)]
pub(crate) fn needs_exemption<W: Words>(
    class: Class,
    policy: &DestinationPolicy,
    words: &W,
) -> bool {
    policy.blocks(class, words)
        && !(class.is_mapped() || class.is_management() || class.is_allowed() || class.is_denied())
}
