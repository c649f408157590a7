//! Step 5: ICMP errors that quote what our side never sent, in great number, and a few that quote what it did.
//!
//! Each forgery is wrong in one thing only, most of them about connections that are open at the time: a filter that
//! looks at less than everything lets some pass. The true ones show that the filter does not merely drop all errors.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::delivery::list;
use super::laboratory::Lab;
use super::network::{EDGE, INSIDE, NEAR, Network, host};
use super::report::Row;
use super::scale::Scale;
use super::witness::{Sighting, Witness};
use crate::call;
use crate::frames::{Frame, between, number};
use crate::packet_socket::PacketSocket;

/// How many errors are forged.
const WHOLE: u32 = 1_000_000;
const BATCH: usize = 512;
const PATIENCE: Duration = Duration::from_secs(10);
/// The last number of the addresses that errors come from; no host of the laboratory has them.
const FORGERS: std::ops::RangeInclusive<u8> = 100..=199;
/// Where true errors come from.
const ROUTER: u8 = 99;

/// A connection or an exchange of ours that is under way.
#[derive(Clone, Copy, Debug)]
struct Live {
    protocol: u8,
    ours: SocketAddr,
    theirs: SocketAddr,
}

/// Connections that stay open while errors about them are forged.
struct Open {
    live: Vec<Live>,
    _connections: Vec<TcpStream>,
    _exchanges: Vec<UdpSocket>,
}

/// Forged errors, none of which may pass, and true ones, all of which must.
pub(super) fn errors(lab: &Lab, scale: Scale) -> Result<Vec<Row>> {
    let begun = Instant::now();
    let network = &lab.network;
    let open = open(network)?;
    let total = scale.of(WHOLE);
    let notice = move |sighting: &Sighting, seen: &mut dyn FnMut(&'static str)| {
        if matches!(sighting.protocol, number::ICMP | number::ICMPV6) {
            match last_number(sighting.source) {
                ROUTER => seen("true errors"),
                each if FORGERS.contains(&each) => seen("forged errors"),
                _ => {}
            }
        }
    };
    let before = lab.filter.account()?;
    let witness = Witness::call(network, notice)?;
    let socket = PacketSocket::open(&network.near, NEAR)?;

    let mut truths = Vec::new();
    for live in &open.live {
        let country = network.countries[usize::from(live.theirs.is_ipv6())];
        let router = country.host(ROUTER).of(live.theirs.is_ipv6());
        truths.push(error(router, live.ours.ip(), 0, &quote(live)).build());
        // A service of ours answers any client, so an error about its answer passes though this client never called.
        let answer = Live {
            protocol: number::TCP,
            ours: SocketAddr::new(live.ours.ip(), 25),
            theirs: SocketAddr::new(live.theirs.ip(), 40_000),
        };
        truths.push(error(router, live.ours.ip(), 0, &quote(&answer)).build());
    }
    socket.send_many(&truths)?;

    let mut random = SmallRng::seed_from_u64(5);
    let mut sent = 0;
    while sent < total {
        let count = (total - sent).min(BATCH as u32);
        let frames: Vec<Vec<u8>> = (sent..sent + count)
            .map(|number| forge(network, &open.live, number, &mut random))
            .collect();
        socket.send_many(&frames)?;
        sent += count;
    }
    let counts = witness.dismiss()?;
    let after = lab.filter.account()?;
    let dropped = after.dropped() - before.dropped();
    let passed = counts.get("true errors").copied().unwrap_or_default();
    let strays: u64 = counts
        .iter()
        .filter(|(what, _)| **what != "true errors")
        .map(|(_, count)| count)
        .sum();
    let truths = truths.len() as u64;
    Ok(vec![
        Row {
            step: 5,
            what: "forged ICMP errors: wrong source, ports, protocol, cut short, with options or extension headers"
                .to_owned(),
            expected: format!("none of {total} passes"),
            seen: format!("{}; counted as dropped {dropped}", list(&counts)),
            took: begun.elapsed(),
            ok: strays == 0 && dropped == u64::from(total),
        },
        Row {
            step: 5,
            what: "true ICMP errors, about open connections and about answers of our services".to_owned(),
            expected: format!("{truths} pass"),
            seen: format!("{passed} passed"),
            took: begun.elapsed(),
            ok: passed == truths,
        },
    ])
}

