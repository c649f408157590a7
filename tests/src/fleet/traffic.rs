//! Packets to every node, all the time: numbered ones from an open country, some from a blocked one, and those of two
//! sources that an exception and a ban are about. A witness on each node sees what the filter lets in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow};

use super::nodes::Node;
use super::site::{Machine, Site};
use crate::frames::between;
use crate::packet_socket::PacketSocket;
use crate::wait::poll;

/// An address of a country that is always open, and whose packets must all arrive.
const OPEN: Ipv4Addr = Ipv4Addr::new(80, 10, 10, 10);
/// One of a country that only a policy which must not spread blocks, and how many frames it sends for each numbered
/// one: so much of what usually passes that a node notices, even if a busy machine sends at another pace than usually.
const USUAL: Ipv4Addr = Ipv4Addr::new(84, 200, 69, 80);
const USUALLY: usize = 12;
/// An address of a blocked country, of which nothing may arrive.
const BLOCKED: Ipv4Addr = Ipv4Addr::new(77, 88, 8, 8);
/// One of the blocked country that gets an exception, and one of the open country that is banned.
pub(super) const EXCEPTED: Ipv4Addr = Ipv4Addr::new(77, 88, 8, 9);
pub(super) const BANNED: Ipv4Addr = Ipv4Addr::new(84, 200, 69, 81);
/// Frames of the blocked source for each numbered one.
const FLOOD: usize = 8;
/// How far the traffic may lag behind its pace and still catch up.
const DELAY_MAX: Duration = Duration::from_secs(2);
/// How long the last frame may be on its way.
const LAST: Duration = Duration::from_secs(60);
/// Where the source is: behind Ethernet, in the IPv4 header.
const SOURCE: usize = 14 + 12;

/// What a node has let in.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) open: u64,
    pub(super) leaked: u64,
    /// When the first packet of the excepted source arrived since the last `reset`, and the last of the banned one.
    pub(super) excepted: Option<SystemTime>,
    pub(super) banned: Option<SystemTime>,
    /// When the first packet of the banned source arrived since then, and the last one of the open source before it.
    pub(super) unbanned: Option<SystemTime>,
    pub(super) open_before: Option<SystemTime>,
}

/// The running traffic.
pub(super) struct Traffic {
    /// Ends the sender, and the witness.
    stops: [Arc<AtomicBool>; 2],
    rounds: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<Seen>>>,
    sender: JoinHandle<Result<()>>,
    witness: JoinHandle<Result<()>>,
    machines: Vec<Machine>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    pub(super) sent: u64,
    pub(super) flooded: u64,
    pub(super) leaked: u64,
    pub(super) lost: u64,
    /// What never reached a filter, because a queue of its cable was full.
    pub(super) overrun: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn frames(machine: &Machine) -> Vec<Vec<u8>> {
    let to = IpAddr::V4(machine.address);
    let others = [USUAL; USUALLY].into_iter().chain([BLOCKED; FLOOD]);
    let sources = [OPEN, EXCEPTED, BANNED].into_iter().chain(others);
    let frames = sources.map(|source| {
        let frame = between(IpAddr::V4(source), to).tcp(40_000, 22).syn();
        let mut frame = frame.build();
        frame[..6].copy_from_slice(&machine.mac);
        frame
    });
    frames.collect()
}

impl Traffic {
    /// Starts it, with one round of packets to every node in each period.
    pub(super) fn start(site: &Site, nodes: &[Node], period: Duration) -> Result<Self> {
        let outside = site.machine(2, 1)?;
        let socket = PacketSocket::open(&outside.namespace, "edge0")?;
        let machines: Vec<Machine> = nodes.iter().map(|node| node.machine.clone()).collect();
        let sockets = machines
            .iter()
            .map(|one| PacketSocket::open(&one.namespace, "edge0"));
        let sockets = sockets.collect::<Result<Vec<_>>>()?;
        let frames: Vec<Vec<Vec<u8>>> = machines.iter().map(frames).collect();
        let rounds = Arc::<AtomicU64>::default();
        let stops = [(); 2].map(|()| Arc::<AtomicBool>::default());
        let seen = Arc::new(Mutex::new(vec![Seen::default(); nodes.len()]));
        let sender = {
            let (stop, rounds) = (Arc::clone(&stops[0]), Arc::clone(&rounds));
            std::thread::spawn(move || send(&socket, &frames, period, &stop, &rounds, outside))
        };
        let witness = {
            let (stop, seen) = (Arc::clone(&stops[1]), Arc::clone(&seen));
            std::thread::spawn(move || watch(&sockets, &stop, &seen))
        };
        Ok(Self {
            stops,
            rounds,
            seen,
            sender,
            witness,
            machines,
        })
    }

