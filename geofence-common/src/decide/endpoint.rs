//! An endpoint: an address, looked up; and what follows from the addresses of a packet alone.

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

/// What is known of where a packet comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub class: Class,
    /// Where the class's record stands.
    record: u32,
    /// Where the record of the address around it stands, if it was carried inside another; 0 if not.
    outer_record: u32,
}

opaque!(Endpoint {
    class,
    record,
    outer_record
});

impl Endpoint {
    /// It as lists see it, towards a policy of ours.
    #[inline(always)]
    pub(crate) const fn peer(&self, policy: &DestinationPolicy) -> Peer {
        Peer {
            class: self.class,
            records: [self.record, self.outer_record],
            policy: policy.at(),
        }
    }

    /// What exceptions may call this source: the groups of prefixes it is in, its country; 0 for what they do not.
    #[inline(always)]
    pub(crate) fn exception_names<W: Words>(&self, words: &W) -> [u32; 3] {
        // Where the header is, a group is not.
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

/// Finds the class of an address; one that carries an IPv4 address has that address's class, and the lists of both.
#[inline(always)]
pub fn classify<T: Tables, O: Observer>(
    address: &Address,
    tables: &T,
    observer: &mut O,
) -> Option<Class> {
    find_endpoint(address, tables, observer).map(|source| source.class)
}

/// What becomes of a packet whose transport header says nothing about it; nothing if only an exemption helps it.
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

/// Whether a packet from an address of this class to this policy passes by an exemption or not at all.
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
