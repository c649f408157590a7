//! The filter outlives its daemon, and the next daemon takes it over.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::geofence;
use geofence_tests::edge::{Edge, LISTEN, PATIENCE};
use geofence_tests::link::Link;
use geofence_tests::require_root;
use nix::sys::signal::Signal;

/// How long an operator who needs the filter off waits at most.
const DETACH_MAX: Duration = Duration::from_secs(1);
const ROUNDS_MAX: usize = 10;

#[test]
fn failed_start_leaves_the_previous_filter() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let name = edge.interface();
    let mut daemon = edge.run(&[])?;
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait(PATIENCE)?;
    let program = edge.program(name)?;
    let directory = tempfile::tempdir()?;
    let page = directory.path().join("page.mmdb");
    std::fs::write(&page, "<!doctype html>")?;
    let broken = directory.path().join("broken.toml");
    std::fs::write(&broken, "blokc = [\"RU\"]\n")?;
    let broken = broken.to_string_lossy().into_owned();
    for (code, words, expected) in [
        (
            69,
            vec!["--interface", name, "--interface", "absent0", "--strict"],
            "does not exist",
        ),
        (
            78,
            vec!["--interface", name, "--config", &broken],
            "did you mean `block`",
        ),
        (78, vec!["--interface", name, "--block", "UK"], "GB"),
    ] {
        let output = geofence(&edge.pair.edge)?
            .args(["run", "--listen", LISTEN])
            .args(&words)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(code) && said.contains(expected),
            "{words:?}: {said}"
        );
        assert_eq!(edge.program(name)?, program, "{words:?}");
        edge.ensure_passes(&[("77.88.8.8", false)])?;
    }
    Ok(())
}

#[test]
fn detach_works_without_daemon_and_state_and_twice() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let name = edge.interface();
    // A machine that has other things to do may delay one round, and not all.
    let mut times = Vec::new();
    while times.iter().all(|took| *took >= DETACH_MAX) {
        ensure!(
            times.len() < ROUNDS_MAX,
            "expected detach within {DETACH_MAX:?}, but it took {times:?}"
        );
        let daemon = edge.run(&[])?;
        daemon.kill(PATIENCE)?;
        std::fs::remove_file(edge.socket())?;
        std::fs::remove_dir_all(edge.state())?;
        let start = Instant::now();
        let said = edge.detach(&["--interface", name])?;
        times.push(start.elapsed());
        assert_eq!(said, format!("detached from {name}\n"));
        assert_eq!(edge.program(name)?, None);
        edge.ensure_passes(&[("77.88.8.8", true)])?;
    }
    for words in [vec!["--interface", name], vec!["--all"]] {
        let said = edge.detach(&words)?;
        ensure!(said.starts_with("nothing to detach"), "{words:?}: {said}");
    }
    // A name that no interface has is an error, and the others are detached all the same.
    let unknown = edge.ask(&["detach", "--interface", "absent0"])?;
    ensure!(
        unknown.code == Some(2)
            && unknown
                .stderr
                .contains("there is no interface \"absent0\" here; the interfaces are")
            && unknown
                .stderr
                .contains("the filter is not attached to any interface"),
        "{unknown:?}"
    );
    let daemon = edge.run(&[])?;
    let unknown = edge.ask(&["detach", "--interface", "absent0"])?;
    ensure!(
        unknown.code == Some(2)
            && unknown
                .stderr
                .contains(&format!("the filter is attached to {name}")),
        "{unknown:?}"
    );
    let both = edge.ask(&["detach", "--interface", "absent0", "--interface", name])?;
    ensure!(
        both.code == Some(2) && both.stdout == format!("detached from {name}\n"),
        "{both:?}"
    );
    drop(daemon);
    // A daemon that runs does not put back what an operator took off.
    let daemon = edge.run(&[])?;
    let said = edge.detach(&["--all", "--json"])?;
    let said: serde_json::Value = serde_json::from_str(&said)?;
    assert_eq!(said["detached"], serde_json::json!([name]));
    let health = edge.get("/healthz")?;
    assert_eq!(health.status, 503, "{}", health.body);
    edge.ensure_passes(&[("77.88.8.8", true)])?;
    let open = edge.metric(&format!(
        "geofence_unprotected_seconds_total{{interface=\"{name}\"}}"
    ))?;
    ensure!(open > 0.0, "{open}");
    drop(daemon);
    Ok(())
}

