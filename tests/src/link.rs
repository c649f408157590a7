//! A veth pair from a peer, where packets come from, to an edge, where the filter is attached.
//!
//! ```text
//! peer namespace                       edge namespace
//! peer0 192.0.2.2/28   ---- veth ----  edge0 192.0.2.1/28
//!       2001:db8:0::2/64                   2001:db8:0::1/64
//! ```
//!
//! Addresses are fixed and neighbours known in advance, so a capture holds what a test sent and nothing more: no ARP,
//! no neighbour discovery, no duplicate address detection, no multicast reports. A test that wants to see the link's
//! own protocols asks for them with [`Link::discovery`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use crate::namespace::Namespace;
use crate::wait::poll;

/// How long a link may take to come up.
const UP_PATIENCE: Duration = Duration::from_secs(10);

/// The number of the first link's interface at the peer.
const PEER_INDEX: u32 = 100;

/// The first link's MAC address at the edge, where the filter is.
pub const EDGE_MAC: [u8; 6] = edge_mac(0);
/// The first link's MAC address at the peer.
pub const PEER_MAC: [u8; 6] = peer_mac(0);

/// The description of a veth pair to make.
#[derive(Clone, Debug)]
#[must_use]
pub struct Link {
    number: u8,
    mtu: u32,
    queues: usize,
    addressed: bool,
    discovery: bool,
    /// Interfaces of the calling thread's namespace that take the place of a veth pair.
    devices: Option<[String; 2]>,
}

/// A veth pair that is up, and the namespaces that it joins.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Where packets come from.
    pub peer: Namespace,
    /// Where the filter is attached.
    pub edge: Namespace,
    /// The interface's name in the peer's namespace.
    pub peer_interface: String,
    /// The interface's name in the edge's namespace.
    pub edge_interface: String,
    number: u8,
}

/// Joins two namespaces by the ordinary link: number 0, MTU 1500, addressed, quiet.
pub fn veth(peer: &Namespace, edge: &Namespace) -> Result<Pair> {
    Link::default().connect(peer, edge)
}

impl Default for Link {
    fn default() -> Self {
        Self {
            number: 0,
            mtu: 1500,
            queues: 1,
            addressed: true,
            discovery: false,
            devices: None,
        }
    }
}

impl Link {
    /// Chooses the number in names, MAC and IP addresses, for tests with several links: `peer3`, `edge3`. Below 16.
    pub fn number(mut self, number: u8) -> Self {
        self.number = number;
        self
    }

    /// Chooses the largest payload of a frame, both ways.
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = mtu;
        self
    }

    /// Chooses how many queues each direction has: what is sent on a core goes through the queue of its number.
    pub fn queues(mut self, queues: usize) -> Self {
        self.queues = queues;
        self
    }

    /// Leaves both ends without addresses and without IPv6: the kernel then neither sends nor answers anything.
    pub fn unaddressed(mut self) -> Self {
        self.addressed = false;
        self
    }

    /// Takes two interfaces of the calling thread's namespace, which are joined already, in place of a veth pair. They
    /// return there, under other names, when the namespaces end.
    pub fn over(mut self, peer: String, edge: String) -> Self {
        self.devices = Some([peer, edge]);
        self
    }

    /// Lets both ends speak ARP, neighbour discovery and multicast listener reports.
    pub fn discovery(mut self) -> Self {
        self.discovery = true;
        self
    }

    /// Makes the pair and waits until both ends are up.
    pub fn connect(&self, peer: &Namespace, edge: &Namespace) -> Result<Pair> {
        let number = self.number;
        if number >= 16 {
            bail!("link number {number} leaves 192.0.2.0/24; numbers are below 16");
        }
        let pair = Pair {
            peer: peer.clone(),
            edge: edge.clone(),
            peer_interface: format!("peer{number}"),
            edge_interface: format!("edge{number}"),
            number,
        };
        self.build(&pair).with_context(|| {
            format!("linking {} to {}", pair.peer_interface, pair.edge_interface)
        })?;
        Ok(pair)
    }

    fn build(&self, pair: &Pair) -> Result<()> {
        let (near, far) = (&pair.peer_interface, &pair.edge_interface);
        let (mtu, queues) = (self.mtu.to_string(), self.queues.to_string());
        let (near_mac, far_mac) = (text(peer_mac(self.number)), text(edge_mac(self.number)));
        // The first interfaces of two namespaces have the same number, and of a veth whose other end has its own number
        // the kernel tells that it is up a second late (linkwatch_urgent_event).
        let near_index = (PEER_INDEX + u32::from(self.number)).to_string();
        match &self.devices {
            Some([peer, edge]) => {
                take(peer, &pair.peer, near, &near_mac, &mtu)?;
                take(edge, &pair.edge, far, &far_mac, &mtu)?;
            }
            None => make_veth(pair, &near_index, [&near_mac, &far_mac], &mtu, &queues)?,
        }
        let ends = [(&pair.peer, near), (&pair.edge, far)];
        for (namespace, interface) in &ends {
            if !self.addressed {
                namespace.set(&format!("net/ipv6/conf/{interface}/disable_ipv6"), "1")?;
            }
            if !self.discovery {
                // Without ARP an interface joins no solicited-node group either, so no reports about it are sent.
                namespace.run(&["ip", "link", "set", interface, "arp", "off"])?;
            }
            namespace.run(&["ip", "link", "set", interface, "up"])?;
        }
        for (namespace, interface) in &ends {
            wait_up(namespace, interface)?;
        }
        if !self.addressed {
            return Ok(());
        }
        pair.address(self.discovery)
    }
}

