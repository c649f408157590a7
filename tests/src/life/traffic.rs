//! The traffic of the life laboratory: a flood, a numbered stream and two sentinels, and the witness of what passed.
//!
//! The flood is the kernel's own ([`crate::bpf`]), from one core through one queue of the link; what is numbered comes
//! from another core through another queue, so that a flood which fills its queue costs no numbered packet. The sender
//! waits for the witness before its own queue is full: a busy machine makes it slow, and costs no packet. Between two
//! runs of the kernel's flood nothing of it is under way for some milliseconds, so some of it comes with each numbered
//! packet as well.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use nix::net::if_::if_nametoindex;

use crate::affinity::Pinned;
use crate::bpf::Flood;
use crate::edge::Edge;
use crate::frames::between;
use crate::link::{self, Pair};
use crate::packet_socket::{Arrival, PacketSocket};

/// Always open, and the two sentinels: of the countries of `SIDES`.
const STREAMS: [&str; 3] = ["8.8.8.8", "77.88.8.8", "84.200.69.80"];
/// A /16 of a country that is always blocked, from which the flood comes.
const FLOOD: [u8; 2] = [1, 80];
/// The cores, and so the queues, of the numbered packets and of the flood.
pub(super) const CORES: [usize; 2] = [0, 1];
/// The queues that the link must have for that.
pub(super) const QUEUES: usize = CORES.len();
/// Frames of the flood that the kernel sends in one run: some tenths of a second, which is how long stopping takes.
const RUN: u32 = 2_000_000;
/// Frames of the flood that go with each number.
const BESIDE: u32 = 1;
/// What the queues of the link hold: what may be let in when the driver takes it down or up.
const SLIPS_MAX: usize = 2 * 256;
/// How often each of the streams sends: within the time that it takes to write an image.
const PERIOD: Duration = Duration::from_micros(250);
/// How many numbers may be on their way to the witness: with what goes along, half of what a queue of the link holds.
const WINDOW: u64 = 32;
/// How long the sender waits for the witness to see a number; then it is lost, or the link is down.
const WINDOW_PATIENCE: Duration = Duration::from_millis(20);
/// How long the last number may take to arrive.
const LAST_PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing may arrive until all that was sent has.
const QUIET: Duration = Duration::from_millis(200);
/// Where a frame says what it is: behind Ethernet, IPv4 and UDP.
const TEXT: usize = 14 + 20 + 8;
const MAGIC: [u8; 4] = *b"life";
/// A count of numbers sent while they are still being sent.
const UNKNOWN: u64 = u64::MAX;

/// What came of the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Frames of the flood that reached the filter and went no further, as the driver counts them.
    pub(super) flooded: u64,
    pub(super) leaked: u64,
    /// What passed besides while the driver itself was taking the link down or up.
    pub(super) slipped: u64,
    /// More than this is not the driver's doing.
    pub(super) slips_max: u64,
    pub(super) numbered: u64,
    /// Of those, what was sent while the link itself was down.
    pub(super) excused: u64,
    pub(super) lost: u64,
    /// How often the sentinels changed sides, from packet to packet.
    pub(super) changes: u32,
    /// Which of them was blocked in the beginning.
    pub(super) first_side: Option<usize>,
    /// What the witness had no time for.
    pub(super) missed: u32,
    /// What never reached the filter, because a queue of the link was full: the laboratory's fault, not the filter's.
    pub(super) overrun: u64,
    pub(super) took: Duration,
}

/// The number that is being sent, and what the link did to the traffic: shared with the step that changes the link.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    sending: Arc<AtomicU64>,
    /// One more than the highest number that the witness has seen from the source that is always open.
    seen: Arc<AtomicU64>,
    /// The numbers that the link may have lost.
    pub(super) excused: Vec<RangeInclusive<u64>>,
    /// When the driver was taking it down or up.
    pub(super) changing: Vec<RangeInclusive<SystemTime>>,
}

impl Numbers {
    /// The number that may be under way at this moment; those below it have met their fate.
    pub(super) fn sending(&self) -> u64 {
        self.sending.load(Ordering::Acquire)
    }
}

/// Which of a stream's packets passed, by number.
#[derive(Default)]
struct Passed {
    streams: [Vec<bool>; STREAMS.len()],
    /// When something of the flood did, as the kernel noted it.
    leaked: Vec<SystemTime>,
    missed: u32,
}

/// Traffic that goes on until it is stopped.
pub(super) struct Traffic {
    pair: Pair,
    begun: Instant,
    /// What the driver had counted before: drops by the filter, and frames for which there was no room.
    before: [u64; 2],
    stop: Arc<AtomicBool>,
    flood: JoinHandle<Result<()>>,
    sender: JoinHandle<Result<u64>>,
    witness: JoinHandle<Result<Passed>>,
    /// How many numbers were sent, when the senders are done.
    sent: Arc<AtomicU64>,
}

