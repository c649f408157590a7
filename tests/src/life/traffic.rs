//! The traffic of the life laboratory: a flood, a numbered stream and two sentinels, and the witness of what passed.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::edge::Edge;
use crate::frames::between;
use crate::packet_socket::PacketSocket;

/// Always open, and the two sentinels: of the countries of `SIDES`.
const STREAMS: [&str; 3] = ["8.8.8.8", "77.88.8.8", "84.200.69.80"];
/// A /16 of a country that is always blocked, from which the flood comes.
const FLOOD: [u8; 2] = [1, 80];
/// Frames that are sent by one call: fewer than the link's queue holds.
const BATCH: usize = 128;
/// How often each of the streams sends.
const PERIOD: Duration = Duration::from_millis(1);
/// How long nothing may arrive until all that was sent has.
const QUIET: Duration = Duration::from_millis(200);
/// Where a frame says what it is: behind Ethernet, IPv4 and UDP.
const TEXT: usize = 14 + 20 + 8;
const MAGIC: [u8; 4] = *b"life";

/// What came of the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) flooded: u64,
    pub(super) leaked: u64,
    pub(super) numbered: u64,
    pub(super) lost: u64,
    /// How often the sentinels changed sides, from packet to packet.
    pub(super) changes: u32,
    /// Which of them was blocked in the beginning.
    pub(super) first_side: Option<usize>,
    /// What the witness had no time for.
    pub(super) missed: u32,
    pub(super) took: Duration,
}

/// Which of a stream's packets passed, by number.
#[derive(Default)]
struct Passed {
    streams: [Vec<bool>; STREAMS.len()],
    leaked: u64,
    missed: u32,
}

/// Traffic that goes on until it is stopped.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<(u64, u64, Duration)>>,
    witness: JoinHandle<Result<Passed>>,
    /// Set when the sender is done.
    sent: Arc<AtomicBool>,
}

impl Traffic {
    pub(super) fn start(edge: &Edge) -> Result<Self> {
        let pair = &edge.pair;
        let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
        let inside = PacketSocket::open(&pair.edge, &pair.edge_interface)?;
        let flood: Vec<Vec<u8>> = (0..BATCH as u32)
            .map(|number| {
                let [_, _, third, fourth] = (number * 509 + 1).to_be_bytes();
                let source = IpAddr::from([FLOOD[0], FLOOD[1], third, fourth]);
                let frame = between(source, edge.pair.edge_address_for(source));
                frame.tcp(40_000, 22).syn().build()
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
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let (stopped, done) = (Arc::clone(&stop), Arc::clone(&sent));
        let sender = thread::spawn(move || {
            let result = send(&outside, &flood, streams, &stopped);
            done.store(true, Ordering::Release);
            result
        });
        let done = Arc::clone(&sent);
        let witness = thread::spawn(move || watch(&inside, &done));
        Ok(Self {
            stop,
            sender,
            witness,
            sent,
        })
    }

    pub(super) fn stop(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Release);
        let joined = |_| anyhow!("a thread of the laboratory panicked");
        let sender = self.sender.join().map_err(joined)?;
        // Also when the sender failed before it could say so itself.
        self.sent.store(true, Ordering::Release);
        let passed = self
            .witness
            .join()
            .map_err(joined)?
            .context("the witness")?;
        let (flooded, numbered, took) = sender.context("the sender")?;
        Ok(judge(&passed, flooded, numbered, took))
    }
}

/// Sends until told to stop: how many frames of the flood, and how many of each stream.
fn send(
    socket: &PacketSocket,
    flood: &[Vec<u8>],
    streams: [(IpAddr, IpAddr); STREAMS.len()],
    stop: &AtomicBool,
) -> Result<(u64, u64, Duration)> {
    // One core and one queue keep the order of what is sent.
    let mut core = CpuSet::new();
    core.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &core).context("keeping the sender on one core")?;
    let begun = Instant::now();
    let (mut flooded, mut number) = (0, 0_u64);
    let mut due = begun;
    while !stop.load(Ordering::Acquire) {
        if Instant::now() >= due {
            due += PERIOD;
            let frames = streams.map(|(source, destination)| {
                let mut text = [0; 32];
                text[..4].copy_from_slice(&MAGIC);
                text[4..12].copy_from_slice(&number.to_be_bytes());
                between(source, destination)
                    .udp(40_000, 40_000)
                    .payload(text)
                    .build()
            });
            socket.send_many(&frames)?;
            number += 1;
        }
        socket.send_many(flood)?;
        flooded += flood.len() as u64;
    }
    Ok((flooded, number, begun.elapsed()))
}

/// Notes what passes until the sender is done and nothing has come for a while.
fn watch(socket: &PacketSocket, done: &AtomicBool) -> Result<Passed> {
    let sources = STREAMS.map(|source| source.parse::<std::net::Ipv4Addr>().map(|ip| ip.octets()));
    let mut passed = Passed::default();
    loop {
        let was_done = done.load(Ordering::Acquire);
        let Some(frame) = socket.receive(QUIET)? else {
            if was_done {
                passed.missed = socket.missed()?;
                return Ok(passed);
            }
            continue;
        };
        let Some(source) = frame.get(26..30) else {
            continue;
        };
        if source.starts_with(&FLOOD) {
            passed.leaked += 1;
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
            let number = usize::try_from(u64::from_be_bytes(number))?;
            if seen.len() <= number {
                seen.resize(number + 1, false);
            }
            seen[number] = true;
        }
    }
}

/// What the packets that passed say of the filter.
fn judge(passed: &Passed, flooded: u64, numbered: u64, took: Duration) -> Seen {
    let has = |stream: usize, number: u64| {
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        passed.streams[stream].get(number).copied().unwrap_or(false)
    };
    // In the order in which they were sent: the side that is blocked, as each sentinel's packet tells.
    let told = (0..numbered)
        .flat_map(|number| [usize::from(has(1, number)), usize::from(!has(2, number))]);
    let mut seen = Seen {
        flooded,
        leaked: passed.leaked,
        numbered,
        lost: (0..numbered).filter(|number| !has(0, *number)).count() as u64,
        missed: passed.missed,
        took,
        ..Seen::default()
    };
    let mut last = None;
    for side in told {
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
            leaked: 0,
            missed: 0,
        }
    }

    #[test]
    fn what_passed_tells_losses_and_changes() {
        let judge = |streams, sent| judge(&passed(streams), 1, sent, Duration::ZERO);
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
}
