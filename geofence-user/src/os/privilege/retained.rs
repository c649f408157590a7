//! The capabilities that the daemon retains, each with the reason.

use std::path::PathBuf;

use rustix::thread::CapabilitySet;

use super::capabilities;

/// A capability that is kept, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedPrivilege {
    pub(super) capability: CapabilitySet,
    pub(super) reason: String,
}

impl RetainedPrivilege {
    /// For attaching the egress program by netlink to an interface that returns, on a kernel without links for it.
    #[must_use]
    pub fn to_attach_by_netlink() -> Self {
        Self {
            capability: CapabilitySet::NET_ADMIN,
            reason: "this kernel attaches the egress program by netlink, which an interface that returns needs \
                again".into(),
        }
    }

    /// For a reload, if some of the files are readable only with a capability.
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
                "reloads could not read {} without it; make root the owner, or make it readable for all users",
                names.join(", ")
            ),
        })
    }
}

/// What was dropped, and what was kept.
#[derive(Clone, Debug)]
pub struct DroppedPrivileges {
    pub(super) retained: Vec<RetainedPrivilege>,
    /// Whether writing is confined to some directories.
    pub(super) confined: bool,
}
