//! What follows from the facts about the machine. Pure, so that tests can describe any machine.

use super::Machine;
use crate::checks::finding::Finding;
use crate::model::kernel_version::{KERNEL_MIN, TCX_MIN};
use crate::model::private_pins::PRIVATE_PINS;

/// Judges the machine.
#[must_use]
pub fn judge_machine(machine: &Machine) -> Vec<Finding> {
    let mut findings = Vec::new();
    if machine.version < KERNEL_MIN {
        let (major, minor) = KERNEL_MIN;
        findings.push(Finding::trouble(
            format!(
                "Linux {} is too old: geofence needs {major}.{minor} or later",
                machine.kernel
            ),
            "boot a newer kernel",
        ));
    } else if machine.version < TCX_MIN {
        findings.push(Finding::note(format!(
            "Linux {} has no TCX (6.6): the egress program attaches through clsact instead",
            machine.kernel
        )));
    }
    let may = |capability: &str| machine.capabilities.contains(&capability);
    let may_load = may("CAP_SYS_ADMIN") || (may("CAP_BPF") && may("CAP_PERFMON"));
    if !may_load || !may("CAP_NET_ADMIN") {
        findings.push(Finding::trouble(
            "this process may not load and attach programs: that takes CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN",
            "run geofence with sudo, or give its service AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN",
        ));
    }
    if machine.lockdown.as_deref() == Some("confidentiality") {
        findings.push(Finding::trouble(
            "kernel lockdown is in confidentiality mode, which keeps BPF programs from reading packets",
            "boot with lockdown=integrity",
        ));
    }
    if !machine.jit {
        findings.push(Finding::change(
            "the BPF JIT is off: programs are interpreted, which costs several times as much per packet",
            "sysctl -w net.core.bpf_jit_enable=1",
        ));
    }
    if !machine.bpffs {
        findings.push(Finding::change(
            "no BPF file system is mounted at /sys/fs/bpf, where a filter outlives its daemon",
            "mount -t bpf bpf /sys/fs/bpf",
        ));
    }
    if machine.private_pins {
        findings.push(Finding::change(
            PRIVATE_PINS,
            "nsenter --net=/run/netns/NAME geofence run ...",
        ));
    }
    if !machine.btf {
        findings.push(Finding::note(
            "the kernel has no type information (/sys/kernel/btf/vmlinux); geofence does not need it",
        ));
    }
    findings
}