impl Traffic {
    pub(super) fn start(edge: &Edge, numbers: &Numbers) -> Result<Self> {
        let pair = &edge.pair;
        let before = counted(pair)?;
        let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
        let inside = PacketSocket::open(&pair.edge, &pair.edge_interface)?;
        let opening = |third, fourth| {
            let source = IpAddr::from([FLOOD[0], FLOOD[1], third, fourth]);
            let frame = between(source, pair.edge_address_for(source));
            frame.tcp(40_000, 22).syn()
        };
        let beside: Vec<Vec<u8>> = (0..BESIDE)
            .map(|number| {
                let [_, _, third, fourth] = (number * 509 + 1).to_be_bytes();
                opening(third, fourth).build()
            })
            .collect();
        let streams = STREAMS.map(|source| {
            let source: IpAddr = source
                .parse()
                .map_err(|_| anyhow!("{source} is no address"))?;
            Ok((source, edge.pair.edge_address_for(source)))
        });
        let [a, b, c]: [Result<_>; STREAMS.len()] = streams;
        let streams = [a?, b?, c?];
        let name = pair.peer_interface.as_str();
        let index = pair.peer.enter(|| if_nametoindex(name))??;
        let flood = Flood::new(opening(0, 0), index)?;
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(UNKNOWN)),
        );
        let begun = Instant::now();
        let (stopped, peer) = (Arc::clone(&stop), pair.peer.clone());
        let flood = thread::spawn(move || {
            peer.enter(|| {
                let _pinned = Pinned::to(CORES[1])?;
                while !stopped.load(Ordering::Acquire) {
                    flood.send(RUN)?;
                }
                Ok(())
            })?
        });
        let (stopped, shared) = (Arc::clone(&stop), numbers.clone());
        let sender = thread::spawn(move || send(&outside, &beside, streams, &shared, &stopped));
        let (done, shared) = (Arc::clone(&sent), numbers.clone());
        let witness = thread::spawn(move || watch(&inside, &shared, &done));
        Ok(Self {
            pair: pair.clone(),
            begun,
            before,
            stop,
            flood,
            sender,
            witness,
            sent,
        })
    }

    pub(super) fn stop(self, numbers: &Numbers) -> Result<Seen> {
        self.stop.store(true, Ordering::Release);
        let joined = |_| anyhow!("a thread of the laboratory panicked");
        let flood = self.flood.join().map_err(joined)?;
        let sender = self.sender.join().map_err(joined)?;
        let took = self.begun.elapsed();
        // Also when the sender failed: the witness must end.
        let sent = sender.as_ref().map_or(0, |sent| *sent);
        self.sent.store(sent, Ordering::Release);
        let passed = self
            .witness
            .join()
            .map_err(joined)?
            .context("the witness")?;
        flood.context("the flood")?;
        let numbered = sender.context("the sender")?;
        let after = counted(&self.pair)?;
        let streams = judge(&passed, numbered, numbers);
        // Each number of each stream that did not pass was dropped as well.
        let [dropped, overrun] = [0, 1].map(|at| after[at].saturating_sub(self.before[at]));
        let of_streams = passed.streams.iter().flatten().filter(|seen| **seen);
        let of_streams = numbered * STREAMS.len() as u64 - of_streams.count() as u64;
        Ok(Seen {
            flooded: dropped.saturating_sub(of_streams),
            overrun,
            took,
            ..streams
        })
    }
}

/// What the driver has counted: frames that the filter dropped, and frames that found no room in a queue.
fn counted(pair: &Pair) -> Result<[u64; 2]> {
    Ok([
        link::arrived(&pair.edge, &pair.edge_interface)?.1,
        link::sent_in_vain(&pair.peer, &pair.peer_interface)?,
    ])
}

/// Sends until `stop` is set, and returns how many of each stream. One core and one queue keep the order.
fn send(
    socket: &PacketSocket,
    beside: &[Vec<u8>],
    streams: [(IpAddr, IpAddr); STREAMS.len()],
    numbers: &Numbers,
    stop: &AtomicBool,
) -> Result<u64> {
    let _pinned = Pinned::to(CORES[0])?;
    let mut due = Instant::now();
    let mut number = 0;
    while !stop.load(Ordering::Acquire) {
        // Late numbers are not made up for.
        due = Instant::now().max(due + PERIOD);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let waiting = Instant::now();
        while number >= numbers.seen.load(Ordering::Acquire) + WINDOW
            && waiting.elapsed() < WINDOW_PATIENCE
        {
            thread::sleep(PERIOD);
        }
        numbers.sending.store(number, Ordering::Release);
        let mut frames = beside.to_vec();
        frames.extend(streams.map(|(source, destination)| {
            let mut text = [0; 32];
            text[..4].copy_from_slice(&MAGIC);
            text[4..12].copy_from_slice(&number.to_be_bytes());
            between(source, destination)
                .udp(40_000, 40_000)
                .payload(text)
                .build()
        }));
        socket.send_burst(&frames)?;
        number += 1;
    }
    Ok(number)
}

