//! A network interface as the kernel describes it. This is a plain type; the kernel module fills it in.

use serde::Serialize;

use super::link_type::LinkType;

/// A network interface. The names of the fields are those of the JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    pub name: String,
    /// Further names of the same interface (`ip link property add altname`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_names: Vec<String>,
    pub index: u32,
    pub link_type: LinkType,
    /// The module of its driver, or the kind of a virtual interface.
    pub driver: Option<String>,
    /// The kind of a virtual interface: `bridge`, `vlan`, `tun`.
    pub kind: Option<String>,
    /// Whether a device on a bus backs it.
    pub is_hardware: bool,
    pub mtu: u32,
    pub is_up: bool,
    pub queues_rx: u32,
    pub queues_tx: u32,
    /// The index of the device that it is made on, in this network namespace: the parent of a VLAN or macvlan, the
    /// underlay of a tunnel.
    pub parent: Option<u32>,
    /// The index of the bridge, bond or other device that it is a port of.
    pub controller: Option<u32>,
    pub bond: Option<Bond>,
    /// Whether PPP over Ethernet has sessions on it.
    #[serde(skip)]
    pub has_pppoe: bool,
    /// The broadcast address. Tunnels keep their remote address there.
    #[serde(skip)]
    pub broadcast: Vec<u8>,
    /// The id of the XDP program that is attached to it.
    pub program: Option<u32>,
    /// `native`, `generic`, `offload` or `multiple`, if a program is attached.
    #[serde(rename = "program_mode")]
    pub mode: Option<&'static str>,
}

/// How a bond distributes packets, as far as its native XDP depends on that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bond {
    /// As `ip link` spells it.
    pub mode: String,
    /// Whether the transmit hash reads VLAN tags and source MAC addresses.
    pub hashes_vlan: bool,
}

impl Interface {
    /// Whether this is one of its names.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.other_names.iter().any(|other| other == name)
    }

    /// Whether it is a virtual interface of this kind.
    #[must_use]
    pub fn is_kind(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }
}
