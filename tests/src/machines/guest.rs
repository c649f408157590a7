//! Inside a machine, as its first program: prepares it, looks at each device, writes the rows and switches it off.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use geofence_user::config::Config;
use geofence_user::kernel::Filter;
use geofence_user::model::policy::Lookup;
use geofence_user::prepare::prepare;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;

use super::agreement::corpus_agrees;
use super::devices::{DEVICES, Device, mac};
use super::largest::largest;
use super::machine::{END, MODULES};
use super::rows::row;
use super::verdicts::{AUTO, BLOCKED, JUDGED, OPEN, before_link, queues, verdict_on};
use super::{disk, reboot, stacks, tunnels};
use crate::bpf::detach_link;
use crate::call;
use crate::daemon::Daemon;
use crate::edge::{Edge, PATIENCE};
use crate::lab::report::{self, Row};
use crate::life::{LISTED, RULES};
use crate::link::Link;
use crate::wait::poll;

/// The port by which the rows leave.
const PORT: &str = "/dev/ttyS1";

/// How long an interface may take to come back from a namespace that has ended.
const COMES_BACK: Duration = Duration::from_secs(20);

/// How long a frame may take to cross a link without a filter.
const CARRIES: Duration = Duration::from_secs(30);

/// Starts by a configuration file, which the rows change.
const BY_FILE: [&str; 2] = ["--config", "/tmp/geofence.toml"];

/// Does all that a machine is for. It does not return: the machine is switched off.
pub fn run(is_short: bool) -> Result<()> {
    ensure!(
        std::process::id() == 1,
        "this is what a machine of the laboratory runs as its first program"
    );
    let done = prepare_machine().and_then(|mut port| {
        let files = disk::saved()?;
        if files.is_empty() {
            look(&mut port, is_short)?;
        } else {
            report::json(&mut port, &reboot::after(&files))?;
        }
        Ok(writeln!(port, "{END}")?)
    });
    if let Err(error) = &done {
        eprintln!("laboratory: {error:#}");
    }
    // The kernel writes what is in the serial port's buffer before it switches off.
    fs::write("/proc/sysrq-trigger", "o").context("switching off")?;
    loop {
        std::thread::park();
    }
}

/// Mounts the kernel's file systems, loads the modules and opens the port.
fn prepare_machine() -> Result<File> {
    for (kind, place) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("bpf", "/sys/fs/bpf"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "/run"),
    ] {
        mount(
            Some(kind),
            place,
            Some(kind),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("mounting {place}"))?;
    }
    for module in MODULES {
        // One that is built in, or that this kernel lacks, shows in the rows of its device.
        let _ = Command::new("modprobe").arg(module).status();
    }
    let mut port = OpenOptions::new();
    port.write(true).open(PORT).context(PORT)
}