#[test]
fn interfaces_change_with_a_restart_and_keep_their_counters() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let second = Link::default()
        .number(1)
        .connect(&edge.pair.peer, &edge.pair.edge)?;
    let (one, two) = ("edge0", second.edge_interface.as_str());
    let daemon = edge.run(&[])?;
    edge.passes("77.88.8.8")?;
    daemon.kill(PATIENCE)?;
    // More interfaces than the tables have room for: the counts move.
    let mut daemon = edge.run(&["--interface", two, "--interface", one])?;
    assert_eq!((edge.dropped(one)?, edge.dropped(two)?), (1.0, 0.0));
    edge.passes("77.88.8.8")?;
    assert_eq!((edge.dropped(one)?, edge.dropped(two)?), (2.0, 0.0));
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait(PATIENCE)?;
    let mut daemon = edge.run(&["--interface", two])?;
    daemon.wait_line("no longer named: detached", PATIENCE)?;
    assert_eq!(edge.program(one)?, None);
    assert!(edge.program(two)?.is_some() && edge.passes("77.88.8.8")?);
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

/// A mail server of a blocked country, and a connection of ours to it.
fn mail_connection(edge: &Edge) -> Result<(TcpStream, TcpStream)> {
    let address: IpAddr = "77.88.8.8".parse()?;
    edge.pair.claim(address)?;
    let address = SocketAddr::new(address, 25);
    let server = edge.pair.peer.enter(|| TcpListener::bind(address))??;
    let ours = edge
        .pair
        .edge
        .enter(|| TcpStream::connect_timeout(&address, PATIENCE))??;
    let (theirs, _) = server.accept()?;
    for end in [&ours, &theirs] {
        end.set_read_timeout(Some(PATIENCE))?;
    }
    Ok((ours, theirs))
}

#[test]
fn mail_connection_outlives_the_daemon() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let mut daemon = edge.run(&[])?;
    let (mut ours, mut theirs) = mail_connection(&edge)?;
    // The server speaks, so that what arrives is let in by what is remembered and not by what we have just sent.
    let mut hears = |text: &str| -> Result<()> {
        theirs.write_all(text.as_bytes())?;
        let mut heard = vec![0; text.len()];
        ours.read_exact(&mut heard).context(text.to_owned())?;
        ensure!(heard == text.as_bytes());
        Ok(())
    };
    hears("220 before")?;
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        daemon.signal(signal)?;
        daemon.wait(PATIENCE)?;
        hears("250 with no daemon")?;
        daemon = edge.run(&[])?;
        daemon.wait_line("taken over from an earlier geofence", PATIENCE)?;
        hears("250 with another daemon")?;
    }
    let open = edge.metric("geofence_flows{table=\"mail\"}")?;
    ensure!(open >= 1.0, "{open} flows are counted");
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn pins_and_state_are_for_root_and_detach_finds_them_by_interface() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let daemon = edge.run(&[])?;
    let pins = edge.pins();
    let above = pins.parent().context("a directory of all instances")?;
    let run = edge.socket();
    let run = run.parent().context("a directory of the socket")?;
    for directory in [
        above,
        &pins,
        &pins.join("links"),
        &pins.join("tables-1"),
        run,
        &edge.state(),
    ] {
        let mode = std::fs::metadata(directory)?.permissions().mode() & 0o777;
        ensure!(mode == 0o700, "{} has mode {mode:o}", directory.display());
    }
    daemon.kill(PATIENCE)?;
    let output = geofence(&edge.pair.edge)?
        .env_remove("GEOFENCE_INSTANCE")
        .args(["detach", "--interface", edge.interface()])
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    assert_eq!(said, format!("detached from {}\n", edge.interface()));
    ensure!(edge.passes("77.88.8.8")? && !edge.pins().exists());
    Ok(())
}
