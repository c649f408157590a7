//! Packets that the machine forwards: those from inside open flows, those that came in from outside do not, whatever
//! device they seem to have come in by.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use geofence_common::maps::DEVICES_MAX;
use geofence_tests::daemon::Daemon;
use geofence_tests::edge::{Edge, PATIENCE};
use geofence_tests::frames::{Frame, between};
use geofence_tests::link::{EDGE_MAC, Link, Pair, edge_mac};
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe::crosses;
use geofence_tests::require_root;
use geofence_tests::site::{GERMAN, RUSSIAN};
use geofence_tests::wait::poll;
use tempfile::TempDir;

const SMTP: u16 = 25;
const DNS: u16 = 53;
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
        self.pass_on(by, mac, &between(from.into(), to).tcp(port, SMTP).syn())
    }

    /// Sends a packet to this MAC address of the router, and waits until the router has forwarded it.
    fn pass_on(&self, by: &PacketSocket, mac: [u8; 6], packet: &Frame) -> Result<()> {
        let mut frame = packet.build();
        frame[..6].copy_from_slice(&mac);
        by.send(&frame)?;
        self.outside
            .receive_until(PATIENCE, |seen| seen.get(ENDS) == frame.get(ENDS))
            .map(drop)
    }

    /// Whether the mail server's answer gets in.
    fn is_answered(&self, to: Ipv4Addr, port: u16) -> Result<bool> {
        let answer = between(RUSSIAN.parse()?, to.into()).tcp(SMTP, port);
        self.gets_in(&answer.syn().ack())
    }

    /// Whether a packet from outside gets in.
    fn gets_in(&self, packet: &Frame) -> Result<bool> {
        crosses(&self.outside, &self.arrivals, &packet.build(), PATIENCE)
    }

    fn refused(&self, cause: &str) -> Result<f64> {
        self.refused_in("mail", cause)
    }

    fn refused_in(&self, table: &str, cause: &str) -> Result<f64> {
        self.edge.metric(&format!(
            "geofence_flow_refusals_total{{table=\"{table}\",reason=\"{cause}\",cause=\"{cause}\"}}"
        ))
    }

    /// Runs commands of the router.
    fn on_router(&self, commands: &[&str]) -> Result<()> {
        for command in commands {
            let words: Vec<&str> = command.split(' ').collect();
            self.edge.pair.edge.run(&words)?;
        }
        Ok(())
    }

    /// Waits until the status says this, about a packet that is forwarded again and again.
    fn wait_said(&self, text: &str, forward: impl Fn() -> Result<()>) -> Result<()> {
        let mut last = String::new();
        let said = poll(PATIENCE, || {
            forward()?;
            let answer = self.edge.ask(&["status"])?;
            ensure!(answer.code == Some(0), "{answer:?}");
            last = answer.stdout;
            Ok(last.contains(text).then_some(()))
        })?;
        said.with_context(|| format!("status does not say {text:?}: {last}"))
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
    let said = "forwarded mail to blocked countries goes unanswered, because it came in by a protected interface";
    router.wait_said(said, || {
        router.forward(&router.behind, edge_mac(1), BEHIND, 50_002)
    })?;
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

/// A message of DNS with an identifier: a header and the start of a name.
fn message(is_response: bool) -> [u8; 24] {
    let mut message = [7; 24];
    message[2] = u8::from(is_response) << 7;
    message
}

/// A packet from outside that comes in by a device above the protected one, and leaves where it came from.
fn hairpin(commands: &[&str], mac: [u8; 6], rp_filter: &str) -> Result<()> {
    let router = Router::new()?;
    router.on_router(commands)?;
    let all = "net/ipv4/conf/all/rp_filter";
    router.edge.pair.edge.set(all, rp_filter)?;
    let _daemon = router.edge.run(&["--interface", "edge0"])?;
    let spoofed: Ipv4Addr = GERMAN.parse()?;
    router.forward(&router.outside, mac, spoofed, 50_000)?;
    ensure!(
        !router.is_answered(spoofed, 50_000)?,
        "a packet from outside opened a flow"
    );
    assert_eq!(router.refused("unattributed")?, 1.0);
    // A query in the name of a host would open every UDP port of it to the answers of port 53.
    let there: IpAddr = RUSSIAN.parse()?;
    let query = between(spoofed.into(), there).udp(50_002, DNS);
    router.pass_on(&router.outside, mac, &query.payload(message(false)))?;
    let answer = between(there, spoofed.into()).udp(DNS, 50_002);
    ensure!(
        !router.gets_in(&answer.payload(message(true)))?,
        "a query from outside opened a flow"
    );
    assert_eq!(router.refused_in("dns", "unattributed")?, 1.0);
    // What comes in elsewhere opens flows as before.
    router.forward(&router.behind, edge_mac(1), BEHIND, 50_001)?;
    ensure!(router.is_answered(BEHIND, 50_001)?, "mail gets no answer");
    let said =
        "forwarded mail to blocked countries goes unanswered, because it came in by a device above";
    router.wait_said(said, || {
        router.forward(&router.outside, mac, spoofed, 50_000)
    })
}

#[test]
fn a_packet_that_came_in_by_a_macvlan_of_the_interface_opens_no_flow() -> Result<()> {
    require_root!();
    let macvlan = "ip link add mac0 link edge0 address 02:00:00:00:07:07 type macvlan mode bridge";
    hairpin(&[macvlan, "ip link set mac0 up"], [2, 0, 0, 0, 7, 7], "0")
}

const BRIDGE: [&str; 5] = [
    "ip link add br0 address 02:00:00:00:00:01 type bridge",
    "ip link set edge0 master br0",
    "ip link set br0 up",
    "ip neighbor add 192.0.2.2 lladdr 02:00:00:00:00:02 dev br0 nud permanent",
    "ip route replace 77.88.8.8 via 192.0.2.2 dev br0 onlink",
];

#[test]
fn a_packet_that_came_in_by_a_bridge_over_the_interface_opens_no_flow() -> Result<()> {
    require_root!();
    hairpin(&BRIDGE, EDGE_MAC, "0")
}

#[test]
fn a_bridge_with_loose_filtering_of_sources_opens_no_flow_either() -> Result<()> {
    require_root!();
    // Loose: a source may come in by any interface if there is a route to it.
    let route = "ip route add default via 192.0.2.2 dev br0 onlink";
    hairpin(&[&BRIDGE[..], &[route]].concat(), EDGE_MAC, "2")
}

#[test]
fn a_device_that_is_made_above_the_interface_later_opens_no_flow() -> Result<()> {
    require_root!();
    let router = Router::new()?;
    // It gets the index that a device of the inside had.
    router.on_router(&[
        "ip link add old0 index 9001 type veth peer name old1",
        "ip link set old0 up",
    ])?;
    let _daemon = router.edge.run(&["--interface", "edge0"])?;
    router.on_router(&[
        "ip link del old0",
        "ip link add mac0 link edge0 index 9001 address 02:00:00:00:07:07 type macvlan mode bridge",
        "ip link set mac0 up",
    ])?;
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

#[test]
fn a_device_whose_index_is_equal_modulo_the_table_is_not_taken_for_the_protected_one() -> Result<()>
{
    require_root!();
    let router = Router::new()?;
    let machine = &router.edge.pair.edge;
    let line = machine.run(&["ip", "-oneline", "link", "show", "edge0"])?;
    let index = line.split(':').next().context("no index")?;
    let far = index.trim().parse::<u32>()? + DEVICES_MAX;
    router.on_router(&[
        &format!("ip link add far0 index {far} address 02:00:00:00:08:08 type veth peer name far1"),
        "ip link set far0 up",
        "ip link set far1 up",
    ])?;
    let _daemon = router.edge.run(&["--interface", "edge0"])?;
    let beyond = PacketSocket::open(machine, "far1")?;
    router.forward(&beyond, [2, 0, 0, 0, 8, 8], BEHIND, 50_000)?;
    ensure!(!router.is_answered(BEHIND, 50_000)?, "it opened a flow");
    assert_eq!(router.refused("foreign")?, 0.0);
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
