//! A flood to a listed address: the counters have all of it, the events a part.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
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
    // The log has ten lines of a list in a minute, and says how much it leaves out.
    let (mut lines_of, mut left_out, mut minutes) = (Vec::new(), 0, 0);
    poll(PATIENCE, || {
        let said = daemon.stderr();
        let lines = |list| said.matches(&format!("event: list {list}")).count();
        lines_of = ["watched", "scanners"].map(lines).to_vec();
        let counts: Vec<usize> = said
            .lines()
            .filter_map(|line| line.split_once(" more list events")?.0.rsplit(' ').next())
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        (left_out, minutes) = (counts.iter().sum(), counts.len());
        Ok((lines_of.iter().sum::<usize>() + left_out == reported).then_some(()))
    })?
    .with_context(|| format!("{lines_of:?} logged and {left_out} left out of {reported}"))?;
    // On a busy machine a minute may end in between, and the last one may leave nothing out.
    let expected = 10..10 * (minutes + 1);
    ensure!(
        lines_of.iter().all(|lines| expected.contains(lines)),
        "{lines_of:?} lines in {minutes} minutes"
    );
    Ok(())
}
