//! The harness's own promises about processes: daemons are read, signalled and reaped, and nothing outlives a test.
//!
//! Shell scripts stand in for the filter, so these hold whatever state the filter is in. Needs root; reported as
//! skipped without it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use geofence_tests::daemon::Daemon;
use geofence_tests::http;
use geofence_tests::link::veth;
use geofence_tests::namespace::Namespace;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::require_root;
use nix::sys::signal::Signal;

const PATIENCE: Duration = Duration::from_secs(60);

/// Set for the copy of this program that is to be killed while it holds a network.
const HOLD: &str = "GEOFENCE_TESTS_HOLD";

#[test]
fn http_answer_comes_from_within_the_namespace() -> Result<()> {
    require_root!();
    let namespace = Namespace::new()?;
    let (address, server) = serve(
        &namespace,
        b"HTTP/1.1 200 OK\r\nX-Word: yes\r\ncontent-length: 3\r\n\r\nup\n",
    )?;
    let response = http::get(&namespace, address, "/healthz", &[("accept", "text/plain")])?;
    assert_eq!(
        (
            response.status,
            response.body.as_str(),
            response.header("x-word")
        ),
        (200, "up\n", Some("yes"))
    );
    let request = server.join().unwrap()?;
    assert!(
        request.starts_with("GET /healthz HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\naccept: text/plain\r\n"), "{request}");
    Ok(())
}

/// Answers one request with these bytes, and returns the request.
fn serve(
    namespace: &Namespace,
    answer: &'static [u8],
) -> Result<(SocketAddr, JoinHandle<Result<String>>)> {
    let listener = namespace.enter(|| TcpListener::bind("127.0.0.1:0"))??;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || -> Result<String> {
        let (mut stream, _) = listener.accept()?;
        let mut request = String::new();
        let mut lines = BufReader::new(stream.try_clone()?);
        while !request.ends_with("\r\n\r\n") {
            ensure!(
                lines.read_line(&mut request)? > 0,
                "the request ends early: {request:?}"
            );
        }
        stream.write_all(answer)?;
        Ok(request)
    });
    Ok((address, server))
}

#[test]
fn daemon_is_awaited_signalled_and_reaped() -> Result<()> {
    require_root!();
    let namespace = Namespace::new()?;
    let spawn = |script: &str| {
        // Where this test is a job in a shell's background, interrupts are ignored, and no shell can trap what is.
        let mut command = namespace.command("env");
        command.args(["--default-signal=INT", "bash", "-c", script]);
        command.env("WORD", "protected");
        Daemon::spawn(&namespace, command)
    };
    let mut daemon = spawn(OBEDIENT)?;
    assert_eq!(
        daemon.wait_line("protected", PATIENCE)?,
        "interfaces protected"
    );
    let (address, server) = serve(&namespace, b"HTTP/1.1 200 OK\r\n\r\n")?;
    daemon.wait_healthy(address, PATIENCE)?;
    server.join().unwrap()?;
    let (address, server) = serve(&namespace, b"HTTP/1.1 503 Service Unavailable\r\n\r\nbare")?;
    let error = format!(
        "{:#}",
        daemon.wait_healthy(address, Duration::ZERO).unwrap_err()
    );
    assert!(
        error.contains("no sign of a healthy /healthz") && error.contains("503 \"bare\""),
        "{error}"
    );
    server.join().unwrap()?;
    let ended = daemon.interrupt(PATIENCE)?;
    assert_eq!(ended.status.code(), Some(7), "{}", ended.stderr);
    assert_eq!(ended.stdout, "interrupted\n");

    let mut short = spawn("echo no such interface >&2; exit 2")?;
    let error = format!("{:#}", short.wait_line("protected", PATIENCE).unwrap_err());
    assert!(
        error.contains("exit status: 2") && error.contains("no such interface"),
        "{error}"
    );

    let mut long = spawn("echo up; exec sleep 600")?;
    let error = format!(
        "{:#}",
        long.wait_line("never", Duration::from_millis(20))
            .unwrap_err()
    );
    assert!(
        error.contains("no sign of a line with \"never\""),
        "{error}"
    );
    long.wait_for("output", PATIENCE, |daemon| {
        Ok(daemon.stdout().contains("up").then_some(()))
    })?;
    long.signal(Signal::SIGTERM)?;
    assert_eq!(
        long.wait(PATIENCE)?.status.signal(),
        Some(Signal::SIGTERM as i32)
    );

    let dropped = spawn("exec sleep 600")?;
    let id = dropped.id();
    drop(dropped);
    assert!(
        !fs::exists(format!("/proc/{id}"))?,
        "process {id} outlived its daemon"
    );
    Ok(())
}

