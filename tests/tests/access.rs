//! Own access: `geofence run` refuses a policy that would cut off who is logged in, the gateway or the resolver.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, binary, geofence};
use geofence_tests::edge::{LISTEN, PATIENCE};
use geofence_tests::link::{Pair, veth};
use geofence_tests::namespace::Namespace;
use geofence_tests::site::{GERMAN, Site};
use geofence_tests::{call, require_root};

/// An address that the embedded data has in a country blocked by default.
const BLOCKED: &str = "77.88.8.8";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn edge_with_blocked_peer() -> Result<Pair> {
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    pair.claim(ip(BLOCKED))?;
    Ok(pair)
}

fn run_words<'a>(pair: &'a Pair, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec![
        "--interface",
        pair.edge_interface.as_str(),
        "--listen",
        LISTEN,
    ];
    words.extend(more);
    words
}

/// What `geofence run` says when it refuses to start, after which nothing may be attached.
fn refused(pair: &Pair) -> Result<String> {
    let mut command = geofence(&pair.edge)?;
    command.arg("run").args(run_words(pair, &[]));
    refusal(pair, command)
}

fn refusal(pair: &Pair, mut command: std::process::Command) -> Result<String> {
    command
        .env_remove("SSH_CONNECTION")
        .env_remove("SSH_CLIENT");
    let Output { status, stderr, .. } = command.output()?;
    let said = String::from_utf8_lossy(&stderr).into_owned();
    ensure!(status.code() == Some(2), "exit {status}, said {said}");
    let links = pair.edge.run(&["ip", "-details", "link"])?;
    ensure!(!links.contains("xdp"), "a program was left behind");
    Ok(said)
}

/// `geofence run` starts with these further options.
fn accepted(pair: &Pair, more: &[&str]) -> Result<String> {
    let mut daemon = Daemon::run(&pair.edge, &run_words(pair, more), &[])?;
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    let ended = daemon.interrupt(PATIENCE)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    Ok(ended.stderr)
}

/// A session from the blocked address to port 22 of the edge: both ends.
fn session(pair: &Pair) -> Result<(TcpStream, TcpStream)> {
    let here = SocketAddr::new(pair.edge_address_for(ip(BLOCKED)), 22);
    let listener = pair.edge.enter(|| TcpListener::bind(here))??;
    let caller = call::tcp(&pair.peer, ip(BLOCKED), here, PATIENCE)?.context("no answer")?;
    let (server, from) = listener.accept()?;
    ensure!(from.ip() == ip(BLOCKED));
    Ok((caller, server))
}

#[test]
fn policy_that_cuts_the_operators_session_is_refused() -> Result<()> {
    require_root!();
    let pair = edge_with_blocked_peer()?;
    accepted(&pair, &[])?;
    let session = session(&pair)?;
    let said = refused(&pair)?;
    ensure!(
        said.contains("the SSH session from 77.88.8.8 to port 22: dropped as country_blocked")
            && said.contains("management = [\"77.88.8.8\"]")
            && said.contains("--force"),
        "{said}"
    );
    // Each way out is one.
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("geofence.toml");
    std::fs::write(&config, "management = [\"77.88.8.8\"]")?;
    accepted(&pair, &["--config", &config.to_string_lossy()])?;
    accepted(&pair, &["--block", "CN"])?;
    let forced = accepted(&pair, &["--force"])?;
    ensure!(
        forced.contains("forced: the SSH session from 77.88.8.8"),
        "{forced}"
    );
    accepted(&pair, &["--mode", "monitor"])?;
    drop(session);
    Ok(())
}

#[test]
fn session_in_another_namespace_does_not_count() -> Result<()> {
    require_root!();
    let (pair, other) = (edge_with_blocked_peer()?, edge_with_blocked_peer()?);
    let _session = session(&other)?;
    accepted(&pair, &[])?;
    refused(&other)?;
    Ok(())
}

#[test]
fn session_of_the_environment_counts_only_for_an_address_of_this_namespace() -> Result<()> {
    require_root!();
    let pair = edge_with_blocked_peer()?;
    let run = |server: &str| -> Result<Daemon> {
        let connection = format!("{BLOCKED} 50000 {server} 2222");
        Daemon::run(
            &pair.edge,
            &run_words(&pair, &[]),
            &[("SSH_CONNECTION", &connection)],
        )
    };
    let ended = run("192.0.2.1")?.wait(PATIENCE)?;
    ensure!(
        ended.status.code() == Some(2)
            && ended
                .stderr
                .contains("the SSH session from 77.88.8.8 to port 2222"),
        "{}",
        ended.stderr
    );
    let mut elsewhere = run("192.0.2.200")?;
    elsewhere.wait_healthy(LISTEN.parse()?, PATIENCE)
}

