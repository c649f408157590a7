//! What follows from the facts. Pure, so that machines nobody has at hand can be tried.

use serde::Serialize;

use super::{Device, Finding, Level, Machine};
use crate::checks::driver_errors::{MTU_ONE_BUFFER, advice};
use crate::kernel::KERNEL_MIN;

/// TCX, links for the egress side (Linux 6.6); older kernels have a way that needs more care.
const TCX: (u32, u32) = (6, 6);

/// Drivers that want half of their channels free for what XDP sends.
const HALVED: [&str; 2] = ["ena", "gve"];
/// Links on top of other links, which have no receive path of their own.
const STACKED: [&str; 6] = ["bridge", "vlan", "macvlan", "ipvlan", "team", "vxlan"];

/// The mode a program would get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Native,
    Generic,
    /// Native mode is to be had once what is in the way is changed; until then generic.
    Hindered,
    /// Neither the kernel nor any rule here says.
    Unknown,
}

/// What follows from the facts about the machine.
#[must_use]
pub fn machine(machine: &Machine) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |level, text: String, line: Option<&str>| {
        findings.push(Finding::new(level, text, line.map(str::to_owned)));
    };
    let floor = (u32::from(KERNEL_MIN.0), u32::from(KERNEL_MIN.1));
    if machine.version < floor {
        add(
            Level::Trouble,
            format!(
                "Linux {} is too old: geofence needs {}.{} or later",
                machine.kernel, floor.0, floor.1
            ),
            Some("boot a newer kernel"),
        );
    } else if machine.version < TCX {
        add(
            Level::Note,
            format!(
                "Linux {} has no TCX (6.6): what is sent is watched through clsact",
                machine.kernel
            ),
            None,
        );
    }
    let may = |capability: &str| machine.capabilities.contains(&capability);
    let may_load = may("CAP_SYS_ADMIN") || (may("CAP_BPF") && may("CAP_PERFMON"));
    if !may_load || !may("CAP_NET_ADMIN") {
        add(
            Level::Trouble,
            "this process may not load and attach programs, which takes CAP_BPF, CAP_PERFMON and \
             CAP_NET_ADMIN"
                .to_owned(),
            Some(
                "run geofence with sudo, or give its service AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN",
            ),
        );
    }
    if machine.lockdown.as_deref() == Some("confidentiality") {
        add(
            Level::Trouble,
            "the kernel is locked down to confidentiality, which keeps programs from reading packets".to_owned(),
            Some("boot with lockdown=integrity"),
        );
    }
    if !machine.jit {
        add(
            Level::Change,
            "programs are interpreted, which costs several times as much a packet".to_owned(),
            Some("sysctl -w net.core.bpf_jit_enable=1"),
        );
    }
    if !machine.bpffs {
        add(
            Level::Change,
            "no BPF file system is mounted at /sys/fs/bpf, where a filter outlives its daemon"
                .to_owned(),
            Some("mount -t bpf bpf /sys/fs/bpf"),
        );
    }
    if !machine.btf {
        add(
            Level::Note,
            "the kernel does not describe its types (no /sys/kernel/btf/vmlinux); geofence does without".to_owned(),
            None,
        );
    }
    findings
}

/// The mode that a program would get on a device, and what follows from the facts about it.
#[must_use]
pub fn device(device: &Device, is_ours: bool) -> (Mode, Vec<Finding>) {
    let mut findings = Vec::new();
    let name = &device.name;
    let driver = device.driver.as_deref().unwrap_or_default();
    let mut add = |level, text: String, line: Option<String>| {
        findings.push(Finding::new(level, text, line));
    };
    if !device.is_up {
        add(
            Level::Note,
            format!("{name} is down; the filter can be attached all the same"),
            Some(format!("ip link set dev {name} up")),
        );
    }
    if let (Some(id), false) = (device.program, is_ours) {
        let line =
            advice(name, None, libc::EBUSY).and_then(|advice| advice.lines.into_iter().next());
        add(
            Level::Trouble,
            format!("{name} already runs the XDP program with id {id}, which is not geofence's"),
            line,
        );
    }
    let features = device.xdp_features;
    let has_native = features.map(|features| features.native);
    if has_native == Some(false) || STACKED.contains(&driver) || name == "lo" {
        let text = if STACKED.contains(&driver) {
            format!(
                "{name} is a {driver}, which has no native XDP: attach to the interfaces beneath it"
            )
        } else {
            format!(
                "{name} has no native XDP; generic mode works, and costs several times as much a packet"
            )
        };
        add(Level::Change, text, Some("xdp-mode = \"auto\"".to_owned()));
        return (Mode::Generic, findings);
    }
    let mut hinder = |text: String, line: String| add(Level::Change, text, Some(line));
    let mut hindered = false;
    if device.mtu > MTU_ONE_BUFFER && features.is_some_and(|features| !features.multi_buffer) {
        hindered = true;
        hinder(
            format!(
                "packets of MTU {} do not fit one page, and the driver has no XDP for several",
                device.mtu
            ),
            format!("ip link set dev {name} mtu {MTU_ONE_BUFFER}"),
        );
    }
    if device.has("rx-lro") {
        hindered = true;
        hinder(
            "large receive offload merges packets before XDP sees them, and drivers refuse one or the other".to_owned(),
            format!("ethtool -K {name} lro off"),
        );
    }
    if driver == "virtio_net"
        && device.has("rx-gro-hw")
        && device.fixed_offloads.iter().any(|one| one == "rx-gro-hw")
    {
        hindered = true;
        hinder(
            "the host merges segments and does not let the guest change that; the device can be given \
             guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off there"
                .to_owned(),
            "xdp-mode = \"auto\"".to_owned(),
        );
    }
    if let (Some(channels), true) = (device.channels, HALVED.contains(&driver)) {
        let pairs = [
            ("combined", channels.combined, channels.combined_max),
            ("rx", channels.rx, channels.rx_max),
        ];
        for (kind, used, max) in pairs {
            if max > 1 && used > max / 2 {
                hindered = true;
                let line = if kind == "rx" {
                    format!("ethtool -L {name} rx {0} tx {0}", max / 2)
                } else {
                    format!("ethtool -L {name} {kind} {}", max / 2)
                };
                hinder(
                    format!(
                        "{used} of {max} {kind} channels are in use, and {driver} wants half of them for XDP"
                    ),
                    line,
                );
            }
        }
    }
    let mode = match (hindered, has_native) {
        (true, _) => Mode::Hindered,
        (false, Some(_)) => Mode::Native,
        (false, None) if is_known_native(driver) => Mode::Native,
        (false, None) => Mode::Unknown,
    };
    if mode == Mode::Unknown {
        add(
            Level::Note,
            format!(
                "this kernel does not say which XDP modes {name} has; `geofence doctor {name} --probe` tries"
            ),
            None,
        );
    }
    (mode, findings)
}

/// Drivers that have had native XDP since before Linux 6.0, for kernels that do not say.
fn is_known_native(driver: &str) -> bool {
    const KNOWN: [&str; 18] = [
        "bnxt_en",
        "ena",
        "gve",
        "hv_netvsc",
        "i40e",
        "ice",
        "igb",
        "igc",
        "ixgbe",
        "ixgbevf",
        "mlx4_en",
        "mlx5_core",
        "mvneta",
        "nfp",
        "qede",
        "tun",
        "veth",
        "virtio_net",
    ];
    KNOWN.contains(&driver)
}
