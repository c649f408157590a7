//! What follows from the facts about an interface. Pure, so that tests can describe any device.

use serde::Serialize;

use super::Device;
use crate::checks::driver_errors::{MTU_ONE_BUFFER, driver_error};
use crate::checks::finding::Finding;

/// Drivers that need half of their channels free for the packets XDP sends.
const HALVED: [&str; 2] = ["ena", "gve"];

/// Interfaces on top of other interfaces, without a receive path of their own.
const STACKED: [&str; 6] = ["bridge", "vlan", "macvlan", "ipvlan", "team", "vxlan"];

/// Drivers that have had native XDP since before Linux 6.0, for kernels that do not report it.
const KNOWN_NATIVE: [&str; 19] = [
    "bnxt_en",
    "bond",
    "ena",
    "hv_netvsc",
    "i40e",
    "ice",
    "igb",
    "igc",
    "ixgbe",
    "ixgbevf",
    "mana",
    "mlx4_en",
    "mlx5_core",
    "mvneta",
    "nfp",
    "qede",
    "tun",
    "veth",
    "virtio_net",
];

const AUTO: &str = "xdp-mode = \"auto\"";

/// The mode a program would get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Native,
    Generic,
    /// Native after a change; generic until then.
    Hindered,
    /// Neither the kernel nor a rule here knows.
    Unknown,
}

/// Judges a device: the mode that a program would get, and the findings. `is_ours` says whether the program that is
/// attached belongs to geofence.
#[must_use]
pub fn judge_device(device: &Device, is_ours: bool) -> (Mode, Vec<Finding>) {
    let name = &device.interface.name;
    let driver = device.driver();
    let mut findings = Vec::new();
    if !device.interface.is_up {
        findings.push(Finding {
            line: Some(format!("ip link set dev {name} up")),
            ..Finding::note(format!("{name} is down; the filter can be attached anyway"))
        });
    }
    if let (Some(id), false) = (device.interface.program, is_ours) {
        let line = driver_error(name, None, libc::EBUSY);
        findings.push(Finding::trouble(
            format!("{name} already runs the XDP program with id {id}, which is not geofence's"),
            line.map(|error| error.lines.concat()).unwrap_or_default(),
        ));
    }
    let has_native = device.xdp_features.map(|features| features.native);
    let is_stacked = STACKED.contains(&driver);
    if has_native == Some(false) || is_stacked || name == "lo" {
        let text = if is_stacked {
            format!(
                "{name} is a {driver}, which has no native XDP: attach to the interfaces beneath it"
            )
        } else {
            format!(
                "{name} has no native XDP; generic mode works, and costs several times as much per packet"
            )
        };
        findings.push(Finding::change(text, AUTO));
        return (Mode::Generic, findings);
    }
    let hindrances = hindrances(device);
    let mode = if !hindrances.is_empty() {
        Mode::Hindered
    } else if has_native.is_some() || KNOWN_NATIVE.contains(&driver) {
        Mode::Native
    } else {
        Mode::Unknown
    };
    findings.extend(hindrances);
    if mode == Mode::Unknown {
        findings.push(Finding::note(format!(
            "this kernel does not report the XDP modes of {name}; run `geofence doctor {name} --probe` to try them"
        )));
    }
    (mode, findings)
}

/// What keeps a device that has native XDP from running it now.
fn hindrances(device: &Device) -> Vec<Finding> {
    let name = &device.interface.name;
    let mtu = device.interface.mtu;
    let driver = device.driver();
    let mut findings = Vec::new();
    let one_buffer = device
        .xdp_features
        .is_some_and(|features| !features.multi_buffer);
    if mtu > MTU_ONE_BUFFER && one_buffer {
        findings.push(Finding::change(
            format!(
                "packets of MTU {mtu} do not fit one page, and the driver does not support multi-buffer XDP"
            ),
            format!("ip link set dev {name} mtu {MTU_ONE_BUFFER}"),
        ));
    }
    if device.has("rx-lro") {
        findings.push(Finding::change(
            "large receive offload merges packets before XDP sees them, and drivers refuse to run both",
            format!("ethtool -K {name} lro off"),
        ));
    }
    let is_fixed = device.fixed_offloads.iter().any(|one| one == "rx-gro-hw");
    if driver == "virtio_net" && device.has("rx-gro-hw") && is_fixed {
        findings.push(Finding::change(
            "the host merges segments and does not let the guest change that; give the device \
             guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off on the host",
            AUTO,
        ));
    }
    let channels = device.channels.filter(|_| HALVED.contains(&driver));
    for (kind, used, max) in channels.iter().flat_map(|channels| channels.receiving()) {
        if max > 1 && used > max / 2 {
            let half = max / 2;
            let line = match kind {
                "rx" => format!("ethtool -L {name} rx {half} tx {half}"),
                _ => format!("ethtool -L {name} {kind} {half}"),
            };
            findings.push(Finding::change(
                format!(
                    "{used} of {max} {kind} channels are in use, and {driver} needs half of them for XDP"
                ),
                line,
            ));
        }
    }
    findings
}
