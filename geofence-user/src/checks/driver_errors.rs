//! What each driver means when it refuses an XDP program, and what to do about it.
//!
//! The kernel returns one of a few error numbers, and each driver means something else by them. Attaching and `geofence
//! doctor` share this table. Nothing here looks at an interface.

use libc::{EBUSY, EEXIST, EINVAL, ENOMEM, ENOSPC, EOPNOTSUPP, ERANGE};

/// The largest MTU at which a packet fits one page beside the headroom of XDP, for drivers without multi-buffer XDP.
pub const MTU_ONE_BUFFER: u32 = 3498;

/// A row: drivers, their error numbers, what those mean, and what to type. `{if}` stands for the interface.
struct Row {
    /// Drivers by the name of their module; empty for all drivers.
    drivers: &'static [&'static str],
    errnos: &'static [i32],
    meaning: &'static str,
    lines: &'static [&'static str],
}

const AUTO: &str = "xdp-mode = \"auto\"";
const LRO_OFF: &str = "ethtool -K {if} lro off";
const MTU_DOWN: &str = "ip link set dev {if} mtu 3498";
const HALF_THE_CHANNELS: &str =
    "ethtool -L {if} combined N, N at most half of what `ethtool -l {if}` has as maximum";

/// Kinds of device that the kernel gives no native XDP.
const WITHOUT_NATIVE: &[&str] = &[
    "batadv",
    "bridge",
    "dummy",
    "geneve",
    "gre",
    "gretap",
    "hsr",
    "ifb",
    "ip6gre",
    "ip6gretap",
    "ip6tnl",
    "ipip",
    "ipvlan",
    "ipvtap",
    "macsec",
    "macvlan",
    "macvtap",
    "net_failover",
    "openvswitch",
    "ovpn",
    "ppp",
    "rmnet",
    "sit",
    "team",
    "tun",
    "vlan",
    "vrf",
    "vxlan",
    "wireguard",
    "wwan",
];

