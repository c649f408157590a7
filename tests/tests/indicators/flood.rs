//! A flood to a listed address: the counters have all of it, the events a part.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::frames::between;
use geofence_tests::require_root;
use geofence_tests::wait::poll;

use super::site::{C2, INSIDE, SCANNER, Site, WATCHED, call};

#[test]
fn flood_to_a_listed_address_is_counted_whole_and_reported_in_part() -> Result<()> {
    require_root!();
    const FRAMES: usize = 40_000;
    let site = Site::new("")?;
    let mut daemon = site.run()?;
    let frames: Vec<_> = (0..FRAMES)
        .map(|number| {
            let frame = between(INSIDE.parse()?, WATCHED.parse()?);
            Ok(frame.udp(number as u16, 53).build())
        })
        .collect::<Result<_>>()?;
    let start = Instant::now();
    site.inside.send_many(&frames)?;
    let seconds = start.elapsed().as_secs_f64();
    // Another list has a pace of its own, which the flood has not used up.
    const KNOCKS: usize = 40;
    let knock = call(SCANNER, INSIDE, 443)?;
    site.outside.send_many(&vec![knock; KNOCKS])?;
    let counted = || site.packets("watched", "customer", "out", "pass");
    let whole = poll(PATIENCE, || Ok((counted()? == FRAMES as f64).then_some(())))?;
    ensure!(whole.is_some(), "{} of {FRAMES} were counted", counted()?);
    let series = |name: &str| format!("{name}{{list=\"watched\",direction=\"out\"}}");
    let reported = site.machine.edge.metric(&series("geofence_events_total"))?;
    let lost = site
        .machine
        .edge
        .metric(&series("geofence_events_lost_total"))?;
    ensure!(
        reported + lost == FRAMES as f64,
        "{reported} events and {lost} lost ones are not {FRAMES}"
    );
    ensure!(
        reported <= 100.0 * seconds.ceil(),
        "{reported} events in {seconds} s"
    );
    ensure!(reported >= 50.0, "only {reported} events");
    let knocks = "geofence_events_total{list=\"scanners\",direction=\"in\"}";
    let knocks = poll(PATIENCE, || {
        Ok((site.machine.edge.metric(knocks)? == KNOCKS as f64).then_some(()))
    })?;
    ensure!(knocks.is_some(), "not all of {KNOCKS} knocks were reported");
    let reported = reported as usize + KNOCKS;
    let kept = poll(PATIENCE, || {
        let kept = site.events()?.len();
        Ok((kept == reported.min(512)).then_some(kept))
    })?;
    ensure!(
        kept.is_some(),
        "{} kept of {reported}",
        site.events()?.len()
    );

    // Another list is reported meanwhile.
    ensure!(!site.leaves(INSIDE, C2)?);
    daemon.wait_line("event: list c2", PATIENCE)?;
    // The log says how much it leaves out.
    let line = daemon.wait_line(
        "were not logged in the last minute",
        Duration::from_secs(180),
    )?;
    for list in ["watched", "scanners"] {
        let logged = format!("event: list {list}");
        let logged = daemon.stderr().matches(&logged).count();
        ensure!(logged == 10, "{logged} lines of {list}");
    }
    let left_out = format!("{} more list events", reported - 20);
    ensure!(line.contains(&left_out), "{line} instead of {left_out}");
    Ok(())
}