/// Notes what passes until the last number has come and nothing more does.
fn watch(socket: &PacketSocket, numbers: &Numbers, sent: &AtomicU64) -> Result<Passed> {
    let sources = STREAMS.map(|source| source.parse::<std::net::Ipv4Addr>().map(|ip| ip.octets()));
    let mut passed = Passed::default();
    let mut last_since = None;
    loop {
        let sent = sent.load(Ordering::Acquire);
        let Some(Arrival { frame, at }) = socket.arrival(QUIET)? else {
            if sent != UNKNOWN {
                let since = last_since.get_or_insert_with(Instant::now);
                let has_all = numbers.seen.load(Ordering::Acquire) >= sent;
                if has_all || since.elapsed() >= LAST_PATIENCE {
                    passed.missed = socket.missed()?;
                    return Ok(passed);
                }
            }
            continue;
        };
        let Some(source) = frame.get(26..30) else {
            continue;
        };
        if source.starts_with(&FLOOD) {
            passed.leaked.push(at);
            continue;
        }
        let stream = sources
            .iter()
            .position(|one| one.as_ref().is_ok_and(|one| one == source));
        let text = frame
            .get(TEXT..TEXT + 12)
            .and_then(|text| text.strip_prefix(&MAGIC));
        if let (Some(stream), Some(Ok(number))) = (stream, text.map(<[u8; 8]>::try_from)) {
            let seen = &mut passed.streams[stream];
            let number = u64::from_be_bytes(number);
            if stream == 0 {
                numbers.seen.fetch_max(number + 1, Ordering::AcqRel);
            }
            let number = usize::try_from(number)?;
            if seen.len() <= number {
                seen.resize(number + 1, false);
            }
            seen[number] = true;
        }
    }
}

/// What the packets that passed say of the filter, without those that the link lost.
fn judge(passed: &Passed, numbered: u64, numbers: &Numbers) -> Seen {
    let has = |stream: usize, number: u64| {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        passed.streams[stream].get(number).copied().unwrap_or(false)
    };
    let is_excused = |number: &u64| numbers.excused.iter().any(|range| range.contains(number));
    let is_slip = |at: &SystemTime| numbers.changing.iter().any(|range| range.contains(at));
    let slipped = passed.leaked.iter().filter(|at| is_slip(at)).count();
    let counting = || (0..numbered).filter(|number| !is_excused(number));
    // In the order in which they were sent: the side that is blocked, as each sentinel's packet tells.
    let sides =
        counting().flat_map(|number| [usize::from(has(1, number)), usize::from(!has(2, number))]);
    let mut seen = Seen {
        leaked: (passed.leaked.len() - slipped) as u64,
        slipped: slipped as u64,
        slips_max: (numbers.changing.len() * SLIPS_MAX) as u64,
        numbered,
        excused: numbered - counting().count() as u64,
        lost: counting().filter(|number| !has(0, *number)).count() as u64,
        missed: passed.missed,
        ..Seen::default()
    };
    let mut last = None;
    for side in sides {
        if last.is_some_and(|last| last != side) {
            seen.changes += 1;
        }
        seen.first_side.get_or_insert(side);
        last = Some(side);
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(streams: [&[u8]; 3]) -> Passed {
        Passed {
            streams: streams.map(|one| one.iter().map(|seen| *seen == 1).collect()),
            leaked: Vec::new(),
            missed: 0,
        }
    }

    #[test]
    fn passed_numbers_give_losses_and_changes_of_sides() {
        let judge = |streams, sent| judge(&passed(streams), sent, &Numbers::default());
        // The first sentinel is blocked, then the second is, from the fourth packet on.
        let seen = judge([&[1, 1, 1, 1], &[0, 0, 0, 1], &[1, 1, 1, 0]], 4);
        assert_eq!((seen.lost, seen.changes, seen.first_side), (0, 1, Some(0)));
        // Between the packets of a pair.
        let seen = judge([&[1, 1], &[0, 0], &[1, 0]], 2);
        assert_eq!((seen.changes, seen.first_side), (1, Some(0)));
        // Both open in the middle of it all: there and back.
        let seen = judge([&[1, 0, 1], &[0, 1, 0], &[1, 1, 1]], 3);
        assert_eq!((seen.lost, seen.changes), (1, 2));
        // The last was lost.
        assert_eq!(judge([&[1], &[], &[1, 1]], 2).lost, 1);
    }
    #[test]
    fn losses_of_a_link_that_is_down_are_excused() {
        let streams: [&[u8]; 3] = [
            &[1, 0, 0, 1, 0, 1],
            &[0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 1, 1, 1],
        ];
        let down = Numbers {
            excused: std::iter::once(1..=2).collect(),
            ..Numbers::default()
        };
        let seen = judge(&passed(streams), 6, &down);
        assert_eq!((seen.numbered, seen.excused), (6, 2));
        assert_eq!((seen.lost, seen.changes), (1, 0));
        assert_eq!(judge(&passed(streams), 6, &Numbers::default()).lost, 3);
    }
}
