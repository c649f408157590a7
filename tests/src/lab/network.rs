//! The laboratory's network: blocked countries on one side, our mail hosts on the other, the filter between.
//!
//! ```text
//! world ---1500--- far ---1280--- near ---1500--- edge ---1500--- inside
//! mail and DNS     routers with blocked           geofence on     a mail host
//! servers, RU, CN  addresses of their own         edge0; a mail   behind the
//!                                                 host too        edge
//! ```
//!
//! The narrow link lies between the routers, so that both ends learn of it from a router only. Offloads are off: every
//! frame is one that a wire would carry. Neither router knows a way to anywhere else; what they cannot place they drop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use geofence_user::data::geoip::Database;

use crate::link::{EDGE_MAC, PEER_MAC};
use crate::namespace::Namespace;
use crate::sources;

/// The interface that the filter protects.
pub(super) const OUTER: &str = "edge0";
/// The other end of it, from where raw frames are sent.
pub(super) const NEAR: &str = "near1";
/// The edge's own addresses.
pub(super) const EDGE: Pair = Pair {
    v4: Ipv4Addr::new(192, 0, 2, 1),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
};
/// Those of the mail host behind it.
pub(super) const INSIDE: Pair = Pair {
    v4: Ipv4Addr::new(198, 51, 100, 25),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x25),
};
/// Addresses of ours that no host has: the edge drops what passes the filter, and says nothing.
pub(super) const UNUSED: Pair = Pair {
    v4: Ipv4Addr::new(198, 51, 100, 200),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x200),
};
/// Ports from which our side calls; what comes from a server to any other port is no answer.
pub(super) const CALLING: std::ops::RangeInclusive<u16> = 64000..=65535;

/// What lets the laboratory see frames as a wire would carry them, and the narrow link at work.
const SETTINGS: [(&str, &str); 5] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv4/tcp_mtu_probing", "0"),
    ("net/ipv4/ip_local_port_range", "64000 65535"),
    // The reply to a call may be spoofed on purpose; the filter is to judge it, not the stack.
    ("net/ipv4/conf/all/rp_filter", "0"),
];

/// An address of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
}

impl Pair {
    /// The address of the family asked for.
    pub(super) fn of(self, v6: bool) -> IpAddr {
        if v6 { self.v6.into() } else { self.v4.into() }
    }

    /// The neighbour of an address of a blocked country: the same but for its last number.
    pub(super) fn host(self, number: u8) -> Self {
        let [a, b, c, _] = self.v4.octets();
        Self {
            v4: Ipv4Addr::new(a, b, c, number),
            v6: Ipv6Addr::from_bits((self.v6.to_bits() & !0xffff) | u128::from(number)),
        }
    }
}

/// The hosts of one blocked country, by number.
pub(super) mod host {
    /// The router far from us.
    pub(crate) const FAR: u8 = 1;
    /// The router next to us.
    pub(crate) const NEAR: u8 = 2;
    /// Mail hosts that call us.
    pub(crate) const CALLERS: [u8; 2] = [10, 11];
    /// The mail host that sends us a long message, and whose ports are scanned from.
    pub(crate) const LONG_CALLER: u8 = 12;
    /// A reader of mail who calls us.
    pub(crate) const READER: u8 = 13;
    /// The mail host that we call.
    pub(crate) const MX: u8 = 20;
    /// The mail host that we send a long message.
    pub(crate) const LONG_MX: u8 = 21;
    /// The authority for the root.
    pub(crate) const ROOT: u8 = 53;
    /// That for the top-level domains.
    pub(crate) const TOP: u8 = 54;
    /// That for ordinary domains.
    pub(crate) const PLAIN: u8 = 55;
    /// That whose answers are cut short over UDP.
    pub(crate) const CUT: u8 = 56;
    /// That whose answers need fragments.
    pub(crate) const LONG: u8 = 57;
    /// All that are in the world, behind the routers.
    pub(crate) const WORLD: [u8; 11] = [
        CALLERS[0],
        CALLERS[1],
        LONG_CALLER,
        READER,
        MX,
        LONG_MX,
        ROOT,
        TOP,
        PLAIN,
        CUT,
        LONG,
    ];
}

/// The namespaces, joined.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) world: Namespace,
    pub(super) far: Namespace,
    pub(super) near: Namespace,
    pub(super) edge: Namespace,
    pub(super) inside: Namespace,
    /// Addresses in Russia and China, the last number to be replaced.
    pub(super) countries: [Pair; 2],
}

impl Network {
    /// Builds it, with real addresses of blocked countries.
    pub(super) fn build(database: &Database) -> Result<Self> {
        let country = |code: &str| -> Result<Pair> {
            Ok(Pair {
                v4: sources::v4(database, code)?,
                v6: sources::v6(database, code)?
                    .with_context(|| format!("the database has no IPv6 prefix of {code}"))?,
            })
        };
        let network = Self {
            world: Namespace::new()?,
            far: Namespace::new()?,
            near: Namespace::new()?,
            edge: Namespace::new()?,
            inside: Namespace::new()?,
            countries: [country("RU")?, country("CN")?],
        };
        network.join()?;
        network.address()?;
        Ok(network)
    }

    /// The routers: an IPv4 address of the one country, an IPv6 address of the other, so that counters tell them apart.
    pub(super) fn router(&self, number: u8) -> Pair {
        let [russia, china] = self.countries.map(|country| country.host(number));
        Pair {
            v4: russia.v4,
            v6: china.v6,
        }
    }

