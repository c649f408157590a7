//! The harness's own promises about networks: frames cross a link unchanged, alone, and lead nowhere else.
//!
//! A suite that blames the filter must be able to trust these first. Needs root; reported as skipped without it.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::call;
use geofence_tests::corpus::corpus;
use geofence_tests::frames::{Frame, between};
use geofence_tests::http;
use geofence_tests::link::{EDGE_MAC, Link, PEER_MAC, veth};
use geofence_tests::mutate::Generator;
use geofence_tests::namespace::Namespace;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::require_root;

const PATIENCE: Duration = Duration::from_secs(60);

/// A frame that no test sends otherwise.
fn last() -> Vec<u8> {
    Frame::ethernet()
        .payload(b"nothing comes after this")
        .build()
}

#[test]
fn tagged_frame_arrives_unchanged() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let sender = PacketSocket::open(&peer, &pair.peer_interface)?;
    let receiver = PacketSocket::open(&edge, &pair.edge_interface)?;
    let tagged = |protocol, control| Frame::ethernet().vlan(protocol, control);
    for (what, frame) in [
        ("one tag", tagged(0x8100, 0xa005)),
        ("a provider's tag", tagged(0x88a8, 7)),
        ("two tags", tagged(0x88a8, 7).vlan(0x8100, 5)),
        ("a priority tag", tagged(0x8100, 0xe000)),
        ("an old provider's tag", tagged(0x9100, 7)),
        ("no tag", Frame::ethernet()),
    ] {
        let frame = frame
            .ipv4([203, 0, 113, 7], [192, 0, 2, 1])
            .tcp(1234, 25)
            .syn()
            .payload(b"mail")
            .build();
        sender.send(&frame)?;
        let received = receiver
            .receive(PATIENCE)?
            .with_context(|| format!("{what} did not arrive"))?;
        assert_eq!(received, frame, "{what}");
    }
    Ok(())
}

#[test]
fn corpus_and_mutated_frames_arrive_unchanged() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = Link::default()
        .unaddressed()
        .mtu(3500)
        .connect(&peer, &edge)?;
    let sender = PacketSocket::open(&peer, &pair.peer_interface)?;
    let receiver = PacketSocket::open(&edge, &pair.edge_interface)?;
    let v4 = corpus([203, 0, 113, 7].into(), [192, 0, 2, 1].into());
    let v6 = corpus("2001:db8:7::7".parse()?, "2001:db8::1".parse()?);
    let generator = Generator::new(5, Vec::new())
        .take(2_000)
        .map(|frame| ("mutated", frame));
    for (name, frame) in v4.into_iter().chain(v6).chain(generator) {
        if stack_drops(&frame) {
            continue;
        }
        sender
            .send(&frame)
            .with_context(|| format!("{name}: {frame:02x?}"))?;
        let received = receiver.receive(PATIENCE)?;
        let received = received.with_context(|| format!("{name} did not arrive: {frame:02x?}"))?;
        assert_eq!(received, frame, "{name}");
    }
    Ok(())
}

/// Linux looks two bytes past the first tag and drops a frame that ends before, filter or not.
fn stack_drops(frame: &[u8]) -> bool {
    matches!(frame[12..14], [0x81, 0x00] | [0x88, 0xa8]) && frame.len() < 14 + 4 + 2
}

#[test]
fn quiet_link_carries_only_what_is_sent() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let receiver = PacketSocket::open(&edge, &pair.edge_interface)?;
    let sender = PacketSocket::open(&peer, &pair.peer_interface)?;
    let foreign: [IpAddr; 2] = [[198, 51, 100, 9].into(), "2001:db8:9::9".parse()?];
    for address in foreign {
        pair.claim(address)?;
    }
    for from in pair.peer_addresses().into_iter().chain(foreign) {
        let to = pair.edge_address_for(from);
        let listener = edge.enter(|| TcpListener::bind((to, 0)))??;
        let address = listener.local_addr()?;
        let answer = thread::spawn(move || -> Result<SocketAddr> {
            let (mut stream, caller) = listener.accept()?;
            stream.write_all(b"220 ready\r\n")?;
            Ok(caller)
        });
        let mut call = call::tcp(&peer, from, address, PATIENCE)?.context("no answer")?;
        let mut said = String::new();
        call.read_to_string(&mut said)?;
        assert_eq!(said, "220 ready\r\n");
        assert_eq!(answer.join().unwrap()?.ip(), from);
    }
    sender.send(&last())?;
    for frame in receiver.receive_until(PATIENCE, |frame| *frame == last())? {
        let sliced = etherparse::SlicedPacket::from_ethernet(&frame)?;
        ensure!(
            matches!(sliced.transport, Some(etherparse::TransportSlice::Tcp(_))),
            "unasked for: {frame:02x?}"
        );
    }
    Ok(())
}

