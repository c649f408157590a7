//! A machine under a flood from blocked sources: what other traffic sees of it, and how much of it one core drops.
//!
//! The flood is sent by the kernel on one core, and goes through a veth pair into the filter. On the other core a
//! client and a server exchange datagrams through the same filter, one at a time, or the client numbers its datagrams
//! and the server counts them. A second machine would be better; on one, sender and filter share the core of the flood.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use geofence_common::maps::name;
use geofence_tests::affinity::Pinned;
use geofence_tests::bpf::Flood;
use geofence_tests::frames::between;
use geofence_tests::link::{self, Link, Pair};
use geofence_tests::namespace::Namespace;
use geofence_tests::wait::poll;
use geofence_user::model::policy::Lookup;
use nix::net::if_::if_nametoindex;

use crate::netfilter::Peer;
use crate::peers::blocked_prefixes;
use crate::plan::Plan;
use crate::program as parts;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::Rig;
use crate::sample::{Samples, rounds};

/// The core of the exchange, and that of the flood.
const CORES: [usize; 2] = [0, 1];
/// The flood's sources are in this /16, which is Russian.
const FLOOD: [u8; 4] = [5, 136, 0, 0];
/// Frames of the flood in each millisecond, for a million a second.
const PACE: u32 = 1_000;
const PERIOD: Duration = Duration::from_millis(1);
/// How often a numbered datagram is sent.
const NUMBERED: Duration = Duration::from_micros(250);
/// A datagram without an answer for so long is lost, and is sent again.
const LOST: Duration = Duration::from_secs(1);
/// How often one is sent before the benchmark gives up.
const ATTEMPTS: usize = 60;
/// The number of the datagram that ends an exchange or a count.
const END: u32 = u32::MAX;

/// A filter under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    Absent,
    Geofence,
    Nftables,
}

impl Filter {
    const ALL: [Self; 3] = [Self::Absent, Self::Geofence, Self::Nftables];

    const fn name(self) -> &'static str {
        match self {
            Self::Absent => "no filter",
            Self::Geofence => "geofence",
            Self::Nftables => Peer::NftIngress.name(),
        }
    }
}

/// What is measured of a filter.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    /// The exchange of two datagrams, by the part of exchanges that take no longer.
    Exchange { part: f64, is_flooded: bool },
    /// The flood without a pace.
    Rate,
    /// Numbered datagrams that such a flood costs.
    Lost,
}

impl Figure {
    const ALL: [Self; 6] = {
        const fn exchange(part: f64, is_flooded: bool) -> Figure {
            Figure::Exchange { part, is_flooded }
        }
        [
            exchange(0.5, false),
            exchange(0.99, false),
            exchange(0.5, true),
            exchange(0.99, true),
            Self::Rate,
            Self::Lost,
        ]
    };

    const NAMES: [&str; 6] = [
        "exchange, p50",
        "exchange, p99",
        "the same at 1 Mpps, p50",
        "the same at 1 Mpps, p99",
        "dropped by one core",
        "lost meanwhile",
    ];

    const fn unit(self) -> Unit {
        match self {
            Self::Exchange { .. } => Unit::Microseconds,
            Self::Rate => Unit::Rate,
            Self::Lost => Unit::Packets,
        }
    }

    /// Whether it makes sense without a filter: a flood that nothing drops measures the stack.
    const fn is_of(self, filter: Filter) -> bool {
        !matches!(filter, Filter::Absent)
            || matches!(
                self,
                Self::Exchange {
                    is_flooded: false,
                    ..
                }
            )
    }
}

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut rig = Rig::load(&plan.prepared, Lookup::ArrayTrie, &parts::sets(plan)?)?;
    let mut sites = Vec::new();
    for (filter, number) in Filter::ALL.into_iter().zip(0..) {
        let site = Site::build(plan, filter, number, &mut rig);
        sites.push(site.with_context(|| filter.name().to_owned())?);
    }
    let mut contestants = Vec::new();
    for figure in Figure::ALL {
        let filters = sites.iter().filter(|site| figure.is_of(site.filter));
        contestants.extend(filters.map(|site| (site, figure)));
    }
    let samples = rounds(contestants.len(), contestants.len(), plan.rounds, |one| {
        let (site, figure) = contestants[one];
        site.sample(figure, plan.smoke)
            .with_context(|| format!("{}: {figure:?}", site.filter.name()))
    })?;
    let mut table = Table::new(
        "load",
        "Beside a flood from a blocked /16, its sender on the core that filters",
        &Figure::NAMES,
    );
    for filter in Filter::ALL {
        let of = |figure: Figure| -> Option<&Samples> {
            let at = contestants
                .iter()
                .position(|(site, one)| site.filter == filter && *one == figure)?;
            samples.get(at)
        };
        let cells = Figure::ALL
            .into_iter()
            .map(|figure| Cell::new(figure.unit(), of(figure)?.clone()));
        table.row(filter.name(), cells.collect());
    }
    report.tables.push(table);
    Ok(())
}

