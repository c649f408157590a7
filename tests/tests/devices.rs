//! Devices that are not plain Ethernet cards: what is judged there, and what is said where nothing can be.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::{Edge, LISTEN, PATIENCE};
use geofence_tests::frames::{Frame, between};
use geofence_tests::namespace::Namespace;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::require_root;
use geofence_tests::site::{CONFIG, GERMAN, RUSSIAN, Site};
use geofence_tests::tun::{Carries, Tun};
use geofence_tests::wait::poll;
use serde_json::Value;
use tempfile::TempDir;

/// Where packets are addressed to.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const HERE_V6: &str = "2001:db8::1";
const RUSSIAN_V6: &str = "2a02:6b8::feed:ff";

const CAN: u16 = 280;
const NO_HEADER: u16 = 65534;

/// A machine with an interface that a test makes and changes.
struct Machine {
    edge: Namespace,
    directory: TempDir,
}

impl Machine {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join(CONFIG), "xdp-mode = \"auto\"\n")?;
        Ok(Self {
            edge: Namespace::new()?,
            directory,
        })
    }

    fn tun(&self, carries: Carries) -> Result<Tun> {
        Tun::new(&self.edge, "tun0", carries)
    }

    fn run(&self) -> Result<Daemon> {
        let config = self.directory.path().join(CONFIG);
        let config = config.to_str().context("a path that is no text")?;
        let words = [
            "--interface",
            "tun0",
            "--listen",
            LISTEN,
            "--config",
            config,
        ];
        let mut daemon = Daemon::run(&self.edge, &words, &[])?;
        daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
        Ok(daemon)
    }

    /// Which of these packets the filter passes.
    fn passed(&self, tun: &Tun, packets: &[Vec<u8>]) -> Result<Vec<bool>> {
        let inside = PacketSocket::open(&self.edge, "tun0")?;
        let last = packet(GERMAN, HERE)?.tcp(40_000, 443).syn().build();
        let last = if matches!(packets.first(), Some(one) if one[0] >> 4 == 4 || one[0] >> 4 == 6) {
            last
        } else {
            between(GERMAN.parse()?, HERE)
                .tcp(40_000, 443)
                .syn()
                .build()
        };
        for packet in packets.iter().chain([&last]) {
            tun.send(packet)?;
        }
        let seen = inside.receive_until(PATIENCE, |packet| packet == last)?;
        Ok(packets.iter().map(|one| seen.contains(one)).collect())
    }

    fn status(&self) -> Result<Value> {
        let output = geofence(&self.edge)?.args(["status", "--json"]).output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// What doctor says of an interface and of the machine.
    fn doctor(&self, interface: &str) -> Result<String> {
        let output = geofence(&self.edge)?.args(["doctor", interface]).output()?;
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Waits until the status of the interface is as it should be.
    fn wait_status(&self, what: &str, is_right: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let seen = poll(PATIENCE, || {
            last = self.status()?["interfaces"][0].clone();
            Ok(is_right(&last).then(|| last.clone()))
        })?;
        seen.with_context(|| format!("{what}: {last}"))
    }
}

/// A packet without a link header.
fn packet(from: &str, to: IpAddr) -> Result<Frame> {
    Ok(Frame::packet().ip(from.parse()?, to))
}

fn ssh(from: &str, to: IpAddr) -> Result<Vec<u8>> {
    Ok(packet(from, to)?.tcp(40_000, 22).syn().build())
}

/// The same in an Ethernet frame.
fn ssh_frame(from: &str) -> Result<Vec<u8>> {
    Ok(between(from.parse()?, HERE).tcp(40_000, 22).syn().build())
}

#[test]
fn packets_without_link_header_are_judged_and_replies_pass() -> Result<()> {
    require_root!();
    let machine = Machine::new()?;
    let tun = machine.tun(Carries::Packets)?;
    let ended = "this machine terminates tunnels: tun0 (tun)";
    let said = machine.doctor("tun0")?;
    ensure!(said.contains(ended), "{said}");
    let daemon = machine.run()?;
    let said = machine.doctor("tun0")?;
    ensure!(
        !said.contains(ended),
        "protected, and named as open: {said}"
    );
    let blocked = [ssh(RUSSIAN, HERE)?, ssh(RUSSIAN_V6, HERE_V6.parse()?)?];
    let seen = machine.passed(
        &tun,
        &[blocked[0].clone(), blocked[1].clone(), ssh(GERMAN, HERE)?],
    )?;
    ensure!(seen == [false, false, true], "passed: {seen:?}");
    let body = geofence_tests::http::get(&machine.edge, LISTEN.parse()?, "/metrics", &[])?.body;
    ensure!(
        body.contains(
            "geofence_packets_total{interface=\"tun0\",country=\"RU\",action=\"drop\",reason=\"country_blocked\"} 2"
        ),
        "{body}"
    );

    // Our side opens a connection to a mail server there; its answer passes, and none to another port does.
    let here: Ipv4Addr = "192.0.2.1".parse()?;
    let there: Ipv4Addr = RUSSIAN.parse()?;
    let reply = |port| packet(RUSSIAN, HERE).map(|packet| packet.tcp(25, port).syn().ack().build());
    let seen = machine.passed(&tun, &[reply(50_000)?])?;
    ensure!(seen == [false], "a reply passed unasked");
    let open = Frame::packet()
        .ipv4(here, there)
        .tcp(50_000, 25)
        .syn()
        .build();
    PacketSocket::open(&machine.edge, "tun0")?.send_once(&open)?;
    tun.receive_until(PATIENCE, |packet| packet == open)?;
    let seen = machine.passed(&tun, &[reply(50_000)?, reply(50_001)?])?;
    ensure!(seen == [true, false], "replies that pass: {seen:?}");
    let status = machine.status()?["interfaces"][0].clone();
    ensure!(status["link_type"] == NO_HEADER, "{status}");

    // The next daemon takes over the programs and the flow.
    daemon.kill(PATIENCE)?;
    let mut daemon = machine.run()?;
    daemon.wait_line("taken over from an earlier geofence", PATIENCE)?;
    let seen = machine.passed(&tun, &[blocked[0].clone(), reply(50_000)?])?;
    ensure!(seen == [false, true], "after a restart: {seen:?}");
    Ok(())
}

#[test]
fn an_interface_that_returns_with_another_link_type_gets_the_program_for_it() -> Result<()> {
    require_root!();
    let machine = Machine::new()?;
    let tun = machine.tun(Carries::Packets)?;
    let _daemon = machine.run()?;
    drop(tun);
    machine.wait_status("gone", |one| one["standing"] == "gone")?;
    let tap = machine.tun(Carries::Frames)?;
    machine.wait_status("protected as a tap", |one| {
        one["protected"] == true && one["link_type"] == 1
    })?;
    let seen = machine.passed(&tap, &[ssh_frame(RUSSIAN)?, ssh_frame(GERMAN)?])?;
    ensure!(seen == [false, true], "frames that pass: {seen:?}");
    // What is not read passes, and the status says that there was some.
    let status = geofence(&machine.edge)?.arg("status").output()?;
    let said = String::from_utf8(status.stdout)?;
    ensure!(!said.contains("encapsulations"), "{said}");
    let label = [&[0, 1, 1, 64][..], &ssh(RUSSIAN, HERE)?].concat();
    let mpls = Frame::ethernet().raw(0x8847, label).build();
    let seen = machine.passed(&tap, &[mpls])?;
    ensure!(seen == [true], "MPLS that passes: {seen:?}");
    machine.wait_status("saw MPLS", |one| one["encapsulated"] == 1)?;
    let status = geofence(&machine.edge)?.arg("status").output()?;
    let said = String::from_utf8(status.stdout)?;
    ensure!(
        said.contains("NOTE       tun0 received 1 packets in encapsulations that are not read"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_link_type_that_changes_beneath_the_program_changes_the_program() -> Result<()> {
    require_root!();
    let machine = Machine::new()?;
    let tun = machine.tun(Carries::Packets)?;
    tun.set_up(false)?;
    tun.set_link_type(1)?;
    tun.set_up(true)?;
    let daemon = machine.run()?;
    let before = machine.status()?["interfaces"][0].clone();
    ensure!(before["link_type"] == 1, "{before}");
    // Loaded for Ethernet alone, the daemon has no program for what comes.
    tun.set_up(false)?;
    tun.set_link_type(NO_HEADER)?;
    let bare = machine.wait_status("bare", |one| one["standing"] == "bare")?;
    let detail = bare["detail"].as_str().context("no detail")?;
    ensure!(detail.contains("Restart geofence"), "{detail}");

    daemon.kill(PATIENCE)?;
    tun.set_up(true)?;
    let _daemon = machine.run()?;
    let seen = machine.passed(&tun, &[ssh(RUSSIAN, HERE)?, ssh(GERMAN, HERE)?])?;
    ensure!(seen == [false, true], "after the restart: {seen:?}");
    // Now both pairs are loaded, so the type can change both ways.
    for (link_type, protected) in [(1, true), (CAN, false), (NO_HEADER, true)] {
        tun.set_up(false)?;
        tun.set_link_type(link_type)?;
        tun.set_up(true)?;
        let one = machine.wait_status("follows the type", |one| {
            let is_seen = one["link_type"] == link_type || !protected;
            is_seen && one["protected"] == protected
        })?;
        if !protected {
            let detail = one["detail"].as_str().context("no detail")?;
            ensure!(detail.contains("CAN frames (link type 280)"), "{detail}");
        }
    }
    let seen = machine.passed(&tun, &[ssh(RUSSIAN, HERE)?, ssh(GERMAN, HERE)?])?;
    ensure!(seen == [false, true], "in the end: {seen:?}");
    Ok(())
}

#[test]
fn run_and_doctor_refuse_a_link_type_by_name() -> Result<()> {
    require_root!();
    let machine = Machine::new()?;
    let tun = machine.tun(Carries::Packets)?;
    tun.set_up(false)?;
    tun.set_link_type(CAN)?;
    let refusal = "tun0 carries CAN frames (link type 280), which geofence cannot judge";
    for words in [
        &["doctor", "tun0"][..],
        &["run", "--interface", "tun0", "--listen", LISTEN],
    ] {
        let output = geofence(&machine.edge)?.args(words).output()?;
        let said = String::from_utf8([output.stdout, output.stderr].concat())?;
        ensure!(
            !output.status.success() && said.contains(refusal),
            "{words:?}: {said}"
        );
    }
    Ok(())
}

#[test]
fn a_tun_that_comes_after_the_start_is_judged() -> Result<()> {
    require_root!();
    let machine = Machine::new()?;
    let config = machine.directory.path().join(CONFIG);
    let config = config.to_str().context("a path that is no text")?;
    let words = [
        "--interface",
        "tun0",
        "--listen",
        LISTEN,
        "--config",
        config,
    ];
    let mut daemon = Daemon::run(&machine.edge, &words, &[])?;
    daemon.wait_line("ready: metrics", PATIENCE)?;
    let tun = machine.tun(Carries::Packets)?;
    machine.wait_status("protected", |one| one["protected"] == true)?;
    let seen = machine.passed(&tun, &[ssh(RUSSIAN, HERE)?, ssh(GERMAN, HERE)?])?;
    ensure!(seen == [false, true], "packets that pass: {seen:?}");
    Ok(())
}

#[test]
fn a_bridge_and_its_port_are_attached_in_the_order_that_the_kernel_takes() -> Result<()> {
    require_root!();
    let machine = Machine::new()?;
    let _tap = machine.tun(Carries::Frames)?;
    for words in [
        "ip link add br0 type bridge",
        "ip link set tun0 master br0",
        "ip link set br0 up",
    ] {
        machine.edge.run(&words.split(' ').collect::<Vec<_>>())?;
    }
    let config = machine.directory.path().join(CONFIG);
    let config = config.to_str().context("a path that is no text")?;
    let words = [
        "--interface",
        "br0",
        "--interface",
        "tun0",
        "--config",
        config,
    ];
    let mut daemon = Daemon::run(
        &machine.edge,
        &[&words[..], &["--listen", LISTEN, "--strict"]].concat(),
        &[],
    )?;
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)
}

#[test]
fn run_and_status_say_what_a_filter_on_a_device_misses() -> Result<()> {
    require_root!();
    let machine = Machine::new()?;
    let run = |words: &str| machine.edge.run(&words.split(' ').collect::<Vec<_>>());
    run("ip link add base0 type veth peer name base1")?;
    run("ip link add tun0 link base0 type macvlan mode bridge")?;
    run("ip link set base0 up")?;
    run("ip link set tun0 up")?;
    let mut daemon = machine.run()?;
    let missed =
        "tun0 is a macvlan of base0: a filter on it judges only the packets for its MAC address";
    daemon.wait_line(missed, PATIENCE)?;
    // It got generic mode, and the log has the kernel's reason.
    let refusal = "(the kernel says: \"Underlying driver does not support XDP in native mode\")";
    let said = daemon.stderr();
    ensure!(
        said.contains("tun0 takes no program in native mode: ") && said.contains(refusal),
        "{said}"
    );
    let status = geofence(&machine.edge)?.arg("status").output()?;
    let said = String::from_utf8(status.stdout)?;
    ensure!(
        said.contains(missed) && said.contains("Advice: interfaces = [\"base0\"]"),
        "{said}"
    );
    // Doctor says the same of either device.
    let said = machine.doctor("tun0")?;
    ensure!(
        said.contains(missed) && said.contains("interfaces = [\"base0\"]"),
        "{said}"
    );
    let said = machine.doctor("base0")?;
    ensure!(!said.contains("macvlan"), "base0 misses nothing: {said}");
    // It is no reason to call the filter degraded.
    ensure!(status.status.code() == Some(0), "{said}");
    Ok(())
}

/// A tunnel whose outer packets cross a protected link. Its ports are the same both ways, as those of a VPN client.
struct Tunnel<'a> {
    edge: &'a Edge,
    /// Addresses inside, of a country that is blocked: at the peer and at the machine.
    inside: [String; 2],
}

impl<'a> Tunnel<'a> {
    /// Joins the machine with a peer at this address.
    fn new(edge: &'a Edge, id: u8, outside: &str) -> Result<Self> {
        let outside: IpAddr = outside.parse()?;
        edge.pair.claim(outside)?;
        let own = edge.pair.edge_address_for(outside);
        let inside = [2, 1].map(|last| format!("5.136.{id}.{last}"));
        let ends = [
            (&edge.pair.peer, &edge.pair.peer_interface, outside, own),
            (&edge.pair.edge, &edge.pair.edge_interface, own, outside),
        ];
        for ((machine, below, local, remote), address) in ends.into_iter().zip(&inside) {
            for command in [
                format!(
                    "ip link add tunnel{id} type vxlan id {id} local {local} remote {remote} dev {below} \
                     srcport 4789 4790 dstport 4789"
                ),
                format!("ip address add {address}/24 dev tunnel{id}"),
                format!("ip link set tunnel{id} up"),
            ] {
                machine.run(&command.split(' ').collect::<Vec<_>>())?;
            }
        }
        Ok(Self { edge, inside })
    }

    /// Whether a datagram arrives at the other end within a time: from the peer, or from the machine.
    fn carries(&self, from_peer: bool, patience: Duration) -> Result<bool> {
        let (peer, machine) = (&self.edge.pair.peer, &self.edge.pair.edge);
        let [there, here] = &self.inside;
        let (sender, from, receiver, to) = if from_peer {
            (peer, there, machine, here)
        } else {
            (machine, here, peer, there)
        };
        let to = (to.parse::<IpAddr>()?, 9);
        let receiver = receiver.enter(|| UdpSocket::bind(to))??;
        receiver.set_read_timeout(Some(Duration::from_millis(100)))?;
        let sender = sender.enter(|| {
            UdpSocket::bind((from.parse::<IpAddr>()?, 0)).map_err(anyhow::Error::from)
        })??;
        let arrived = poll(patience, || {
            // A neighbour that is not found is reported here.
            let _ = sender.send_to(b"x", to);
            Ok(receiver.recv(&mut [0; 1]).is_ok().then_some(()))
        })?;
        Ok(arrived.is_some())
    }
}

#[test]
fn tunnel_behind_the_filter_works_as_its_outer_packets_say() -> Result<()> {
    require_root!();
    const SHORT: Duration = Duration::from_secs(1);
    let site = Site::new("block = [\"RU\"]\n")?;
    let daemon = site.run(&[])?;
    let german = Tunnel::new(&site.edge, 7, GERMAN)?;
    let russian = Tunnel::new(&site.edge, 8, RUSSIAN)?;
    // What is inside is not looked at: its addresses are Russian both times.
    for from_peer in [true, false] {
        ensure!(
            german.carries(from_peer, PATIENCE)?,
            "from the peer: {from_peer}"
        );
        ensure!(
            !russian.carries(from_peer, SHORT)?,
            "from the peer: {from_peer}"
        );
    }
    // A client here begins, and its server in a blocked country answers.
    site.configure("block = [\"RU\"]\nreplies = \"all\"\n")?;
    daemon.kill(PATIENCE)?;
    let _daemon = site.run(&[])?;
    ensure!(russian.carries(false, PATIENCE)?, "the answers are dropped");
    ensure!(russian.carries(true, PATIENCE)?, "the answers are dropped");
    Ok(())
}
