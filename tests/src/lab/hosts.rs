//! Our mail hosts and those of the world, and the ways that mail takes between them.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;

use super::dns;
use super::ground::Ground;
use super::network::{EDGE, INSIDE, Network, host};
use super::postfix::{Plan, Postfix};
use super::server::Server;

/// Where mail for our side's hosts goes, in the order of [`Hosts::ours`].
pub(super) const OURS: [&str; 2] = ["inside.example", "edge.example"];

/// A way for a message from the world to us: from where, to which host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) from: IpAddr,
    /// The host's place in [`OURS`].
    pub(super) to: usize,
    pub(super) port: u16,
}

impl Way {
    /// Where it leads.
    pub(super) fn target(self) -> SocketAddr {
        let own = [INSIDE, EDGE][self.to];
        SocketAddr::new(own.of(self.from.is_ipv6()), self.port)
    }

    /// How the log names that: `[192.0.2.1]:25`.
    pub(super) fn relay(self) -> String {
        format!("[{}]:{}", self.target().ip(), self.port)
    }
}

/// All servers of the laboratory.
#[derive(Debug)]
pub(super) struct Hosts {
    /// The mail host behind the edge, and the one on the edge.
    pub(super) ours: [Postfix; 2],
    /// The mail hosts of the world: one program, every address.
    pub(super) world: Postfix,
    /// The ways of ordinary messages; those of long ones, by family, have the numbers behind them.
    pub(super) ways: Vec<Way>,
    _names: Vec<Server>,
}

impl Hosts {
    /// Starts them all.
    pub(super) fn start(network: &Network, ground: &Ground) -> Result<Self> {
        let mut names = dns::authorities(network, &ground.folder("world")?)?;
        for (name, namespace, own) in [
            ("inside", &network.inside, INSIDE),
            ("edge", &network.edge, EDGE),
        ] {
            let folder = ground.folder(name)?.join("dns");
            names.push(dns::resolver(network, namespace, &folder, own)?);
        }
        let (ways, long_ways) = (ordinary_ways(network), long_ways(network));
        let mut plan = Plan {
            name: "world",
            listen: Vec::new(),
            domains: dns::names(),
            ..Plan::default()
        };
        for country in network.countries {
            for number in [host::MX, host::LONG_MX] {
                let own = country.host(number);
                plan.listen.extend([own.of(false), own.of(true)]);
            }
        }
        for (number, way) in ways.iter().chain(&long_ways).enumerate() {
            let family = if way.from.is_ipv6() { "6" } else { "" };
            let tls = if way.port == 587 { "encrypt" } else { "none" };
            plan.ways.push((
                format!("way{number}"),
                format!(
                    "-o smtp_bind_address{family}={} -o smtp_tls_security_level={tls}",
                    way.from
                ),
            ));
            let target = way.target();
            plan.senders.push((
                sender(number),
                format!("way{number}:[{}]:{}", target.ip(), target.port()),
            ));
        }
        let ours = |name, own: super::network::Pair, domain: &str| Plan {
            name,
            listen: vec![own.of(false), own.of(true)],
            domains: vec![domain.to_owned()],
            ..Plan::default()
        };
        Ok(Self {
            ours: [
                Postfix::start(
                    &network.inside,
                    ground.folder("inside")?.join("mail"),
                    &ours("inside", INSIDE, OURS[0]),
                )?,
                Postfix::start(
                    &network.edge,
                    ground.folder("edge")?.join("mail"),
                    &ours("edge", EDGE, OURS[1]),
                )?,
            ],
            world: Postfix::start(&network.world, ground.folder("world")?.join("mail"), &plan)?,
            ways,
            _names: names,
        })
    }

    /// Every mail host.
    pub(super) fn all(&self) -> [&Postfix; 3] {
        [&self.ours[0], &self.ours[1], &self.world]
    }
}

/// Whose mail takes the way of this number.
pub(super) fn sender(way: usize) -> String {
    format!("sender{way}@way.ru")
}

/// Every combination, those that differ most next to each other, so that few messages see much of it.
fn ordinary_ways(network: &Network) -> Vec<Way> {
    let bit = |number: usize, at: usize| (number >> at) & 1;
    (0..32)
        .map(|number| {
            let country = network.countries[bit(number, 3)];
            let caller = country.host(host::CALLERS[bit(number, 4)]);
            Way {
                from: caller.of(bit(number, 1) == 1),
                to: bit(number, 2),
                port: [25, 587][bit(number, 0)],
            }
        })
        .collect()
}

/// To the host behind the edge, over IPv4 from the one country and over IPv6 from the other.
fn long_ways(network: &Network) -> [Way; 2] {
    let [russia, china] = network
        .countries
        .map(|country| country.host(host::LONG_CALLER));
    [russia.of(false), china.of(true)].map(|from| Way {
        from,
        to: 0,
        port: 25,
    })
}
