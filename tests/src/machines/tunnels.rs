//! Tunnels: devices whose packets begin with the IP header. The filter on one judges what comes out of the tunnel.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, socket,
};

use super::rows::row;
use super::verdicts::{AUTO, BLOCKED, OPEN, mode};
use crate::affinity::Pinned;
use crate::edge::{Edge, PATIENCE};
use crate::frames::Frame;
use crate::lab::report::Row;
use crate::link::Link;
use crate::namespace::Namespace;
use crate::packet_socket::PacketSocket;

/// The interface at both ends of a tunnel.
const TUNNEL: &str = "tunnel0";

/// The configuration of the filter on it.
const CONFIG: &str = "/tmp/tunnel.toml";

/// What the filter must do, and in which mode: no tunnel has native XDP.
const EXPECTED: &str = "generic, RU dropped, DE passed";

/// A kind of tunnel, with a blocked source, an open one and a destination for what it carries.
struct Tunnel {
    kind: &'static str,
    sources: [&'static str; 2],
    here: &'static str,
}

const TUNNELS: [Tunnel; 4] = [
    over_v4("gre"),
    over_v4("ipip"),
    Tunnel {
        kind: "sit",
        sources: ["2a02:6b8::1", "2a01:4f8::1"],
        here: "2001:db8:1::17",
    },
    over_v4("wireguard"),
];

const fn over_v4(kind: &'static str) -> Tunnel {
    Tunnel {
        kind,
        sources: [BLOCKED, OPEN],
        here: "198.51.100.17",
    }
}

pub(super) fn rows() -> Vec<Row> {
    let rows = TUNNELS.iter().map(|tunnel| {
        let what = format!("{}: frames", tunnel.kind);
        row(what, EXPECTED, || tunnel.judged())
    });
    rows.collect()
}

impl Tunnel {
    fn judged(&self) -> Result<String> {
        let below = Edge::on(&Link::default())?;
        let (peer, edge) = (&below.pair.peer, &below.pair.edge);
        let here: IpAddr = self.here.parse()?;
        let ends = [
            (edge, "192.0.2.1", "192.0.2.2"),
            (peer, "192.0.2.2", "192.0.2.1"),
        ];
        if self.kind == "wireguard" {
            wireguard(&ends)?;
        } else {
            for (end, local, remote) in ends {
                end.run(&[
                    "ip", "link", "add", TUNNEL, "type", self.kind, "local", local, "remote",
                    remote,
                ])?;
            }
        }
        peer.enter(|| {
            fs::write(
                format!("/proc/sys/net/ipv6/conf/{TUNNEL}/disable_ipv6"),
                "0",
            )
        })??;
        for end in [edge, peer] {
            end.run(&["ip", "link", "set", TUNNEL, "up"])?;
        }
        peer.run(&["ip", "route", "add", self.here, "dev", TUNNEL])?;
        fs::write(CONFIG, AUTO)?;
        let daemon = below.run(&["--interface", TUNNEL, "--config", CONFIG])?;
        let inside = PacketSocket::open(edge, TUNNEL)?;
        // What is sent on one core arrives in order, so the open source's packet shows what became of the other.
        let _pinned = Pinned::here()?;
        let [blocked, open] = self.sources;
        for source in [blocked, open] {
            let packet = Frame::packet().ip(source.parse()?, here);
            send(peer, &packet.tcp(40_000, 22).syn().build(), here)?;
        }
        let [blocked, open] = [blocked, open].map(source);
        let (blocked, open) = (blocked?, open?);
        let before = inside.receive_until(PATIENCE, |packet| is_from(packet, &open))?;
        let is_in = before.iter().any(|packet| is_from(packet, &blocked));
        let verdict = if is_in { "passed" } else { "dropped" };
        Ok(format!("{}, RU {verdict}, DE passed", mode(&daemon)?))
    }
}

/// Sends a packet with a source of our choice by the routes of a namespace.
fn send(namespace: &Namespace, packet: &[u8], to: IpAddr) -> Result<()> {
    let family = match to {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let to = SockaddrStorage::from(SocketAddr::new(to, 0));
    namespace.enter(|| {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(family, SockType::Raw, flags, SockProtocol::Raw)?;
        sendto(socket.as_raw_fd(), packet, &to, MsgFlags::empty())
    })??;
    Ok(())
}

/// The bytes of an address.
fn source(address: &str) -> Result<Vec<u8>> {
    Ok(match address.parse()? {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    })
}

/// Whether a packet without a link header has this source.
fn is_from(packet: &[u8], source: &[u8]) -> bool {
    let at = if source.len() == 4 { 12 } else { 8 };
    packet.get(at..at + source.len()) == Some(source)
}

/// Joins two ends by WireGuard, each with a key of its own.
fn wireguard(ends: &[(&Namespace, &str, &str); 2]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut keys = Vec::new();
    for (end, _, _) in ends {
        let private = end.run(&["wg", "genkey"])?;
        let file = folder.path().join(format!("key{}", keys.len()));
        fs::write(&file, &private)?;
        let file = file.to_str().context("a name that is no text")?.to_owned();
        end.run(&["ip", "link", "add", TUNNEL, "type", "wireguard"])?;
        end.run(&[
            "wg",
            "set",
            TUNNEL,
            "listen-port",
            "51820",
            "private-key",
            &file,
        ])?;
        keys.push(
            end.run(&["wg", "show", TUNNEL, "public-key"])?
                .trim()
                .to_owned(),
        );
    }
    keys.reverse();
    for ((end, _, remote), key) in ends.iter().zip(&keys) {
        let endpoint = format!("{remote}:51820");
        end.run(&[
            "wg",
            "set",
            TUNNEL,
            "peer",
            key,
            "endpoint",
            &endpoint,
            "allowed-ips",
            "0.0.0.0/0",
        ])?;
    }
    Ok(())
}
