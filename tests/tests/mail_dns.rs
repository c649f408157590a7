//! Whether senders in blocked countries reach the name server that has the MX of our domain.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::{Edge, PATIENCE};
use geofence_tests::frames::between;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe::crosses;
use geofence_tests::require_root;
use geofence_tests::wait::poll;

/// Addresses of Russia and Ukraine.
const BLOCKED: [&str; 2] = ["77.88.8.8", "2a00:17a0::4d"];

/// Whether queries from blocked countries cross: by family, over UDP and TCP.
fn queries(edge: &Edge) -> Result<Vec<bool>> {
    let outside = PacketSocket::open(&edge.pair.peer, &edge.pair.peer_interface)?;
    let inside = PacketSocket::open(&edge.pair.edge, &edge.pair.edge_interface)?;
    let mut seen = Vec::new();
    for source in BLOCKED {
        let source: IpAddr = source.parse()?;
        let frame = || between(source, edge.pair.edge_address_for(source));
        for frame in [
            frame().udp(40_000, 53).build(),
            frame().tcp(40_000, 53).syn().build(),
        ] {
            seen.push(crosses(&outside, &inside, &frame, PATIENCE)?);
        }
    }
    Ok(seen)
}

/// A name server on this address, as far as the tables of sockets tell.
fn name_server(edge: &Edge, address: &str) -> Result<UdpSocket> {
    let address: SocketAddr = address.parse()?;
    edge.pair
        .edge
        .enter(|| UdpSocket::bind(address))?
        .with_context(|| format!("listening on {address}"))
}

#[test]
fn name_server_on_a_protected_address_opens_dns_to_blocked_countries() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    // A resolver for this machine alone does not count.
    let _resolver = name_server(&edge, "127.0.0.53:53")?;
    let _daemon = edge.run(&[])?;
    ensure!(queries(&edge)? == [false; 4], "no name server listens");
    let said = edge.ask(&["status"])?.stdout;
    ensure!(
        said.contains("mail-dns   closed: no name server listens on a protected address"),
        "{said}"
    );
    let source: IpAddr = BLOCKED[0].parse()?;
    let own = edge.pair.edge_address_for(source);
    let server = name_server(&edge, &format!("{own}:53"))?;
    poll(
        PATIENCE,
        || Ok((queries(&edge)? == [true; 4]).then_some(())),
    )?
    .context("DNS is not opened for a name server that has started")?;
    ensure!(!edge.passes(BLOCKED[0])?, "nothing but DNS is opened");
    // The kernel has the new image a moment before the status shows it.
    poll(PATIENCE, || {
        let said = edge.ask(&["status"])?.stdout;
        let is_open = said.contains("mail-dns   open: ");
        Ok((is_open && said.contains(&format!("listens on {own}:53"))).then_some(()))
    })?
    .context("the status does not show that DNS is open")?;
    drop(server);
    poll(PATIENCE, || {
        Ok((queries(&edge)? == [false; 4]).then_some(()))
    })?
    .context("DNS is not closed for a name server that has ended")?;
    Ok(())
}

#[test]
fn mail_dns_on_opens_dns_without_a_name_server() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let place = tempfile::tempdir()?;
    let file = place.path().join("geofence.toml");
    std::fs::write(&file, "mail-dns = \"on\"\n")?;
    let file = file.to_str().context("a path")?;
    let _daemon = edge.run(&["--config", file])?;
    ensure!(queries(&edge)? == [true; 4]);
    ensure!(!edge.passes(BLOCKED[0])?, "nothing but DNS is opened");
    // Status and check say that it is open, and why.
    for words in [&["status"][..], &["check", file]] {
        let said = edge.ask(words)?.stdout;
        ensure!(
            said.contains("open: UDP and TCP 53 from blocked countries, as configured"),
            "{words:?}: {said}"
        );
    }
    Ok(())
}

#[test]
fn mail_dns_off_and_mail_off_keep_dns_closed() -> Result<()> {
    require_root!();
    for text in ["mail-dns = \"off\"\n", "mail = \"off\"\n"] {
        let edge = Edge::new()?;
        let place = tempfile::tempdir()?;
        let file = place.path().join("geofence.toml");
        std::fs::write(&file, text)?;
        let _server = name_server(&edge, "0.0.0.0:53")?;
        let _daemon = edge.run(&["--config", file.to_str().context("a path")?])?;
        ensure!(queries(&edge)? == [false; 4], "{text}");
    }
    Ok(())
}