/// A filter, the way to it, and both ends of the exchange.
struct Site {
    filter: Filter,
    pair: Pair,
    flood: Flood,
    client: UdpSocket,
    server: UdpSocket,
    /// Which sample is taken: its datagrams carry this, and late ones of the sample before are skipped.
    round: AtomicU32,
}

impl Site {
    fn build(plan: &Plan, filter: Filter, number: u8, rig: &mut Rig) -> Result<Self> {
        let (sender, receiver) = (Namespace::new()?, Namespace::new()?);
        let pair = Link::default().number(number).connect(&sender, &receiver)?;
        let edge = pair.edge_interface.as_str();
        match filter {
            Filter::Absent => link::receive_offload(&receiver, edge)?,
            Filter::Geofence => rig.attach(name::PROGRAM, &receiver, edge)?,
            Filter::Nftables => {
                link::receive_offload(&receiver, edge)?;
                Peer::NftIngress.install(&receiver, edge, &blocked_prefixes(plan))?;
            }
        }
        let near = pair.peer_interface.as_str();
        let index = sender.enter(|| if_nametoindex(near))??;
        let opening = between(FLOOD.into(), pair.edge_addresses()[0]).tcp(40_000, 22);
        let flood = sender.enter(|| Flood::new(opening.syn(), index))??;
        let socket = |namespace: &Namespace, own: SocketAddr| -> Result<UdpSocket> {
            let socket = namespace.enter(|| UdpSocket::bind(own))??;
            socket.set_read_timeout(Some(LOST))?;
            Ok(socket)
        };
        let client = socket(&sender, (pair.peer_addresses()[0], 40_000).into())?;
        let server = socket(&receiver, (pair.edge_addresses()[0], 40_000).into())?;
        client.connect(server.local_addr()?)?;
        server.connect(client.local_addr()?)?;
        Ok(Self {
            filter,
            pair,
            flood,
            client,
            server,
            round: AtomicU32::new(0),
        })
    }

    fn sample(&self, figure: Figure, is_short: bool) -> Result<f64> {
        let exchanges = if is_short { 50 } else { 2_000 };
        let frames = if is_short { 20_000 } else { 2_000_000 };
        self.round.fetch_add(1, Ordering::AcqRel);
        match figure {
            Figure::Exchange { part, is_flooded } => {
                let done = AtomicBool::new(!is_flooded);
                thread::scope(|scope| {
                    let flood = is_flooded.then(|| scope.spawn(|| self.pour(&done)));
                    let times = self.exchange(exchanges);
                    done.store(true, Ordering::Release);
                    flood.map_or(Ok(0), joined)?;
                    let mut times = times?;
                    times.sort_unstable();
                    let at = (part * (times.len() - 1) as f64).round() as usize;
                    Ok(times[at].as_nanos() as f64 / 1e3)
                })
            }
            Figure::Rate => Ok(self.press(frames)?.0),
            Figure::Lost => Ok(self.press(frames)?.1),
        }
    }

