//! The demo: geofence on a real interface, real packets from real addresses, and what became of each.
//!
//! Two namespaces of its own are joined by a veth pair; geofence protects one end with its default policy, packets are
//! sent from the other. Each packet's fate is compared with what the policy says, and its counters with what was sent.
//! Everything belongs to this process: however it ends, the filter and the namespaces end with it. It prints, and
//! changes nothing outside. Exit code 0 when all is as the policy says, 1 when not, 2 when the demo could not run.

#[path = "../demo/report.rs"]
mod report;
#[path = "../demo/scenario.rs"]
mod scenario;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use geofence_tests::counters::{Counters, PACKETS};
use geofence_tests::daemon::{self, Daemon};
use geofence_tests::http;
use geofence_tests::link::{Link, Pair};
use geofence_tests::namespace::Namespace;
use geofence_tests::packet_socket::PacketSocket;
use geofence_user::data::geoip::{ATTRIBUTION, Database};

use report::Seen;
use scenario::{Packet, scenario};

/// Where geofence answers by default; inside its namespace nothing else listens.
const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 10317);
/// How long geofence may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a packet may take to be counted, and the last one to arrive.
const PACKET_PATIENCE: Duration = Duration::from_secs(10);

/// Shows geofence at work between two isolated network namespaces
///
/// Needs root. Changes nothing outside the namespaces it creates and leaves nothing behind. Exit code 0 when every
/// packet met the fate the default policy has for it, 1 when one did not, 2 when the demo could not run.
#[derive(Parser)]
#[command(name = "geofence-demo", max_term_width = 100)]
struct Arguments {
    /// The geofence binary to show; without it, the one built next to this program
    #[arg(long, value_name = "PATH")]
    geofence: Option<PathBuf>,
    /// Print one JSON object a packet instead of tables
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Where standard error is closed, the message has no reader.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the demo; answers whether all went as the policy says.
fn run(arguments: &Arguments) -> Result<bool> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "the demo needs root, for network namespaces and eBPF programs; run it with `cargo xtask demo`, which \
             offers sudo"
        );
    }
    let geofence = match &arguments.geofence {
        Some(path) => path.clone(),
        None => daemon::binary()?,
    };
    ensure!(
        geofence.is_file(),
        "no geofence at {}; `cargo xtask build` prints the path of one",
        geofence.display()
    );
    let database = Database::embedded().context("reading the embedded GeoIP data")?;
    let scenario = scenario(&database)?;

    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    // Without addresses neither end says or answers anything: the counters are of what the demo sent, exactly.
    let pair = Link::default().unaddressed().connect(&peer, &edge)?;
    let mut command = edge.command(&geofence);
    command.args(["run", "--interface", &pair.edge_interface]);
    let mut daemon = Daemon::spawn(&edge, command)?;
    daemon.wait_healthy(METRICS, PATIENCE)?;

    let (seen, strays) = exchange(&pair, &mut daemon, &scenario.packets)?;
    let metrics = scrape(&edge)?;
    stop(daemon, &pair)?;

    let wrong = seen.iter().filter(|one| !one.is_right()).count();
    let mut out = io::stdout().lock();
    let written = if arguments.json {
        report::json(&mut out, &seen)
    } else {
        print(&mut out, &seen, &scenario.notes, &metrics)
    };
    match written.and_then(|()| out.flush()) {
        // The reader that closed the pipe has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("writing the result")?,
    }
    if strays > 0 {
        let _ = writeln!(
            io::stderr(),
            "error: {strays} frames arrived that the demo did not send"
        );
    }
    Ok(wrong == 0 && strays == 0)
}

/// Sends every packet and finds out what became of it; also counts the frames that arrived and were not sent.
fn exchange(pair: &Pair, daemon: &mut Daemon, packets: &[Packet]) -> Result<(Vec<Seen>, usize)> {
    let sender = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
    let receiver = PacketSocket::open(&pair.edge, &pair.edge_interface)?;
    let mut seen = Vec::with_capacity(packets.len());
    let mut before = Counters::parse(&scrape(&pair.edge)?)?;
    for packet in packets {
        sender.send(&packet.frame)?;
        let after = counted(pair, daemon, &before)
            .with_context(|| format!("counting `{}` from {}", packet.what, packet.from))?;
        seen.push(Seen {
            packet: packet.clone(),
            arrived: false,
            counted: after.since(&before),
        });
        before = after;
    }
    // Frames keep their order, so when the last one is here, what has not arrived never will.
    let mut strays = 0;
    let deadline = Instant::now() + PACKET_PATIENCE;
    while let Some(frame) = receiver.receive(deadline.saturating_duration_since(Instant::now()))? {
        match seen.iter_mut().find(|one| one.packet.frame == frame) {
            Some(one) if !one.arrived => one.arrived = true,
            Some(_) | None => strays += 1,
        }
        if packets.last().is_some_and(|last| last.frame == frame) {
            break;
        }
    }
    Ok((seen, strays))
}

/// The counters once they have one packet more, or as they are when that takes too long.
fn counted(pair: &Pair, daemon: &mut Daemon, before: &Counters) -> Result<Counters> {
    let deadline = Instant::now() + PACKET_PATIENCE;
    daemon.wait_for("a packet more in /metrics", PATIENCE, |_| {
        let now = Counters::parse(&scrape(&pair.edge)?)?;
        let settled = now.packets() > before.packets() || Instant::now() >= deadline;
        Ok(settled.then_some(now))
    })
}

fn scrape(edge: &Namespace) -> Result<String> {
    let response = http::get(edge, METRICS, "/metrics", &[])?;
    ensure!(
        response.status == 200,
        "/metrics was answered with {}: {}",
        response.status,
        response.body.trim()
    );
    Ok(response.body)
}

/// Stops geofence as Ctrl-C does, and makes sure that it went in peace and left the interface bare.
fn stop(daemon: Daemon, pair: &Pair) -> Result<()> {
    let ended = daemon.interrupt(PATIENCE)?;
    ensure!(
        ended.status.success(),
        "geofence ended with {} when interrupted\n{}",
        ended.status,
        ended.stderr
    );
    let link = pair
        .edge
        .run(&["ip", "-details", "link", "show", &pair.edge_interface])?;
    ensure!(
        !link.contains("xdp"),
        "geofence ended and left its program on the interface:\n{link}"
    );
    Ok(())
}

fn print(
    out: &mut dyn io::Write,
    seen: &[Seen],
    notes: &[String],
    metrics: &str,
) -> io::Result<()> {
    writeln!(
        out,
        "Blocked: RU, UA, BY, CN, KP. Mail passes from everywhere."
    )?;
    report::table(out, seen)?;
    for note in notes {
        writeln!(out, "{note}")?;
    }
    writeln!(out, "\nThe same packets in /metrics:")?;
    // A counter that stands at zero belongs to none of them.
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with(PACKETS) && !line.ends_with("} 0"));
    for line in lines {
        writeln!(out, "{line}")?;
    }
    let right = seen.iter().filter(|one| one.is_right()).count();
    writeln!(
        out,
        "\n{right} of {} packets met the fate the policy has for them and were counted as such.",
        seen.len()
    )?;
    writeln!(out, "{ATTRIBUTION}")
}
