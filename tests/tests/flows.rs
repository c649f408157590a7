//! Replies through a real interface: what our side opened is answered, and nothing else is.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::call;
use geofence_tests::daemon::{Daemon, geofence};
use geofence_tests::edge::{Edge, LISTEN, PATIENCE};
use geofence_tests::frames::{between, number};
use geofence_tests::link::{Pair, veth};
use geofence_tests::namespace::Namespace;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe::crosses;
use geofence_tests::require_root;
use geofence_tests::wait::poll;
use geofence_user::explain::{Protocol, Question};

/// An edge that the daemon protects, and both ends of its link.
struct Lab {
    pair: Pair,
    daemon: Daemon,
    outside: PacketSocket,
    inside: PacketSocket,
}

impl Lab {
    fn new(arguments: &[&str]) -> Result<Self> {
        let (peer, edge) = (Namespace::new()?, Namespace::new()?);
        let pair = veth(&peer, &edge)?;
        let fixed = ["--interface", "edge0", "--listen", LISTEN];
        let arguments: Vec<&str> = fixed.iter().chain(arguments).copied().collect();
        let mut daemon = Daemon::run(&edge, &arguments, &[])?;
        daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
        Ok(Self {
            outside: PacketSocket::open(&peer, "peer0")?,
            inside: PacketSocket::open(&edge, "edge0")?,
            pair,
            daemon,
        })
    }

    /// Whether a frame from outside gets in.
    fn passes(&self, frame: &[u8]) -> Result<bool> {
        crosses(&self.outside, &self.inside, frame, PATIENCE)
    }

    /// Sends a frame out, and waits until it has left.
    fn send(&self, frame: &[u8]) -> Result<()> {
        self.inside.send(frame)?;
        self.outside
            .receive_until(PATIENCE, |seen| seen == frame)
            .map(|_| ())
    }

    fn flows(&self) -> Result<serde_json::Value> {
        let output = geofence(&self.pair.edge)?
            .args(["flows", "--json"])
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).context("its JSON")
    }
}

fn question(
    source: &str,
    destination: &str,
    protocol: Protocol,
    source_port: u16,
    destination_port: u16,
    is_reply: bool,
) -> Question {
    Question {
        source: source.parse().expect("an address"),
        destination: destination.parse().expect("an address"),
        protocol,
        source_port,
        destination_port,
        is_reply,
    }
}

#[test]
fn replies_pass_only_to_flows_that_our_side_opened() -> Result<()> {
    require_root!();
    let lab = Lab::new(&[])?;
    let ends = [
        ("77.88.8.8", "192.0.2.1"),
        ("2a02:6b8::feed:ff", "2001:db8::1"),
    ];
    for (there, here) in ends {
        for (protocol, port) in [
            (Protocol::Udp, 53),
            (Protocol::Tcp, 53),
            (Protocol::Tcp, 25),
        ] {
            let answer = question(there, here, protocol, port, 40_000, true);
            let frame = answer.frame()?;
            let what = format!("{protocol:?} from {there} port {port}");
            ensure!(!lab.passes(&frame)?, "{what} passed unasked");
            lab.send(&answer.reversed().frame()?)?;
            ensure!(lab.passes(&frame)?, "{what} fell though it was asked for");
            let other = question(there, here, protocol, port, 40_001, true);
            ensure!(
                !lab.passes(&other.frame()?)?,
                "{what} passed to another port"
            );
            if protocol == Protocol::Tcp {
                let opening = question(there, here, protocol, port, 40_000, false);
                ensure!(!lab.passes(&opening.frame()?)?, "{what}: a SYN passed");
            }
        }
        // What our side opens elsewhere is not tracked by default.
        let web = question(there, here, Protocol::Tcp, 443, 40_000, true);
        lab.send(&web.reversed().frame()?)?;
        ensure!(!lab.passes(&web.frame()?)?, "HTTPS from {there} passed");
        // An answer opens nothing: here, the SYN with ACK of a mail server of ours to a client at port 25.
        let client = question(there, here, Protocol::Tcp, 25, 50_000, true);
        lab.send(&client.reversed_answer()?)?;
        ensure!(
            !lab.passes(&client.frame()?)?,
            "an answer of ours opened a flow"
        );
    }
    let flows = lab.flows()?;
    let count = flows["flows"].as_array().map_or(0, Vec::len);
    ensure!(count == 6, "six flows were opened, but there are: {flows}");
    lab.daemon.interrupt(PATIENCE)?;
    Ok(())
}

/// The segment with ACK that our side would send there.
trait Answered {
    fn reversed_answer(&self) -> Result<Vec<u8>>;
}

impl Answered for Question {
    fn reversed_answer(&self) -> Result<Vec<u8>> {
        let answer = Question {
            is_reply: true,
            ..self.reversed()
        };
        Ok(answer.frame()?)
    }
}