#[test]
fn link_with_discovery_resolves_its_neighbours() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = Link::default().discovery().connect(&peer, &edge)?;
    let receiver = PacketSocket::open(&edge, &pair.edge_interface)?;
    for from in pair.peer_addresses() {
        let to = pair.edge_address_for(from);
        let listener = edge.enter(|| TcpListener::bind((to, 0)))??;
        let call = call::tcp(&peer, from, listener.local_addr()?, PATIENCE)?;
        assert!(call.is_some(), "no answer from {to}");
    }
    let sender = PacketSocket::open(&peer, &pair.peer_interface)?;
    sender.send(&last())?;
    let frames = receiver.receive_until(PATIENCE, |frame| *frame == last())?;
    assert!(
        frames.iter().any(|frame| frame[12..14] == [0x08, 0x06]),
        "no ARP: {frames:02x?}"
    );
    let solicitation =
        |frame: &Vec<u8>| frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] == 135;
    assert!(
        frames.iter().any(solicitation),
        "no neighbour solicitation: {frames:02x?}"
    );
    Ok(())
}

#[test]
fn packet_sockets_receive_only_incoming_frames() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = Link::default()
        .number(3)
        .unaddressed()
        .connect(&peer, &edge)?;
    assert_eq!(pair.edge_interface, "edge3");
    let near = PacketSocket::open(&peer, &pair.peer_interface)?;
    let watcher = PacketSocket::open(&peer, &pair.peer_interface)?;
    let far = PacketSocket::open(&edge, &pair.edge_interface)?;
    near.send(&last())?;
    assert_eq!(far.receive(PATIENCE)?, Some(last()));
    // Back the other way: it must be the first that either socket of the peer sees.
    let back = Frame::ethernet()
        .source_mac(EDGE_MAC)
        .destination_mac(PEER_MAC)
        .payload(b"back")
        .build();
    far.send(&back)?;
    assert_eq!(near.receive(PATIENCE)?, Some(back.clone()));
    assert_eq!(watcher.receive(PATIENCE)?, Some(back));
    assert_eq!(far.receive(Duration::ZERO)?, None);
    let error = near
        .receive_until(Duration::from_millis(20), |_| true)
        .unwrap_err();
    assert!(error.to_string().contains("0 other frames"), "{error}");
    Ok(())
}

#[test]
fn harness_errors_name_their_cause() -> Result<()> {
    require_root!();
    let namespace = Namespace::new()?;
    let explained = |error: anyhow::Error, words: &[&str]| {
        let text = format!("{error:#}");
        for word in words {
            assert!(text.contains(word), "no {word:?} in {text:?}");
        }
    };
    explained(
        PacketSocket::open(&namespace, "nowhere0").unwrap_err(),
        &["nowhere0", "no such interface"],
    );
    explained(
        namespace
            .run(&["ip", "link", "show", "nowhere0"])
            .unwrap_err(),
        &["ip link show nowhere0", "exist"],
    );
    explained(
        namespace.run(&["no-such-program"]).unwrap_err(),
        &["no-such-program"],
    );
    explained(
        namespace.set("net/no/such", "1").unwrap_err(),
        &["/proc/sys/net/no/such"],
    );
    explained(
        Link::default()
            .number(16)
            .connect(&namespace, &namespace)
            .unwrap_err(),
        &["16"],
    );
    let closed = SocketAddr::from(([127, 0, 0, 1], 1));
    explained(
        http::get(&namespace, closed, "/healthz", &[]).unwrap_err(),
        &["127.0.0.1:1/healthz", "refused"],
    );
    Ok(())
}

#[test]
fn namespace_has_only_a_loopback() -> Result<()> {
    require_root!();
    let namespace = Namespace::new()?;
    let links = namespace.run(&["ip", "-o", "link"])?;
    assert_eq!(links.lines().count(), 1, "{links}");
    assert!(links.contains("LOOPBACK,UP"), "{links}");
    let routes = [
        namespace.run(&["ip", "route"])?,
        namespace.run(&["ip", "-6", "route"])?,
    ]
    .concat();
    assert!(!routes.contains("default"), "{routes}");
    let error = namespace
        .enter(|| TcpStream::connect(("192.0.2.1", 25)))?
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NetworkUnreachable);
    Ok(())
}

#[test]
fn call_distinguishes_silence_from_refusal() -> Result<()> {
    require_root!();
    let (peer, edge) = (Namespace::new()?, Namespace::new()?);
    let pair = veth(&peer, &edge)?;
    let ([from, _], [to, _]) = (pair.peer_addresses(), pair.edge_addresses());
    let refusal = call::tcp(&peer, from, SocketAddr::new(to, 22), PATIENCE).unwrap_err();
    let kind = refusal
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind);
    assert_eq!(
        kind,
        Some(std::io::ErrorKind::ConnectionRefused),
        "{refusal:#}"
    );
    // An edge without the address takes what is sent to it and answers nothing.
    let closed = SocketAddr::from(([192, 0, 2, 1], 22));
    edge.run(&["ip", "link", "set", "dev", &pair.edge_interface, "down"])?;
    edge.run(&["ip", "address", "flush", "dev", &pair.edge_interface])?;
    edge.run(&["ip", "link", "set", "dev", &pair.edge_interface, "up"])?;
    let silence = call::tcp(&peer, from, closed, Duration::from_millis(100))?;
    assert!(silence.is_none(), "{silence:?}");
    Ok(())
}

#[test]
fn frame_between_two_families_panics() {
    let mixed = std::panic::catch_unwind(|| {
        between([192, 0, 2, 1].into(), std::net::Ipv6Addr::LOCALHOST.into())
    });
    let message = *mixed.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("two families"), "{message}");
}
