//! A start protects what it can: interfaces may not exist yet, or take no program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, Ended};
use geofence_tests::edge::{Edge, LISTEN, PATIENCE};
use geofence_tests::frames::between;
use geofence_tests::link::{Link, Pair, veth};
use geofence_tests::namespace::Namespace;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe::exchange;
use geofence_tests::wait::poll;
use geofence_tests::{http, require_root};
use nix::sys::signal::Signal;
use serde_json::Value;

const BLOCKED: &str = "77.88.8.8";
/// What a start says when everything is in place that can be.
const READY: &str = "ready: ";
/// How many seconds an interface that comes may be open, on a machine without much else to do.
const OPEN_MAX: f64 = 1.0;

fn run(edge: &Namespace, interfaces: &[&str], more: &[&str]) -> Result<Daemon> {
    let mut words = vec!["--listen", LISTEN];
    for name in interfaces {
        words.extend(["--interface", name]);
    }
    words.extend(more);
    Daemon::run(edge, &words, &[])
}

/// The exit code of a start, and what it said.
fn refused(edge: &Namespace, interfaces: &[&str], more: &[&str]) -> Result<(Option<i32>, String)> {
    let Ended { status, stderr, .. } = run(edge, interfaces, more)?.wait(PATIENCE)?;
    Ok((status.code(), stderr))
}

/// The status code of /healthz, and the answer.
fn health(edge: &Namespace) -> Result<(u16, Value)> {
    let answer = http::get(edge, LISTEN.parse()?, "/healthz", &[])?;
    Ok((answer.status, serde_json::from_str(&answer.body)?))
}

fn metric(edge: &Namespace, series: &str) -> Result<f64> {
    let body = http::get(edge, LISTEN.parse()?, "/metrics", &[])?.body;
    let value = body
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(value
        .with_context(|| format!("no {series} in {body}"))?
        .parse()?)
}

fn protected(edge: &Namespace, interface: &str) -> Result<f64> {
    metric(
        edge,
        &format!("geofence_interface_protected{{interface=\"{interface}\"}}"),
    )
}

fn wait_protected(edge: &Namespace, interface: &str, patience: Duration) -> Result<()> {
    let seen = poll(patience, || {
        Ok((protected(edge, interface)? == 1.0).then_some(()))
    })?;
    seen.with_context(|| format!("{interface} is not protected within {patience:?}"))
}

/// How many of so many packets from a blocked source get in.
fn leaked(pair: &Pair, count: u16) -> Result<usize> {
    let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
    let inside = PacketSocket::open(&pair.edge, &pair.edge_interface)?;
    let source = BLOCKED.parse()?;
    let frames: Vec<_> = (0..count)
        .map(|number| {
            let frame = between(source, pair.edge_address_for(source));
            frame.tcp(1024 + number, 22).syn().build()
        })
        .collect();
    Ok(exchange(&outside, &inside, &frames, PATIENCE)?.len())
}

#[test]
fn interface_that_comes_late_is_protected_within_a_second() -> Result<()> {
    const OPEN: &str = "geofence_unprotected_seconds_total{interface=\"edge0\"}";
    const ROUNDS_MIN: usize = 3;
    const ROUNDS_MAX: usize = 12;
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let mut daemon = run(&edge, &["edge0"], &[])?;
    daemon.wait_line("NOTHING IS PROTECTED YET", PATIENCE)?;
    daemon.wait_line(READY, PATIENCE)?;
    let (code, said) = health(&edge)?;
    ensure!(code == 503 && said["status"] == "unprotected", "{said}");
    ensure!(protected(&edge, "edge0")? == 0.0);
    let open = || metric(&edge, OPEN);
    let mut times = Vec::new();
    // A busy machine delays some of them.
    while times.len() < ROUNDS_MIN || times.iter().all(|took| *took > OPEN_MAX) {
        let round = times.len();
        ensure!(
            round < ROUNDS_MAX,
            "expected an interface to be protected within {OPEN_MAX} s once, but it took {times:?}"
        );
        let (begun, before, waited) = (Instant::now(), open()?, daemon.waited()?);
        let pair = veth(&peer, &edge)?;
        wait_protected(&edge, "edge0", PATIENCE)?;
        let unprotected = open()? - before;
        // The daemon may have begun its look before the interface came.
        let longest = (begun.elapsed() + daemon.waited()?.since(&waited)).as_secs_f64();
        ensure!(
            unprotected > 0.0 && unprotected <= longest,
            "counted as unprotected for {unprotected} s of {longest} s"
        );
        times.push(unprotected);
        let leaked = leaked(&pair, 500)?;
        ensure!(leaked == 0, "round {round}: {leaked} packets got in");
        ensure!(health(&edge)?.0 == 200);
        edge.run(&["ip", "link", "del", "edge0"])?;
        let gone = poll(PATIENCE, || {
            Ok((protected(&edge, "edge0")? == 0.0).then_some(()))
        })?;
        gone.context("the interface is gone")?;
    }
    // All of it without a capability.
    let line = daemon.wait_line("privilege: ", PATIENCE)?;
    ensure!(line.contains("no capability"), "{line}");
    Ok(())
}