#[test]
fn mail_and_dns_of_ours_are_counted_as_unanswered_where_replies_are_off() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let place = tempfile::tempdir()?;
    let config = place.path().join("geofence.toml");
    std::fs::write(&config, "replies = \"none\"\n")?;
    let _daemon = edge.run(&["--config", config.to_str().context("a path")?])?;
    let inside = PacketSocket::open(&edge.pair.edge, edge.interface())?;
    let outside = PacketSocket::open(&edge.pair.peer, &edge.pair.peer_interface)?;
    let send = |there: &str, here: &str, protocol, port| -> Result<()> {
        let answer = question(there, here, protocol, port, 40_000, true);
        let frame = answer.reversed().frame()?;
        inside.send(&frame)?;
        outside
            .receive_until(PATIENCE, |seen| seen == frame)
            .map(|_| ())
    };
    let unanswered = |table: &str| {
        edge.metric(&format!(
            "geofence_flow_refusals_total{{table=\"{table}\",reason=\"replies_off\",cause=\"replies_off\"}}"
        ))
    };
    let tables = || {
        Ok::<_, anyhow::Error>([
            unanswered("mail")?,
            unanswered("dns")?,
            unanswered("other")?,
        ])
    };
    ensure!(
        tables()? == [0.0; 3],
        "{:?} before the first packet",
        tables()?
    );
    for (there, here) in [
        ("77.88.8.8", "192.0.2.1"),
        ("2a02:6b8::feed:ff", "2001:db8::1"),
    ] {
        send(there, here, Protocol::Tcp, 25)?;
        send(there, here, Protocol::Tcp, 993)?;
        send(there, here, Protocol::Udp, 53)?;
        // The operator did not ask for replies to other traffic.
        send(there, here, Protocol::Tcp, 443)?;
    }
    // Replies from a country that is not blocked come in.
    send("8.8.8.8", "192.0.2.1", Protocol::Tcp, 25)?;
    ensure!(tables()? == [4.0, 2.0, 0.0], "counted {:?}", tables()?);
    let said = poll(PATIENCE, || {
        send("77.88.8.8", "192.0.2.1", Protocol::Tcp, 25)?;
        let answer = edge.ask(&["status"])?;
        let says = answer
            .stdout
            .contains("our own mail to blocked countries goes unanswered: ");
        Ok(says.then_some(answer))
    })?;
    let said = said.context("status does not say that mail goes unanswered")?;
    // The operator has asked for it.
    ensure!(said.code == Some(0), "{said:?}");
    Ok(())
}

/// Where an Ethernet frame without tags has the ports, the sequence number and the flags of TCP over IPv4.
const TCP_AT: usize = 14 + 20;

/// The flags of a TCP segment over IPv4 from the edge to this mail server; nothing for any other frame.
fn flags_to(frame: &[u8], server: Ipv4Addr) -> Option<u8> {
    let is_tcp = frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&6);
    let is_to = frame.get(30..34) == Some(&server.octets()) && frame.get(36..38) == Some(&[0, 25]);
    (is_tcp && is_to).then(|| frame[TCP_AT + 13])
}

#[test]
fn connection_comes_about_though_our_kernel_answers_a_forged_ack_with_a_reset() -> Result<()> {
    require_root!();
    let lab = Lab::new(&[])?;
    let server: Ipv4Addr = "77.88.8.8".parse()?;
    let here = lab.pair.edge_address_for(server.into());
    // The peer does not have the address, so nothing answers but this test.
    let route = "ip route add 77.88.8.8 via 192.0.2.2 dev edge0";
    lab.pair.edge.run(&route.split(' ').collect::<Vec<_>>())?;
    let edge = lab.pair.edge.clone();
    let to = SocketAddr::new(server.into(), 25);
    let calling = std::thread::spawn(move || call::tcp(&edge, here, to, PATIENCE));

    let syn = RefCell::new(Vec::new());
    lab.outside.receive_until(PATIENCE, |frame| {
        *syn.borrow_mut() = frame.to_vec();
        flags_to(frame, server) == Some(number::SYN)
    })?;
    let syn = syn.into_inner();
    let port = u16::from_be_bytes([syn[TCP_AT], syn[TCP_AT + 1]]);
    let number: [u8; 4] = syn[TCP_AT + 4..TCP_AT + 8].try_into()?;
    let first = u32::from_be_bytes(number);
    let answer = || {
        between(server.into(), here)
            .tcp(25, port)
            .sequence(7_000_000)
    };

    // A stranger's segment acknowledges what was never sent.
    let forged = answer()
        .ack()
        .acknowledgement(first.wrapping_add(1_000_000));
    ensure!(lab.passes(&forged.build())?, "it does not reach our kernel");
    let resets =
        |frame: &[u8]| flags_to(frame, server).is_some_and(|flags| flags & number::RST != 0);
    lab.outside.receive_until(PATIENCE, resets)?;
    // A flow that is closed by a RST of ours has 10 seconds.
    let left = |state: &str| -> Result<u64> {
        let flows = lab.flows()?;
        let flow = &flows["flows"][0];
        ensure!(flow["state"] == state, "{flows}");
        flow["left"].as_u64().with_context(|| flows.to_string())
    };
    ensure!(left("opening")? > 60, "{}", lab.flows()?);

    let real = answer().syn().ack().acknowledgement(first.wrapping_add(1));
    lab.outside.send(&real.build())?;
    let called = calling.join().map_err(|_| anyhow::anyhow!("a panic"))??;
    ensure!(called.is_some(), "the connection does not come about");
    ensure!(left("established")? > 3600, "{}", lab.flows()?);
    Ok(())
}
