//! Records that the programs send, read from ring buffers: list events, samples of drops, and captured frames.

#![expect(
    unsafe_code,
    reason = "the runtime borrows a descriptor, which this file promises to keep open"
)]

use std::marker::PhantomData;
use std::os::fd::{AsRawFd, RawFd};

use aya::maps::{Map, MapData, RingBuf};
use geofence_common::event::{EARLIER_BYTES, Event, NO_REASON};
use geofence_common::maps::{TracedVerdict, name};
use geofence_common::observe::{CapturedHeader, Observed, Sample};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::KernelError;
use super::filter::Filter;

/// A captured frame: what is known of it, and its first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedFrame {
    pub header: CapturedHeader,
    pub bytes: Vec<u8>,
}

/// Something that a program sends by a ring buffer.
pub trait Record: Sized {
    /// The record with these bytes; nothing if they are none of this layout.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// The readers of everything that the programs send. There is only one of each.
pub struct AllRecords {
    pub events: Result<Records<Event>, KernelError>,
    pub samples: Result<Records<Sample>, KernelError>,
    pub captured: Result<Records<CapturedFrame>, KernelError>,
}

impl Filter {
    /// Takes the readers.
    pub fn take_records(&mut self) -> AllRecords {
        AllRecords {
            events: self.take(name::EVENTS),
            samples: self.take(name::SAMPLES),
            captured: self.take(name::CAPTURED),
        }
    }

    fn take<R: Record>(&mut self, name: &'static str) -> Result<Records<R>, KernelError> {
        let map = self.ebpf().take_map(name);
        Records::of(map.ok_or(KernelError::NoMap(name))?, name)
    }
}

/// The reader of one ring buffer.
pub struct Records<R> {
    ring: RingBuf<MapData>,
    of: PhantomData<R>,
}

impl<R: Record> Records<R> {
    fn of(map: Map, name: &'static str) -> Result<Self, KernelError> {
        Ok(Self {
            ring: map.try_into().map_err(KernelError::opening(name))?,
            of: PhantomData,
        })
    }

    /// The next record, if there is one. What an earlier or a later version has left in the buffer, and this one cannot
    /// read, is passed over.
    pub fn take(&mut self) -> Option<R> {
        loop {
            let item = self.ring.next()?;
            if let Some(record) = R::read(&item) {
                return Some(record);
            }
        }
    }
}

impl<R> AsRawFd for Records<R> {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

/// The reader of one ring buffer, for the async runtime.
pub struct Arrivals<R>(AsyncFd<Records<R>>);

impl<R: Record> Arrivals<R> {
    /// Registers the reader with the runtime.
    pub fn of(records: Records<R>) -> std::io::Result<Self> {
        // SAFETY: the descriptor belongs to the ring buffer, which stays open as long as the registered value.
        let records = unsafe { AsyncFd::register_with_interest(records, Interest::READABLE) };
        Ok(Self(records?))
    }

    /// Waits for records, and takes those that are there, up to this many.
    pub async fn take(&mut self, most: usize) -> std::io::Result<Vec<R>> {
        let mut guard = self.0.readable_mut().await?;
        let mut taken = Vec::new();
        while taken.len() < most {
            let Some(record) = guard.get_inner_mut().take() else {
                guard.clear_ready();
                break;
            };
            taken.push(record);
        }
        Ok(taken)
    }
}

/// Numbers in native order, taken one after the other from the bytes of a record that has enough of them.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((first, rest)) = self.0.split_first_chunk() else {
            return [0; N];
        };
        self.0 = rest;
        *first
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.take();
        byte
    }

    fn half(&mut self) -> u16 {
        u16::from_ne_bytes(self.take())
    }

    fn word(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    fn long(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }

    fn observed(&mut self) -> Observed {
        Observed {
            verdict: TracedVerdict {
                reason: self.byte(),
                country: self.byte(),
                dropped: self.byte(),
                padding: self.byte(),
                tenant: self.word(),
                exception: self.word(),
                class: self.word(),
                records: [self.word(), self.word()],
                policy: self.word(),
            },
            generation: self.word(),
        }
    }
}