#[test]
fn interface_that_comes_while_many_look_stays_protected() -> Result<()> {
    const LOOKERS: usize = 4;
    const ROUNDS: usize = 12;
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let mut daemon = run(&edge, &["edge0"], &[])?;
    daemon.wait_line(READY, PATIENCE)?;
    let done = AtomicBool::new(false);
    let came = thread::scope(|scope| {
        // Each look examines the interfaces, as the kernel's news of them do.
        for _ in 0..LOOKERS {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    // A scrape beyond the bound is refused.
                    let _ = protected(&edge, "edge0");
                }
            });
        }
        let came = (0..ROUNDS).try_for_each(|round| -> Result<()> {
            let _pair = veth(&peer, &edge)?;
            wait_protected(&edge, "edge0", PATIENCE)?;
            for look in 0..20 {
                let is_protected = protected(&edge, "edge0")? == 1.0;
                let shown = edge.run(&["ip", "-details", "link", "show", "edge0"])?;
                ensure!(
                    is_protected && shown.contains("prog/xdp"),
                    "round {round}, look {look}: protected {is_protected}: {shown}"
                );
            }
            edge.run(&["ip", "link", "del", "edge0"])?;
            let gone = poll(PATIENCE, || {
                Ok((protected(&edge, "edge0")? == 0.0).then_some(()))
            })?;
            gone.context("the interface is gone")
        });
        done.store(true, Ordering::Release);
        came
    });
    came.with_context(|| daemon.stderr())
}

#[test]
fn missing_interface_leaves_the_others_protected_and_reloads_name_it() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let namespace = &edge.pair.edge;
    let mut daemon = run(namespace, &["edge0", "edge1"], &[])?;
    daemon.wait_line("edge1 is NOT PROTECTED until it exists", PATIENCE)?;
    daemon.wait_line(READY, PATIENCE)?;
    edge.ensure_passes(&[(BLOCKED, false)])?;
    let (code, said) = health(namespace)?;
    ensure!(code == 503 && said["status"] == "unprotected", "{said}");
    let status = edge.ask(&["status"])?;
    ensure!(
        status.code == Some(1)
            && status.stdout.contains("edge0: protected")
            && status.stdout.contains("edge1: NOT PROTECTED, missing"),
        "{status:?}"
    );
    // A reload that puts less in place than asked takes the rest up, and fails.
    let reload = edge.ask(&["reload"])?;
    ensure!(
        reload.code == Some(1)
            && reload.stdout.contains("image 2 is active")
            && reload.stdout.contains("edge1 is NOT PROTECTED"),
        "{reload:?}"
    );

    let second = Link::default()
        .number(1)
        .connect(&edge.pair.peer, namespace)?;
    wait_protected(namespace, "edge1", PATIENCE)?;
    ensure!(leaked(&second, 100)? == 0);
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    // The next start takes both over.
    daemon.signal(Signal::SIGTERM)?;
    let ended = daemon.wait(PATIENCE)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    let daemon = edge.run(&["--interface", "edge0", "--interface", "edge1"])?;
    let said = daemon.stderr();
    ensure!(
        said.matches("taken over from an earlier geofence").count() == 2,
        "{said}"
    );
    Ok(())
}

#[test]
fn interface_that_takes_no_program_leaves_the_others_protected() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let namespace = &edge.pair.edge;
    // The loopback has no native XDP.
    let mut daemon = run(namespace, &["lo", "edge0"], &[])?;
    let line = daemon.wait_line("lo is NOT PROTECTED", PATIENCE)?;
    // The kernel's own words are in its answers by netlink only.
    let said = "(the kernel says: \"Underlying driver does not support XDP in native mode\")";
    ensure!(
        line.contains("refused the program in native mode") && line.contains(said),
        "{line}"
    );
    daemon.wait_line(READY, PATIENCE)?;
    edge.ensure_passes(&[(BLOCKED, false)])?;
    ensure!(health(namespace)?.0 == 503);
    let status = edge.ask(&["status"])?;
    ensure!(
        status
            .stdout
            .contains("lo: NOT PROTECTED, bare (interface lo refused"),
        "{status:?}"
    );
    Ok(())
}

