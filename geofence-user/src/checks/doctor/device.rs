//! Facts about an interface: what drives it, how it is set, what runs on it already.

use std::collections::BTreeMap;

use ethtool::{EthtoolAttr, EthtoolChannelAttr, EthtoolFeatureAttr};
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkXdp, XdpAttached};
use serde::Serialize;

use super::netdev;

/// Offloads that matter: they merge segments before XDP would see them.
const OFFLOADS: [&str; 2] = ["rx-lro", "rx-gro-hw"];

/// An interface. The names of the fields are those of the JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Device {
    pub name: String,
    pub index: u32,
    /// The module of its driver, or the kind of a virtual one.
    pub driver: Option<String>,
    /// Whether a device stands behind it, on whatever bus.
    pub is_hardware: bool,
    pub mtu: u32,
    pub is_up: bool,
    pub queues_rx: u32,
    pub queues_tx: u32,
    pub channels: Option<Channels>,
    /// By ethtool's name, whether they are on.
    pub offloads: BTreeMap<String, bool>,
    /// Those of them that cannot be changed.
    pub fixed_offloads: Vec<String>,
    /// The number of the XDP program on it, and the mode that runs in.
    pub program: Option<u32>,
    pub program_mode: Option<&'static str>,
    /// What the driver can do, where the kernel says so (Linux 6.3).
    pub xdp_features: Option<XdpFeatures>,
}

/// How many channels of each kind are in use, and how many there could be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Channels {
    pub combined: u32,
    pub combined_max: u32,
    pub rx: u32,
    pub rx_max: u32,
    pub tx: u32,
    pub tx_max: u32,
}

/// What a driver says it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct XdpFeatures {
    /// Run a program in native mode.
    pub native: bool,
    /// Give it packets of several buffers.
    pub multi_buffer: bool,
}

impl XdpFeatures {
    // The bits of `include/uapi/linux/netdev.h`.
    const BASIC: u64 = 1;
    const RX_SG: u64 = 1 << 5;

    const fn of_bits(bits: u64) -> Self {
        Self {
            native: bits & Self::BASIC != 0,
            multi_buffer: bits & Self::RX_SG != 0,
        }
    }
}

/// Every interface of this network namespace but for what netlink cannot say.
pub async fn present() -> anyhow::Result<Vec<Device>> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let mut links = handle.link().get().execute();
    let mut devices = Vec::new();
    while let Some(link) = links.try_next().await? {
        let mut device = Device {
            index: link.header.index,
            is_up: link.header.flags.contains(LinkFlags::Up),
            driver: driver(&link.attributes),
            ..Device::default()
        };
        link.attributes.iter().for_each(|one| device.learn(one));
        devices.push(device);
    }
    connection.abort();
    Ok(devices)
}

/// Completes what is known of a device by what ethtool and the driver say; both may say nothing.
pub async fn read(mut device: Device) -> Device {
    device.xdp_features = netdev::xdp_features(device.index)
        .await
        .map(XdpFeatures::of_bits);
    let Ok((connection, mut handle, _)) = ethtool::new_connection() else {
        return device;
    };
    let connection = tokio::spawn(connection);
    if let Ok(answers) = handle.channel().get(Some(&device.name)).execute().await {
        let mut answers = std::pin::pin!(answers);
        while let Ok(Some(answer)) = answers.try_next().await {
            let channels = device.channels.get_or_insert_default();
            answer
                .payload
                .nlas
                .iter()
                .for_each(|one| channels.learn(one));
        }
    }
    if let Ok(answers) = handle.feature().get(Some(&device.name)).execute().await {
        let mut answers = std::pin::pin!(answers);
        while let Ok(Some(answer)) = answers.try_next().await {
            answer
                .payload
                .nlas
                .iter()
                .for_each(|one| device.learn_offload(one));
        }
    }
    connection.abort();
    device
}

