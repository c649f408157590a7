//! What the kernel tells of packets from and to listed addresses: counters by list and tenant, and events.
#![expect(
    unsafe_code,
    reason = "the runtime is lent a descriptor, and takes our word that it stays open"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, RawFd};

use aya::maps::{Map, MapData, PerCpuHashMap, RingBuf};
use geofence_common::event::Event;
use geofence_common::maps::{ListCounters, ListKey, name};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::filter::{Filter, LoadError, map_error};
use super::retry;
use super::tenants::zeros;

/// What was counted, by list and tenant.
pub type ListCounts = BTreeMap<ListKey, ListCounters>;

impl Filter {
    /// What was counted of every list at every tenant, summed over CPUs.
    pub fn list_counts(&self) -> Result<ListCounts, LoadError> {
        let counters: PerCpuHashMap<_, ListKey, ListCounters> =
            self.map(name::LISTS)?
                .try_into()
                .map_err(map_error("opening LISTS"))?;
        let mut counts = ListCounts::new();
        for entry in counters.iter() {
            let (key, cpus) = entry.map_err(map_error("reading LISTS"))?;
            let sum: &mut ListCounters = counts.entry(key).or_default();
            for one in cpus.iter() {
                *sum += *one;
            }
        }
        Ok(counts)
    }

    /// Has counters for these lists, whatever else the table is full of.
    pub fn count_lists(&mut self, lists: &BTreeSet<u32>) -> Result<(), LoadError> {
        let known = self.list_counts()?;
        let mut counters = self.lists_mut()?;
        for list in lists {
            let key = ListKey {
                list: *list,
                tenant: 0,
            };
            if !known.contains_key(&key) {
                retry::put(|| counters.insert(key, zeros(ListCounters::ZERO)?, 0))
                    .map_err(map_error("making counters in LISTS"))?;
            }
        }
        Ok(())
    }

    /// Forgets what was counted of other lists than these, and at other tenants.
    pub fn forget_lists_but(
        &mut self,
        lists: &BTreeSet<u32>,
        tenants: &BTreeSet<u32>,
    ) -> Result<(), LoadError> {
        let known = self.list_counts()?;
        let mut counters = self.lists_mut()?;
        for key in known.into_keys() {
            let is_known = key.tenant == 0 || tenants.contains(&key.tenant);
            if !(is_known && lists.contains(&key.list)) {
                counters
                    .remove(&key)
                    .map_err(map_error("forgetting counters in LISTS"))?;
            }
        }
        Ok(())
    }

    fn lists_mut(
        &mut self,
    ) -> Result<PerCpuHashMap<&mut MapData, ListKey, ListCounters>, LoadError> {
        self.map_mut(name::LISTS)?
            .try_into()
            .map_err(map_error("opening LISTS"))
    }

    /// The events that the programs send; who has taken them reads them alone.
    pub fn take_events(&mut self) -> Result<Events, LoadError> {
        let map = self.ebpf().take_map(name::EVENTS);
        Events::of(map.ok_or(LoadError::NoMap(name::EVENTS))?)
    }
}

/// Events as they come from the kernel.
pub struct Events(RingBuf<MapData>);

impl Events {
    fn of(map: Map) -> Result<Self, LoadError> {
        Ok(Self(map.try_into().map_err(map_error("opening EVENTS"))?))
    }

    /// The next event, if one has come.
    pub fn take(&mut self) -> Option<Event> {
        let item = self.0.next()?;
        // Of any other size it is not ours: the table's layout says so.
        let bytes: &[u8] = &item;
        bytes.try_into().ok().map(read)
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Events that can be waited for.
pub struct Arrivals(AsyncFd<Events>);

impl Arrivals {
    /// Has the runtime look out for events.
    pub fn of(events: Events) -> std::io::Result<Self> {
        // SAFETY: the descriptor is the ring buffer's own, which stays open as long as the value that is registered.
        let events = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) };
        Ok(Self(events?))
    }

    /// Waits for events, and takes as many as there are, and no more than this.
    pub async fn take(&mut self, most: usize) -> std::io::Result<Vec<Event>> {
        let mut guard = self.0.readable_mut().await?;
        let mut taken = Vec::new();
        while taken.len() < most {
            let Some(event) = guard.get_inner_mut().take() else {
                guard.clear_ready();
                break;
            };
            taken.push(event);
        }
        Ok(taken)
    }
}

/// An event from its bytes, which are in this machine's order.
fn read(bytes: &[u8; size_of::<Event>()]) -> Event {
    let mut at = 0;
    let mut take = |count: usize| {
        let taken = &bytes[at..at + count];
        at += count;
        taken
    };
    let long = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
    let word = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
    let half = |bytes: &[u8]| u16::from_ne_bytes(bytes.try_into().unwrap_or_default());
    Event {
        time: long(take(8)),
        source: [long(take(8)), long(take(8))],
        destination: [long(take(8)), long(take(8))],
        list: word(take(4)),
        tenant: word(take(4)),
        ports: [half(take(2)), half(take(2))],
        protocol: take(1)[0],
        flags: take(1)[0],
        is_v6: take(1)[0],
        direction: take(1)[0],
        is_dropped: take(1)[0],
        country: take(1)[0],
        padding: [0; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_field_by_field() {
        let mut bytes = [0; size_of::<Event>()];
        bytes[..8].copy_from_slice(&7_u64.to_ne_bytes());
        bytes[16..24].copy_from_slice(&2_u64.to_ne_bytes());
        bytes[24..32].copy_from_slice(&3_u64.to_ne_bytes());
        bytes[40..44].copy_from_slice(&4_u32.to_ne_bytes());
        bytes[44..48].copy_from_slice(&5_u32.to_ne_bytes());
        bytes[48..50].copy_from_slice(&443_u16.to_ne_bytes());
        bytes[50..52].copy_from_slice(&80_u16.to_ne_bytes());
        bytes[52..58].copy_from_slice(&[6, 2, 1, 1, 1, 9]);
        let expected = Event {
            time: 7,
            source: [0, 2],
            destination: [3, 0],
            list: 4,
            tenant: 5,
            ports: [443, 80],
            protocol: 6,
            flags: 2,
            is_v6: 1,
            direction: 1,
            is_dropped: 1,
            country: 9,
            padding: [0; 2],
        };
        assert_eq!(read(&bytes), expected);
    }
}