#[test]
fn refusal_names_a_blocked_gateway_and_resolver() -> Result<()> {
    require_root!();
    let pair = edge_with_blocked_peer()?;
    pair.edge.run(&[
        "ip",
        "route",
        "add",
        "default",
        "via",
        BLOCKED,
        "dev",
        &pair.edge_interface,
        "onlink",
    ])?;
    // A mount namespace of its own: the machine's file stays as it is.
    let directory = tempfile::tempdir()?;
    let resolv = directory.path().join("resolv.conf");
    std::fs::write(&resolv, "nameserver 77.88.8.1\nnameserver 192.0.2.1\n")?;
    let config = directory.path().join("geofence.toml");
    // A resolver that is asked may answer, unless nothing of ours is to be answered.
    for (replies, cuts_resolver) in [("mail", false), ("none", true)] {
        std::fs::write(&config, format!("replies = \"{replies}\""))?;
        let path = config.to_str().context("a path of text")?;
        let mut command = pair.edge.command("unshare");
        command
            .args(["--mount", "--", "sh", "-c"])
            .arg("mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"")
            .arg(&resolv)
            .arg(binary()?)
            .arg("run")
            .args(run_words(&pair, &["--config", path]));
        let said = refusal(&pair, command)?;
        ensure!(
            said.contains("the gateway 77.88.8.8 and its ICMP errors: dropped")
                && said.contains("the resolver 77.88.8.1: dropped") == cuts_resolver
                && !said.contains("192.0.2.1"),
            "{said}"
        );
    }
    Ok(())
}

#[test]
fn metadata_service_with_its_own_route_cannot_be_cut_off() -> Result<()> {
    require_root!();
    let pair = edge_with_blocked_peer()?;
    let directory = tempfile::tempdir()?;
    let config = directory.path().join("geofence.toml");
    std::fs::write(&config, "special-use = \"drop\"")?;
    let words = ["--config", &*config.to_string_lossy()];
    accepted(&pair, &words)?;
    pair.edge.run(&[
        "ip",
        "route",
        "add",
        "169.254.169.254",
        "dev",
        &pair.edge_interface,
    ])?;
    let mut command = geofence(&pair.edge)?;
    command.arg("run").args(run_words(&pair, &words));
    let said = refusal(&pair, command)?;
    ensure!(
        said.contains("metadata service 169.254.169.254: dropped as special_use_blocked"),
        "{said}"
    );
    Ok(())
}

#[test]
fn lockout_that_was_forced_holds_for_automatic_reloads_and_starts_and_a_new_one_does_not()
-> Result<()> {
    require_root!();
    let text = "block = [\"RU\"]\n";
    let site = Site::new(text)?;
    let machine = &site.edge.pair.edge;
    let route = |gateway: &str, metric: &str| -> Result<()> {
        site.edge.pair.claim(ip(gateway))?;
        let text = format!("ip route add default via {gateway} dev edge0 onlink metric {metric}");
        machine.run(&text.split(' ').collect::<Vec<_>>()).map(drop)
    };
    route(BLOCKED, "100")?;
    let mut daemon = site.run(&["--force"])?;
    daemon.wait_line("forced: the gateway 77.88.8.8", PATIENCE)?;
    let takes_effect = |text: &str, passes: bool| -> Result<()> {
        site.configure(text)?;
        site.wait_passes(GERMAN, passes)
    };
    takes_effect("block = [\"RU\", \"DE\"]\n", false)?;
    takes_effect(text, true)?;
    let answer = site.edge.ask(&["reload"])?;
    ensure!(
        answer.code == Some(1) && answer.stderr.contains("the gateway 77.88.8.8"),
        "an operator's reload has to be forced: {answer:?}"
    );
    // A new finding refuses, and is the only one that is named.
    route("77.88.8.9", "200")?;
    site.configure("block = [\"RU\", \"DE\"]\n")?;
    daemon.wait_line("the gateway 77.88.8.9", PATIENCE)?;
    let last = daemon.stderr();
    let last = last.rsplit("would cut off").next().context("a refusal")?;
    ensure!(!last.contains("77.88.8.8 "), "{last}");
    ensure!(site.edge.passes(GERMAN)?, "the policy is active");
    // The service may start again after a boot: what was accepted is stored.
    machine.run(&["ip", "route", "del", "default", "metric", "200"])?;
    daemon.kill(PATIENCE)?;
    site.edge.detach(&["--all"])?;
    let daemon = site.run(&[])?;
    ensure!(
        site.passes()? == [false, false],
        "not the policy that was asked for"
    );
    // A policy that cuts off none of them forgets that they were accepted.
    daemon.kill(PATIENCE)?;
    site.configure("block = [\"CN\"]\n")?;
    site.run(&[])?.kill(PATIENCE)?;
    site.edge.detach(&["--all"])?;
    site.configure(text)?;
    let mut daemon = site.run(&[])?;
    daemon.wait_line("FILTERING BY THE LAST GOOD IMAGE", PATIENCE)?;
    Ok(())
}
