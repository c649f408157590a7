//! What the daemon gives up once the filter is in place, and what of its privilege is left.
//!
//! To attach the filter takes capabilities; to look after it takes none: maps, links and programs are reached through
//! descriptors and pins that are there already. So from then on the process has no capability, gains none by whatever
//! it runs, writes nowhere but in its own places, and is refused what it certainly never does. What it must keep for
//! want of another way it keeps by name, with the reason, which `geofence status` shows.
//!
//! Everything here is of one thread and those that it makes later, so it is done while there is one.

mod calls;
mod capabilities;
mod files;
mod status;

use std::path::PathBuf;

use rustix::thread::CapabilitySet;
use tracing::{info, warn};

pub use status::{PrivilegeStatus, sentence};

/// A capability that is kept, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedPrivilege {
    capability: CapabilitySet,
    reason: String,
}

impl RetainedPrivilege {
    /// Interfaces that come back get the egress program by netlink where the kernel has no links for it.
    #[must_use]
    pub fn to_attach_by_netlink() -> Self {
        Self {
            capability: CapabilitySet::NET_ADMIN,
            reason: "this kernel attaches the egress program by netlink, also to an interface that comes back".into(),
        }
    }

    /// A reload reads what the start has read; some of it may belong to others and be closed to everybody else.
    #[must_use]
    pub fn to_read(files: impl IntoIterator<Item = PathBuf>) -> Option<Self> {
        let closed = capabilities::closed_without(files);
        let names: Vec<_> = closed
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        (!names.is_empty()).then(|| Self {
            capability: CapabilitySet::DAC_READ_SEARCH,
            reason: format!(
                "a reload could not read {} otherwise: give it to root, or let everybody read it",
                names.join(", ")
            ),
        })
    }
}

/// How much of what could be given up was; what could not is told of.
#[derive(Clone, Debug)]
pub struct DroppedPrivileges {
    kept: Vec<RetainedPrivilege>,
    /// Whether writing is confined to some directories.
    confined: bool,
}

/// Gives up everything but what is kept and writing below these directories. A kernel that lacks the means is no
/// reason not to filter.
pub fn drop_privileges(kept: Vec<RetainedPrivilege>, directories: &[PathBuf]) -> DroppedPrivileges {
    let mut set = CapabilitySet::empty();
    for one in &kept {
        warn!(
            "keeping {}: {}",
            capabilities::names(one.capability).join(", "),
            one.reason
        );
        set |= one.capability;
    }
    // Directories are opened before what it may take to reach them is gone.
    let confined = match files::confine(directories) {
        Ok(confined) => confined,
        Err(error) => {
            warn!("where the daemon may write is not confined: {error}");
            false
        }
    };
    if let Err(error) = capabilities::keep_only(set) {
        warn!("the daemon keeps its capabilities: {error}");
    }
    if let Err(error) = calls::refuse(&calls::daemon()) {
        warn!("the daemon's system calls are not filtered: {error}");
    }
    let dropped = DroppedPrivileges { kept, confined };
    match PrivilegeStatus::read() {
        Ok(standing) => info!("privilege: {}", standing.sentence(&dropped)),
        Err(error) => warn!("what the daemon may still do is not known: {error}"),
    }
    dropped
}

/// Leaves a helper that looks at other processes with the one capability that this takes, and without a way to change
/// anything.
pub fn restrict_to_inspection() -> std::io::Result<()> {
    capabilities::keep_only(CapabilitySet::SYS_PTRACE)?;
    calls::refuse(&calls::inspector()).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::kernel::Pins;
    use crate::os::instance::Instance;

    const UNIT: &str = include_str!("../../../../deploy/geofence.service");

    /// The words behind a key of the service's unit.
    fn words(key: &str) -> Vec<&'static str> {
        let lines = UNIT
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        lines.flat_map(str::split_ascii_whitespace).collect()
    }

    #[test]
    fn the_service_may_do_what_a_start_takes() {
        let needed = CapabilitySet::BPF
            | CapabilitySet::PERFMON
            | CapabilitySet::NET_ADMIN
            | CapabilitySet::SYS_ADMIN
            | CapabilitySet::SYS_PTRACE
            | CapabilitySet::SETPCAP;
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
        // The helper looks at processes of others.
        assert!(words("ProtectProc").is_empty() && words("ProcSubset").is_empty());
    }

    #[test]
    fn the_service_has_the_places_of_an_instance_and_leaves_the_filter() {
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
        assert!(writable.iter().any(|path| Pins::root().starts_with(path)));
        let configuration = below("/etc", words("ConfigurationDirectory")[0]);
        assert!(writable.iter().any(|path| configuration == Path::new(path)));
        // Ctrl-C takes the filter off, and SIGTERM does not.
        assert_eq!(words("KillSignal"), ["SIGTERM"]);
        assert_eq!(words("Type"), ["notify"]);
        assert_eq!(words("Restart"), ["always"]);
        assert!(words("Before").contains(&"network-pre.target"));
        assert!(words("ExecReload").ends_with(&["reload"]));
    }
}
