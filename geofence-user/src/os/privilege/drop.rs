//! Drops the privileges of the daemon and of its helper.

use std::path::PathBuf;

use rustix::thread::CapabilitySet;
use tracing::{info, warn};

use super::files::TcpPorts;
use super::retained::{DroppedPrivileges, RetainedPrivilege};
use super::status::PrivilegeStatus;
use super::{calls, capabilities, files};

/// Drops every privilege except those retained, writing below these directories, and these TCP ports. If the kernel
/// lacks a mechanism, the filter runs without it, and the log says so.
pub fn drop_privileges(
    retained: Vec<RetainedPrivilege>,
    directories: &[PathBuf],
    ports: TcpPorts,
) -> DroppedPrivileges {
    let mut set = CapabilitySet::empty();
    for one in &retained {
        warn!(
            "keeping {}: {}",
            capabilities::names(one.capability).join(", "),
            one.reason
        );
        set |= one.capability;
    }
    // This opens the directories, which may need the capabilities that are dropped below.
    let confined = match files::confine(directories, &ports) {
        Ok(confined) => confined,
        Err(error) => {
            warn!("cannot confine where the daemon writes: {error}");
            false
        }
    };
    if let Err(error) = capabilities::keep_only(set) {
        warn!("cannot drop capabilities: {error}");
    }
    if let Err(error) = calls::refuse(&calls::daemon()) {
        warn!("cannot filter system calls: {error}");
    }
    let dropped = DroppedPrivileges { retained, confined };
    match PrivilegeStatus::read() {
        Ok(status) => info!("privilege: {}", status.sentence(&dropped)),
        Err(error) => warn!("cannot read which privileges the daemon has: {error}"),
    }
    dropped
}

/// Leaves the SSH session helper with the one capability that inspecting other processes needs, and without system
/// calls that change anything.
pub fn restrict_to_inspection() -> std::io::Result<()> {
    capabilities::keep_only(CapabilitySet::SYS_PTRACE)?;
    calls::refuse(&calls::session_helper()).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::kernel::Pins;
    use crate::os::instance::Instance;

    const UNIT: &str = include_str!("../../../../deploy/geofence.service");

    /// The words of a setting in the unit.
    fn words(key: &str) -> Vec<&'static str> {
        let lines = UNIT
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        lines.flat_map(str::split_ascii_whitespace).collect()
    }

    #[test]
    fn the_unit_allows_what_a_start_needs() {
        let needed = CapabilitySet::BPF
            | CapabilitySet::PERFMON
            | CapabilitySet::NET_ADMIN
            | CapabilitySet::SYS_ADMIN
            | CapabilitySet::SYS_PTRACE;
        let mut needed = capabilities::names(needed);
        needed.sort();
        assert_eq!(words("CapabilityBoundingSet"), needed);
        assert_eq!(
            words("RestrictAddressFamilies"),
            ["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"]
        );
        let calls = words("SystemCallFilter");
        for call in ["bpf", "seccomp", "landlock_restrict_self"] {
            assert!(calls.contains(&call), "{call}");
        }
        // The helper inspects processes of other users, for which CAP_SYS_PTRACE is enough. The lock-out check and the
        // loader read what is not about processes.
        assert_eq!(words("ProtectProc"), ["invisible"]);
        assert!(words("ProcSubset").is_empty());
    }

    /// The settings of a unit, without comments, and with the names of an instance for those of the default one.
    fn settings(unit: &str) -> Vec<String> {
        let lines = unit.lines().filter(|line| !line.starts_with('#'));
        let settings = lines.map(|line| {
            line.replace(", instance %i", "")
                .replace(" --instance geofence-%i", "")
                .replace("geofence-%i", "geofence")
                .replace("@%i", "")
                .replace(" --config /etc/geofence/geofence.toml", "")
        });
        settings.collect()
    }

    #[test]
    fn the_units_of_instances_differ_in_names_only() {
        let pairs = [
            (UNIT, include_str!("../../../../deploy/geofence@.service")),
            (
                include_str!("../../../../deploy/geofence-update.service"),
                include_str!("../../../../deploy/geofence-update@.service"),
            ),
            (
                include_str!("../../../../deploy/geofence-update.timer"),
                include_str!("../../../../deploy/geofence-update@.timer"),
            ),
        ];
        for (one, instances) in pairs {
            assert_eq!(settings(instances), settings(one));
        }
    }

    #[test]
    fn the_unit_names_the_directories_of_an_instance_and_leaves_the_filter_attached() {
        let instance = Instance::default();
        let below = |directory: &str, word: &str| Path::new(directory).join(word);
        assert_eq!(
            below("/var/lib", words("StateDirectory")[0]),
            instance.state_directory()
        );
        assert_eq!(
            below("/run", words("RuntimeDirectory")[0]),
            instance.run_directory()
        );
        for key in ["StateDirectoryMode", "RuntimeDirectoryMode"] {
            assert_eq!(words(key), ["0700"], "{key}");
        }
        let writable = words("ReadWritePaths");
        // The directory itself, which is made before: what is above it is read-only, whatever the unit says of it.
        let pins = Pins::root().display().to_string();
        assert_eq!(writable[0], format!("-{pins}"));
        assert_eq!(words("ExecStartPre").last(), Some(&pins.as_str()));
        let configuration = below("/etc", words("ConfigurationDirectory")[0]);
        assert!(writable.iter().any(|path| configuration == Path::new(path)));
        // SIGINT detaches the filter, and SIGTERM does not.
        assert_eq!(words("KillSignal"), ["SIGTERM"]);
        assert_eq!(words("Type"), ["notify"]);
        // Only a configuration that cannot be read ends the service for good.
        assert_eq!(words("Restart"), ["always"]);
        assert_eq!(words("StartLimitIntervalSec"), ["0"]);
        assert_eq!(words("RestartPreventExitStatus"), ["78"]);
        assert!(!UNIT.contains("sys-subsystem-net-devices"));
        assert!(words("Before").contains(&"network-pre.target"));
        assert!(words("ExecReload").ends_with(&["reload"]));
    }
}
