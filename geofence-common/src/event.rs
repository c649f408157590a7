//! Events: packets from or to an address on a list, as the kernel reports them to the daemon.

use crate::action::{Action, Direction};
use crate::address::Address;

/// A contact as the kernel tells of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// Nanoseconds since boot.
    pub time: u64,
    /// The words of the addresses.
    pub source: [u64; 2],
    pub destination: [u64; 2],
    /// The identities of the list and the tenant; 0 for no tenant.
    pub list: u32,
    pub tenant: u32,
    /// As in `FiveTuple`.
    pub ports: [u16; 2],
    pub protocol: u8,
    pub flags: u8,
    /// 1 for IPv6, 0 for IPv4.
    pub is_v6: u8,
    /// A `Direction`, as its number.
    pub direction: u8,
    /// 1 for a packet that was dropped.
    pub is_dropped: u8,
    /// The number of the listed address's country.
    pub country: u8,
    pub padding: [u8; 2],
}

impl Event {
    #[must_use]
    #[inline(always)]
    pub const fn source(&self) -> Address {
        Address::from_words(self.is_v6 != 0, self.source)
    }

    #[must_use]
    #[inline(always)]
    pub const fn destination(&self) -> Address {
        Address::from_words(self.is_v6 != 0, self.destination)
    }

    /// Which way the packet went.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        if self.direction == Direction::Out as u8 {
            Direction::Out
        } else {
            Direction::In
        }
    }

    /// What was done to the packet.
    #[must_use]
    pub const fn action(&self) -> Action {
        if self.is_dropped == 0 {
            Action::Pass
        } else {
            Action::Drop
        }
    }
}

const SECOND: u64 = 1_000_000_000;

/// How many events of one list may follow each other at once, and how many a second after that: together a hundred is
/// the most that any second has.
pub const EVENTS_BURST: u64 = 50;

pub const EVENTS_PER_SECOND: u64 = 50;

/// Takes an event's share out of a list's pace, which is kept as `crate::pressure` keeps a bucket: the moment at which
/// it is full again. Says when that will be, or nothing if there is none left.
#[must_use]
#[inline(always)]
pub const fn try_acquire(full: u64, now: u64) -> Option<u64> {
    const SHARE: u64 = SECOND / EVENTS_PER_SECOND;
    let from = if full > now { full } else { now };
    let next = from.wrapping_add(SHARE);
    if next <= now.wrapping_add(EVENTS_BURST * SHARE) {
        Some(next)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_a_hundred_events() {
        let mut full = 0;
        let mut sent = Vec::new();
        // Silence, then a flood of ten thousand packets a second, for five seconds.
        for number in 0..50_000_u64 {
            let now = 60 * SECOND + number * SECOND / 10_000;
            if let Some(next) = try_acquire(full, now) {
                full = next;
                sent.push(now);
            }
        }
        let most = sent.iter().map(|start| {
            let within = |one: &&u64| (*start..*start + SECOND).contains(*one);
            sent.iter().filter(within).count()
        });
        let most = most.max().unwrap();
        assert!((95..=100).contains(&most), "{most}");
        assert!((295..=305).contains(&sent.len()), "{}", sent.len());
        // And one a minute is always told.
        assert!((1..100).all(|minute| try_acquire(full, 120 * SECOND * minute).is_some()));
    }
}
