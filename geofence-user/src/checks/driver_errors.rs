//! What to do about a driver that does not take the program: one table for whoever attaches and for `geofence doctor`.
//!
//! The kernel says no with one of a few numbers, and each driver means something else by them. A row holds what is
//! known to be meant, and the line that mends it. Nothing here looks at an interface.

use libc::{EBUSY, EEXIST, EINVAL, ENOMEM, ENOSPC, EOPNOTSUPP, ERANGE};

/// The largest MTU at which a packet fits one page with the room XDP wants, for drivers without multi-buffer XDP.
pub const MTU_ONE_BUFFER: u32 = 3498;

/// A row: who says what, what that means, and the line that mends it. `{if}` stands for the interface.
struct Row {
    /// Drivers by the name of their module; none for every other.
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

/// The first row that fits counts.
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
        meaning: "before Linux 6.3 the driver wants packets that fit one page",
        lines: &[MTU_DOWN, AUTO],
    },
    Row {
        drivers: &["virtio_net"],
        errnos: &[ENOMEM, ENOSPC],
        meaning: "the device has too few queues for one more a CPU",
        lines: &["ethtool -L {if} combined 1", AUTO],
    },
    Row {
        drivers: &["ena"],
        errnos: &[EINVAL, ERANGE],
        meaning: "the driver wants at most half of its channels in use, and packets that fit one page",
        lines: &[HALF_THE_CHANNELS, MTU_DOWN],
    },
    Row {
        drivers: &["gve"],
        errnos: &[EINVAL, EOPNOTSUPP],
        meaning: "the driver wants at most half of its queues in use, as many to send as to receive, and no LRO",
        lines: &[
            "ethtool -L {if} rx N tx N, N at most half of what `ethtool -l {if}` has as maximum",
            LRO_OFF,
            MTU_DOWN,
        ],
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
        meaning: "the driver does without LRO, and without packets that do not fit one page, where XDP runs",
        lines: &[LRO_OFF, MTU_DOWN],
    },
    Row {
        drivers: &["hv_netvsc", "vmxnet3"],
        errnos: &[EOPNOTSUPP, EINVAL, ERANGE],
        meaning: "the driver does without LRO, and without packets that do not fit one page, where XDP runs",
        lines: &[LRO_OFF, MTU_DOWN, AUTO],
    },
    Row {
        drivers: &["bnxt_en"],
        errnos: &[EOPNOTSUPP, EINVAL, ERANGE],
        meaning: "the driver wants channels that both send and receive, and half of them free",
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
        meaning: "the driver has too few queues for one more a CPU",
        lines: &[HALF_THE_CHANNELS],
    },
    Row {
        drivers: &[],
        errnos: &[EBUSY, EEXIST],
        meaning: "another XDP program came first",
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
        meaning: "its MTU, channels or offloads stand in the way",
        lines: &[MTU_DOWN, LRO_OFF, HALF_THE_CHANNELS, AUTO],
    },
    Row {
        drivers: &[],
        errnos: &[ENOMEM, ENOSPC],
        meaning: "it has too few queues left",
        lines: &[HALF_THE_CHANNELS, AUTO],
    },
];

/// What a driver means by an errno, and the lines that may mend it; the first is the likeliest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    pub meaning: &'static str,
    pub lines: Vec<String>,
}

/// Looks up what an errno means from this driver; nothing for an errno that says nothing about drivers.
#[must_use]
pub fn advice(interface: &str, driver: Option<&str>, errno: i32) -> Option<Advice> {
    let row = ROWS.iter().find(|row| {
        let fits = row.drivers.is_empty() || driver.is_some_and(|name| row.drivers.contains(&name));
        fits && row.errnos.contains(&errno)
    })?;
    Some(Advice {
        meaning: row.meaning,
        lines: row
            .lines
            .iter()
            .map(|line| line.replace("{if}", interface))
            .collect(),
    })
}

impl std::fmt::Display for Advice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut meaning = self.meaning.chars();
        if let Some(first) = meaning.next() {
            write!(f, "{}{}", first.to_uppercase(), meaning.as_str())?;
        }
        f.write_str(". What may help, likeliest first:")?;
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
        advice("eth0", driver, errno)
            .map(|advice| advice.lines)
            .unwrap_or_default()
    }

    #[test]
    fn drivers_mean_different_things_by_one_errno() {
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
    fn every_errno_of_a_refusal_has_a_line_whatever_the_driver() {
        for errno in [EBUSY, EEXIST, EINVAL, ENOMEM, ENOSPC, EOPNOTSUPP, ERANGE] {
            for driver in [None, Some("unheard_of")] {
                assert!(!lines(driver, errno).is_empty(), "{errno}");
            }
        }
        assert_eq!(advice("eth0", None, libc::EFAULT), None);
    }

    #[test]
    fn no_row_is_hidden_by_an_earlier_one() {
        for row in ROWS {
            let drivers: Vec<Option<&str>> = match row.drivers {
                [] => vec![None],
                drivers => drivers.iter().copied().map(Some).collect(),
            };
            for driver in drivers {
                for errno in row.errnos {
                    let found = advice("eth0", driver, *errno).unwrap();
                    assert_eq!(found.meaning, row.meaning, "{driver:?} {errno}");
                }
            }
        }
    }

    #[test]
    fn advice_reads_as_a_sentence_and_lines() {
        let said = advice("eth0", Some("veth"), ENOSPC).unwrap().to_string();
        assert!(said.starts_with("The peer sends on more queues"), "{said}");
        assert!(
            said.ends_with("\n  ethtool -L eth0 rx N, N at least the peer's number of tx queues"),
            "{said}"
        );
    }
}
