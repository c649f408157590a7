//! The life laboratory: a filter is upgraded, reloaded and killed under a flood, and nothing leaks and nothing is lost.
//!
//! The kernel floods the edge from blocked sources. Meanwhile, four times a millisecond, one sender sends a numbered
//! packet from a source that is always open, and one from each of two sentinels, of which exactly one is open at any
//! time: every reload of the world's table changes their sides. What this sender sends, on one core and through one
//! queue that the flood does not use, arrives in order, so what the sentinels say is exact: from packet to packet the
//! policy is the one or the other, and it changes once a reload. A witness behind the filter notes every packet that
//! passed, and the driver says how many the filter dropped and for how many there was no room before it: a numbered
//! packet that is lost is the filter's fault, unless the link itself was down, or the run says that it was not exact.

mod damage;
mod devices;
mod faults;
mod leases;
mod returns;
mod traffic;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::daemon::{Daemon, Waited};
use crate::edge::{Answer, Edge, PATIENCE};
use crate::lab::Scale;
use crate::lab::report::Row;
use crate::link::{Link, receive_offload};
use traffic::{Numbers, Seen, Traffic};

/// The programs that the laboratory needs, with Debian's names of their packages.
pub const PROGRAMS: [(&str, &str); 3] = [
    ("ethtool", "ethtool"),
    ("dnsmasq", "dnsmasq-base"),
    ("dhclient", "isc-dhcp-client"),
];

/// How long traffic goes on before the first change and after the last.
const MARGIN: Duration = Duration::from_millis(300);

/// A protected machine, its daemon, and the configuration it reads.
struct Site {
    // Stopped before what it protects is gone.
    daemon: Option<Daemon>,
    edge: Edge,
    directory: TempDir,
    /// Which of the sentinels is blocked.
    side: usize,
    /// What is being sent, and what need not arrive.
    numbers: Numbers,
}

/// The countries of the sentinels.
const SIDES: [&str; 2] = ["RU", "DE"];

impl Site {
    fn open() -> Result<Self> {
        let mut site = Self {
            daemon: None,
            edge: Edge::on(&Link::default().queues(traffic::QUEUES))?,
            directory: tempfile::tempdir()?,
            side: 0,
            numbers: Numbers::default(),
        };
        // Or a flood would not reach an interface that has lost its filter.
        receive_offload(&site.edge.pair.edge, site.edge.interface())?;
        site.configure()?;
        site.start()?;
        Ok(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the configuration that blocks the flood's country, that of single probes and one sentinel's.
    ///
    /// One of the two denies networks all over the world as well, so that a reload moves nearly everything in the
    /// image: one that were written over another would be a third thing for as long as that takes.
    fn configure(&self) -> Result<()> {
        let new = self.path("new");
        let mut text = format!(
            "block = [\"CN\", \"{}\", \"{}\"]\n",
            devices::PROBED,
            SIDES[self.side]
        );
        if self.side == 1 {
            let networks = (11..200_u8).step_by(3).filter(|first| *first != 77);
            let denied: Vec<_> = networks
                .map(|first| format!("\"{first}.66.6.0/24\""))
                .collect();
            text += &format!("deny = [{}]\n", denied.join(", "));
        }
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(new, self.path("geofence.toml"))?)
    }

    fn start(&mut self) -> Result<()> {
        let config = self.path("geofence.toml");
        let config = config.to_str().context("a path")?;
        self.daemon = Some(self.edge.run(&["--config", config])?);
        Ok(())
    }

    /// Ends the daemon by a signal and starts another.
    fn restart(&mut self, signal: Signal) -> Result<()> {
        let mut daemon = self.daemon.take().context("no daemon")?;
        daemon.signal(signal)?;
        daemon.wait(PATIENCE)?;
        self.start()
    }

    /// For how long the daemon has waited for a core up to now.
    fn waited(&self) -> Result<Waited> {
        self.daemon.as_ref().context("no daemon")?.waited()
    }

    fn reload(&self) -> Result<Answer> {
        self.edge.ask(&["reload", "--json"])
    }

    /// Changes the sides of the sentinels. What the daemon does by itself when the file changes does no harm: the
    /// second of two reloads changes nothing.
    fn change_sides(&mut self) -> Result<()> {
        self.side = 1 - self.side;
        self.configure()?;
        let answer = self.reload()?;
        ensure!(answer.code == Some(0), "{answer:?}");
        Ok(())
    }
}

/// Something that is done to the filter while traffic passes.
type Deed = fn(&mut Site, u32) -> Result<Found>;

/// What a step found, apart from its traffic.
#[derive(Debug, Default)]
struct Found {
    /// What is worth a word in the row.
    notes: Vec<String>,
    /// What was not as expected, each with what was expected and what came.
    faults: Vec<String>,
}

impl Found {
    fn note(note: String) -> Self {
        Self {
            notes: vec![note],
            faults: Vec::new(),
        }
    }

