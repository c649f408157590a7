//! The steps of the laboratory, in order.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use super::collector::Collector;
use super::laboratory::{Lab, queries, row};
use super::load::followed;
use super::stack::Stack;
use super::traffic::{Traffic, flood};
use super::{ask, map, pictures, readers, site};
use crate::counters::Counters;
use crate::edge::PATIENCE;
use crate::lab::Scale;
use crate::lab::report::Row;
use crate::wait::poll;

/// The programs that the laboratory needs, with Debian's names of their packages.
pub const PROGRAMS: [(&str, &str); 5] = [
    ("prometheus", "prometheus"),
    ("prometheus-alertmanager", "prometheus-alertmanager"),
    ("ethtool", "ethtool"),
    ("nfacctd", "pmacct"),
    ("tshark", "tshark"),
];

/// The range that the dashboard's queries get.
const RANGE: &str = "30s";
/// How many series an interface may have.
const SERIES_MAX: usize = 1500;
/// How long an alert may take to reach Alertmanager, or to clear, beyond the time that its rule waits.
const ALERT_PATIENCE: Duration = Duration::from_secs(60);

/// Runs the laboratory; `say` is given what is done next. If a folder is named, pictures for the
/// documentation are written there.
pub fn see(scale: Scale, pictures: Option<&Path>, say: &mut dyn FnMut(&str)) -> Result<Vec<Row>> {
    say("starting geofence, Prometheus, Alertmanager and pmacct");
    let site = site::open()?;
    let collector = Collector::start(&site.edge.pair.edge, site.directory.path())?;
    let daemon = site.run(&[])?;
    let stack = Stack::start(&site.edge.pair.edge, site.directory.path(), scale)?;
    let mut lab = Lab {
        daemon: Some(daemon),
        site,
        scale,
        collector,
        _stack: stack,
    };
    let mut rows = Vec::new();
    for (what, step) in STEPS {
        say(what);
        rows.extend(step(&mut lab).with_context(|| what.to_owned())?);
    }
    if let Some(folder) = pictures {
        say("step 7: pictures");
        rows.push(pictures::take(&lab, folder)?);
    }
    lab.daemon
        .take()
        .context("no daemon")?
        .interrupt(PATIENCE)?;
    Ok(rows)
}

type Step = fn(&mut Lab) -> Result<Vec<Row>>;

const STEPS: [(&str, Step); 6] = [
    ("step 1: the first scrapes", scrapes),
    ("step 2: a flood from many sources", totals),
    ("step 3: the queries of the dashboard", dashboard),
    ("step 4: alerts", alerts),
    ("step 5: a flood that is followed", followed),
    (
        "step 6: readers of flow records and of a capture",
        readers::read,
    ),
];

/// Prometheus reads the metrics, and series exist before the first packet.
fn scrapes(lab: &mut Lab) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let edge = &lab.site.edge.pair.edge;
    let is_ready = || ask::is_ready(edge, ask::PROMETHEUS);
    poll(PATIENCE, || Ok(is_ready()?.then_some(())))?.context("Prometheus does not get ready")?;
    let is_up = || ask::value(edge, "up{job=\"geofence\"}");
    poll(PATIENCE, || Ok((is_up()? == Some(1.0)).then_some(())))?
        .context("Prometheus does not reach geofence")?;
    let series = "geofence_packets_total{action=\"drop\",reason=\"country_blocked\"} == 0";
    // A scrape that takes longer than its limit makes the answer empty until the next one.
    let expected = "BY, CN, KP, RU, UA";
    let mut seen = String::new();
    let is_seen = poll(PATIENCE, || {
        let blocked = ask::query(edge, series)?;
        let countries: BTreeSet<_> = blocked
            .iter()
            .filter_map(|one| one["metric"]["country"].as_str())
            .collect();
        seen = countries.iter().copied().collect::<Vec<_>>().join(", ");
        Ok((seen == expected).then_some(()))
    })?;
    Ok(vec![Row {
        ok: is_seen.is_some(),
        seen,
        took: begun.elapsed(),
        ..row(1, "series with 0 before the first packet", expected, begun)
    }])
}

