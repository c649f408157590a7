//! What `geofence report` and `geofence top` say of a running filter, and that the history outlives its daemon.

use std::fs;
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::binary;
use geofence_tests::edge::{Edge, LISTEN, PATIENCE};
use geofence_tests::frames::between;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::require_root;
use geofence_tests::site::{RUSSIAN, Site};
use geofence_tests::terminal::Terminal;
use geofence_tests::wait::poll;
use serde_json::Value;

/// Sends connection attempts from Russia: to SSH, and to mail.
fn send(edge: &Edge, [ssh, mail]: [usize; 2]) -> Result<()> {
    let pair = &edge.pair;
    let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
    let source: IpAddr = RUSSIAN.parse()?;
    for (port, times) in [(22, ssh), (25, mail)] {
        let frame = between(source, pair.edge_address_for(source))
            .tcp(40_000, port)
            .syn();
        outside.send_many(&vec![frame.build(); times])?;
    }
    Ok(())
}

fn report(edge: &Edge) -> Result<Value> {
    let answer = edge.ask(&["report", "--since", "1h", "--json"])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    answer.json()
}

/// Waits until the report has so many packets from Russia: dropped, would be dropped, passed.
fn wait_for(edge: &Edge, expected: [u64; 3]) -> Result<Value> {
    let mut last = Value::Null;
    let found = poll(PATIENCE, || {
        last = report(edge)?;
        let countries = last["countries"].as_array().cloned().unwrap_or_default();
        let russia = countries.into_iter().find(|one| one["country"] == "RU");
        let russia = russia.unwrap_or_default();
        let seen = ["dropped", "would_drop", "passed"]
            .map(|key| russia[key]["packets"].as_u64().unwrap_or_default());
        Ok((seen == expected).then_some(()))
    })?;
    found.with_context(|| format!("{expected:?} are not in {last}"))?;
    Ok(last)
}

#[test]
fn the_report_outlives_the_daemon_and_a_broken_file_is_dropped() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let mut daemon = edge.run(&[])?;
    send(&edge, [30, 4])?;
    let said = wait_for(&edge, [30, 0, 4])?;
    ensure!(
        said["doors"][0]["door"] == "mail" && said["doors"][0]["packets"] == 4,
        "{said}"
    );
    let text = edge.ask(&["report"])?.stdout;
    ensure!(
        text.contains("RU (Russia)") && text.contains("country_blocked"),
        "{text}"
    );
    // What arrives while no daemon runs is counted too, because the filter goes on.
    daemon.signal(nix::sys::signal::Signal::SIGTERM)?;
    daemon.wait(PATIENCE)?;
    send(&edge, [5, 0])?;
    let mut daemon = edge.run(&[])?;
    wait_for(&edge, [35, 0, 4])?;
    daemon.signal(nix::sys::signal::Signal::SIGTERM)?;
    daemon.wait(PATIENCE)?;
    let file = edge.state().join("history.json");
    ensure!(fs::read(&file)?.starts_with(b"{\"version\":1"));
    fs::write(&file, "half of a hist")?;
    let mut daemon = edge.run(&[])?;
    let line = daemon.wait_line("the history of packets starts again", PATIENCE)?;
    ensure!(line.contains("cannot be used"), "{line}");
    report(&edge)?;
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn monitor_mode_reports_what_it_would_drop() -> Result<()> {
    require_root!();
    let site = Site::new(&format!("listen = \"{LISTEN}\"\nmode = \"monitor\"\n"))?;
    let daemon = site.run(&[])?;
    send(&site.edge, [7, 0])?;
    wait_for(&site.edge, [0, 7, 0])?;
    let text = site.edge.ask(&["report"])?.stdout;
    ensure!(text.contains("would be dropped"), "{text}");
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn top_prints_one_measurement_without_a_terminal() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let daemon = edge.run(&[])?;
    send(&edge, [30, 4])?;
    wait_for(&edge, [30, 0, 4])?;
    let answer = edge.ask(&["top", "--json", "--interval", "200ms"])?;
    let said = answer.json()?;
    let reasons = said["reasons"].as_array().context("no reasons")?;
    let blocked = reasons
        .iter()
        .find(|one| one["reason"] == "country_blocked");
    let blocked = blocked.with_context(|| said.to_string())?;
    ensure!(
        blocked["blocked_packets"] == 30 && blocked["blocked"] == 0.0,
        "{said}"
    );
    let once = edge.ask(&["top", "--once", "--interval", "200ms"])?;
    ensure!(
        once.code == Some(0) && once.stdout.contains("enforce mode:"),
        "{once:?}"
    );
    let piped = edge.ask(&["top"])?;
    ensure!(
        piped.code == Some(2) && piped.stderr.contains("needs a terminal"),
        "{piped:?}"
    );
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn top_draws_sorts_explains_and_leaves_the_terminal_as_it_was() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let daemon = edge.run(&[])?;
    send(&edge, [30, 4])?;
    wait_for(&edge, [30, 0, 4])?;
    let mut terminal = Terminal::new()?;
    let before = terminal.settings()?;
    // A session of its own, so that the terminal on which the tests run is out of reach.
    let mut command = edge.pair.edge.command("setsid");
    command.arg(binary()?).args(["top", "--interval", "200ms"]);
    terminal.run(command)?;
    let shows = |what: &'static [&str]| {
        terminal.wait_for(&format!("{what:?}"), PATIENCE, |screen| {
            let text = screen.contents();
            what.iter().all(|part| text.contains(part))
        })
    };
    shows(&["enforcing", "dropped ▼", "\nRU ", "q quit"])?;
    ensure!(
        terminal.screen().alternate_screen() && terminal.screen().hide_cursor(),
        "it draws over what was on the terminal"
    );
    ensure!(terminal.settings()? != before, "keys are read line by line");
    terminal.press("s")?;
    shows(&["passed ▼"])?;
    terminal.press("e")?;
    shows(&[
        "Russia: blocked by the policy.",
        "30 dropped, 4 passed",
        "any key closes",
    ])?;
    terminal.press(" ")?;
    terminal.wait_for("table alone", PATIENCE, |screen| {
        !screen.contents().contains("any key closes")
    })?;
    terminal.press("2")?;
    shows(&["\nreason ", "country_blocked"])?;
    terminal.press("q")?;
    let status = terminal.wait(PATIENCE)?;
    ensure!(status.success(), "{status}");
    terminal.wait_for("former screen", PATIENCE, |screen| {
        !screen.alternate_screen() && !screen.hide_cursor()
    })?;
    let after = terminal.settings()?;
    ensure!(after == before, "{after:?} is not as it was: {before:?}");
    daemon.interrupt(PATIENCE)?;
    Ok(())
}