/// The first row that matches applies.
const ROWS: &[Row] = &[
    Row {
        drivers: &["virtio_net"],
        errnos: &[EOPNOTSUPP],
        meaning: "the host merges segments or leaves checksums to the guest, and does not let the guest change that",
        lines: &[
            "ethtool -K {if} gro-hw off lro off",
            "guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,guest_csum=off for the device in QEMU",
            AUTO,
        ],
    },
    Row {
        drivers: &["virtio_net"],
        errnos: &[EINVAL, ERANGE],
        meaning: "before Linux 6.3 the driver needs packets that fit one page",
        lines: &[MTU_DOWN, AUTO],
    },
    Row {
        drivers: &["virtio_net"],
        errnos: &[ENOMEM, ENOSPC],
        meaning: "the device has too few queues for one more per CPU",
        lines: &["ethtool -L {if} combined 1", AUTO],
    },
    Row {
        drivers: &["ena"],
        errnos: &[EINVAL, ERANGE],
        meaning: "the driver needs at most half of its channels in use, and packets that fit one page",
        lines: &[HALF_THE_CHANNELS, MTU_DOWN],
    },
    Row {
        drivers: &["gve"],
        errnos: &[EINVAL, EOPNOTSUPP],
        meaning: "the driver needs at most half of its queues in use, as many tx as rx queues, no LRO, no header \
                  split, receive buffers of 2,048 bytes and packets that fit them, Linux 6.4, and on older kernels the \
                  queue format GQI instead of DQO; the kernel log says which",
        lines: &[
            "ethtool -L {if} rx N tx N, N at most half of what `ethtool -l {if}` has as maximum",
            LRO_OFF,
            "ethtool -G {if} tcp-data-split off rx-buf-len 2048",
            "ip link set dev {if} mtu 1500",
            AUTO,
        ],
    },
    Row {
        drivers: &["mana"],
        errnos: &[EOPNOTSUPP, EINVAL, ERANGE],
        meaning: "the driver needs packets that fit one page beside the headroom of XDP; it has no multi-buffer XDP",
        lines: &[MTU_DOWN, AUTO],
    },
    Row {
        drivers: &["veth"],
        errnos: &[ENOSPC],
        meaning: "the peer sends on more queues than this end receives on",
        lines: &["ethtool -L {if} rx N, N at least the peer's number of tx queues"],
    },
    Row {
        drivers: &["veth"],
        errnos: &[ERANGE, EINVAL],
        meaning: "the peer may send packets that do not fit one page",
        lines: &["ip link set dev PEER mtu 3498, for the other end of {if}"],
    },
    Row {
        drivers: &["mlx5_core", "mlx4_en"],
        errnos: &[EINVAL, EOPNOTSUPP, ERANGE],
        meaning: "with XDP, the driver supports neither LRO nor packets that do not fit one page",
        lines: &[LRO_OFF, MTU_DOWN],
    },
    Row {
        drivers: &["hv_netvsc", "vmxnet3"],
        errnos: &[EOPNOTSUPP, EINVAL, ERANGE],
        meaning: "with XDP, the driver supports neither LRO nor packets that do not fit one page",
        lines: &[LRO_OFF, MTU_DOWN, AUTO],
    },
    Row {
        drivers: &["bnxt_en"],
        errnos: &[EOPNOTSUPP, EINVAL, ERANGE],
        meaning: "the driver needs combined channels, and half of them free",
        lines: &[
            HALF_THE_CHANNELS,
            "ethtool -K {if} lro off gro-hw off",
            MTU_DOWN,
        ],
    },
    Row {
        drivers: &["ixgbe", "ixgbevf", "igb", "igc", "i40e", "iavf", "ice"],
        errnos: &[EINVAL, ERANGE, EOPNOTSUPP],
        meaning: "packets of this MTU do not fit the driver's receive buffers",
        lines: &["ip link set dev {if} mtu 1500", LRO_OFF],
    },
    Row {
        drivers: &["ixgbe", "i40e", "ice"],
        errnos: &[ENOMEM, ENOSPC],
        meaning: "the driver has too few queues for one more per CPU",
        lines: &[HALF_THE_CHANNELS],
    },
    Row {
        drivers: WITHOUT_NATIVE,
        errnos: &[EOPNOTSUPP],
        meaning: "devices of this kind have no native XDP",
        lines: &[AUTO],
    },
    Row {
        drivers: &["bond"],
        errnos: &[EOPNOTSUPP],
        meaning: "bonding has native XDP in the modes balance-rr, active-backup, balance-xor and 802.3ad, with a \
                  hash that reads no VLAN tag, and only if each port has it and runs no program of its own",
        lines: &[
            "ip -details link show {if}, for its mode and xmit_hash_policy",
            "ip link set dev PORT xdp off, for a port with a program",
            AUTO,
        ],
    },
    Row {
        drivers: &[],
        errnos: &[EBUSY, EEXIST],
        meaning: "another XDP program is attached to it, or to a device above it",
        lines: &[
            "ip link set dev {if} xdp off, unless it belongs to a tool that has a command of its own for that",
        ],
    },
    Row {
        drivers: &[],
        errnos: &[EOPNOTSUPP],
        meaning: "the driver has no native XDP, or an offload forbids it",
        lines: &[LRO_OFF, AUTO],
    },
    Row {
        drivers: &[],
        errnos: &[ERANGE, EINVAL],
        meaning: "its MTU, channels or offloads conflict with XDP",
        lines: &[MTU_DOWN, LRO_OFF, HALF_THE_CHANNELS, AUTO],
    },
    Row {
        drivers: &[],
        errnos: &[ENOMEM, ENOSPC],
        meaning: "it has too few queues left",
        lines: &[HALF_THE_CHANNELS, AUTO],
    },
];

/// What a driver means by an error number, and what may help; the likeliest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverError {
    pub meaning: &'static str,
    pub lines: Vec<String>,
}

