//! Capabilities: to have few, and never to get more.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_capabilities_secure_bits, set_no_new_privs,
};

/// Keeps these capabilities, and has nothing that is run or done later add one.
pub(super) fn keep_only(set: CapabilitySet) -> io::Result<()> {
    // These take CAP_SETPCAP, which a service may be started without. They guard what the last two forbid as well.
    let _ = set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    );
    let _ = clear_ambient_capability_set();
    for one in (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)) {
        if !set.contains(one) && remove_capability_from_bounding_set(one).is_err() {
            // There is no such capability, and none above it; or it may not be removed, and none may.
            break;
        }
    }
    set_no_new_privs(true)?;
    let had = capabilities(None)?.permitted;
    set_capabilities(
        None,
        CapabilitySets {
            effective: set & had,
            permitted: set & had,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

/// Those of the files that cannot be read without a capability. What is not there may come, and is nobody's yet.
pub(super) fn closed_without(files: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let Ok(had) = capabilities(None) else {
        return Vec::new();
    };
    let is_closed = |path: &PathBuf| {
        File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    let without = CapabilitySets {
        effective: CapabilitySet::empty(),
        ..had
    };
    if set_capabilities(None, without).is_err() {
        return Vec::new();
    }
    let closed = files.into_iter().filter(is_closed).collect();
    // What was permitted a moment ago still is.
    let _ = set_capabilities(None, had);
    closed
}

/// As capabilities(7) writes them; one that is newer than this program goes by its number.
pub(super) fn names(set: CapabilitySet) -> Vec<String> {
    let known = set.iter_names().map(|(name, _)| format!("CAP_{name}"));
    let unknown = set.bits() & !CapabilitySet::all_known().bits();
    let unknown = (0..u64::BITS).filter(|bit| unknown & (1 << bit) != 0);
    known
        .chain(unknown.map(|bit| format!("capability {bit}")))
        .collect()
}

/// The capabilities that have a name here.
trait AllKnown {
    fn all_known() -> Self;
}

impl AllKnown for CapabilitySet {
    fn all_known() -> Self {
        let named = Self::from_bits_retain(u64::MAX);
        named
            .iter_names()
            .fold(Self::empty(), |all, (_, one)| all | one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_called_by_their_names() {
        let some = CapabilitySet::NET_ADMIN
            | CapabilitySet::BPF
            | CapabilitySet::from_bits_retain(1 << 60);
        assert_eq!(names(some), ["CAP_NET_ADMIN", "CAP_BPF", "capability 60"]);
        assert!(names(CapabilitySet::empty()).is_empty());
    }
}