/// The header of a DNS query.
const QUERY: [u8; 12] = [0; 12];

/// Connects to mail hosts and asks an authority, over both families.
fn open(network: &Network) -> Result<Open> {
    let mut open = Open {
        live: Vec::new(),
        _connections: Vec::new(),
        _exchanges: Vec::new(),
    };
    for v6 in [false, true] {
        let country = network.countries[usize::from(v6)];
        let theirs = SocketAddr::new(country.host(host::MX).of(v6), 25);
        let connection = call::tcp(&network.inside, INSIDE.of(v6), theirs, PATIENCE)?
            .with_context(|| format!("{theirs} does not answer"))?;
        open.live.push(Live {
            protocol: number::TCP,
            ours: connection.local_addr()?,
            theirs,
        });
        open._connections.push(connection);

        let theirs = SocketAddr::new(country.host(host::PLAIN).of(v6), 53);
        let exchange = network
            .inside
            .enter(|| UdpSocket::bind(SocketAddr::new(INSIDE.of(v6), 0)))?
            .context("opening a UDP socket")?;
        // A query without a question; it leaves, and that is what counts.
        exchange.send_to(&QUERY, theirs)?;
        open.live.push(Live {
            protocol: number::UDP,
            ours: exchange.local_addr()?,
            theirs,
        });
        open._exchanges.push(exchange);
    }
    Ok(open)
}

/// The packet of a live flow that an error would quote.
fn quote(live: &Live) -> Frame {
    transport(
        Frame::packet().ip(live.ours.ip(), live.theirs.ip()),
        live.protocol,
        live.ours.port(),
        live.theirs.port(),
    )
}

fn transport(frame: Frame, protocol: u8, source: u16, destination: u16) -> Frame {
    if protocol == number::UDP {
        frame.udp(source, destination).payload(QUERY)
    } else {
        frame.tcp(source, destination).ack()
    }
}

/// An error of one of the kinds that there are, quoting a packet.
fn error(from: IpAddr, to: IpAddr, kind: usize, quoted: &Frame) -> Frame {
    error_about(between(from, to), kind, &quoted.build())
}

fn error_about(outer: Frame, kind: usize, quoted: &[u8]) -> Frame {
    let v6 = outer.clone().build()[12..14] == [0x86, 0xdd];
    let kinds: [(u8, u8); 4] = if v6 {
        [(1, 0), (2, 0), (3, 0), (4, 1)]
    } else {
        [(3, 1), (3, 4), (11, 0), (12, 0)]
    };
    let (kind, code) = kinds[kind % kinds.len()];
    outer.icmp(kind, code).rest([0, 0, 0x05, 0]).payload(quoted)
}