/// Looks up what an error number means from this driver; `None` for a number that does not come from drivers.
#[must_use]
pub fn driver_error(interface: &str, driver: Option<&str>, errno: i32) -> Option<DriverError> {
    let row = ROWS.iter().find(|row| {
        let fits = row.drivers.is_empty() || driver.is_some_and(|name| row.drivers.contains(&name));
        fits && row.errnos.contains(&errno)
    })?;
    Some(DriverError {
        meaning: row.meaning,
        lines: row
            .lines
            .iter()
            .map(|line| line.replace("{if}", interface))
            .collect(),
    })
}

impl std::fmt::Display for DriverError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut meaning = self.meaning.chars();
        if let Some(first) = meaning.next() {
            write!(f, "{}{}", first.to_uppercase(), meaning.as_str())?;
        }
        f.write_str(". Try these, likeliest first:")?;
        for line in &self.lines {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(driver: Option<&str>, errno: i32) -> Vec<String> {
        driver_error("eth0", driver, errno)
            .map(|error| error.lines)
            .unwrap_or_default()
    }

    #[test]
    fn the_same_errno_means_something_else_for_each_driver() {
        assert!(lines(Some("ena"), EINVAL)[0].starts_with("ethtool -L eth0 combined N"));
        assert_eq!(
            lines(Some("virtio_net"), EINVAL)[0],
            "ip link set dev eth0 mtu 3498"
        );
        assert_eq!(
            lines(Some("virtio_net"), EOPNOTSUPP)[0],
            "ethtool -K eth0 gro-hw off lro off"
        );
        assert_eq!(
            lines(Some("mlx5_core"), EINVAL)[0],
            "ethtool -K eth0 lro off"
        );
    }

    #[test]
    fn every_errno_of_a_refusal_has_a_line_for_every_driver() {
        for errno in [EBUSY, EEXIST, EINVAL, ENOMEM, ENOSPC, EOPNOTSUPP, ERANGE] {
            for driver in [None, Some("unknown_driver")] {
                assert!(!lines(driver, errno).is_empty(), "{errno}");
            }
        }
        assert_eq!(driver_error("eth0", None, libc::EFAULT), None);
    }

    #[test]
    fn every_row_is_reachable() {
        for row in ROWS {
            let drivers: Vec<Option<&str>> = match row.drivers {
                [] => vec![None],
                drivers => drivers.iter().copied().map(Some).collect(),
            };
            for driver in drivers {
                for errno in row.errnos {
                    let found = driver_error("eth0", driver, *errno).unwrap();
                    assert_eq!(found.meaning, row.meaning, "{driver:?} {errno}");
                }
            }
        }
    }

    #[test]
    fn drivers_of_clouds_and_bonds_get_advice_about_what_their_sources_refuse() {
        for (driver, errno, expected) in [
            ("mana", EOPNOTSUPP, &["no multi-buffer XDP", "mtu 3498"][..]),
            (
                "gve",
                EOPNOTSUPP,
                &[
                    "GQI instead of DQO",
                    "lro off",
                    "tcp-data-split off rx-buf-len 2048",
                    "mtu 1500",
                ],
            ),
            ("gve", EINVAL, &["at most half", "as many tx as rx queues"]),
            (
                "bond",
                EOPNOTSUPP,
                &[
                    "balance-rr, active-backup, balance-xor and 802.3ad",
                    "reads no VLAN tag",
                    "ip link set dev PORT xdp off",
                ],
            ),
        ] {
            let said = driver_error("eth0", Some(driver), errno)
                .unwrap()
                .to_string();
            for part in expected {
                assert!(said.contains(part), "{driver}: {said}");
            }
        }
    }

    #[test]
    fn driver_error_displays_as_a_sentence_and_lines() {
        let said = driver_error("eth0", Some("veth"), ENOSPC)
            .unwrap()
            .to_string();
        assert!(said.starts_with("The peer sends on more queues"), "{said}");
        assert!(
            said.ends_with("\n  ethtool -L eth0 rx N, N at least the peer's number of tx queues"),
            "{said}"
        );
    }
}
