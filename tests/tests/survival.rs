//! The filter outlives its daemon, and the next daemon takes it over.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::frames::{Frame, between};
use geofence_tests::link::{Link, Pair, veth};
use geofence_tests::namespace::Namespace;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::{http, privilege};
use nix::sys::signal::Signal;

const LISTEN: &str = "127.0.0.1:10317";
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a start may take until it has taken the filter over.
const ADOPTION_MAX: Duration = Duration::from_secs(2);

struct Edge {
    pair: Pair,
    outside: PacketSocket,
    inside: PacketSocket,
}

impl Edge {
    fn new() -> Result<Self> {
        let (peer, edge) = (Namespace::new()?, Namespace::new()?);
        let pair = veth(&peer, &edge)?;
        Ok(Self {
            outside: PacketSocket::open(&peer, &pair.peer_interface)?,
            inside: PacketSocket::open(&edge, &pair.edge_interface)?,
            pair,
        })
    }

    fn run(&self, more: &[&str]) -> Result<Daemon> {
        let mut words = vec!["--listen", LISTEN];
        if !more.contains(&"--interface") {
            words.extend(["--interface", self.pair.edge_interface.as_str()]);
        }
        words.extend(more);
        let mut daemon = Daemon::run(&self.pair.edge, &words, &[])?;
        daemon.wait_healthy(listen(), PATIENCE)?;
        Ok(daemon)
    }

    fn passes(&self, source: &str) -> Result<bool> {
        let source: IpAddr = source.parse()?;
        let frame = between(source, "192.0.2.1".parse()?)
            .tcp(40_000, 22)
            .syn()
            .build();
        let marker = Frame::ethernet().raw(0x88b5, [0x5a; 50]).build();
        self.outside.send(&frame)?;
        self.outside.send(&marker)?;
        let seen = self
            .inside
            .receive_until(PATIENCE, |frame| frame == marker)?;
        Ok(seen.contains(&frame))
    }

    /// What a blocked packet of Russia is counted as on an interface.
    fn dropped(&self, interface: &str) -> Result<u64> {
        let body = http::get(&self.pair.edge, listen(), "/metrics", &[])?.body;
        let series = format!(
            "geofence_packets_total{{interface=\"{interface}\",country=\"RU\",action=\"drop\",\
             reason=\"country_blocked\"}} "
        );
        let value = body.lines().find_map(|line| line.strip_prefix(&series));
        value.map_or(Ok(0), |value| Ok(value.parse()?))
    }

    fn program(&self, interface: &str) -> Result<Option<u64>> {
        let text = self
            .pair
            .edge
            .run(&["ip", "-json", "-details", "link", "show", interface])?;
        let links: serde_json::Value = serde_json::from_str(&text)?;
        Ok(links[0]["xdp"]["prog"]["id"].as_u64())
    }

    /// The links that hold the filter, by number: what adoption must not change.
    fn links(&self) -> Result<Vec<String>> {
        let directory = Path::new("/sys/fs/bpf/geofence").join(self.pair.edge.instance());
        let mut names: Vec<String> = std::fs::read_dir(directory.join("links"))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        names.sort();
        let mut links = Vec::new();
        for name in names {
            let path = directory.join("links").join(&name);
            let link = aya::programs::links::PinnedLink::from_pin(&path)?;
            let id = aya::programs::links::FdLink::from(link).info()?.id();
            links.push(format!("{name}: {id}"));
        }
        Ok(links)
    }