fn make_veth(
    pair: &Pair,
    near_index: &str,
    [near_mac, far_mac]: [&str; 2],
    mtu: &str,
    queues: &str,
) -> Result<()> {
    let (near, far) = (&pair.peer_interface, &pair.edge_interface);
    // Both ends are born in their namespaces, so the host never sees them.
    pair.peer.run(&[
        "ip",
        "link",
        "add",
        near,
        "index",
        near_index,
        "address",
        near_mac,
        "mtu",
        mtu,
        "numrxqueues",
        queues,
        "numtxqueues",
        queues,
        "type",
        "veth", //
        "peer",
        "name",
        far,
        "address",
        far_mac,
        "mtu",
        mtu,
        "numrxqueues",
        queues,
        "numtxqueues",
        queues,
        "netns",
        &pair.edge.path(),
    ])?;
    Ok(())
}

/// Moves an interface of the calling thread's namespace into another, with a name, a MAC address and an MTU.
fn take(device: &str, namespace: &Namespace, name: &str, mac: &str, mtu: &str) -> Result<()> {
    let path = namespace.path();
    let moved = Command::new("ip")
        .args(["link", "set", device, "netns", &path, "name", name])
        .output()
        .context("starting ip")?;
    if !moved.status.success() {
        let said = String::from_utf8_lossy(&moved.stderr);
        bail!("moving {device} into a namespace: {}", said.trim());
    }
    namespace.run(&["ip", "link", "set", name, "address", mac, "mtu", mtu])?;
    // An emulated card may go on to take only frames for the address that it was made with.
    namespace.run(&["ip", "link", "set", name, "promisc", "on"])?;
    Ok(())
}

impl Pair {
    /// Waits until the edge's interface can carry frames.
    pub fn wait_up(&self) -> Result<()> {
        wait_up(&self.edge, &self.edge_interface)
    }

    /// Gives both ends their addresses, and without discovery each other's MAC addresses. An interface that was down
    /// has lost them.
    pub fn address(&self, discovery: bool) -> Result<()> {
        let (near_mac, far_mac) = (text(peer_mac(self.number)), text(edge_mac(self.number)));
        let (near, far) = (self.peer_addresses(), self.edge_addresses());
        let ends = [
            (&self.peer, &self.peer_interface, far_mac, near, far),
            (&self.edge, &self.edge_interface, near_mac, far, near),
        ];
        for (namespace, interface, opposite_mac, own, opposite) in &ends {
            for (own, opposite) in own.iter().zip(opposite) {
                let length = if own.is_ipv4() { 28 } else { 64 };
                namespace.add_address(interface, IpNet::new(*own, length)?)?;
                if !discovery {
                    namespace.run(&[
                        "ip",
                        "neigh",
                        "replace",
                        &opposite.to_string(),
                        "lladdr",
                        opposite_mac,
                        "dev",
                        interface, //
                        "nud",
                        "permanent",
                    ])?;
                }
            }
        }
        Ok(())
    }

    /// The peer's own addresses on this link, IPv4 first.
    #[must_use]
    pub fn peer_addresses(&self) -> [IpAddr; 2] {
        addresses(self.number, 2)
    }

