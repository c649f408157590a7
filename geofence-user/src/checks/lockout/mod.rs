//! Own access: what this machine and its operator need of the network, held against a policy before it filters.
//!
//! The peers of SSH sessions, the gateways, the resolvers and the cloud's metadata service are looked up in the network
//! namespace geofence runs in, and each is judged by the function the kernel runs, over the image it would run it on.
//! Whoever would be cut off is named. Only looks; nothing is sent and nothing changed.

mod environment;
mod metadata;
mod routes;
mod sockets;
pub mod watcher;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{
    Icmpv4Type, Icmpv6Type, PacketBuilder, icmpv4::DestUnreachableHeader,
    icmpv6::DestUnreachableCode,
};
use geofence_common::action::{Action, Reason};
use geofence_common::decide::Verdict;
use serde::{Deserialize, Serialize};

use crate::explain::{explain, explain_egress};
use crate::model::countries;
use crate::model::policy::{self, Policy};
use routes::Routes;
use watcher::Watcher;

/// What a machine needs somebody for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Somebody is logged in from there, to this port.
    Ssh {
        port: u16,
    },
    /// Packets for everywhere else go through it.
    Gateway,
    Resolver,
    /// Tells a cloud's machines who they are.
    Metadata,
}

/// Somebody the machine needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dependency {
    pub need: Need,
    pub address: IpAddr,
}

/// Somebody the machine needs, and the policy would drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub dependency: Dependency,
    pub verdict: Verdict,
}

/// Which packets that a policy drops for want of proof will have proof, because what we send is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// Answers to our own queries of resolvers.
    pub dns: bool,
    /// ICMP errors about our own packets.
    pub errors: bool,
}

impl Replies {
    /// What the policy has remembered.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self {
            dns: policy.replies != policy::Replies::None,
            errors: policy.replies == policy::Replies::All,
        }
    }
}

/// A policy would cut off somebody the machine needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockout(pub Vec<Cut>);

/// Looks up whom the machine needs, as far as these interfaces are concerned; and in sentences what could not be asked.
/// A watcher sees the sessions for a process that has not the privilege to.
pub async fn dependencies(
    interfaces: &[String],
    watcher: Option<&Watcher>,
) -> (Vec<Dependency>, Vec<String>) {
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    let mut blind = None;
    let mut add = |need, address: IpAddr| {
        // What is on this machine does not come through an interface.
        let address = address.to_canonical();
        if !is_own(address) {
            found.push(Dependency { need, address });
        }
    };
    let seen = match watcher {
        None => None,
        Some(watcher) => match watcher.peers().await {
            Ok(peers) => Some(peers),
            Err(error) => {
                blind = Some(format!(
                    "who is logged in over SSH cannot be told from who is only connected, as the helper that sees it \
                     does not answer ({error}): every connection to port 22 counts until geofence is started again"
                ));
                None
            }
        },
    };
    match seen.map_or_else(sockets::ssh_peers, Ok) {
        Ok(peers) => {
            for (peer, port) in peers {
                add(Need::Ssh { port }, peer.ip());
            }
        }
        Err(error) => unknown.push(format!(
            "the SSH sessions of this machine are not known: {error}"
        )),
    }
    if let Some((peer, port)) = environment::ssh_session(is_own) {
        add(Need::Ssh { port }, peer);
    }
    match Routes::read(interfaces).await {
        Ok(routes) => {
            for gateway in &routes.gateways {
                add(Need::Gateway, *gateway);
            }
            for resolver in environment::resolvers() {
                if routes.lead_to(resolver).await {
                    add(Need::Resolver, resolver);
                }
            }
            for address in metadata::addresses(&routes.hosts) {
                if routes.lead_to(address).await {
                    add(Need::Metadata, address);
                }
            }
        }
        Err(error) => unknown.push(format!(
            "the gateways, resolvers and metadata service of this machine are not known: {error}"
        )),
    }
    unknown.extend(blind);
    found.sort_unstable();
    found.dedup();
    (found, unknown)
}