    fn detach(&self, words: &[&str]) -> Result<String> {
        let output = geofence(&self.pair.edge)?
            .arg("detach")
            .args(words)
            .output()?;
        ensure!(
            output.status.code() == Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn listen() -> SocketAddr {
    LISTEN.parse().expect("an address")
}

#[test]
fn a_killed_daemon_leaves_the_filter_and_the_next_takes_it_over() -> Result<()> {
    if !privilege::privileged("a_killed_daemon_leaves_the_filter_and_the_next_takes_it_over") {
        return Ok(());
    }
    let edge = Edge::new()?;
    let name = edge.pair.edge_interface.as_str();
    let mut daemon = edge.run(&[])?;
    assert!(!edge.passes("77.88.8.8")? && edge.passes("8.8.8.8")?);
    let (links, mut program) = (edge.links()?, edge.program(name)?);
    assert_eq!(links.len(), 2, "{links:?}");
    let mut dropped = 1;
    for (signal, code) in [(Signal::SIGKILL, None), (Signal::SIGTERM, Some(0))] {
        daemon.signal(signal)?;
        let ended = daemon.wait(PATIENCE)?;
        assert_eq!(ended.status.code(), code, "{}", ended.stderr);
        assert!(!edge.passes("77.88.8.8")? && edge.passes("8.8.8.8")?);
        let start = Instant::now();
        daemon = edge.run(&[])?;
        let took = start.elapsed();
        ensure!(took <= ADOPTION_MAX, "taken over after {took:?}");
        daemon.wait_line("taken over from an earlier geofence", PATIENCE)?;
        assert_eq!(edge.links()?, links, "the same links");
        let replaced = edge.program(name)?;
        ensure!(replaced.is_some() && replaced != program, "{replaced:?}");
        program = replaced;
        assert!(!edge.passes("77.88.8.8")?);
        dropped += 2;
        assert_eq!(
            edge.dropped(name)?,
            dropped,
            "counted before, between and after"
        );
    }
    let ended = daemon.interrupt(PATIENCE)?;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(edge.program(name)?, None);
    assert!(edge.passes("77.88.8.8")?, "Ctrl-C takes the filter along");
    let pins = Path::new("/sys/fs/bpf/geofence").join(edge.pair.edge.instance());
    assert!(!pins.exists());
    Ok(())
}

#[test]
fn a_start_that_fails_leaves_the_earlier_filter() -> Result<()> {
    if !privilege::privileged("a_start_that_fails_leaves_the_earlier_filter") {
        return Ok(());
    }
    let edge = Edge::new()?;
    let name = edge.pair.edge_interface.as_str();
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
    for (words, expected) in [
        (
            vec!["--interface", name, "--interface", "absent0"],
            "does not exist",
        ),
        (
            vec!["--interface", name, "--config", &broken],
            "did you mean `block`",
        ),
        (vec!["--interface", name, "--block", "UK"], "GB"),
    ] {
        let output = geofence(&edge.pair.edge)?
            .args(["run", "--listen", LISTEN])
            .args(&words)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(2) && said.contains(expected),
            "{words:?}: {said}"
        );
        assert_eq!(edge.program(name)?, program, "{words:?}");
        assert!(!edge.passes("77.88.8.8")?);
    }
    Ok(())
}

#[test]
fn detach_works_with_the_daemon_dead_and_the_state_gone_and_again() -> Result<()> {
    if !privilege::privileged("detach_works_with_the_daemon_dead_and_the_state_gone_and_again") {
        return Ok(());
    }
    let edge = Edge::new()?;
    let name = edge.pair.edge_interface.as_str();
    let instance = edge.pair.edge.instance();
    let mut daemon = edge.run(&[])?;
    daemon.signal(Signal::SIGKILL)?;
    daemon.wait(PATIENCE)?;
    for place in ["/run", "/var/lib"] {
        std::fs::remove_dir_all(Path::new(place).join(instance))?;
    }
    let start = Instant::now();
    let said = edge.detach(&["--interface", name])?;
    ensure!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(said, format!("detached from {name}\n"));
    assert_eq!(edge.program(name)?, None);
    assert!(edge.passes("77.88.8.8")?);
    for words in [
        vec!["--interface", name],
        vec!["--all"],
        vec!["--interface", "absent0"],
    ] {
        let said = edge.detach(&words)?;
        ensure!(said.starts_with("nothing to detach"), "{words:?}: {said}");
    }
    // A daemon that runs does not put back what an operator took off.
    let daemon = edge.run(&[])?;
    let said = edge.detach(&["--all", "--json"])?;
    let said: serde_json::Value = serde_json::from_str(&said)?;
    assert_eq!(said["detached"], serde_json::json!([name]));
    let health = http::get(&edge.pair.edge, listen(), "/healthz", &[])?;
    assert_eq!(health.status, 503, "{}", health.body);
    assert!(edge.passes("77.88.8.8")?);
    let metrics = http::get(&edge.pair.edge, listen(), "/metrics", &[])?.body;
    let series = format!("geofence_unprotected_seconds_total{{interface=\"{name}\"}} ");
    let open = metrics.lines().find_map(|line| line.strip_prefix(&series));
    let open: f64 = open.context("the time it was open")?.parse()?;
    ensure!(open > 0.0, "{open}");
    drop(daemon);
    Ok(())
}

#[test]
fn interfaces_join_and_leave_with_a_restart_and_keep_their_counters() -> Result<()> {
    if !privilege::privileged("interfaces_join_and_leave_with_a_restart_and_keep_their_counters") {
        return Ok(());
    }
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
    assert_eq!((edge.dropped(one)?, edge.dropped(two)?), (1, 0));
    edge.passes("77.88.8.8")?;
    assert_eq!((edge.dropped(one)?, edge.dropped(two)?), (2, 0));
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait(PATIENCE)?;
    let mut daemon = edge.run(&["--interface", two])?;
    daemon.wait_line("no longer named: detached", PATIENCE)?;
    assert_eq!(edge.program(one)?, None);
    assert!(edge.program(two)?.is_some() && edge.passes("77.88.8.8")?);
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn tables_of_another_layout_are_left_behind_and_the_link_is_kept() -> Result<()> {
    if !privilege::privileged("tables_of_another_layout_are_left_behind_and_the_link_is_kept") {
        return Ok(());
    }
    let edge = Edge::new()?;
    let daemon = edge.run(&[])?;
    daemon.kill(PATIENCE)?;
    let links = edge.links()?;
    let pins = Path::new("/sys/fs/bpf/geofence").join(edge.pair.edge.instance());
    std::fs::rename(pins.join("tables-1"), pins.join("tables-0"))?;
    let daemon = edge.run(&[])?;
    assert_eq!(edge.links()?, links);
    assert!(!edge.passes("77.88.8.8")?);
    assert!(pins.join("tables-1").exists() && !pins.join("tables-0").exists());
    daemon.interrupt(PATIENCE)?;
    Ok(())
}
