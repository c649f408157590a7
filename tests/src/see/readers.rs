//! What other programs read of what geofence writes: pmacct the flow records, and tshark a capture.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::collector::{Flow, Flows};
use super::laboratory::{Lab, row};
use super::load::follow;
use super::traffic::Traffic;
use crate::daemon::{Daemon, geofence};
use crate::edge::PATIENCE;
use crate::lab::report::Row;
use crate::wait::poll;

/// Frames in the capture.
const FRAMES: usize = 200;
const CAPTURE: &str = "capture.pcapng";

/// Flow records and a capture, under the traffic of the dashboard.
pub(super) fn read(lab: &mut Lab) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let edge = &lab.site.edge;
    let traffic = Traffic::start(edge)?;
    let follower = follow(edge)?;
    let captured = capture(lab);
    let took = begun.elapsed();
    traffic.stop()?;
    drop(follower);
    let (comments, verdicts) = captured?;
    let agreeing = comments.iter().zip(&verdicts);
    let agreeing = agreeing.filter(|(comment, verdict)| comment.starts_with(verdict.as_str()));
    let agreeing = agreeing.count();
    let read = Row {
        seen: format!(
            "{} comments, {} verdicts, {agreeing} agree",
            comments.len(),
            verdicts.len()
        ),
        ok: [comments.len(), verdicts.len(), agreeing] == [FRAMES; 3],
        took,
        ..row(
            6,
            &format!("tshark reads a capture of {FRAMES} frames"),
            "each comment is the verdict of explain --pcap",
            begun,
        )
    };
    Ok(vec![collected(lab, Instant::now())?, read])
}

/// Captures what goes to SSH. Returns the comments that tshark reads, and the verdicts of `explain --pcap`.
fn capture(lab: &Lab) -> Result<(Vec<String>, Vec<String>)> {
    let edge = &lab.site.edge.pair.edge;
    let file = lab.site.word(CAPTURE)?;
    let mut command = geofence(edge)?;
    command.args(["capture", "--write", &file, "--all", "--port", "22"]);
    command.args(["--count", &FRAMES.to_string()]);
    let ended = Daemon::spawn(edge, command)?.wait(PATIENCE)?;
    ensure!(ended.status.success(), "{ended:?}");
    let said = edge.run(&["tshark", "-r", &file, "-T", "fields", "-e", "frame.comment"])?;
    let comments = said.lines().map(str::to_owned).collect();
    let (_, said) = lab.site.ask(&["explain", "--pcap", &file, "--json"])?;
    let verdict = |line: &str| -> Result<String> {
        let verdict: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let word = |key: &str| verdict[key].as_str().unwrap_or("none");
        let words = [word("action"), word("reason"), word("country")];
        Ok(format!("geofence: {}", words.join(" ")))
    };
    Ok((comments, said.lines().map(verdict).collect::<Result<_>>()?))
}

/// Waits until the collector has a record of each sample, and compares them by reason.
fn collected(lab: &Lab, begun: Instant) -> Result<Row> {
    let sampled = || -> Result<BTreeMap<String, u64>> {
        let text = lab.site.edge.get("/metrics")?.body;
        let samples = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("geofence_drop_samples_total{reason=\"")?;
            let (reason, count) = rest.split_once("\"} ")?;
            Some((reason.to_owned(), count.parse().ok()?))
        });
        Ok(samples.filter(|(_, count)| *count > 0).collect())
    };
    let by_reason = |flows: &Flows| {
        let mut sums = BTreeMap::new();
        for (flow, packets) in flows {
            if flow.is_dropped && !flow.is_list_event {
                *sums.entry(flow.reason.clone()).or_default() += packets;
            }
        }
        sums
    };
    let (mut expected, mut flows) = (BTreeMap::new(), Flows::new());
    let equal = poll(PATIENCE, || {
        (expected, flows) = (sampled()?, lab.collector.flows()?);
        Ok((by_reason(&flows) == expected).then_some(()))
    })?;
    let count = |is_it: &dyn Fn(&Flow) -> bool| -> u64 {
        let found = flows.iter().filter(|(flow, _)| is_it(flow));
        found.map(|(_, packets)| packets).sum()
    };
    let of = |country: &str| {
        count(&|flow| {
            flow.is_dropped && flow.country == country && flow.reason == "country_blocked"
        })
    };
    let (russian, chinese) = (of("RU"), of("CN"));
    let of_list = count(&|flow| flow.is_list_event && flow.list == LIST);
    let all: u64 = expected.values().sum();
    let collected: u64 = by_reason(&flows).values().sum();
    Ok(Row {
        seen: format!(
            "{collected} drops for {} reasons, {russian} of RU, {chinese} of CN; {of_list} list events",
            expected.len()
        ),
        ok: equal.is_some() && russian > 0 && chinese > 0 && of_list > 0,
        took: begun.elapsed(),
        ..row(
            6,
            "pmacct reads the flow records (IPFIX)",
            &format!("{all} samples, by reason and with their countries; list events as well"),
            begun,
        )
    })
}

/// The list of the laboratory.
const LIST: &str = "findings";
