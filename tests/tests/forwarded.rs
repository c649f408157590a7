//! Packets that the machine forwards: those from inside open flows, those that came in from outside do not, whatever
//! device they seem to have come in by.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::Daemon;
use geofence_tests::edge::{Edge, PATIENCE};
use geofence_tests::frames::between;
use geofence_tests::link::{EDGE_MAC, Link, Pair, edge_mac};
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe::crosses;
use geofence_tests::require_root;
use geofence_tests::site::{GERMAN, RUSSIAN};
use geofence_tests::wait::poll;
use tempfile::TempDir;

const SMTP: u16 = 25;
/// A host behind the machine's second link.
const BEHIND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 18);
/// Where an Ethernet frame without tags and options has its IPv4 addresses and its ports.
const ENDS: std::ops::Range<usize> = 26..38;

/// A router with one link outside and one inside.
struct Router {
    edge: Edge,
    inside: Pair,
    outside: PacketSocket,
    behind: PacketSocket,
    /// What arrives at the router from outside.
    arrivals: PacketSocket,
}

impl Router {
    fn new() -> Result<Self> {
        let edge = Edge::new()?;
        let machine = &edge.pair.edge;
        let inside = Link::default()
            .number(1)
            .connect(&edge.pair.peer, machine)?;
        machine.set("net/ipv4/ip_forward", "1")?;
        for interface in ["all", "default", "edge0", "edge1"] {
            machine.set(&format!("net/ipv4/conf/{interface}/rp_filter"), "0")?;
        }
        edge.pair.claim(RUSSIAN.parse()?)?;
        Ok(Self {
            outside: PacketSocket::open(&edge.pair.peer, "peer0")?,
            behind: PacketSocket::open(&edge.pair.peer, "peer1")?,
            arrivals: PacketSocket::open(machine, "edge0")?,
            inside,
            edge,
        })
    }

    /// Sends an opening from a host to a mail server in Russia, to this MAC address of the router, and waits until the
    /// router has forwarded it.
    fn forward(&self, by: &PacketSocket, mac: [u8; 6], from: Ipv4Addr, port: u16) -> Result<()> {
        let to: IpAddr = RUSSIAN.parse()?;
        let mut frame = between(from.into(), to).tcp(port, SMTP).syn().build();
        frame[..6].copy_from_slice(&mac);
        by.send(&frame)?;
        self.outside
            .receive_until(PATIENCE, |seen| seen.get(ENDS) == frame.get(ENDS))
            .map(drop)
    }

    /// Whether the mail server's answer gets in.
    fn is_answered(&self, to: Ipv4Addr, port: u16) -> Result<bool> {
        let answer = between(RUSSIAN.parse()?, to.into()).tcp(SMTP, port);
        crosses(
            &self.outside,
            &self.arrivals,
            &answer.syn().ack().build(),
            PATIENCE,
        )
    }

    fn refused(&self, cause: &str) -> Result<f64> {
        self.edge.metric(&format!(
            "geofence_flow_refusals_total{{table=\"mail\",reason=\"{cause}\",cause=\"{cause}\"}}"
        ))
    }
}

#[test]
fn an_interface_that_left_the_configuration_is_inside_again() -> Result<()> {
    require_root!();
    let router = Router::new()?;
    let both = ["--interface", "edge0", "--interface", "edge1"];
    let daemon = router.edge.run(&both)?;
    router.forward(&router.behind, edge_mac(1), BEHIND, 50_000)?;
    ensure!(
        !router.is_answered(BEHIND, 50_000)?,
        "a packet from outside opened a flow"
    );
    assert_eq!(router.refused("foreign")?, 1.0);
    daemon.kill(PATIENCE)?;

    let _daemon = router.edge.run(&["--interface", "edge0"])?;
    router.forward(&router.behind, edge_mac(1), BEHIND, 50_001)?;
    ensure!(
        router.is_answered(BEHIND, 50_001)?,
        "mail from behind {} gets no answer",
        router.inside.edge_interface
    );
    Ok(())
}

