//! A network interface as the kernel describes it. This is a plain type; the kernel module fills it in.

use serde::Serialize;

/// A network interface. The names of the fields are those of the JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    pub name: String,
    pub index: u32,
    /// The module of its driver, or the kind of a virtual interface.
    pub driver: Option<String>,
    /// Whether a device on a bus backs it.
    pub is_hardware: bool,
    pub mtu: u32,
    pub is_up: bool,
    pub queues_rx: u32,
    pub queues_tx: u32,
    /// The id of the XDP program that is attached to it.
    pub program: Option<u32>,
    /// `native`, `generic`, `offload` or `multiple`, if a program is attached.
    #[serde(rename = "program_mode")]
    pub mode: Option<&'static str>,
}
