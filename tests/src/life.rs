//! The life laboratory: a filter is upgraded, reloaded and killed under a flood, and nothing leaks and nothing is lost.
//!
//! One sender on a core of its own floods the edge from blocked sources. In between, every millisecond, it sends a
//! numbered packet from a source that is always open, and one from each of two sentinels, of which exactly one is open
//! at any time: every reload of the world's table changes their sides. Everything on one core and through one queue
//! arrives in order, so what the sentinels say is exact: from packet to packet the policy is the one or the other, and
//! it changes once a reload. A witness behind the filter notes every packet that passed.

mod damage;
mod faults;
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
use traffic::{Seen, Traffic};

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
}

/// The countries of the sentinels.
const SIDES: [&str; 2] = ["RU", "DE"];

impl Site {
    fn open() -> Result<Self> {
        let mut site = Self {
            daemon: None,
            edge: Edge::new()?,
            directory: tempfile::tempdir()?,
            side: 0,
        };
        site.configure()?;
        site.start()?;
        Ok(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the configuration that blocks the flood's country and one sentinel's.
    fn configure(&self) -> Result<()> {
        let new = self.path("new");
        let text = format!("block = [\"CN\", \"{}\"]\n", SIDES[self.side]);
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
const STEPS: [(u8, &str, [u32; 2], u32, Deed); 6] = [
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
        let traffic = Traffic::start(&site.edge)?;
        std::thread::sleep(MARGIN);
        let done = deed(&mut site, times);
        std::thread::sleep(MARGIN);
        let seen = traffic.stop()?;
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
    let counted = format!(
        "{} blocked at {:.2} M/s, {} leaked; {} numbered, {} lost; sides changed {} times{said}",
        seen.flooded,
        seen.flooded as f64 / seen.took.as_secs_f64() / 1e6,
        seen.leaked,
        seen.numbered,
        seen.lost,
        seen.changes,
    );
    let admitted = if seen.missed > 0 {
        format!("; {} missed by the witness", seen.missed)
    } else {
        String::new()
    };
    Row {
        step,
        what,
        expected: format!("0 leaked, 0 lost, {changes} changes of sides"),
        seen: counted + &admitted,
        took: begun.elapsed(),
        ok: is_right
            && seen.leaked == 0
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