/// A packet from outside that comes in by a device above the protected one, and leaves where it came from.
fn hairpin(commands: &[&str], mac: [u8; 6]) -> Result<()> {
    let router = Router::new()?;
    let machine = &router.edge.pair.edge;
    for command in commands {
        let words: Vec<&str> = command.split(' ').collect();
        machine.run(&words)?;
    }
    let _daemon = router.edge.run(&["--interface", "edge0"])?;
    let spoofed: Ipv4Addr = GERMAN.parse()?;
    router.forward(&router.outside, mac, spoofed, 50_000)?;
    ensure!(
        !router.is_answered(spoofed, 50_000)?,
        "a packet from outside opened a flow"
    );
    assert_eq!(router.refused("unattributed")?, 1.0);
    // What comes in elsewhere opens flows as before.
    router.forward(&router.behind, edge_mac(1), BEHIND, 50_001)?;
    ensure!(router.is_answered(BEHIND, 50_001)?, "mail gets no answer");
    Ok(())
}

#[test]
fn a_packet_that_came_in_by_a_macvlan_of_the_interface_opens_no_flow() -> Result<()> {
    require_root!();
    hairpin(
        &[
            "ip link add mac0 link edge0 address 02:00:00:00:07:07 type macvlan mode bridge",
            "ip link set mac0 up",
        ],
        [2, 0, 0, 0, 7, 7],
    )
}

#[test]
fn a_packet_that_came_in_by_a_bridge_over_the_interface_opens_no_flow() -> Result<()> {
    require_root!();
    hairpin(
        &[
            "ip link add br0 address 02:00:00:00:00:01 type bridge",
            "ip link set edge0 master br0",
            "ip link set br0 up",
            "ip neighbor add 192.0.2.2 lladdr 02:00:00:00:00:02 dev br0 nud permanent",
            "ip route replace 77.88.8.8 via 192.0.2.2 dev br0 onlink",
        ],
        EDGE_MAC,
    )
}

#[test]
fn a_device_that_is_made_above_the_interface_later_opens_no_flow() -> Result<()> {
    require_root!();
    let router = Router::new()?;
    let _daemon = router.edge.run(&["--interface", "edge0"])?;
    let machine = &router.edge.pair.edge;
    let make = "ip link add mac0 link edge0 address 02:00:00:00:07:07 type macvlan mode bridge";
    machine.run(&make.split(' ').collect::<Vec<_>>())?;
    machine.run(&["ip", "link", "set", "mac0", "up"])?;
    // A scrape examines the interfaces first.
    router.refused("unattributed")?;
    let spoofed: Ipv4Addr = GERMAN.parse()?;
    router.forward(&router.outside, [2, 0, 0, 0, 7, 7], spoofed, 50_000)?;
    ensure!(
        !router.is_answered(spoofed, 50_000)?,
        "a packet from outside opened a flow"
    );
    assert_eq!(router.refused("unattributed")?, 1.0);
    Ok(())
}

/// Starts a daemon whose configuration has this text.
fn run_by(router: &Router, directory: &TempDir, text: &str, more: &[&str]) -> Result<Daemon> {
    let file = directory.path().join("geofence.toml");
    std::fs::write(&file, text)?;
    let file = file.to_str().context("a path that is no text")?;
    router.edge.run(&[&["--config", file], more].concat())
}

/// What doctor advises about forwarded packets.
fn advice(router: &Router) -> Result<Vec<String>> {
    let report = router.edge.ask(&["doctor", "--json"])?.json()?;
    let findings = report["machine_findings"].as_array().into_iter().flatten();
    let lines = findings.filter_map(|one| one["line"].as_str());
    let lines = lines.filter(|line| line.starts_with("inner-interfaces"));
    Ok(lines.map(str::to_owned).collect())
}