/// What the driver counts, the metrics count, to the packet; and the number of series stays below its bound.
fn totals(lab: &mut Lab) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let edge = &lab.site.edge;
    let counted = || Counters::parse(&edge.get("/metrics")?.body);
    let before = counted()?;
    let (networks, frames) = match lab.scale {
        Scale::Whole => (200, 100_000),
        Scale::Short => (20, 10_000),
    };
    let flooded = flood(edge, networks, frames)?;
    // What is still in the queues when the last frame is sent is counted a moment later.
    let mut last = (counted()?, (0, 0));
    poll(PATIENCE, || {
        let now = counted()?;
        let arrived = crate::link::arrived(&edge.pair.edge, edge.interface())?;
        let are_equal = (now.packets(), now.of("drop", None)) == arrived;
        last = (now, arrived);
        Ok(are_equal.then_some(()))
    })?;
    let (after, arrived) = last;
    let packets = after.packets() - before.packets();
    let dropped = after.of("drop", None) - before.of("drop", None);
    ensure!(flooded.reached > 0, "nothing of the flood has arrived");
    let all = after.packets();
    let mut rows = vec![Row {
        seen: format!("{packets} packets, {dropped} dropped; {all} in all"),
        ok: all == arrived.0 && after.of("drop", None) == arrived.1,
        took: begun.elapsed(),
        ..row(
            2,
            &format!("a flood of {} frames from {networks} /16", flooded.reached),
            &format!(
                "sums over countries and reasons equal the driver's {} and {}",
                arrived.0, arrived.1
            ),
            begun,
        )
    }];
    ensure!(flooded.dropped <= flooded.reached);
    let label = format!("interface=\"{}\"", edge.interface());
    let metrics = edge.get("/metrics")?.body;
    let series = metrics.lines().filter(|line| line.contains(&label)).count();
    rows.push(Row {
        seen: series.to_string(),
        ok: series <= SERIES_MAX,
        took: begun.elapsed(),
        ..row(2, "series of the interface", "at most 1500", begun)
    });
    Ok(rows)
}

/// Every query of the dashboard has data.
fn dashboard(lab: &mut Lab) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let edge = &lab.site.edge;
    let queries = queries()?;
    let traffic = Traffic::start(edge)?;
    // The dashboard marks changes of the policy.
    lab.site.configure(&site::policy("icmp-echo = \"pass\""))?;
    lab.site.done(&["reload"])?;
    // A change is seen for the range only, and the first packets of a series are not: so each has its own moment.
    let mut empty = queries.clone();
    let asked = poll(PATIENCE, || {
        let mut still = Vec::new();
        for query in empty.drain(..) {
            if ask::query(&edge.pair.edge, &query.over(RANGE))?.is_empty() {
                still.push(query);
            }
        }
        empty = still;
        Ok(empty.is_empty().then_some(()))
    });
    traffic.stop()?;
    asked?;
    map::draw(&edge.pair.edge, &queries)?;
    Ok(vec![Row {
        seen: if empty.is_empty() {
            format!("{} queries have data", queries.len())
        } else {
            let named = empty
                .iter()
                .map(|one| format!("{}: {}", one.panel, one.expr));
            format!("without data: {}", named.collect::<Vec<_>>().join("; "))
        },
        ok: empty.is_empty(),
        took: begun.elapsed(),
        ..row(
            3,
            "queries of the dashboard under traffic",
            "data for every one",
            begun,
        )
    }])
}

/// Alerts reach Alertmanager, and clear when their cause is gone.
fn alerts(lab: &mut Lab) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let begun = Instant::now();
    site::break_policy(&lab.site)?;
    // A refused reload is what is wanted here.
    lab.site.edge.ask(&["reload"])?;
    rows.push(watch(
        lab,
        "GeofenceReloadFailing",
        true,
        "a broken configuration",
        begun,
    )?);
    let begun = Instant::now();
    lab.site.configure(&site::policy(""))?;
    lab.site.done(&["reload"])?;
    rows.push(watch(
        lab,
        "GeofenceReloadFailing",
        false,
        "the configuration mended",
        begun,
    )?);

    let begun = Instant::now();
    let interface = lab.site.edge.interface().to_owned();
    lab.site.edge.detach(&["--interface", &interface])?;
    rows.push(watch(
        lab,
        "GeofenceInterfaceUnprotected",
        true,
        "the filter detached",
        begun,
    )?);
    let begun = Instant::now();
    let mut daemon = lab.daemon.take().context("no daemon")?;
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait(PATIENCE)?;
    lab.daemon = Some(lab.site.run(&[])?);
    rows.push(watch(
        lab,
        "GeofenceInterfaceUnprotected",
        false,
        "the daemon restarted",
        begun,
    )?);
    Ok(rows)
}

/// Waits until Alertmanager has an alert, or no longer has it.
fn watch(lab: &Lab, alert: &str, fires: bool, what: &str, begun: Instant) -> Result<Row> {
    let edge = &lab.site.edge.pair.edge;
    let mut last = BTreeSet::new();
    let reached = poll(ALERT_PATIENCE, || {
        last = ask::alerts(edge)?;
        Ok((last.contains(alert) == fires).then_some(()))
    })?;
    let list: Vec<_> = last.iter().map(String::as_str).collect();
    Ok(Row {
        seen: match list.as_slice() {
            [] => "no alert".to_owned(),
            list => list.join(", "),
        },
        ok: reached.is_some(),
        took: begun.elapsed(),
        ..row(
            4,
            what,
            &format!("{alert} {}", if fires { "fires" } else { "clears" }),
            begun,
        )
    })
}
