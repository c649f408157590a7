//! Whether a list is believed: what was read may still be a mistake, or somebody's joke, that cuts off the wrong.
//!
//! Pure: a list, its former size, and what must never be on one, to reasons against it. What is refused is not used;
//! the last good list is.

use std::fmt;
use std::net::IpAddr;

use geofence_common::address::{SPECIAL_USE_V4, SPECIAL_USE_V6, SpecialUse};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Entries, Entry};

/// So many times its former size is no growth but another list.
const GROWTH_MAX: usize = 10;

/// What must not be on a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// From where the machine is managed.
    pub management: Vec<IpNet>,
    /// The addresses of its interfaces.
    pub own: Vec<IpAddr>,
}

impl Surroundings {
    /// This machine, managed from these prefixes.
    #[must_use]
    pub fn of_this_machine(management: &[IpNet]) -> Self {
        let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
        let own = interfaces.filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
        });
        Self {
            management: management.to_vec(),
            own: own.collect(),
        }
    }
}

/// A reason not to believe a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    Empty,
    /// It had so many entries, and has so many.
    Grown {
        before: usize,
        now: usize,
    },
    /// It names space that has a purpose of its own.
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

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no address on it"),
            Self::Grown { before, now } => {
                write!(
                    f,
                    "it has {now} entries, ten times as many as before ({before}) or more"
                )
            }
            Self::SpecialUse { entry, block } => write!(
                f,
                "{}: {} is in special-use space ({block}), where no attacker on the internet is",
                entry.place, entry.net
            ),
            Self::Management { entry, prefix } => write!(
                f,
                "{}: {} is where this machine is managed from (`management` has {prefix})",
                entry.place, entry.net
            ),
            Self::Own { entry, address } => write!(
                f,
                "{}: {} holds {address}, an address of this machine",
                entry.place, entry.net
            ),
        }
    }
}

/// Everything that speaks against a list; each kind of doubt once.
#[must_use]
pub fn doubts(entries: &Entries, former: Option<usize>, around: &Surroundings) -> Vec<Doubt> {
    if entries.is_empty() {
        return vec![Doubt::Empty];
    }
    let now = entries.len();
    let grown = former
        .filter(|before| *before > 0 && now >= before.saturating_mul(GROWTH_MAX))
        .map(|before| Doubt::Grown { before, now });
    let special_use = special_use().find_map(|block| {
        let entry = *entries.overlapping(block)?;
        Some(Doubt::SpecialUse { entry, block })
    });
    let management = around.management.iter().find_map(|prefix| {
        let entry = *entries.overlapping(*prefix)?;
        Some(Doubt::Management {
            entry,
            prefix: *prefix,
        })
    });
    let own = around.own.iter().find_map(|address| {
        let entry = *entries.find(*address)?;
        // Private addresses of our own are in special-use space, of which has been told.
        Some(Doubt::Own {
            entry,
            address: *address,
        })
    });
    [grown, special_use, management, own]
        .into_iter()
        .flatten()
        .collect()
}

/// Space that no list may name. Addresses that carry an IPv4 address are as good or bad as that.
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