#[test]
fn mail_from_behind_is_answered_when_every_interface_is_protected_and_the_inner_one_is_named()
-> Result<()> {
    require_root!();
    let (router, directory) = (Router::new()?, tempfile::tempdir()?);
    let outer = "block = [\"RU\"]\n";
    let both = ["--interface", "edge0", "--interface", "edge1"];
    let default = "ip route add default via 192.0.2.2 dev edge0";
    let words: Vec<&str> = default.split(' ').collect();
    router.edge.pair.edge.run(&words)?;
    let daemon = run_by(&router, &directory, outer, &both)?;
    router.forward(&router.behind, edge_mac(1), BEHIND, 50_000)?;
    ensure!(!router.is_answered(BEHIND, 50_000)?, "a flow was opened");
    ensure!(
        advice(&router)? == ["inner-interfaces = [\"edge1\"]"],
        "{:?}",
        advice(&router)?
    );
    // The key takes effect by a reload.
    let inner = format!("{outer}inner-interfaces = [\"edge1\"]\n");
    std::fs::write(directory.path().join("geofence.toml"), inner)?;
    let answer = router.edge.ask(&["reload"])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    let status = router.edge.ask(&["status"])?;
    ensure!(
        status
            .stdout
            .contains("edge1: protected, native mode, inner\n")
            && status.stdout.contains("edge0: protected, native mode\n"),
        "{status:?}"
    );
    router.forward(&router.behind, edge_mac(1), BEHIND, 50_001)?;
    ensure!(
        router.is_answered(BEHIND, 50_001)?,
        "mail from behind gets no answer"
    );
    // What comes from outside opens none, as before, and what comes in by the inner interface is judged.
    let spoofed: Ipv4Addr = GERMAN.parse()?;
    router.forward(&router.outside, edge_mac(0), spoofed, 50_002)?;
    ensure!(!router.is_answered(spoofed, 50_002)?, "a flow was opened");
    let arrivals = PacketSocket::open(&router.edge.pair.edge, "edge1")?;
    let here = router.inside.edge_address_for(RUSSIAN.parse()?);
    let frame = between(RUSSIAN.parse()?, here).tcp(40_000, 22).syn();
    ensure!(
        !crosses(&router.behind, &arrivals, &frame.build(), PATIENCE)?,
        "the inner interface is not protected"
    );
    ensure!(advice(&router)?.is_empty(), "{:?}", advice(&router)?);
    // It holds from the first packet after a restart.
    daemon.kill(PATIENCE)?;
    let text = std::fs::read_to_string(directory.path().join("geofence.toml"))?;
    let _daemon = run_by(&router, &directory, &text, &both)?;
    router.forward(&router.behind, edge_mac(1), BEHIND, 50_003)?;
    ensure!(router.is_answered(BEHIND, 50_003)?, "mail gets no answer");
    Ok(())
}

#[test]
fn one_armed_router_answers_mail_from_behind_when_its_interface_is_named_as_inner() -> Result<()> {
    require_root!();
    let (router, directory) = (Router::new()?, tempfile::tempdir()?);
    router
        .edge
        .pair
        .edge
        .run(&["ip", "link", "set", "edge1", "down"])?;
    let text = "block = [\"RU\"]\n";
    let daemon = run_by(&router, &directory, text, &[])?;
    let host: Ipv4Addr = GERMAN.parse()?;
    router.forward(&router.outside, edge_mac(0), host, 50_000)?;
    ensure!(!router.is_answered(host, 50_000)?, "a flow was opened");
    ensure!(
        advice(&router)? == ["inner-interfaces = [\"edge0\"]"],
        "{:?}",
        advice(&router)?
    );
    let inner = format!("{text}inner-interfaces = [\"edge0\"]\n");
    std::fs::write(directory.path().join("geofence.toml"), inner)?;
    // A changed file is noticed, and the log says what the key opens.
    let mut daemon = daemon;
    daemon.wait_line("every protected interface is in inner-interfaces", PATIENCE)?;
    let inner = poll(PATIENCE, || {
        let status = router.edge.ask(&["status"])?;
        Ok(status.stdout.contains("mode, inner").then_some(()))
    })?;
    inner.context("it does not become inner")?;
    router.forward(&router.outside, edge_mac(0), host, 50_001)?;
    ensure!(router.is_answered(host, 50_001)?, "mail gets no answer");
    ensure!(advice(&router)?.is_empty(), "{:?}", advice(&router)?);
    Ok(())
}