/// Forges an error. Numbers take turns at what is wrong and at what it is about.
fn forge(network: &Network, live: &[Live], number: u32, random: &mut SmallRng) -> Vec<u8> {
    let number = number as usize;
    let wrong = number / live.len() % 16;
    let live = live[number % live.len()];
    let v6 = live.ours.is_ipv6();
    let country = network.countries[random.random_range(0..2)];
    let from = country.host(random.random_range(FORGERS)).of(v6);
    let kind = random.random_range(0..4);
    let to = live.ours.ip();
    let right = quote(&live).build();
    let network_header = if v6 { 40 } else { 20 };
    // Ports that are neither the flow's nor a service of ours.
    let other_port = loop {
        let port = random.random_range(10_000..60_000);
        if port != live.ours.port() {
            break port;
        }
    };
    let plain = |quoted: &Frame| error(from, to, kind, quoted).build();
    let about = |source: IpAddr, destination: IpAddr| Frame::packet().ip(source, destination);
    let ends = || about(live.ours.ip(), live.theirs.ip());
    let (own_port, their_port) = (live.ours.port(), live.theirs.port());
    let with =
        |ends: Frame, source, destination| transport(ends, live.protocol, source, destination);
    match wrong {
        // Another host of ours sent it, or so it says.
        0 => plain(&with(
            about(EDGE.of(v6), live.theirs.ip()),
            own_port,
            their_port,
        )),
        // It is sent to a host that did not send the packet.
        1 => error(from, EDGE.of(v6), kind, &quote(&live)).build(),
        2 => plain(&with(
            about(live.theirs.ip(), live.ours.ip()),
            their_port,
            own_port,
        )),
        3 => plain(&with(ends(), other_port, their_port)),
        4 => plain(&with(ends(), own_port, other_port)),
        5 => plain(&with(ends(), their_port ^ 1, own_port)),
        6 => plain(&with(about(live.ours.ip(), from), own_port, their_port)),
        // The flow's ports, but of the other protocol.
        7 => {
            let other = number::TCP + number::UDP - live.protocol;
            plain(&transport(ends(), other, own_port, their_port))
        }
        // Cut off within the ports or within the network header.
        8 => error_about(
            between(from, to),
            kind,
            &right[..network_header + random.random_range(0..4)],
        )
        .build(),
        9 => error_about(
            between(from, to),
            kind,
            &right[..random.random_range(0..network_header)],
        )
        .build(),
        // A later fragment: what stands where ports would be is payload.
        10 if v6 => plain(&with(ends().fragment(1, false, 7), own_port, their_port)),
        10 => plain(&with(ends().fragment_field(1), own_port, their_port)),
        // The flow's ports where they would be if there were no options: a filter that ignores options
        // reads them.
        11 if v6 => {
            let ports = [own_port.to_be_bytes(), their_port.to_be_bytes()].concat();
            plain(&with(
                ends().destination_options(&ports),
                other_port,
                their_port,
            ))
        }
        11 => {
            let ports = [own_port.to_be_bytes(), their_port.to_be_bytes()].concat();
            plain(&with(ends().options(&ports), other_port, their_port))
        }
        // Options and extension headers around the error itself.
        12 if v6 => {
            let outer = between(from, to).destination_options(&[]);
            error_about(outer, kind, &with(ends(), other_port, their_port).build()).build()
        }
        12 => {
            let outer = between(from, to).options(&[1, 1, 1, 1]);
            error_about(outer, kind, &with(ends(), other_port, their_port).build()).build()
        }
        13 if v6 => {
            let outer = between(from, to).hop_by_hop(&[]).routing(0, 1, &[0; 20]);
            error_about(outer, kind, &right).build()
        }
        13 => {
            let outer = between(from, to).options(&[131, 7, 4, 5, 136, 0, 1]);
            error_about(outer, kind, &right).build()
        }
        // Not an error, whatever it quotes: redirects, answers.
        14 => {
            let kinds: &[u8] = if v6 { &[129, 137, 140] } else { &[0, 4, 5, 14] };
            let kind = kinds[kind % kinds.len()];
            between(from, to).icmp(kind, 0).payload(&right).build()
        }
        // A packet of the other family, or an error about an error.
        _ if kind % 2 == 0 => {
            let family = if v6 { 4 } else { 6 };
            plain(
                &ends()
                    .version(family)
                    .protocol(live.protocol, &right[network_header..]),
            )
        }
        _ => {
            let inner = if v6 { number::ICMPV6 } else { number::ICMP };
            plain(&ends().protocol(inner, &right[network_header..]))
        }
    }
}

fn last_number(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    }
}