/// Those that an image, given by its words, would cut off.
#[must_use]
pub fn cut(dependencies: &[Dependency], words: &[u32], replies: Replies) -> Vec<Cut> {
    let mut cut = Vec::new();
    for dependency in dependencies {
        let Some(frame) = dependency.packet() else {
            continue;
        };
        let (verdict, _) = explain(&frame, words);
        let (departure, _) = explain_egress(&turned(&frame), words);
        if let Some(verdict) = departure.list_verdict()
            && verdict.action == Action::Drop
        {
            cut.push(Cut {
                dependency: *dependency,
                verdict,
            });
            continue;
        }
        let is_proven = (verdict.reason == Reason::UnprovenReply
            && dependency.need == Need::Resolver
            && replies.dns)
            || (verdict.reason == Reason::UnprovenIcmpError && replies.errors);
        if verdict.action == Action::Drop && !is_proven {
            cut.push(Cut {
                dependency: *dependency,
                verdict,
            });
        }
    }
    cut
}

/// A frame as it was built here, with its ends exchanged: what this machine sends where it came from.
fn turned(frame: &[u8]) -> Vec<u8> {
    /// Where an Ethernet frame's network header starts, and where the source stands in it, by family.
    const NETWORK: usize = 14;
    let mut turned = frame.to_vec();
    let (addresses, length, ports) = match frame.get(NETWORK).map(|first| first >> 4) {
        Some(4) => (NETWORK + 12, 4, NETWORK + 20),
        _ => (NETWORK + 8, 16, NETWORK + 40),
    };
    for (at, length) in [(addresses, length), (ports, 2)] {
        if let Some(both) = turned.get_mut(at..at + 2 * length) {
            let (one, other) = both.split_at_mut(length);
            one.swap_with_slice(other);
        }
    }
    turned
}

impl Dependency {
    /// A packet such as it sends to this machine.
    fn packet(&self) -> Option<Vec<u8>> {
        /// The port that stands for whatever port the machine asked from.
        const ASKED_FROM: u16 = 40_000;
        const DNS: u16 = 53;
        const HTTP: u16 = 80;
        const HOP_LIMIT: u8 = 64;
        const WINDOW: u16 = 64_240;
        /// The packet an ICMP error is about, as far as errors quote it: a header and eight bytes.
        const QUOTED: [u8; 48] = [0; 48];

        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let network = match self.address {
            IpAddr::V4(address) => {
                let here = Ipv4Addr::new(192, 0, 2, 1);
                ethernet.ipv4(address.octets(), here.octets(), HOP_LIMIT)
            }
            IpAddr::V6(address) => {
                let here = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
                ethernet.ipv6(address.octets(), here.octets(), HOP_LIMIT)
            }
        };
        let mut frame = Vec::new();
        let written = match (self.need, self.address) {
            (Need::Ssh { port }, _) => network
                .tcp(ASKED_FROM, port, 1, WINDOW)
                .ack(1)
                .write(&mut frame, &[]),
            (Need::Resolver, _) => network.udp(DNS, ASKED_FROM).write(&mut frame, &[]),
            (Need::Metadata, _) => network
                .tcp(HTTP, ASKED_FROM, 1, WINDOW)
                .ack(1)
                .write(&mut frame, &[]),
            (Need::Gateway, IpAddr::V4(_)) => network
                .icmpv4(Icmpv4Type::DestinationUnreachable(
                    DestUnreachableHeader::Host,
                ))
                .write(&mut frame, &QUOTED),
            (Need::Gateway, IpAddr::V6(_)) => network
                .icmpv6(Icmpv6Type::DestinationUnreachable(
                    DestUnreachableCode::Address,
                ))
                .write(&mut frame, &QUOTED),
        };
        written.ok().map(|()| frame)
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match self.need {
            Need::Ssh { port } => write!(f, "the SSH session from {address} to port {port}"),
            Need::Gateway => write!(f, "the gateway {address} and its ICMP errors"),
            Need::Resolver => write!(f, "the resolver {address}"),
            Need::Metadata => write!(f, "the cloud's metadata service {address}"),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: dropped as {}, country {}",
            self.dependency,
            self.verdict.reason.name(),
            countries::described(self.verdict.country)
        )
    }
}

impl std::error::Error for Lockout {}

impl fmt::Display for Lockout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this policy would cut off what this machine needs:")?;
        let mut addresses: Vec<String> = Vec::new();
        for cut in &self.0 {
            write!(f, "\n  {cut}")?;
            let address = format!("\"{}\"", cut.dependency.address);
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        write!(
            f,
            "\nLet them in with management = [{}] in the configuration, or go ahead all the same with --force",
            addresses.join(", ")
        )
    }
}

/// Whether an address is one of this machine's own: the kernel lets sockets have such addresses only.
fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || std::net::UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

#[cfg(test)]
mod tests;