/// The driver of an interface: its module where there is a device, else the kind of link it is.
#[must_use]
pub fn driver(attributes: &[LinkAttribute]) -> Option<String> {
    let (mut bus, mut parent, mut kind) = (None, None, None);
    for attribute in attributes {
        if let LinkAttribute::ParentDevBusName(name) = attribute {
            bus = Some(name);
        } else if let LinkAttribute::ParentDevName(name) = attribute {
            parent = Some(name);
        } else if let LinkAttribute::LinkInfo(infos) = attribute {
            kind = infos.iter().find_map(|info| {
                if let LinkInfo::Kind(kind) = info {
                    Some(kind.to_string())
                } else {
                    None
                }
            });
        }
    }
    // Devices on a bus are the same in every network namespace; /sys/class/net is not.
    let module = bus.zip(parent).and_then(|(bus, parent)| {
        let path = format!("/sys/bus/{bus}/devices/{parent}/driver");
        let target = std::fs::read_link(path).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    });
    module.or(kind)
}

impl Device {
    fn learn(&mut self, attribute: &LinkAttribute) {
        if let LinkAttribute::IfName(name) = attribute {
            self.name.clone_from(name);
        } else if let LinkAttribute::ParentDevName(_) = attribute {
            self.is_hardware = true;
        } else if let LinkAttribute::Mtu(mtu) = attribute {
            self.mtu = *mtu;
        } else if let LinkAttribute::NumRxQueues(queues) = attribute {
            self.queues_rx = *queues;
        } else if let LinkAttribute::NumTxQueues(queues) = attribute {
            self.queues_tx = *queues;
        } else if let LinkAttribute::Xdp(facts) = attribute {
            for fact in facts {
                if let LinkXdp::ProgId(id) = fact {
                    self.program = Some(*id).filter(|id| *id != 0);
                } else if let LinkXdp::Attached(mode) = fact {
                    self.program_mode = mode_name(*mode);
                }
            }
        }
    }

    fn learn_offload(&mut self, attribute: &EthtoolAttr) {
        let EthtoolAttr::Feature(attribute) = attribute else {
            return;
        };
        if let EthtoolFeatureAttr::Active(bits) = attribute {
            for name in OFFLOADS {
                let is_on = bits.iter().any(|bit| bit.name == name && bit.value);
                self.offloads.insert(name.to_owned(), is_on);
            }
        } else if let EthtoolFeatureAttr::Hw(bits) = attribute {
            let is_changeable =
                |name: &&str| bits.iter().any(|bit| bit.name == **name && bit.value);
            let fixed = OFFLOADS.iter().filter(|name| !is_changeable(name));
            self.fixed_offloads = fixed.map(|name| (*name).to_owned()).collect();
        }
    }

    /// Whether an offload is on.
    #[must_use]
    pub fn has(&self, offload: &str) -> bool {
        self.offloads.get(offload).copied().unwrap_or(false)
    }
}

fn mode_name(mode: XdpAttached) -> Option<&'static str> {
    if mode == XdpAttached::Driver {
        Some("native")
    } else if mode == XdpAttached::SocketBuffer {
        Some("generic")
    } else if mode == XdpAttached::Hardware {
        Some("offload")
    } else if mode == XdpAttached::Multiple {
        Some("multiple")
    } else {
        None
    }
}

impl Channels {
    fn learn(&mut self, attribute: &EthtoolAttr) {
        let EthtoolAttr::Channel(attribute) = attribute else {
            return;
        };
        match attribute {
            EthtoolChannelAttr::CombinedCount(count) => self.combined = *count,
            EthtoolChannelAttr::CombinedMax(count) => self.combined_max = *count,
            EthtoolChannelAttr::RxCount(count) => self.rx = *count,
            EthtoolChannelAttr::RxMax(count) => self.rx_max = *count,
            EthtoolChannelAttr::TxCount(count) => self.tx = *count,
            EthtoolChannelAttr::TxMax(count) => self.tx_max = *count,
            EthtoolChannelAttr::Header(_)
            | EthtoolChannelAttr::OtherMax(_)
            | EthtoolChannelAttr::OtherCount(_)
            | EthtoolChannelAttr::Other(_) => {}
        }
    }
}
