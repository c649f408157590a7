//! Events in a file, at a syslog server and at a flow collector, from a confined daemon.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::PATIENCE;
use geofence_tests::require_root;
use geofence_tests::wait::poll;
use serde_json::Value;

use super::{BLOCKING, RUSSIAN, Seen};

#[test]
fn events_reach_a_file_a_syslog_server_and_a_collector() -> Result<()> {
    require_root!();
    const TARGETS: &str = "drop-events = true\nevent-file = \"events.json\"\n\
                           event-syslog = \"tcp://127.0.0.1:10514\"\nevent-ipfix = \"127.0.0.1:14739\"\n";
    let seen = Seen::new(&format!("{BLOCKING}{TARGETS}"))?;
    let edge = &seen.site.edge.pair.edge;
    let (server, collector) = edge.enter(|| {
        let server = std::net::TcpListener::bind("127.0.0.1:10514")?;
        let collector = std::net::UdpSocket::bind("127.0.0.1:14739")?;
        collector.set_read_timeout(Some(PATIENCE))?;
        Ok::<_, anyhow::Error>((server, collector))
    })??;
    seen.wait_observed(1.0)?;
    seen.send(RUSSIAN, 22, 3)?;
    let path = seen.site.path("events.json");
    let lines = poll(PATIENCE, || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Ok((text.lines().count() == 3 && text.ends_with('\n')).then_some(text))
    })?;
    let lines = lines.context("three lines in the file")?;
    for line in lines.lines() {
        let event: Value = serde_json::from_str(line)?;
        ensure!(
            event["reason"] == "country_blocked" && event["country"] == "RU",
            "{event}"
        );
    }
    let mut message = vec![0; 2048];
    let length = collector.recv(&mut message)?;
    let text = String::from_utf8_lossy(&message[..length]).into_owned();
    ensure!(
        text.contains("country_blocked") && message[..2] == [0, 10],
        "{text:?}"
    );
    let (mut stream, _) = server.accept()?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut read = String::new();
    let mut part = [0; 4096];
    while read.matches("country_blocked: ").count() < 3 {
        let length = stream.read(&mut part)?;
        ensure!(length > 0, "the connection ended after {read:?}");
        read.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    ensure!(
        read.contains("<30>1 ") && read.contains(" country=\"RU\""),
        "{read}"
    );
    Ok(())
}
