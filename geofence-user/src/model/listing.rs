//! The entries of a list, each with its place in the list's text, found by address.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use geofence_common::action::Direction as Way;
use geofence_common::image::class::Class;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::list::{Action, Direction};
use super::units::UnixSeconds;
use super::word::Word as _;

/// Where an entry stands in the text of its list. Columns count bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if self.column > 1 {
            write!(f, ", column {}", self.column)?;
        }
        Ok(())
    }
}

/// A prefix on a list. Lists have millions, so it is kept small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub net: IpNet,
    pub place: Place,
    /// When it expires, in seconds since 1970.
    pub expires: Option<NonZeroU32>,
}

impl Entry {
    /// Whether it has expired.
    #[must_use]
    pub fn is_over(&self, now: UnixSeconds) -> bool {
        self.expires
            .is_some_and(|expires| u64::from(expires.get()) <= now.0)
    }
}

/// A list with its entries, as the policy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    pub name: String,
    pub action: Action,
    pub direction: Direction,
    entries: Entries,
}

/// Entries in order of address, then length; no prefix twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    sorted: Arc<Vec<Entry>>,
    /// The lengths there are, per family, longest first.
    lengths: [Vec<u8>; 2],
}

impl Entries {
    /// Sorts entries. Of equal prefixes the one that lasts longest is kept, and of those the first.
    #[must_use]
    pub fn new(mut entries: Vec<Entry>) -> Self {
        let lasts = |entry: &Entry| entry.expires.map_or(u32::MAX, NonZeroU32::get);
        entries
            .sort_unstable_by(|a, b| (a.net, lasts(b), a.place).cmp(&(b.net, lasts(a), b.place)));
        entries.dedup_by_key(|entry| entry.net);
        let mut seen = [[false; 129]; 2];
        for entry in &entries {
            seen[usize::from(entry.net.addr().is_ipv6())][usize::from(entry.net.prefix_len())] =
                true;
        }
        let lengths = seen.map(|seen| {
            let lengths = (0..=128_u8).rev();
            lengths
                .filter(|length| seen[usize::from(*length)])
                .collect()
        });
        // In place: a copy beside it would be as large again.
        entries.shrink_to_fit();
        Self {
            sorted: Arc::new(entries),
            lengths,
        }
    }

    /// Those that are kept, changed in place if they are not shared.
    #[must_use]
    pub fn retain_mut(self, keep: impl FnMut(&mut Entry) -> bool) -> Self {
        let mut entries = Arc::unwrap_or_clone(self.sorted);
        entries.retain_mut(keep);
        Self::new(entries)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.sorted.iter()
    }

    /// The entry of the longest prefix that holds the address.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<&Entry> {
        let lengths = &self.lengths[usize::from(address.is_ipv6())];
        lengths.iter().find_map(|length| {
            let net = IpNet::new(address, *length).ok()?.trunc();
            let at = self.sorted.binary_search_by_key(&net, |entry| entry.net);
            self.sorted.get(at.ok()?)
        })
    }

    /// An entry that shares an address with the prefix.
    #[must_use]
    pub fn overlapping(&self, net: IpNet) -> Option<&Entry> {
        let lengths = &self.lengths[usize::from(net.addr().is_ipv6())];
        let around = lengths.iter().filter(|length| **length <= net.prefix_len());
        let around = around.filter_map(|length| {
            let wider = IpNet::new(net.addr(), *length).ok()?.trunc();
            let at = self.sorted.binary_search_by_key(&wider, |entry| entry.net);
            self.sorted.get(at.ok()?)
        });
        // In order of address, what begins in the prefix comes right behind it.
        let behind = self.sorted.partition_point(|entry| entry.net < net);
        let inside = self
            .sorted
            .get(behind)
            .filter(|entry| net.contains(&entry.net));
        around.into_iter().next().or(inside)
    }

    /// When the first of them expires.
    #[must_use]
    pub fn next_expiry(&self) -> Option<UnixSeconds> {
        let expiries = self.iter().filter_map(|entry| entry.expires);
        expiries
            .min()
            .map(|expires| UnixSeconds(expires.get().into()))
    }
}

impl Listing {
    /// A list with these entries, none of which has expired.
    #[must_use]
    pub fn new(name: &str, action: Action, direction: Direction, entries: Entries) -> Self {
        Self {
            name: name.to_owned(),
            action,
            direction,
            entries,
        }
    }

    #[must_use]
    pub fn entries(&self) -> &Entries {
        &self.entries
    }

    /// An entry of this list in words.
    #[must_use]
    pub fn describe(&self, entry: &Entry) -> String {
        let what = match (self.action, self.direction) {
            (Action::Block, Direction::In) => "blocks what comes from there",
            (Action::Block, Direction::Out) => "blocks what goes there",
            (Action::Block, Direction::Both) => "blocks what comes from there or goes there",
            (Action::Alert, Direction::In) => "counts what comes from there and blocks nothing",
            (Action::Alert, Direction::Out) => "counts what goes there and blocks nothing",
            (Action::Alert, Direction::Both) => {
                "counts what comes from there or goes there and blocks nothing"
            }
        };
        format!(
            "on the list {} ({}: {}), which {what}",
            self.name, entry.place, entry.net
        )
    }

    /// The same as JSON.
    #[must_use]
    pub fn to_json(&self, entry: &Entry) -> Value {
        json!({
            "list": self.name,
            "action": self.action.word(),
            "direction": self.direction.word(),
            "line": entry.place.line,
            "column": entry.place.column,
            "prefix": entry.net,
            "expires": entry.expires,
        })
    }

    /// The class of addresses that are on this list too.
    #[must_use]
    pub fn mark(&self, class: Class) -> Class {
        let ways = Way::ALL.into_iter();
        ways.filter(|way| self.direction.is(*way))
            .fold(class, |class, way| {
                class.with_listing(way, self.action == Action::Block)
            })
    }
}

/// The lists that an address is on, each with the entry that matches.
pub fn naming(lists: &[Listing], address: IpAddr) -> impl Iterator<Item = (&Listing, &Entry)> {
    lists
        .iter()
        .filter_map(move |list| Some((list, list.entries.find(address)?)))
}
