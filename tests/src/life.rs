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
mod traffic;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::daemon::Daemon;
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

    /// Writes the configuration that blocks the flood's country and one sentinel's.
    ///
    /// One of the two denies networks all over the world as well, so that a reload moves nearly everything in the
    /// image: one that were written over another would be a third thing for as long as that takes.
    fn configure(&self) -> Result<()> {
        let new = self.path("new");
        let mut text = format!("block = [\"CN\", \"{}\"]\n", SIDES[self.side]);
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

/// Something that is done to the filter while traffic passes; answers with what went on besides and whether it was as
/// it had to be.
type Deed = fn(&mut Site, u32) -> Result<(String, bool)>;

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
        devices::recreations,
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
        let (said, is_right) = done.with_context(|| format!("step {step}: {what}"))?;
        let changes = sides * times;
        rows.push(row(
            step,
            format!("{times} {what}"),
            &seen,
            changes,
            before,
            said,
            is_right,
            begun,
        ));
    }
    if steps.is_empty() || steps.contains(&leases::STEP) {
        say(&format!("step {}: {}", leases::STEP, leases::WHAT));
        rows.push(leases::leases(scale).with_context(|| format!("step {}", leases::STEP))?);
    }
    ensure!(!rows.is_empty(), "no step was chosen, so nothing was seen");
    Ok(rows)
}

#[expect(clippy::too_many_arguments, reason = "what one row is made of")]
fn row(
    step: u8,
    what: String,
    seen: &Seen,
    changes: u32,
    before: usize,
    said: String,
    is_right: bool,
    begun: Instant,
) -> Row {
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
    counted += &format!("; sides changed {} times{said}", seen.changes);
    if seen.missed > 0 {
        counted += &format!("; {} missed by the witness", seen.missed);
    }
    if seen.lost > 0 && seen.overrun > 0 {
        counted += &format!(
            "; the link had no room for {} packets, so not exact",
            seen.overrun
        );
    }
    Row {
        step,
        what,
        expected: format!("0 leaked, 0 lost, {changes} changes of sides"),
        seen: counted,
        took: begun.elapsed(),
        ok: is_right
            && seen.leaked == 0
            && seen.slipped <= seen.slips_max
            && seen.lost == 0
            && seen.missed == 0
            && seen.numbered > 0
            && seen.flooded > 0
            && seen.changes == changes
            && seen.first_side == Some(before),
    }
}

fn upgrades(site: &mut Site, times: u32) -> Result<(String, bool)> {
    let mut slowest = Duration::ZERO;
    for _ in 0..times {
        let begun = Instant::now();
        site.restart(Signal::SIGTERM)?;
        slowest = slowest.max(begun.elapsed());
    }
    Ok((format!("; slowest {:.1} s", slowest.as_secs_f64()), true))
}

fn kills(site: &mut Site, times: u32) -> Result<(String, bool)> {
    for _ in 0..times {
        site.restart(Signal::SIGKILL)?;
    }
    Ok((String::new(), true))
}

fn reloads(site: &mut Site, times: u32) -> Result<(String, bool)> {
    for _ in 0..times {
        site.change_sides()?;
    }
    Ok((String::new(), true))
}
