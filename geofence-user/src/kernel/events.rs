//! Events about packets from and to listed addresses, read from the ring buffer.

#![expect(
    unsafe_code,
    reason = "the runtime borrows a descriptor, which this file promises to keep open"
)]

use std::os::fd::{AsRawFd, RawFd};

use aya::maps::{Map, MapData, RingBuf};
use geofence_common::event::Event;
use geofence_common::maps::name;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::KernelError;
use super::filter::Filter;

impl Filter {
    /// Takes the reader of the events. There is only one.
    pub fn take_events(&mut self) -> Result<Events, KernelError> {
        let map = self.ebpf().take_map(name::EVENTS);
        Events::of(map.ok_or(KernelError::NoMap(name::EVENTS))?)
    }
}

/// The reader of the events.
pub struct Events(RingBuf<MapData>);

impl Events {
    fn of(map: Map) -> Result<Self, KernelError> {
        Ok(Self(
            map.try_into().map_err(KernelError::opening(name::EVENTS))?,
        ))
    }

    /// The next event, if there is one.
    pub fn take(&mut self) -> Option<Event> {
        let item = self.0.next()?;
        // An item of another size is no event of this layout.
        let bytes: &[u8] = &item;
        bytes.try_into().ok().map(read)
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The reader of the events, for the async runtime.
pub struct Arrivals(AsyncFd<Events>);

impl Arrivals {
    /// Registers the reader with the runtime.
    pub fn of(events: Events) -> std::io::Result<Self> {
        // SAFETY: the descriptor belongs to the ring buffer, which stays open as long as the registered value.
        let events = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) };
        Ok(Self(events?))
    }

    /// Waits for events, and takes those that are there, up to this many.
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

/// Reads an event from its bytes, which are in native order.
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
    fn each_field_of_an_event_is_read_from_its_bytes() {
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
