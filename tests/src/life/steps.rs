//! The steps of the life laboratory, in order, and what each says of its traffic.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::found::Found;
use super::site::Site;
use super::traffic::{Seen, Traffic};
use super::{damage, devices, faults, leases, machines, returns};
use crate::lab::Scale;
use crate::lab::report::Row;

/// The programs that the laboratory needs, with Debian's names of their packages.
pub const PROGRAMS: [(&str, &str); 3] = [
    ("ethtool", "ethtool"),
    ("dnsmasq", "dnsmasq-base"),
    ("dhclient", "isc-dhcp-client"),
];

/// How long traffic goes on before the first change and after the last.
const MARGIN: Duration = Duration::from_millis(300);

/// Something that is done to the filter while traffic passes.
type Deed = fn(&mut Site, u32) -> Result<Found>;

/// What is done, how often in the whole form and in the short one, and how often the sentinels change sides each time.
const STEPS: [(u8, &str, [u32; 2], u32, Deed); 11] = [
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
    (
        12,
        "rounds of machines as they are: late, header-less, stacked and returning interfaces",
        [20, 3],
        0,
        machines::as_they_are,
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