    /// Forgets what the ends learnt about the narrow link.
    pub(super) fn forget(&self) -> Result<()> {
        for namespace in [&self.world, &self.inside, &self.edge] {
            ip(namespace, "route flush cache")?;
            ip(namespace, "-6 route flush cache")?;
        }
        Ok(())
    }

    fn join(&self) -> Result<()> {
        let all = [&self.world, &self.far, &self.near, &self.edge, &self.inside];
        for namespace in all {
            for (parameter, value) in SETTINGS {
                namespace.set(parameter, value)?;
            }
        }
        let plain: fn(u8, u8) -> [u8; 6] = |link, end| [0x02, 0, 0, 1, link, end];
        cable(
            (&self.far, "far0", plain(0, 1)),
            (&self.world, "world0", plain(0, 2)),
            1500,
        )?;
        cable(
            (&self.near, "near0", plain(1, 1)),
            (&self.far, "far1", plain(1, 2)),
            1280,
        )?;
        cable(
            (&self.near, NEAR, PEER_MAC),
            (&self.edge, OUTER, EDGE_MAC),
            1500,
        )?;
        cable(
            (&self.edge, "edge1", plain(2, 1)),
            (&self.inside, "inside0", plain(2, 2)),
            1500,
        )
    }

    fn address(&self) -> Result<()> {
        let (far, near) = (self.router(host::FAR), self.router(host::NEAR));
        let gate = Pair {
            v4: Ipv4Addr::new(198, 51, 100, 1),
            v6: Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 1),
        };
        let blocks = self.countries.map(|country| {
            let base = country.host(0);
            (format!("{}/24", base.v4), format!("{}/112", base.v6))
        });
        for country in self.countries {
            for number in host::WORLD {
                claim(&self.world, "world0", country.host(number))?;
            }
        }
        for (namespace, interface, own) in [
            (&self.far, "far0", far),
            (&self.far, "far1", far),
            (&self.near, "near0", near),
            (&self.near, NEAR, near),
            (&self.edge, OUTER, EDGE),
            (&self.edge, "edge1", gate),
            (&self.inside, "inside0", INSIDE),
        ] {
            claim(namespace, interface, own)?;
        }
        toward(&self.world, "world0", None, far)?;
        for (v4, v6) in &blocks {
            ip(&self.far, &format!("route add {v4} dev far0"))?;
            ip(&self.far, &format!("-6 route add {v6} dev far0"))?;
            toward(&self.near, "near0", Some((v4, v6)), far)?;
        }
        let ours = ("192.0.2.0/24", "2001:db8::/64");
        let inner = ("198.51.100.0/24", "2001:db8:100::/64");
        for block in [ours, inner] {
            toward(&self.far, "far1", Some(block), near)?;
            toward(&self.near, NEAR, Some(block), EDGE)?;
        }
        for router in [&self.far, &self.near] {
            ip(router, "route add blackhole default")?;
            ip(router, "-6 route add blackhole default")?;
        }
        toward(&self.edge, OUTER, None, near)?;
        ip(&self.edge, &format!("route add {} dev edge1", inner.0))?;
        ip(&self.edge, &format!("-6 route add {} dev edge1", inner.1))?;
        ip(&self.edge, &format!("route add blackhole {}", UNUSED.v4))?;
        ip(&self.edge, &format!("-6 route add blackhole {}", UNUSED.v6))?;
        toward(&self.inside, "inside0", None, gate)
    }
}

/// Runs `ip` in a namespace.
fn ip(namespace: &Namespace, words: &str) -> Result<()> {
    let words: Vec<&str> = std::iter::once("ip").chain(words.split(' ')).collect();
    namespace.run(&words).map(drop)
}

fn claim(namespace: &Namespace, interface: &str, own: Pair) -> Result<()> {
    ip(
        namespace,
        &format!("address add {}/32 dev {interface}", own.v4),
    )?;
    ip(
        namespace,
        &format!("-6 address add {}/128 dev {interface} nodad", own.v6),
    )
}

/// Sends what is for a block, or for anywhere, through a neighbour.
fn toward(
    namespace: &Namespace,
    interface: &str,
    block: Option<(&str, &str)>,
    via: Pair,
) -> Result<()> {
    let (v4, v6) = block.unwrap_or(("default", "default"));
    ip(
        namespace,
        &format!("route replace {} dev {interface}", via.v4),
    )?;
    ip(
        namespace,
        &format!("-6 route replace {} dev {interface}", via.v6),
    )?;
    ip(
        namespace,
        &format!("route add {v4} via {} dev {interface}", via.v4),
    )?;
    ip(
        namespace,
        &format!("-6 route add {v6} via {} dev {interface}", via.v6),
    )
}

type End<'a> = (&'a Namespace, &'a str, [u8; 6]);

/// Joins two namespaces by a veth pair whose frames are as long as they say.
fn cable(one: End<'_>, other: End<'_>, mtu: u32) -> Result<()> {
    let mac = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    ip(
        one.0,
        &format!(
            "link add {} address {} mtu {mtu} type veth peer name {} address {} mtu {mtu} netns {}",
            one.1,
            mac(one.2),
            other.1,
            mac(other.2),
            other.0.path()
        ),
    )?;
    for ((namespace, interface, _), number) in [(one, 1), (other, 2)] {
        namespace
            .run(&[
                "ethtool", "-K", interface, "tso", "off", "gso", "off", "gro", "off", "tx", "off",
            ])
            .context("switching offloads off")?;
        ip(namespace, &format!("link set {interface} up"))?;
        // A router asks for its neighbours from this address when the packet it forwards is not its own.
        ip(
            namespace,
            &format!("-6 address add fe80::{number}/64 dev {interface} nodad"),
        )?;
    }
    Ok(())
}