    /// Sends a million frames a second until it is done, and returns how many that were.
    fn pour(&self, done: &AtomicBool) -> Result<u32> {
        self.pair.peer.enter(|| {
            let _pinned = Pinned::to(CORES[1])?;
            let (mut due, mut sent) = (Instant::now(), 0);
            while !done.load(Ordering::Acquire) {
                self.flood.send(PACE)?;
                sent += PACE;
                due += PERIOD;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            Ok(sent)
        })?
    }

    /// The times of exchanges of two datagrams, one after the other.
    fn exchange(&self, count: usize) -> Result<Vec<Duration>> {
        thread::scope(|scope| {
            let answers = scope.spawn(|| -> Result<()> {
                let _pinned = Pinned::to(CORES[0])?;
                self.serve(|number| self.send(&self.server, number))
            });
            let _pinned = Pinned::to(CORES[0])?;
            let times = (0..count as u32).map(|number| self.ask(number)).collect();
            self.end(answers)?;
            times
        })
    }

    /// How long the answer to a numbered datagram takes.
    fn ask(&self, number: u32) -> Result<Duration> {
        let begun = Instant::now();
        for _ in 0..ATTEMPTS {
            self.send(&self.client, number)?;
            while let Some(answer) = self.receive(&self.client).context("the client")? {
                if answer == number {
                    return Ok(begun.elapsed());
                }
                ensure!(
                    answer < number,
                    "an answer to datagram {answer}, which was not sent"
                );
            }
        }
        bail!("no answer to datagram {number}, sent {ATTEMPTS} times")
    }

    fn send(&self, from: &UdpSocket, number: u32) -> Result<()> {
        let datagram = [self.round.load(Ordering::Acquire), number].map(u32::to_be_bytes);
        from.send(datagram.as_flattened())?;
        Ok(())
    }

    /// The number in the next datagram of this sample; nothing if none comes in time.
    fn receive(&self, at: &UdpSocket) -> io::Result<Option<u32>> {
        let round = self.round.load(Ordering::Acquire);
        loop {
            let mut datagram = [[0; 4]; 2];
            match at.recv(datagram.as_flattened_mut()) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
            let [of, number] = datagram.map(u32::from_be_bytes);
            if of == round {
                return Ok(Some(number));
            }
        }
    }

    /// Has the server take numbers until the last one comes.
    fn serve(&self, mut take: impl FnMut(u32) -> Result<()>) -> Result<()> {
        let mut silent = 0;
        while silent < ATTEMPTS {
            match self.receive(&self.server).context("the server")? {
                Some(END) => return Ok(()),
                Some(number) => {
                    take(number)?;
                    silent = 0;
                }
                None => silent += 1,
            }
        }
        bail!("the server has waited {silent} times {LOST:?} for a datagram")
    }

    /// Sends the server the last number until it has come.
    fn end<T>(&self, server: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
        let ended = poll(LOST * ATTEMPTS as u32, || {
            self.send(&self.client, END)?;
            Ok(server.is_finished().then_some(()))
        })?;
        ended.context("the server does not end")?;
        joined(server)
    }

    /// Sends so many frames as fast as they go while numbered datagrams pass. Returns the millions of frames a second,
    /// and the numbers that did not arrive.
    fn press(&self, frames: u32) -> Result<(f64, f64)> {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let counts = scope.spawn(|| -> Result<u32> {
                let mut seen = 0;
                self.serve(|_| {
                    seen += 1;
                    Ok(())
                })?;
                Ok(seen)
            });
            let numbers = scope.spawn(|| -> Result<u32> {
                let _pinned = Pinned::to(CORES[0])?;
                let (mut due, mut sent) = (Instant::now(), 0_u32);
                while !done.load(Ordering::Acquire) {
                    self.send(&self.client, sent)?;
                    sent += 1;
                    due += NUMBERED;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                Ok(sent)
            });
            let flooded = self.pair.peer.enter(|| {
                let _pinned = Pinned::to(CORES[1])?;
                let begun = Instant::now();
                self.flood.send(frames)?;
                Ok::<_, anyhow::Error>(begun.elapsed())
            })?;
            done.store(true, Ordering::Release);
            let sent = joined(numbers)?;
            let seen = self.end(counts)?;
            let rate = f64::from(frames) / flooded?.as_secs_f64() / 1e6;
            Ok((rate, f64::from(sent - seen)))
        })
    }
}

/// What a thread came to.
fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .map_err(|_| anyhow!("a thread of the benchmark panicked"))?
}
