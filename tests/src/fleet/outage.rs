//! The engine goes away and comes back.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};

use super::laboratory::{Lab, exception_of, row};
use super::nodes::await_well;
use super::site::succeeded;
use super::traffic::{BANNED, EXCEPTED};
use crate::edge::PATIENCE;
use crate::lab::report::Row;
use crate::wait::poll;

/// How much later than its end a ban may still hold, while packets of another source arrive.
const LATE_MAX: Duration = Duration::from_secs(2);
/// How soon after the engine's return all nodes must follow it, in the whole form.
const IN_SYNC_MAX: Duration = Duration::from_secs(60);

/// All members are killed; a ban ends meanwhile, and a daemon starts.
pub(super) fn away(lab: &mut Lab) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let begun = Instant::now();
    let ends = banned_for(lab, lab.scale_of(20, 60))?;
    lab.traffic.reset();
    lab.engine.kill_all()?;
    let seen = ban_ends(lab, ends);
    rows.push(row(
        6,
        "a ban ends while the engine is away",
        "in time on every node",
        begun,
        seen,
    ));
    let begun = Instant::now();
    let seen = lab.nodes[0]
        .restart_daemon()
        .map(|()| "it filters".to_owned());
    rows.push(row(
        6,
        "a daemon starts while the engine is away",
        "it filters",
        begun,
        seen,
    ));
    Ok(rows)
}

/// Bans a source on every node for that many seconds, or for longer if the nodes need so long to report it. Returns
/// when the ban ends.
fn banned_for(lab: &Lab, seconds: u64) -> Result<SystemTime> {
    let source = BANNED.to_string();
    for lasts in [seconds, 3 * seconds, 9 * seconds] {
        let ends = SystemTime::now() + Duration::from_secs(lasts);
        let expires = format!("{lasts}s");
        let answer = lab.site.operate(&["ban", &source, "--expires", &expires])?;
        if SystemTime::now() < ends {
            succeeded(answer)?;
            return Ok(ends);
        }
    }
    bail!("the ban ended before every node had it")
}

/// The ban must hold until it ends, by the whole seconds of its time, and not for longer.
fn ban_ends(lab: &Lab, ends: SystemTime) -> Result<String> {
    let ends_early = ends - Duration::from_secs(1);
    let left = ends.duration_since(SystemTime::now()).unwrap_or_default();
    let seen = poll(left + PATIENCE, || {
        let seen = lab.traffic.seen();
        let is_over = seen.iter().all(|one| one.unbanned.is_some());
        Ok(is_over.then_some(seen))
    })?;
    for one in seen.context("the ban has no end")? {
        ensure!(
            one.unbanned.is_some_and(|at| at >= ends_early),
            "a packet of the banned source passed before"
        );
        let late = one.open_before.and_then(|at| at.duration_since(ends).ok());
        ensure!(late <= Some(LATE_MAX), "{late:?} late");
    }
    Ok("in time on every node".to_owned())
}

/// The members return, without the history that the agents have not seen.
pub(super) fn returns(lab: &mut Lab) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let begun = Instant::now();
    lab.engine.restart()?;
    // What changes now is not in the history any more when the agents come.
    for number in 0..5 {
        let key = format!("/geofence/main/bans/ban-198.51.100.{number}");
        lab.engine.control(0, "operator", &["put", &key, "{}"])?;
        lab.engine.control(0, "operator", &["del", &key])?;
    }
    let source = EXCEPTED.to_string();
    let words = exception_of("after", &source);
    lab.traffic.reset();
    lab.site.done(&words)?;
    let revision = lab.engine.control(
        0,
        "root",
        &["get", "/", "--prefix", "--limit", "1", "-w", "json"],
    )?;
    let revision: serde_json::Value = serde_json::from_str(&revision)?;
    let revision = revision["header"]["revision"].to_string();
    lab.engine.control(0, "root", &["compact", &revision])?;
    let mut times = Vec::new();
    let all = poll(lab.scale_of(PATIENCE, IN_SYNC_MAX), || {
        times = lab
            .traffic
            .seen()
            .iter()
            .filter_map(|one| one.excepted)
            .collect();
        Ok((times.len() == lab.nodes.len()).then_some(begun.elapsed()))
    })?;
    let seen = all
        .with_context(|| format!("{} of {} nodes", times.len(), lab.nodes.len()))
        .map(|took| {
            let spread = match (times.iter().min(), times.iter().max()) {
                (Some(first), Some(last)) => last.duration_since(*first).unwrap_or_default(),
                _ => Duration::ZERO,
            };
            format!(
                "in sync after {:.0} s, spread over {:.0} s",
                took.as_secs_f64(),
                spread.as_secs_f64()
            )
        });
    let what = "the engine returns, compacted";
    rows.push(starts_with(row(6, what, "in sync", begun, seen)));
    let begun = Instant::now();
    let seen = await_well(&lab.site).map(|_| "all nodes are well".to_owned());
    let what = "agents that missed the history read everything again";
    rows.push(row(6, what, "all nodes are well", begun, seen));
    lab.site.done(&["exception", "remove", "after"])?;
    Ok(rows)
}

/// A row whose figure follows what was expected.
fn starts_with(mut row: Row) -> Row {
    row.ok = row.seen.starts_with(&row.expected);
    row
}
