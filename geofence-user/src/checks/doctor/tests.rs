//! Findings about machines and interfaces that the tests describe.

use super::*;
use crate::checks::finding::Level;
use crate::model::interface::Interface;

fn nic(driver: &str) -> Device {
    Device {
        interface: Interface {
            name: "eth0".to_owned(),
            index: 2,
            driver: Some(driver.to_owned()),
            is_hardware: true,
            mtu: 1500,
            is_up: true,
            ..Interface::default()
        },
        xdp_features: Some(XdpFeatures {
            native: true,
            multi_buffer: false,
        }),
        ..Device::default()
    }
}

/// The mode, and the lines of findings above a note.
fn judged(device: &Device) -> (Mode, Vec<String>) {
    let (mode, findings) = judge_device(device, false);
    let lines = findings
        .into_iter()
        .filter(|finding| finding.level > Level::Note);
    (
        mode,
        lines
            .map(|finding| finding.line.unwrap_or_default())
            .collect(),
    )
}

#[test]
fn a_suitable_interface_has_no_findings() {
    for driver in ["virtio_net", "ena", "mlx5_core", "veth", "unknown_driver"] {
        assert_eq!(
            judge_device(&nic(driver), false),
            (Mode::Native, vec![]),
            "{driver}"
        );
    }
}

#[test]
fn each_hindrance_of_native_mode_has_a_line_that_removes_it() {
    let mut jumbo = nic("ena");
    jumbo.interface.mtu = 9001;
    assert_eq!(
        judged(&jumbo),
        (
            Mode::Hindered,
            vec!["ip link set dev eth0 mtu 3498".to_owned()]
        )
    );
    let multi = Some(XdpFeatures {
        native: true,
        multi_buffer: true,
    });
    assert_eq!(
        judged(&Device {
            xdp_features: multi,
            ..jumbo
        })
        .0,
        Mode::Native
    );

    let lro = Device {
        offloads: [("rx-lro".to_owned(), true)].into(),
        ..nic("mlx5_core")
    };
    assert_eq!(
        judged(&lro),
        (Mode::Hindered, vec!["ethtool -K eth0 lro off".to_owned()])
    );

    let channels = |combined| {
        Some(Channels {
            combined,
            combined_max: 8,
            ..Channels::default()
        })
    };
    let full = Device {
        channels: channels(5),
        ..nic("ena")
    };
    assert_eq!(
        judged(&full),
        (
            Mode::Hindered,
            vec!["ethtool -L eth0 combined 4".to_owned()]
        )
    );
    assert_eq!(
        judged(&Device {
            channels: channels(4),
            ..nic("ena")
        })
        .0,
        Mode::Native
    );
    assert_eq!(
        judged(&Device {
            channels: channels(8),
            ..nic("mlx5_core")
        })
        .0,
        Mode::Native
    );

    let merged = Device {
        offloads: [("rx-gro-hw".to_owned(), true)].into(),
        fixed_offloads: vec!["rx-gro-hw".to_owned()],
        ..nic("virtio_net")
    };
    let (mode, lines) = judged(&merged);
    assert!(
        mode == Mode::Hindered && lines == ["xdp-mode = \"auto\""],
        "{lines:?}"
    );
    assert_eq!(
        judged(&Device {
            fixed_offloads: vec![],
            ..merged
        })
        .0,
        Mode::Native
    );
}

#[test]
fn kernels_that_report_no_modes_are_known_by_the_driver() {
    let on_old_kernel = |driver: &str| {
        let device = Device {
            xdp_features: None,
            ..nic(driver)
        };
        judge_device(&device, false).0
    };
    for driver in ["virtio_net", "ena", "mana", "bond", "hv_netvsc", "igb"] {
        assert_eq!(on_old_kernel(driver), Mode::Native, "{driver}");
    }
    // These came with Linux 6.4 and 6.6, and kernels from 6.3 on report their modes.
    for driver in ["gve", "vmxnet3", "unknown_driver"] {
        assert_eq!(on_old_kernel(driver), Mode::Unknown, "{driver}");
    }
}