    /// Adds a fault unless a condition holds.
    fn expect(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }
}

/// What is done, how often in the whole form and in the short one, and how often the sentinels change sides each time.
const STEPS: [(u8, &str, [u32; 2], u32, Deed); 10] = [
    (
        1,
        "upgrades: SIGTERM, then a new daemon",
        [100, 6],
        0,
        upgrades,
    ),
    (
        2,
        "reloads of the world's table, sides changed",
        [50, 6],
        1,
        reloads,
    ),
    (3, "SIGKILL, then a new daemon", [20, 3], 0, kills),
    (
        4,
        "damaged databases, each offered to a reload",
        [1000, 60],
        0,
        damage::databases,
    ),
    (
        5,
        "broken configurations, each offered to a reload",
        [100, 20],
        0,
        damage::configurations,
    ),
    (
        6,
        "interface down, and up again",
        [20, 4],
        0,
        devices::downs,
    ),
    (7, "renames, and back", [20, 4], 0, devices::renames),
    (
        8,
        "changes of MTU to 9000, and back",
        [20, 4],
        0,
        devices::frame_sizes,
    ),
    (
        9,
        "deletions of an interface among 64 others, made anew",
        [21, 6],
        0,
        returns::recreations,
    ),
    (
        10,
        "kinds of error, each at every bpf() call of a start and of changes",
        [4, 1],
        0,
        faults::each_call,
    ),
];

/// Runs the steps chosen, or all; `say` hears what is done next.
pub fn life(scale: Scale, steps: &[u8], say: &mut dyn FnMut(&str)) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (step, what, times, sides, deed) in STEPS {
        if !(steps.is_empty() || steps.contains(&step)) {
            continue;
        }
        let times = times[usize::from(scale == Scale::Short)];
        say(&format!("step {step}: {times} {what}"));
        let begun = Instant::now();
        let mut site = Site::open()?;
        let before = site.side;
        let traffic = Traffic::start(&site.edge, &site.numbers)?;
        std::thread::sleep(MARGIN);
        let done = deed(&mut site, times);
        std::thread::sleep(MARGIN);
        let seen = traffic.stop(&site.numbers)?;
        let found = done.with_context(|| format!("step {step}: {what}"))?;
        let changes = sides * times;
        let (seen, ok) = account(&seen, found, changes, before);
        rows.push(Row {
            step,
            what: format!("{times} {what}"),
            expected: format!("0 leaked, 0 lost, {changes} changes of sides"),
            seen,
            took: begun.elapsed(),
            ok,
        });
    }
    if steps.is_empty() || steps.contains(&leases::STEP) {
        say(&format!("step {}: {}", leases::STEP, leases::WHAT));
        rows.push(leases::leases(scale).with_context(|| format!("step {}", leases::STEP))?);
    }
    ensure!(!rows.is_empty(), "no step was chosen, so nothing was seen");
    Ok(rows)
}

/// What a step's traffic and its deed say, in words, and whether all was as expected.
fn account(seen: &Seen, mut found: Found, changes: u32, before: usize) -> (String, bool) {
    let mut counted = format!(
        "{} blocked at {:.2} M/s, {} leaked; {} numbered, {} lost",
        seen.flooded,
        seen.flooded as f64 / seen.took.as_secs_f64() / 1e6,
        seen.leaked,
        seen.numbered,
        seen.lost,
    );
    if seen.slipped > 0 {
        counted += &format!(
            "; {} let in by the driver while it took the link down or up",
            seen.slipped
        );
    }
    if seen.excused > 0 {
        counted += &format!(" and {} sent while the link itself was down", seen.excused);
    }
    counted += &format!("; sides changed {} times", seen.changes);
    for note in &found.notes {
        counted += &format!("; {note}");
    }
    let overrun = seen.overrun;
    found.expect(seen.leaked == 0, || {
        format!(
            "expected that no blocked frame passes, but {} passed",
            seen.leaked
        )
    });
    found.expect(seen.slipped <= seen.slips_max, || {
        format!(
            "expected at most {} frames let in by the driver, but there were {}",
            seen.slips_max, seen.slipped
        )
    });
    found.expect(seen.lost == 0, || {
        format!(
            "expected that every numbered packet passes, but {} of {} did not (the link had no room for {overrun} \
             packets, the flood's included)",
            seen.lost, seen.numbered
        )
    });
    found.expect(seen.missed == 0, || {
        format!(
            "expected a witness that sees everything, but its socket lost {} frames",
            seen.missed
        )
    });
    found.expect(seen.numbered > 0 && seen.flooded > 0, || {
        format!(
            "expected numbered packets and a flood, but there were {} and {}",
            seen.numbered, seen.flooded
        )
    });
    found.expect(seen.changes == changes, || {
        format!(
            "expected {changes} changes of sides from packet to packet, but there were {}",
            seen.changes
        )
    });
    found.expect(seen.first_side == Some(before), || {
        format!(
            "expected that sentinel {before} is blocked first, but it was {:?}",
            seen.first_side
        )
    });
    if !found.faults.is_empty() {
        counted += &format!("; NOT AS EXPECTED: {}", found.faults.join("; "));
    }
    (counted, found.faults.is_empty())
}

fn upgrades(site: &mut Site, times: u32) -> Result<Found> {
    let mut slowest = Duration::ZERO;
    for _ in 0..times {
        let begun = Instant::now();
        site.restart(Signal::SIGTERM)?;
        slowest = slowest.max(begun.elapsed());
    }
    Ok(Found::note(format!(
        "slowest {:.1} s",
        slowest.as_secs_f64()
    )))
}

fn kills(site: &mut Site, times: u32) -> Result<Found> {
    for _ in 0..times {
        site.restart(Signal::SIGKILL)?;
    }
    Ok(Found::default())
}

fn reloads(site: &mut Site, times: u32) -> Result<Found> {
    for _ in 0..times {
        site.change_sides()?;
    }
    Ok(Found::default())
}