fn look(port: &mut File, is_short: bool) -> Result<()> {
    for lookup in [Lookup::ArrayTrie, Lookup::LpmTrie] {
        report::json(port, &[load(lookup)])?;
        // Filling the kernel's tries takes long without hardware support.
        if lookup == Lookup::ArrayTrie || !is_short {
            report::json(port, &[cases(lookup, is_short)])?;
        }
    }
    if !is_short {
        report::json(port, &[cases_of_largest()])?;
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let devices = DEVICES.iter().filter(|device| device.is_short || !is_short);
    for device in devices {
        let name = device.name();
        let expected = device.modes[usize::from(!release.starts_with("6.1."))];
        match edge(device) {
            Ok(Some(edge)) if let Some(why) = idle(&edge) => report::json(
                port,
                &[row(name, "", || {
                    Ok(format!(
                        "not looked at: without a filter, too, this emulator's card carries nothing once its link was \
                         down: {why}"
                    ))
                })],
            )?,
            Ok(Some(edge)) => {
                for row in judged(&name, expected, &edge) {
                    report::json(port, &[row])?;
                }
            }
            Ok(None) => report::json(
                port,
                &[row(name, "", || {
                    Ok("not looked at: this emulator has no such card".to_owned())
                })],
            )?,
            Err(error) => report::json(port, &[row(name, "a link", || Err(error))])?,
        }
    }
    if !is_short {
        report::json(port, &tunnels::rows())?;
        report::json(port, &stacks::rows())?;
        report::json(port, &reboot::before())?;
    }
    Ok(())
}

/// Why nothing crosses a link without a filter; nothing if it does.
fn idle(edge: &Edge) -> Option<String> {
    match edge.carries(CARRIES) {
        Ok(true) => None,
        Ok(false) => Some("a frame got lost".to_owned()),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// Whether the kernel accepts each program.
fn load(lookup: Lookup) -> Row {
    row(format!("loading, {lookup:?}"), "verified", || {
        let mut filter = Filter::load(config(lookup)?.options(false))?;
        filter.load_ip()?;
        let counted = filter.program_sizes()?.into_iter();
        let counted: Vec<_> = counted
            .map(|size| format!("{} {}", size.name, size.verified))
            .collect();
        Ok(format!("verified: {}", counted.join(", ")))
    })
}

/// Whether the kernel judges each frame of the corpus as the host does.
fn cases(lookup: Lookup, is_short: bool) -> Row {
    row(format!("frames of the corpus, {lookup:?}"), "agree", || {
        let cases = corpus_agrees(&config(lookup)?, !is_short)?;
        Ok(format!("agree: {cases}"))
    })
}

/// The same by the largest configuration, which the programs with rules judge.
fn cases_of_largest() -> Row {
    let what = "frames of the corpus, the largest configuration".to_owned();
    row(what, "agree", || {
        let cases = corpus_agrees(&largest(Lookup::ArrayTrie)?, true)?;
        Ok(format!("agree: {cases}"))
    })
}

fn config(lookup: Lookup) -> Result<geofence_user::prepare::Prepared> {
    let mut config = Config::default();
    config.policy.lookup = lookup;
    Ok(prepare(config)?)
}

/// A protected machine behind a device; none if the emulator lacks the card.
fn edge(device: &Device) -> Result<Option<Edge>> {
    let link = Link::default().mtu(device.mtu);
    let Some(card) = device.card else {
        return Edge::on(&link).map(Some);
    };
    let mut ends = Vec::new();
    for end in 0..2 {
        // One that was looked at before comes back when the kernel has taken its namespace down.
        let found = || Ok(mac(card, end).and_then(|mac| interface(&mac)));
        let Some(name) = poll(COMES_BACK, found)? else {
            return Ok(None);
        };
        ends.push(name);
    }
    let [peer, edge] = ends.try_into().unwrap_or_default();
    Edge::on(&link.over(peer, edge)).map(Some)
}

/// The interface that was made with a MAC address. One that was looked at before has another address by now, and is
/// known by its device.
fn interface(mac: &str) -> Option<String> {
    static KNOWN: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let interfaces = fs::read_dir("/sys/class/net").ok()?.flatten();
    for one in interfaces {
        let Ok(device) = fs::canonicalize(one.path().join("device")) else {
            continue;
        };
        let is_meant = match known.get(mac) {
            Some(known) => *known == device,
            None => {
                let address = fs::read_to_string(one.path().join("address"));
                address.is_ok_and(|address| address.trim() == mac)
            }
        };
        if is_meant {
            known.insert(mac.to_owned(), device);
            return one.file_name().into_string().ok();
        }
    }
    None
}

/// What becomes of packets on a device, from the first start to an upgrade.
fn judged(name: &str, mode: &str, edge: &Edge) -> Vec<Row> {
    let what = |what: &str| format!("{name}: {what}");
    let mut daemon = None;
    let mut rows = Vec::new();
    rows.push(row(
        what("a configuration without rules"),
        "written",
        || {
            fs::write(BY_FILE[1], AUTO)?;
            Ok("written".to_owned())
        },
    ));
    rows.push(row(what("start before the link is up"), mode, || {
        let (started, mode) = before_link(edge, &BY_FILE)?;
        daemon = Some(started);
        Ok(match queues(edge) {
            Some(queues) => format!("{mode}, receive queues: {queues}"),
            None => mode,
        })
    }));
    let judges = || {
        anyhow::Ok(format!(
            "RU {}, DE {}",
            verdict_on(edge, BLOCKED)?,
            verdict_on(edge, OPEN)?
        ))
    };
    rows.push(row(what("frames"), JUDGED, judges));
    rows.push(row(what("mail both ways"), "passed", || mail(edge)));
    rows.push(row(what("reload"), JUDGED, || {
        let answer = edge.ask(&["reload"])?;
        ensure!(answer.code == Some(0), "{answer:?}");
        judges()
    }));
    for (text, rules) in [(RULES, "rules of every kind"), ("", "no rules")] {
        let what = what(&format!("reload to {rules}"));
        rows.push(row(what, JUDGED, || {
            fs::write(BY_FILE[1], format!("{AUTO}{text}"))?;
            fs::write("/tmp/findings.txt", LISTED)?;
            let answer = edge.ask(&["reload"])?;
            ensure!(answer.code == Some(0), "{answer:?}");
            judges()
        }));
    }
    // The way of the kernel, not that of the device, so once is enough.
    if name.starts_with("veth") {
        let what = what("the egress program is taken off");
        rows.push(row(what, "attached again", || {
            let running = daemon.as_mut().context("no daemon")?;
            egress_returns(edge, running)
        }));
    }
    rows.push(row(what("SIGTERM, then a new daemon"), JUDGED, || {
        let mut running = daemon.take().context("no daemon")?;
        running.signal(Signal::SIGTERM)?;
        running.wait(PATIENCE)?;
        let between = judges()?;
        ensure!(between == JUDGED, "without a daemon: {between}");
        daemon = Some(edge.run(&BY_FILE)?);
        judges()
    }));
    rows.push(row(what("mail both ways after it"), "passed", || {
        mail(edge)
    }));
    rows.push(row(what("detach"), "RU passed, DE passed", || {
        daemon.take().context("no daemon")?.interrupt(PATIENCE)?;
        judges()
    }));
    rows
}

/// Takes the egress program off, which the daemon notices.
fn egress_returns(edge: &Edge, daemon: &mut Daemon) -> Result<String> {
    let links = fs::read_dir(edge.pins().join("links"))?.flatten();
    let mut links = links.map(|entry| entry.path());
    let is_egress = |path: &PathBuf| path.to_string_lossy().contains("/egress-");
    let by = match links.find(is_egress) {
        Some(pin) => {
            detach_link(&pin)?;
            "link"
        }
        None => {
            let words = ["tc", "qdisc", "del", "dev", edge.interface(), "clsact"];
            edge.pair.edge.run(&words)?;
            "clsact"
        }
    };
    daemon.wait_line("detached the egress program", PATIENCE)?;
    Ok(format!("attached again by {by}, mail {}", mail(edge)?))
}

/// Connections from a blocked country to our port 25, and from us to one there.
fn mail(edge: &Edge) -> Result<String> {
    let theirs: IpAddr = BLOCKED.parse()?;
    edge.pair.claim(theirs)?;
    let ours = edge.pair.edge_address_for(theirs);
    for (server, client, to, from, way) in [
        (&edge.pair.edge, &edge.pair.peer, ours, theirs, "in"),
        (&edge.pair.peer, &edge.pair.edge, theirs, ours, "out"),
    ] {
        let to = SocketAddr::new(to, 25);
        let _server = server.enter(|| TcpListener::bind(to))??;
        if call::tcp(client, from, to, PATIENCE)?.is_none() {
            bail!("no answer to mail {way}");
        }
    }
    // An answer from another port than mail's does not pass.
    let to = SocketAddr::new(theirs, 8025);
    let _server = edge.pair.peer.enter(|| TcpListener::bind(to))??;
    let answered = call::tcp(&edge.pair.edge, ours, to, Duration::from_secs(1))?;
    ensure!(answered.is_none(), "port 8025 answers");
    ensure!(Path::new("/sys/fs/bpf/geofence").exists(), "no pins");
    Ok("passed in and out, port 8025 not answered".to_owned())
}
