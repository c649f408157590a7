//! Facts about a device that ethtool and the driver report: channels, offloads, XDP features.

use std::collections::BTreeMap;

use ethtool::{EthtoolAttr, EthtoolChannelAttr, EthtoolFeatureAttr};
use futures_util::TryStreamExt as _;
use serde::Serialize;

use super::netdev;
use crate::model::interface::Interface;

/// The offloads that matter: they merge segments before XDP sees them.
const OFFLOADS: [&str; 2] = ["rx-lro", "rx-gro-hw"];

/// An interface with what its driver reports. The names of the fields are those of the JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Device {
    #[serde(flatten)]
    pub interface: Interface,
    pub channels: Option<Channels>,
    /// Whether each offload is on, by ethtool's name.
    pub offloads: BTreeMap<String, bool>,
    /// The offloads that cannot be changed.
    pub fixed_offloads: Vec<String>,
    /// What the driver supports, if the kernel reports it (Linux 6.3).
    pub xdp_features: Option<XdpFeatures>,
}

/// How many channels of each kind are in use, and how many there can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Channels {
    pub combined: u32,
    pub combined_max: u32,
    pub rx: u32,
    pub rx_max: u32,
    pub tx: u32,
    pub tx_max: u32,
}

/// The XDP features of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct XdpFeatures {
    /// Programs run in native mode.
    pub native: bool,
    /// Programs get packets of several buffers.
    pub multi_buffer: bool,
}

impl XdpFeatures {
    // The bits of `include/uapi/linux/netdev.h`.
    const BASIC: u64 = 1;
    const RX_SG: u64 = 1 << 5;

    const fn from_bits(bits: u64) -> Self {
        Self {
            native: bits & Self::BASIC != 0,
            multi_buffer: bits & Self::RX_SG != 0,
        }
    }
}

impl Device {
    /// Asks the driver about an interface. Facts that it does not report stay empty.
    pub async fn read(interface: Interface) -> Self {
        let features = netdev::xdp_features(interface.index).await;
        let mut device = Self {
            interface,
            xdp_features: features.map(XdpFeatures::from_bits),
            ..Self::default()
        };
        let Ok((connection, mut handle, _)) = ethtool::new_connection() else {
            return device;
        };
        let connection = tokio::spawn(connection);
        let name = device.interface.name.clone();
        if let Ok(answers) = handle.channel().get(Some(&name)).execute().await {
            let mut answers = std::pin::pin!(answers);
            while let Ok(Some(answer)) = answers.try_next().await {
                let channels = device.channels.get_or_insert_default();
                for attribute in &answer.payload.nlas {
                    channels.read_attribute(attribute);
                }
            }
        }
        if let Ok(answers) = handle.feature().get(Some(&name)).execute().await {
            let mut answers = std::pin::pin!(answers);
            while let Ok(Some(answer)) = answers.try_next().await {
                for attribute in &answer.payload.nlas {
                    device.read_offloads(attribute);
                }
            }
        }
        connection.abort();
        device
    }

    fn read_offloads(&mut self, attribute: &EthtoolAttr) {
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

    pub(super) fn driver(&self) -> &str {
        self.interface.driver.as_deref().unwrap_or_default()
    }
}

impl Channels {
    fn read_attribute(&mut self, attribute: &EthtoolAttr) {
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

    /// The kinds that receive: name, in use, maximum.
    #[must_use]
    pub const fn receiving(&self) -> [(&'static str, u32, u32); 2] {
        [
            ("combined", self.combined, self.combined_max),
            ("rx", self.rx, self.rx_max),
        ]
    }
}
