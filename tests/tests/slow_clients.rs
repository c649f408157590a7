//! The read-only HTTP interface: what it refuses, and that clients that hold connections stop nothing, there and on the
//! sockets of the daemon.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::Daemon;
use geofence_tests::edge::{Edge, LISTEN, PATIENCE};
use geofence_tests::privilege::missing_programs;
use geofence_tests::wait::{poll, soon};
use geofence_tests::{http, require_root};
use nix::sys::signal::Signal;

/// Clients who connect and do not go on.
const CLIENTS: usize = 500;
/// What they may have the daemon take in memory, together.
const MEMORY_MAX: u64 = 16 << 20;
/// How many of them may be connected at once: 64 by each way, and what a command is answered by.
const OPEN_MAX: usize = 150;
/// Descriptors that the daemon may have of its own by then, for a look at its interfaces.
const SPARE: usize = 4;
/// How long a scrape or a command may take beside them on a machine without much else to do.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How many descriptors a process has open.
fn descriptors(daemon: &Daemon) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", daemon.id()))?.count())
}

#[test]
fn http_refuses_every_method_but_get_and_head() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let _daemon = edge.run(&[])?;
    let address = LISTEN.parse()?;
    for path in ["/", "/metrics", "/healthz"] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = http::request(&edge.pair.edge, address, method, path, &[])?;
            ensure!(answer.status == 405, "{method} {path}: {answer:?}");
            let allowed = answer.header("allow").unwrap_or_default();
            ensure!(allowed.contains("GET"), "{method} {path}: {answer:?}");
        }
        let head = http::request(&edge.pair.edge, address, "HEAD", path, &[])?;
        ensure!(
            head.status == 200 && head.body.is_empty(),
            "{path}: {head:?}"
        );
    }
    assert_eq!(edge.get("/reload")?.status, 404);
    Ok(())
}

#[test]
fn idle_clients_delay_nothing() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let namespace = &edge.pair.edge;
    let make = || {
        let words = "ip link add other0 type veth peer name other1";
        namespace.run(&words.split(' ').collect::<Vec<_>>())
    };
    make()?;
    let daemon = edge.run(&["--interface", "edge0", "--interface", "other0"])?;
    edge.get("/metrics")?;
    let (before, open_before) = (daemon.resident()?, descriptors(&daemon)?);
    let mut slow = Vec::new();
    for number in 0..CLIENTS {
        let mut client = namespace.enter(|| TcpStream::connect(LISTEN))??;
        // Some say nothing, some begin; one who was sent away meanwhile cannot.
        if number % 2 == 0 {
            let _ = client.write_all(b"GET /metrics HTTP/1.1\r\nhost: slow\r\nx-more:");
        }
        slow.push(client);
    }
    let mut silent = Vec::new();
    for _ in 0..CLIENTS {
        silent.push(UnixStream::connect(edge.socket())?);
    }
    let timed = |what: &str, work: &dyn Fn() -> Result<()>| -> Result<()> {
        soon(ANSWER_MAX, work).with_context(|| what.to_owned())
    };
    timed("a scrape", &|| {
        let answer = edge.get("/metrics")?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })?;
    timed("a reload", &|| {
        let answer = edge.ask(&["reload"])?;
        ensure!(answer.code == Some(0), "{answer:?}");
        Ok(())
    })?;
    timed("an interface that comes back", &|| {
        namespace.run(&["ip", "link", "del", "other0"])?;
        make()?;
        let back = poll(PATIENCE, || edge.program("other0"))?;
        ensure!(back.is_some(), "it is not protected again");
        Ok(())
    })?;
    // What the reload took is given back a moment later.
    let mut grown = 0;
    let is_small = poll(PATIENCE, || {
        grown = daemon.resident()?.saturating_sub(before);
        Ok((grown < MEMORY_MAX).then_some(()))
    })?;
    ensure!(
        is_small.is_some(),
        "expected {CLIENTS} clients to take less than {} KiB, but they take {}",
        MEMORY_MAX >> 10,
        grown >> 10
    );
    let open = descriptors(&daemon)?.saturating_sub(open_before);
    ensure!(open < OPEN_MAX, "{open} connections are held open");
    // The daemon does not wait long for any of them.
    let gone = poll(PATIENCE, || {
        Ok((descriptors(&daemon)? <= open_before + SPARE).then_some(()))
    })?;
    ensure!(
        gone.is_some(),
        "{} descriptors, {open_before} before",
        descriptors(&daemon)?
    );
    // Still there, and still of no consequence.
    ensure!(slow.len() == CLIENTS && silent.len() == CLIENTS);
    edge.ensure_passes(&[("77.88.8.8", false), ("8.8.8.8", true)])?;
    Ok(())
}

/// Strangers who connect at once, more than the four places of the agent's socket.
const STRANGERS: usize = 8;

#[test]
fn strangers_take_no_place_from_the_fleet_agent() -> Result<()> {
    require_root!(missing_programs(&[("openssl", "openssl")]));
    let edge = Edge::new()?;
    let namespace = &edge.pair.edge;
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("geofence.toml");
    fs::write(&config, "block = [\"RU\"]\nfleet-user = \"0\"\n")?;
    let config = config.to_str().context("a path that is no text")?;
    let mut daemon = edge.run(&["--config", config])?;
    let socket = edge.socket().with_file_name("agent.sock");
    // All wait until the daemon goes on, and it finds them at once, the agent first.
    daemon.signal(Signal::SIGSTOP)?;
    let mut agent = UnixStream::connect(&socket)?;
    agent.set_read_timeout(Some(PATIENCE))?;
    agent.write_all(b"{\"version\":1,\"command\":\"status\"}\n")?;
    let mut strangers = Vec::new();
    for _ in 0..STRANGERS {
        let mut command = namespace.command("setpriv");
        command
            .args(["--reuid", "65534", "--clear-groups", "--"])
            .args(["openssl", "s_client", "-unix"])
            .arg(&socket);
        strangers.push(Daemon::spawn(namespace, command)?);
    }
    let name = socket.to_str().context("a path that is no text")?;
    let connected = poll(PATIENCE, || {
        let sockets = namespace.run(&["cat", "/proc/net/unix"])?;
        let count = sockets.lines().filter(|line| line.ends_with(name)).count();
        // One of them is the daemon's own.
        Ok((count > STRANGERS).then_some(()))
    })?;
    connected.context("the strangers have not connected")?;
    daemon.signal(Signal::SIGCONT)?;
    let mut answer = String::new();
    BufReader::new(agent).read_line(&mut answer)?;
    ensure!(
        answer.contains("\"ok\":true"),
        "the strangers have the agent's place: {answer:?}"
    );
    daemon.wait_line("user 65534 may not ask as the agent", PATIENCE)?;
    // Whatever they do, the log stays short.
    for stranger in strangers {
        stranger.wait(PATIENCE)?;
    }
    let log = daemon.stderr();
    let lines = log.lines().filter(|line| line.contains("may not ask"));
    ensure!(lines.count() == 1, "{log}");
    Ok(())
}
