//! The daemon beside a flood whose drops a client follows: what it takes of a core and of memory, and whether each drop
//! was sampled or counted as not sampled.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use nix::net::if_::if_nametoindex;

use super::laboratory::{Lab, row};
use crate::bpf::Flood;
use crate::counters::Counters;
use crate::daemon::{Daemon, geofence};
use crate::edge::{Edge, PATIENCE};
use crate::frames::between;
use crate::lab::Scale;
use crate::lab::report::Row;
use crate::wait::poll;

/// The flood's sources are in this /16, which is Russian.
const SOURCES: [u8; 4] = [5, 136, 0, 0];
/// Senders, each on a core and for a queue of its own where there are as many.
const SENDERS: u32 = 2;
/// Frames of each sender in each period, for a million a second. A call takes tens of milliseconds, however little it
/// sends.
const PACE: u32 = 100_000;
const PERIOD: Duration = Duration::from_millis(200);
/// How much more memory the daemon may have afterwards: the last samples, which it keeps, and what it read them with.
const MORE_MIB_MAX: f64 = 8.0;
const MIB: f64 = (1 << 20) as f64;

/// The drops that are counted, and the samples of them that were sent and that were not.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    dropped: u64,
    sampled: u64,
    lost: u64,
}

impl Seen {
    fn read(edge: &Edge) -> Result<Self> {
        let text = edge.get("/metrics")?.body;
        let sum = |name: &str| {
            let lines = text.lines().filter(|line| line.starts_with(name));
            let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
            values.sum::<f64>() as u64
        };
        Ok(Self {
            dropped: Counters::parse(&text)?.of("drop", None),
            sampled: sum("geofence_drop_samples_total{"),
            lost: sum("geofence_drop_samples_lost_total{"),
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            dropped: self.dropped - before.dropped,
            sampled: self.sampled - before.sampled,
            lost: self.lost - before.lost,
        }
    }
}

/// Starts a client that follows events, and waits until drops are sampled.
pub(super) fn follow(edge: &Edge) -> Result<Daemon> {
    let mut command = geofence(&edge.pair.edge)?;
    command.args(["events", "--follow", "--json"]);
    let follower = Daemon::spawn(&edge.pair.edge, command)?;
    let is_observed = || Ok((edge.metric("geofence_observed")? == 1.0).then_some(()));
    poll(PATIENCE, is_observed)?.context("drops are not sampled")?;
    Ok(follower)
}

/// A million drops a second while a client follows events.
pub(super) fn followed(lab: &mut Lab) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let (length, percent_max) = match lab.scale {
        Scale::Whole => (Duration::from_secs(10), 5.0),
        // A daemon without optimisation, beside other tests.
        Scale::Short => (Duration::from_secs(2), 50.0),
    };
    let edge = &lab.site.edge;
    let daemon = lab.daemon.as_ref().context("no daemon")?;
    let _follower = follow(edge)?;
    let cpu = || edge.metric("process_cpu_seconds_total");
    let (seen, cpu_before, memory) = (Seen::read(edge)?, cpu()?, daemon.resident()?);
    let flood = Instant::now();
    pour(edge, length)?;
    let took = flood.elapsed().as_secs_f64();
    let percent = (cpu()? - cpu_before) / took * 100.0;
    let more = (daemon.resident()? as f64 - memory as f64) / MIB;
    let mut last = Seen::default();
    let whole = poll(PATIENCE, || {
        last = Seen::read(edge)?.since(seen);
        let is_whole = last.dropped > 0 && last.dropped == last.sampled + last.lost;
        Ok(is_whole.then_some(()))
    })?;
    let Seen {
        dropped,
        sampled,
        lost,
    } = last;
    let what = format!(
        "{} s of {:.2} million drops a second, followed",
        length.as_secs(),
        dropped as f64 / took / 1e6
    );
    Ok(vec![
        Row {
            seen: format!("{percent:.1} % of a core, {more:.1} MiB more"),
            ok: percent < percent_max && more < MORE_MIB_MAX,
            took: begun.elapsed(),
            ..row(
                5,
                &what,
                &format!(
                    "the daemon takes less than {percent_max} % of a core, and {MORE_MIB_MAX} MiB more memory"
                ),
                begun,
            )
        },
        Row {
            seen: format!("{dropped} dropped, {sampled} sampled, {lost} not"),
            ok: whole.is_some(),
            took: begun.elapsed(),
            ..row(
                5,
                "samples of that flood",
                "sampled and not sampled together are dropped, to the packet",
                begun,
            )
        },
    ])
}

/// Sends a million frames a second for this time, or as many as this machine can.
fn pour(edge: &Edge, length: Duration) -> Result<()> {
    let pair = &edge.pair;
    let own = pair.edge_addresses()[0];
    pair.peer.enter(|| {
        let index = if_nametoindex(pair.peer_interface.as_str())?;
        let send = || -> Result<()> {
            let opening = between(IpAddr::from(SOURCES), own).tcp(40_000, 22).syn();
            let flood = Flood::new(opening, index)?;
            let begun = Instant::now();
            let mut due = begun;
            while begun.elapsed() < length {
                flood.send(PACE)?;
                due += PERIOD;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            Ok(())
        };
        thread::scope(|scope| {
            let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
            senders.into_iter().try_for_each(|sender| {
                let ended = sender.join();
                ended.map_err(|_| anyhow!("a sender of the flood panicked"))?
            })
        })
    })?
}