impl Record for Event {
    fn read(bytes: &[u8]) -> Option<Self> {
        let is_whole = bytes.len() == size_of::<Self>();
        let is_known = is_whole || bytes.len() == EARLIER_BYTES;
        let mut numbers = Numbers(is_known.then_some(bytes)?);
        let event = Self {
            time: numbers.long(),
            source: [numbers.long(), numbers.long()],
            destination: [numbers.long(), numbers.long()],
            list: numbers.word(),
            tenant: numbers.word(),
            ports: [numbers.half(), numbers.half()],
            protocol: numbers.byte(),
            flags: numbers.byte(),
            is_v6: numbers.byte(),
            direction: numbers.byte(),
            is_dropped: numbers.byte(),
            country: numbers.byte(),
            reason: numbers.byte(),
            padding: numbers.byte(),
            interface: numbers.word(),
            length: numbers.word(),
            padding_behind: 0,
        };
        if is_whole {
            return Some(event);
        }
        Some(Self {
            reason: NO_REASON,
            padding: 0,
            // What an earlier version had here was padding.
            interface: 0,
            ..event
        })
    }
}

impl Record for Sample {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut numbers = Numbers((bytes.len() == size_of::<Self>()).then_some(bytes)?);
        Some(Self {
            time: numbers.long(),
            source: [numbers.long(), numbers.long()],
            destination: [numbers.long(), numbers.long()],
            observed: numbers.observed(),
            interface: numbers.word(),
            length: numbers.word(),
            ports: [numbers.half(), numbers.half()],
            protocol: numbers.byte(),
            flags: numbers.byte(),
            family: numbers.byte(),
            padding: 0,
        })
    }
}

impl Record for CapturedFrame {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(size_of::<CapturedHeader>())?;
        let mut numbers = Numbers(head);
        let header = CapturedHeader {
            time: numbers.long(),
            observed: numbers.observed(),
            interface: numbers.word(),
            length: numbers.word(),
            kept: numbers.word(),
            session: numbers.word(),
            link: numbers.word(),
            padding: numbers.word(),
        };
        let bytes = rest.get(..header.kept as usize)?.to_vec();
        Some(Self { header, bytes })
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
        bytes[52..59].copy_from_slice(&[6, 2, 1, 1, 1, 9, 41]);
        bytes[60..64].copy_from_slice(&8_u32.to_ne_bytes());
        bytes[64..68].copy_from_slice(&60_u32.to_ne_bytes());
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
            reason: 41,
            padding: 0,
            interface: 8,
            length: 60,
            padding_behind: 0,
        };
        assert_eq!(Event::read(&bytes), Some(expected));
        // Of an earlier version, whose last six bytes were padding.
        let earlier = Event {
            reason: NO_REASON,
            interface: 0,
            length: 0,
            ..expected
        };
        assert_eq!(Event::read(&bytes[..EARLIER_BYTES]), Some(earlier));
        assert_eq!(Event::read(&bytes[1..]), None, "another layout");
    }

    #[test]
    fn each_field_of_a_sample_and_of_a_captured_frame_is_read_from_its_bytes() {
        let observed: Vec<u8> = [&[22, 9, 1, 0][..], &[5, 0, 0, 0]].concat();
        let observed = [&observed[..], &[0; 20], &7_u32.to_ne_bytes()].concat();
        let tail: Vec<u8> = [4_u32, 60]
            .iter()
            .flat_map(|one| one.to_ne_bytes())
            .collect();
        let mut bytes = [&3_u64.to_ne_bytes()[..], &[0; 32], &observed, &tail].concat();
        bytes.extend([443_u16, 80].iter().flat_map(|one| one.to_ne_bytes()));
        bytes.extend([6, 2, 4, 0]);
        let sample = Sample::read(&bytes).expect("a sample");
        let verdict = sample.observed.verdict;
        assert_eq!((sample.time, verdict.reason, verdict.country), (3, 22, 9));
        assert_eq!((verdict.dropped, verdict.tenant), (1, 5));
        assert_eq!((sample.observed.generation, sample.interface), (7, 4));
        assert_eq!((sample.length, sample.ports), (60, [443, 80]));
        assert_eq!((sample.protocol, sample.flags, sample.family), (6, 2, 4));

        let tail: Vec<u8> = [4_u32, 60, 3, 9, 1, 0]
            .iter()
            .flat_map(|one| one.to_ne_bytes())
            .collect();
        // Records are padded to eight bytes.
        let bytes = [&3_u64.to_ne_bytes()[..], &observed, &tail, &[1, 2, 3, 0, 0]].concat();
        let frame = CapturedFrame::read(&bytes).expect("a frame");
        assert_eq!(frame.bytes, [1, 2, 3]);
        assert_eq!((frame.header.length, frame.header.session), (60, 9));
        assert_eq!(frame.header.link, 1);
        assert_eq!(CapturedFrame::read(&bytes[..66]), None, "cut short");
    }
}