#[test]
fn interface_of_another_program_is_protected_once_that_is_gone() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let namespace = &edge.pair.edge;
    let second = Link::default()
        .number(1)
        .connect(&edge.pair.peer, namespace)?;
    let other = format!("{}-other", namespace.instance());
    let words = ["--interface", "edge1", "--listen", "127.0.0.1:10318"];
    let words = [&words[..], &["--instance", &other]].concat();
    let mut stranger = Daemon::run(namespace, &words, &[])?;
    stranger.wait_healthy("127.0.0.1:10318".parse()?, PATIENCE)?;

    let mut daemon = run(namespace, &["edge0", "edge1"], &[])?;
    daemon.wait_line("edge1 is NOT PROTECTED", PATIENCE)?;
    daemon.wait_line(READY, PATIENCE)?;
    edge.ensure_passes(&[(BLOCKED, false)])?;
    ensure!(protected(namespace, "edge1")? == 0.0);
    stranger.interrupt(PATIENCE)?;
    wait_protected(namespace, "edge1", PATIENCE)?;
    ensure!(leaked(&second, 100)? == 0);
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)
}

#[test]
fn interface_that_was_renamed_stays_protected_by_the_next_start() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let namespace = &edge.pair.edge;
    let mut daemon = edge.run(&[])?;
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait(PATIENCE)?;
    let before = edge.program("edge0")?;
    namespace.run(&["ip", "link", "set", "edge0", "name", "lan0"])?;
    let mut daemon = run(namespace, &["edge0"], &[])?;
    daemon.wait_line("lan0 stays protected", PATIENCE)?;
    daemon.wait_line(READY, PATIENCE)?;
    let after = edge.program("lan0")?;
    ensure!(after.is_some() && after != before, "{before:?} {after:?}");
    edge.ensure_passes(&[(BLOCKED, false)])?;
    ensure!(protected(namespace, "lan0")? == 1.0);
    // The name that is asked for is not there.
    ensure!(health(namespace)?.0 == 503);
    namespace.run(&["ip", "link", "set", "lan0", "name", "edge0"])?;
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    edge.ensure_passes(&[(BLOCKED, false)])
}

#[test]
fn what_was_detached_is_not_attached_when_it_returns() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let namespace = &edge.pair.edge;
    let mut daemon = run(namespace, &["edge0", "edge1"], &[])?;
    daemon.wait_line(READY, PATIENCE)?;
    // One of two: the other is still awaited.
    edge.detach(&["--interface", "edge0"])?;
    let connect = || {
        Link::default()
            .number(1)
            .connect(&edge.pair.peer, namespace)
    };
    connect()?;
    wait_protected(namespace, "edge1", PATIENCE)?;
    ensure!(protected(namespace, "edge0")? == 0.0);
    // All: none is awaited any more.
    edge.detach(&["--all"])?;
    namespace.run(&["ip", "link", "del", "edge1"])?;
    connect()?;
    daemon.wait_line("edge1 is NOT PROTECTED: the filter was detached", PATIENCE)?;
    ensure!(edge.program("edge1")?.is_none());
    Ok(())
}

#[test]
fn start_without_hope_or_by_strict_rules_exits_with_69() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let namespace = &edge.pair.edge;
    for (interfaces, more, said) in [
        (&["lo"][..], &[][..], "refused the program in native mode"),
        (&["absent0"], &["--strict"], "does not exist"),
        (&["edge0", "absent0"], &["--strict"], "does not exist"),
        (
            &["edge0", "lo"],
            &["--strict"],
            "refused the program in native mode",
        ),
    ] {
        let begun = Instant::now();
        let (code, text) = refused(namespace, interfaces, more)?;
        let took = begun.elapsed();
        ensure!(
            code == Some(69) && text.contains(said),
            "{interfaces:?} {more:?}: {code:?} after {took:?}, {text}"
        );
        ensure!(
            !namespace.run(&["ip", "-details", "link"])?.contains("xdp"),
            "{interfaces:?} {more:?} left a program behind"
        );
    }
    Ok(())
}