    /// The edge's own addresses on this link, IPv4 first.
    #[must_use]
    pub fn edge_addresses(&self) -> [IpAddr; 2] {
        addresses(self.number, 1)
    }

    /// The edge's address of the same family as `address`: what the owner of `address` would call.
    #[must_use]
    pub fn edge_address_for(&self, address: IpAddr) -> IpAddr {
        let [v4, v6] = self.edge_addresses();
        if address.is_ipv4() { v4 } else { v6 }
    }

    /// Gives the peer an address of anywhere in the world and the edge a route back to it through this link.
    pub fn claim(&self, address: IpAddr) -> Result<()> {
        self.peer
            .add_address(&self.peer_interface, IpNet::from(address))?;
        let [v4, v6] = self.peer_addresses();
        let gateway = if address.is_ipv4() { v4 } else { v6 };
        self.edge.run(&[
            "ip",
            "route",
            "replace",
            &IpNet::from(address).to_string(),
            "via",
            &gateway.to_string(), //
            "dev",
            &self.edge_interface,
        ])?;
        Ok(())
    }
}

impl Namespace {
    /// Adds an address to an interface, usable at once.
    pub fn add_address(&self, interface: &str, address: IpNet) -> Result<()> {
        let address_text = address.to_string();
        let mut words = vec!["ip", "address", "replace", &address_text, "dev", interface];
        if address.addr().is_ipv6() {
            words.push("nodad");
        }
        self.run(&words)?;
        Ok(())
    }

    /// Sets a kernel parameter of the namespace, named by its path below /proc/sys.
    pub fn set(&self, parameter: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{parameter}");
        self.enter(|| std::fs::write(&path, value))?
            .with_context(|| format!("setting {path} to {value} in a namespace"))
    }
}

/// Has the end of a pair take the frames that a program redirects to it, whether a program runs there or not.
pub fn receive_offload(namespace: &Namespace, interface: &str) -> Result<()> {
    namespace.run(&["ethtool", "-K", interface, "gro", "on"])?;
    Ok(())
}

/// What the driver counted at the receiving end: frames that arrived, and frames that an XDP program dropped.
pub fn arrived(namespace: &Namespace, interface: &str) -> Result<(u64, u64)> {
    let shown = namespace.run(&["ethtool", "-S", interface])?;
    let sum = |name: &str| -> u64 {
        let values = shown.lines().filter_map(|line| {
            let (key, value) = line.trim().split_once(": ")?;
            (key.starts_with("rx_queue_") && key.ends_with(name))
                .then(|| value.parse::<u64>().ok())?
        });
        values.sum()
    };
    if !shown.contains("_xdp_packets") {
        bail!("the driver of {interface} does not count: {shown}");
    }
    Ok((sum("_xdp_packets"), sum("_xdp_drops")))
}

/// What the driver counted at the sending end: packets of the stack for which the other end had no room.
pub fn sent_in_vain(namespace: &Namespace, interface: &str) -> Result<u64> {
    let words = ["ip", "-json", "-statistics", "link", "show", interface];
    let shown: serde_json::Value = serde_json::from_str(&namespace.run(&words)?)?;
    let dropped = shown[0]["stats64"]["tx"]["dropped"].as_u64();
    dropped.with_context(|| format!("the driver of {interface} does not count: {shown}"))
}

/// Waits until an interface can carry frames.
pub(crate) fn wait_up(namespace: &Namespace, interface: &str) -> Result<()> {
    let ready = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let up = namespace.enter(|| {
        poll(UP_PATIENCE, || {
            let mut entries = getifaddrs().context("listing interfaces")?;
            Ok(entries
                .any(|entry| entry.interface_name == interface && entry.flags.contains(ready))
                .then_some(()))
        })
    })??;
    up.with_context(|| format!("{interface} was not up after {UP_PATIENCE:?}"))
}

/// The edge's MAC address on the link of this number.
#[must_use]
pub const fn edge_mac(number: u8) -> [u8; 6] {
    [0x02, 0, 0, 0, number, 0x01]
}

/// The peer's MAC address on the link of this number.
#[must_use]
pub const fn peer_mac(number: u8) -> [u8; 6] {
    [0x02, 0, 0, 0, number, 0x02]
}

fn addresses(number: u8, host: u8) -> [IpAddr; 2] {
    [
        Ipv4Addr::new(192, 0, 2, number * 16 + host).into(),
        Ipv6Addr::new(0x2001, 0xdb8, number.into(), 0, 0, 0, 0, host.into()).into(),
    ]
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
