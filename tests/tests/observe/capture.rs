//! `geofence capture`: what it writes, where it ends, and that `explain --pcap` judges the same.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::PATIENCE;
use geofence_tests::require_root;
use nix::sys::signal::Signal;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use serde_json::Value;

use super::{BLOCKING, CHINESE, DENIED, OPEN, RUSSIAN, Seen};

/// The frames of a file, with their comments.
fn frames(path: &Path) -> Result<Vec<(Vec<u8>, String)>> {
    let mut reader = PcapNgReader::new(File::open(path)?)?;
    let mut frames = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block?.into_owned() {
            let comment = packet.options.iter().find_map(|one| {
                let EnhancedPacketOption::Comment(text) = one else {
                    return None;
                };
                Some(text.to_string())
            });
            frames.push((packet.data.to_vec(), comment.context("a comment")?));
        }
    }
    Ok(frames)
}

fn start(seen: &Seen, words: &[&str]) -> Result<Daemon> {
    let edge = &seen.site.edge.pair.edge;
    let mut command = geofence(edge)?;
    let file = seen.site.path("out.pcapng");
    command
        .args(["capture", "--json", "--write"])
        .arg(file)
        .args(words);
    let capture = Daemon::spawn(edge, command)?;
    seen.wait_observed(1.0)?;
    Ok(capture)
}

/// A frame and its comment.
type Commented = (Vec<u8>, String);

/// Waits for the end of a capture; returns what it said, and the frames.
fn end(seen: &Seen, capture: Daemon) -> Result<(Value, Vec<Commented>)> {
    let ended = capture.wait(PATIENCE)?;
    ensure!(ended.status.success(), "{ended:?}");
    let path = seen.site.path("out.pcapng");
    let frames = frames(&path)?;
    // The verdicts of the file are those in the comments.
    let (_, said) = seen.site.ask(&[
        "explain",
        "--pcap",
        &seen.site.word("out.pcapng")?,
        "--json",
    ])?;
    let explained: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect::<Result<_>>()?;
    ensure!(explained.len() == frames.len(), "{explained:?}");
    for (explained, (_, comment)) in explained.iter().zip(&frames) {
        let text = |key: &str| explained[key].as_str().unwrap_or_default();
        let expected = format!(
            "geofence: {} {} {}",
            text("action"),
            text("reason"),
            text("country")
        );
        ensure!(comment.starts_with(&expected), "{comment} and {explained}");
    }
    std::fs::remove_file(path)?;
    Ok((serde_json::from_str(&ended.stdout)?, frames))
}

#[test]
fn capture_has_the_frames_that_match_with_their_verdicts() -> Result<()> {
    require_root!();
    let seen = Seen::new(BLOCKING)?;
    let capture = start(&seen, &["--country", "RU,CN", "--count", "7"])?;
    seen.send(DENIED, 22, 3)?;
    seen.send(OPEN, 22, 3)?;
    seen.send(RUSSIAN, 22, 4)?;
    seen.send(CHINESE, 22, 5)?;
    let (said, captured) = end(&seen, capture)?;
    let mut expected = seen.openings(RUSSIAN, 22, 4)?;
    expected.extend(seen.openings(CHINESE, 22, 3)?);
    let data: Vec<_> = captured.iter().map(|(data, _)| data.clone()).collect();
    ensure!(data == expected, "{captured:?}");
    ensure!(
        captured[0].1 == "geofence: drop country_blocked RU",
        "{captured:?}"
    );
    ensure!(
        captured[6].1 == "geofence: drop country_blocked CN",
        "{captured:?}"
    );
    ensure!(
        said["frames"] == 7 && said["interrupted"] == false,
        "{said}"
    );
    // What matches after the count is left out, and the kernel forgets the capture.
    seen.wait_observed(0.0)?;

    // What passes as well; only the first bytes; until Ctrl-C.
    let capture = start(&seen, &["--all", "--snap", "40", "--src", "8.8.8.0/24"])?;
    seen.send(RUSSIAN, 22, 4)?;
    seen.send(OPEN, 22, 4)?;
    seen.wait_metric("geofence_captured_frames_total", 11.0)?;
    let mut capture = capture;
    capture.signal(Signal::SIGINT)?;
    let ended = capture.wait(PATIENCE)?;
    ensure!(ended.status.success(), "{ended:?}");
    let captured = frames(&seen.site.path("out.pcapng"))?;
    ensure!(
        captured.len() == 4 && captured.iter().all(|(data, _)| data.len() == 40),
        "{captured:?}"
    );
    ensure!(
        captured[0].1 == "geofence: pass country_allowed US",
        "{captured:?}"
    );
    let said: Value = serde_json::from_str(&ended.stdout)?;
    ensure!(said["interrupted"] == true && said["frames"] == 4, "{said}");

    // A file is not replaced, and no capture goes on afterwards.
    let file = seen.site.word("out.pcapng")?;
    let answer = seen.site.edge.ask(&["capture", "--write", &file])?;
    ensure!(
        answer.code == Some(2) && answer.stderr.contains("exists"),
        "{answer:?}"
    );
    seen.wait_observed(0.0)
}

#[test]
fn flood_is_captured_at_the_rate_and_counted_whole() -> Result<()> {
    require_root!();
    let seen = Seen::new(BLOCKING)?;
    let words = [
        "--reason",
        "country_blocked",
        "--rate",
        "50",
        "--count",
        "100000",
        "--for",
        "1h",
    ];
    let mut capture = start(&seen, &words)?;
    const FLOOD: u16 = 20_000;
    seen.send(RUSSIAN, 22, FLOOD)?;
    let sum = || -> Result<f64> {
        let metric = |name: &str| seen.site.edge.metric(name);
        Ok(metric("geofence_captured_frames_total")?
            + metric("geofence_captured_frames_lost_total")?)
    };
    let whole =
        geofence_tests::wait::poll(PATIENCE, || Ok((sum()? == f64::from(FLOOD)).then_some(())))?;
    ensure!(whole.is_some(), "{} of {FLOOD}", sum()?);
    capture.signal(Signal::SIGTERM)?;
    let (said, captured) = end(&seen, capture)?;
    let sent = seen.site.edge.metric("geofence_captured_frames_total")?;
    ensure!(
        captured.len() as f64 == sent && sent >= 50.0,
        "{} written, {sent} sent",
        captured.len()
    );
    ensure!(
        said["matched"] == FLOOD && sent < f64::from(FLOOD),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_capture_ends_when_its_client_is_gone() -> Result<()> {
    require_root!();
    let mut seen = Seen::new(BLOCKING)?;
    let capture = start(&seen, &["--for", "1h"])?;
    // One at a time.
    let other = seen.site.word("other.pcapng")?;
    let answer = seen.site.edge.ask(&["capture", "--write", &other])?;
    ensure!(
        answer.code == Some(2) && answer.stderr.contains("a capture is already running"),
        "{answer:?}"
    );
    capture.kill(PATIENCE)?;
    seen.wait_line(super::OFF)?;
    // Its file is whole, without the frames that were not fetched.
    ensure!(frames(&seen.site.path("out.pcapng"))?.is_empty());
    let tenant = seen
        .site
        .edge
        .ask(&["capture", "--write", &other, "--tenant", "lost"])?;
    ensure!(
        tenant.code == Some(2) && tenant.stderr.contains("no tenant"),
        "{tenant:?}"
    );
    Ok(())
}
