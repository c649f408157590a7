//! The sanity check of a list: a text that reads well may still be a mistake that blocks the wrong addresses.
//!
//! Pure: entries, the former size and the local addresses in, problems out.

use std::fmt;
use std::net::IpAddr;

use geofence_common::country::Country;
use ipnet::IpNet;

use super::local_addresses::LocalAddresses;
use crate::model::countries;
use crate::model::listing::{Entries, Entry};
use crate::model::special_use::special_use;

/// A list that grows to this many times its size is another list.
pub(super) const GROWTH_MAX: usize = 10;

/// A reason to reject a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SanityProblem {
    /// It is empty and does not say that it is whole.
    Empty,
    /// It has ten times the entries it had, or more.
    Grown {
        before: usize,
        now: usize,
    },
    /// It covers much of the address space.
    Share {
        family: &'static str,
        percent: u8,
        max_percent: u8,
        widest: Option<Entry>,
    },
    /// One entry covers far more than the usual one.
    OutOfPlace {
        entry: Entry,
        usual: u8,
        percent: u8,
    },
    /// It would drop much of what passes now.
    Traffic {
        percent: u8,
        max_percent: u8,
        country: Country,
    },
    /// It has an entry in special-use space.
    SpecialUse {
        entry: Entry,
        block: IpNet,
    },
    Management {
        entry: Entry,
        prefix: IpNet,
    },
    Own {
        entry: Entry,
        address: IpAddr,
    },
}

impl fmt::Display for SanityProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str(
                "it has no addresses, and nothing in it says that there are none; check that its source still gives a \
                 list, and fetch it again",
            ),
            Self::Grown { before, now } => {
                write!(
                    f,
                    "it has {now} entries, at least ten times as many as before ({before})"
                )
            }
            Self::Share {
                family,
                percent,
                max_percent,
                widest,
            } => {
                write!(
                    f,
                    "it covers {percent} % of the public {family} addresses, and the limit is {max_percent} %"
                )?;
                if let Some(entry) = widest {
                    write!(f, " (its shortest prefix: {}, {})", entry.net, entry.place)?;
                }
                write!(
                    f,
                    "; to accept that, add to the list: max-share = {percent}"
                )
            }
            Self::OutOfPlace {
                entry,
                usual,
                percent,
            } => write!(
                f,
                "{}: {} covers far more than the other entries, of which most are /{usual} or longer; to accept that, \
                 add to the list: max-share = {percent}",
                entry.place, entry.net
            ),
            Self::Traffic {
                percent,
                max_percent,
                country,
            } => write!(
                f,
                "it would drop about {percent} % of the packets that pass now, most of them from {}, and the \
                 limit is {max_percent} %; to accept that, add to the list: max-share = {percent}",
                countries::named(country.name())
            ),
            Self::SpecialUse { entry, block } => write!(
                f,
                "{}: {} overlaps special-use space ({block}), which has no hosts on the internet \
                 (`special-use = \"skip\"` leaves such entries out)",
                entry.place, entry.net
            ),
            Self::Management { entry, prefix } => write!(
                f,
                "{}: {} overlaps {prefix}, which this machine is managed from (`management`)",
                entry.place, entry.net
            ),
            Self::Own { entry, address } => write!(
                f,
                "{}: {} contains {address}, an address of this machine",
                entry.place, entry.net
            ),
        }
    }
}

/// The problems of a list, each kind once. `former` is its number of entries before.
#[must_use]
pub fn problems(
    entries: &Entries,
    former: Option<usize>,
    local: &LocalAddresses,
) -> Vec<SanityProblem> {
    if entries.is_empty() {
        return vec![SanityProblem::Empty];
    }
    let now = entries.len();
    let grown = former
        .filter(|before| *before > 0 && now >= before.saturating_mul(GROWTH_MAX))
        .map(|before| SanityProblem::Grown { before, now });
    let special_use = special_use().find_map(|block| {
        let entry = *entries.overlapping(block)?;
        Some(SanityProblem::SpecialUse { entry, block })
    });
    let management = local.management.iter().find_map(|prefix| {
        let entry = *entries.overlapping(*prefix)?;
        Some(SanityProblem::Management {
            entry,
            prefix: *prefix,
        })
    });
    let own = local.own.iter().find_map(|address| {
        let entry = *entries.find(*address)?;
        Some(SanityProblem::Own {
            entry,
            address: *address,
        })
    });
    [grown, special_use, management, own]
        .into_iter()
        .flatten()
        .collect()
}