    /// What has been seen so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// Forgets what the excepted and the banned source did.
    pub(super) fn reset(&self) {
        for one in lock(&self.seen).iter_mut() {
            *one = Seen {
                open: one.open,
                leaked: one.leaked,
                ..Seen::default()
            };
        }
    }

    /// Ends it. The counters of the bridge's ports say what was lost before it reached a filter.
    pub(super) fn end(self, site: &Site) -> Result<Outcome> {
        let sent = self.rounds.load(Ordering::Acquire);
        let panicked = || anyhow!("a thread of the traffic panicked");
        // The sender ends first, and the witness when nothing more can come.
        let [sender, witness] = &self.stops;
        sender.store(true, Ordering::Release);
        self.sender.join().map_err(|_| panicked())??;
        let sent = sent.max(self.rounds.load(Ordering::Acquire));
        let overrun = overrun(site, &self.machines)?;
        let expected = sent * self.machines.len() as u64;
        let arrived = || lock(&self.seen).iter().map(|one| one.open).sum::<u64>();
        poll(LAST, || Ok((arrived() + overrun >= expected).then_some(())))?;
        witness.store(true, Ordering::Release);
        self.witness.join().map_err(|_| panicked())??;
        let seen = lock(&self.seen).clone();
        Ok(Outcome {
            sent: expected,
            flooded: expected * FLOOD as u64,
            leaked: seen.iter().map(|one| one.leaked).sum(),
            lost: expected.saturating_sub(arrived()),
            overrun,
        })
    }
}

fn send(
    socket: &PacketSocket,
    frames: &[Vec<Vec<u8>>],
    period: Duration,
    stop: &AtomicBool,
    rounds: &AtomicU64,
    // Held, or its end of the cable would go.
    _outside: Machine,
) -> Result<()> {
    let mut due = Instant::now();
    while !stop.load(Ordering::Acquire) {
        for frames in frames {
            for frame in frames {
                socket.send(frame)?;
            }
        }
        rounds.fetch_add(1, Ordering::AcqRel);
        // What a busy machine delays comes soon after, so that as much arrives as usually.
        let now = Instant::now();
        due = (due + period).max(now.checked_sub(DELAY_MAX).unwrap_or(now));
        // The pace of the traffic, not a wait for something.
        std::thread::sleep(due.saturating_duration_since(now));
    }
    Ok(())
}

fn watch(sockets: &[PacketSocket], stop: &AtomicBool, seen: &Mutex<Vec<Seen>>) -> Result<()> {
    let mut quiet = 0;
    // In the end, what is still in the sockets is read.
    while quiet < 3 {
        let mut is_idle = true;
        for (number, socket) in sockets.iter().enumerate() {
            while let Some(arrival) = socket.arrival(Duration::ZERO)? {
                is_idle = false;
                let source: Option<[u8; 4]> = arrival
                    .frame
                    .get(SOURCE..SOURCE + 4)
                    .and_then(|bytes| bytes.try_into().ok());
                let mut seen = lock(seen);
                let seen = &mut seen[number];
                match source.map(Ipv4Addr::from) {
                    Some(OPEN) => {
                        seen.open += 1;
                        if seen.unbanned.is_none() {
                            seen.open_before = Some(arrival.at);
                        }
                    }
                    Some(BLOCKED) => seen.leaked += 1,
                    Some(EXCEPTED) => seen.excepted = seen.excepted.or(Some(arrival.at)),
                    Some(BANNED) => {
                        seen.banned = Some(arrival.at);
                        seen.unbanned = seen.unbanned.or(seen.banned);
                    }
                    _ => {}
                }
            }
        }
        if is_idle {
            quiet = if stop.load(Ordering::Acquire) {
                quiet + 1
            } else {
                0
            };
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}

/// What the ports of the bridge had no room for.
fn overrun(site: &Site, machines: &[Machine]) -> Result<u64> {
    let text = site.hub.run(&["ip", "-json", "-statistics", "link"])?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    let links = links.as_array().context("no links")?;
    let dropped: BTreeMap<&str, u64> = links
        .iter()
        .filter_map(|one| {
            let dropped = one["stats64"]["tx"]["dropped"].as_u64()?;
            Some((one["ifname"].as_str()?, dropped))
        })
        .collect();
    let ports = machines.iter().map(|one| one.port.as_str());
    Ok(ports.filter_map(|port| dropped.get(port)).sum())
}
