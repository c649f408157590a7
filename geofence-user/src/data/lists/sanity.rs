//! The sanity check of a list: a text that reads well may still be a mistake that blocks the wrong addresses.
//!
//! Pure: entries, the former size and the local addresses in, problems out.

use std::fmt;
use std::net::IpAddr;

use geofence_common::address::{SPECIAL_USE_V4, SPECIAL_USE_V6, SpecialUse};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::local_addresses::LocalAddresses;
use crate::model::listing::{Entries, Entry};

/// A list that grows to this many times its size is another list.
const GROWTH_MAX: usize = 10;

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
            Self::SpecialUse { entry, block } => write!(
                f,
                "{}: {} overlaps special-use space ({block}), which has no hosts on the internet",
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

/// The prefixes that no list may overlap. Space that embeds IPv4 addresses is not among them.
fn special_use() -> impl Iterator<Item = IpNet> {
    let v4 = SPECIAL_USE_V4
        .iter()
        .filter_map(|(base, length)| Ipv4Net::new((*base).into(), *length).ok().map(IpNet::V4));
    let v6 = SPECIAL_USE_V6
        .iter()
        .filter_map(|(base, length, kind)| match kind {
            SpecialUse::Local | SpecialUse::Mapped => {
                Ipv6Net::new((*base).into(), *length).ok().map(IpNet::V6)
            }
            SpecialUse::Embedded(_) => None,
        });
    v4.chain(v6)
}