#[test]
fn a_device_without_native_mode_suggests_xdp_mode_auto() {
    let none = Some(XdpFeatures {
        native: false,
        multi_buffer: false,
    });
    let auto = vec!["xdp-mode = \"auto\"".to_owned()];
    assert_eq!(
        judged(&Device {
            xdp_features: none,
            ..nic("e1000")
        }),
        (Mode::Generic, auto.clone())
    );
    let vlan = Device {
        xdp_features: None,
        ..nic("vlan")
    };
    assert_eq!(judged(&vlan), (Mode::Generic, auto));
    assert_eq!(
        judged(&Device {
            xdp_features: None,
            ..nic("ena")
        })
        .0,
        Mode::Native
    );
    assert_eq!(
        judged(&Device {
            xdp_features: None,
            ..nic("unknown_driver")
        })
        .0,
        Mode::Unknown
    );
}

#[test]
fn a_foreign_program_is_trouble_and_geofences_own_is_not() {
    let mut taken = nic("veth");
    taken.interface.program = Some(7);
    let (_, findings) = judge_device(&taken, false);
    assert_eq!(findings[0].level, Level::Trouble);
    assert!(findings[0].text.contains("id 7"), "{findings:?}");
    assert_eq!(judge_device(&taken, true).1, []);
}

#[test]
fn a_machine_is_judged_by_its_kernel_and_capabilities() {
    let fit = Machine {
        kernel: "6.18.0".to_owned(),
        version: (6, 18),
        btf: true,
        jit: true,
        bpffs: true,
        private_pins: false,
        capabilities: vec!["CAP_NET_ADMIN", "CAP_PERFMON", "CAP_BPF"],
        lockdown: None,
    };
    assert_eq!(judge_machine(&fit), []);
    let worst = |machine: Machine| {
        judge_machine(&machine)
            .iter()
            .map(|finding| finding.level)
            .max()
    };
    assert_eq!(
        worst(Machine {
            version: (6, 0),
            ..fit.clone()
        }),
        Some(Level::Trouble)
    );
    assert_eq!(
        worst(Machine {
            version: (6, 1),
            ..fit.clone()
        }),
        Some(Level::Note)
    );
    assert_eq!(
        worst(Machine {
            capabilities: vec!["CAP_NET_ADMIN", "CAP_BPF"],
            ..fit.clone()
        }),
        Some(Level::Trouble)
    );
    assert_eq!(
        worst(Machine {
            jit: false,
            ..fit.clone()
        }),
        Some(Level::Change)
    );
    assert_eq!(
        worst(Machine {
            bpffs: false,
            ..fit.clone()
        }),
        Some(Level::Change)
    );
    assert_eq!(
        worst(Machine {
            private_pins: true,
            ..fit.clone()
        }),
        Some(Level::Change)
    );
    let locked = Some("confidentiality".to_owned());
    assert_eq!(
        worst(Machine {
            lockdown: locked,
            ..fit
        }),
        Some(Level::Trouble)
    );
}

#[test]
fn router_without_an_inside_gets_the_line_that_names_inner_interfaces() {
    let device = |index, name: &str, controller| Interface {
        name: name.to_owned(),
        index,
        is_up: true,
        controller,
        kind: name.starts_with("br").then(|| "bridge".to_owned()),
        ..Interface::default()
    };
    let present = [
        device(2, "wan0", None),
        device(3, "lan0", Some(4)),
        device(4, "br0", None),
        device(5, "lan1", None),
    ];
    let judged = |routes: &[(u32, bool)], protected: &[u32], inner: &[u32], is_on| {
        let forwarding = Forwarding {
            is_on,
            routes: routes.iter().copied().collect(),
        };
        let set = |indexes: &[u32]| indexes.iter().copied().collect();
        let found = judge_forwarding(&forwarding, &present, &set(protected), &set(inner));
        found.and_then(|found| found.line).unwrap_or_default()
    };
    let all = [(2, true), (4, false), (5, false)];
    // What lan0 receives arrives on the bridge above it.
    assert_eq!(
        judged(&all, &[2, 3, 5], &[], true),
        "inner-interfaces = [\"br0\", \"lan1\"]"
    );
    assert_eq!(
        judged(&[(2, true)], &[2], &[], true),
        "inner-interfaces = [\"wan0\"]"
    );
    // Without forwarding, without a filter, with an inside, and with one that is named.
    assert_eq!(judged(&all, &[2, 3, 5], &[], false), "");
    assert_eq!(judged(&all, &[], &[], true), "");
    assert_eq!(judged(&all, &[2, 3], &[], true), "");
    assert_eq!(judged(&all, &[2, 3, 5], &[5], true), "");
    // A device without a route forwards nothing.
    assert_eq!(
        judged(&[(2, true), (5, false)], &[2, 5], &[], true),
        "inner-interfaces = [\"lan1\"]"
    );
}