/// Runs until interrupted, then leaves with code 7.
const OBEDIENT: &str = "
trap 'echo interrupted; exit 7' INT
exec 9<> <(:)
echo interfaces $WORD >&2
while :; do read -r -t 1 -u 9; done
";

#[test]
fn killed_process_leaves_no_network_behind() -> Result<()> {
    require_root!();
    let before = host_interfaces()?;
    let named_before = named_namespaces();
    let mut holder = Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "hold_a_network_until_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(HOLD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the copy of this test that holds a network")?;
    let output = BufReader::new(holder.stdout.take().context("no output of the copy")?);
    let mut sleeper = None;
    for line in output.lines() {
        if let Some(word) = line?.strip_prefix("sleeper ").map(str::to_owned) {
            sleeper = Some(word.parse::<u32>()?);
            break;
        }
    }
    let Some(sleeper) = sleeper else {
        bail!(
            "the copy of this test ended ({}) before it held a network",
            holder.wait()?
        );
    };
    let inside = network_of(sleeper).context("the sleeper is not running")?;
    assert_ne!(
        Some(&inside),
        network_of(std::process::id()).as_ref(),
        "the sleeper is not in a namespace"
    );
    assert_eq!(host_interfaces()?, before, "the host sees the pair");

    holder.kill()?;
    holder.wait()?;
    let deadline = Instant::now() + PATIENCE;
    while network_of(sleeper).as_ref() == Some(&inside) {
        assert!(
            Instant::now() < deadline,
            "process {sleeper} still holds {inside}"
        );
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(host_interfaces()?, before);
    assert_eq!(named_namespaces(), named_before);
    Ok(())
}

#[test]
#[ignore = "not a test: the process that killed_process_leaves_no_network_behind starts and kills"]
fn hold_a_network_until_killed() -> Result<()> {
    if std::env::var_os(HOLD).is_none() {
        return Ok(());
    }
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let _socket = PacketSocket::open(&edge, &pair.edge_interface)?;
    let mut sleeper = edge
        .command("sleep")
        .arg("600")
        .stdout(Stdio::null())
        .spawn()?;
    // It is setpriv and nsenter before it is sleep; only then is it inside, and sure to end with us.
    let name = format!("/proc/{}/comm", sleeper.id());
    while fs::read_to_string(&name)?.trim() != "sleep" {
        thread::sleep(Duration::from_millis(1));
    }
    println!("\nsleeper {}", sleeper.id());
    // Ends by SIGKILL, or with its standard input when the test that started it has failed.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    sleeper.kill()?;
    sleeper.wait()?;
    Ok(())
}

/// The host's interfaces that could be ours; other programs may make others meanwhile.
fn host_interfaces() -> Result<Vec<String>> {
    let mut names: Vec<String> = nix::ifaddrs::getifaddrs()?
        .map(|entry| entry.interface_name)
        .filter(|name| {
            name.starts_with("peer") || name.starts_with("edge") || name.starts_with("veth")
        })
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn named_namespaces() -> usize {
    fs::read_dir("/run/netns").map_or(0, Iterator::count)
}

/// Which network namespace a process is in, unless it has ended.
fn network_of(process: u32) -> Option<String> {
    let link = fs::read_link(format!("/proc/{process}/ns/net")).ok()?;
    Some(link.to_string_lossy().into_owned())
}
