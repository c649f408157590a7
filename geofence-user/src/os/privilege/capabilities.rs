//! Drops capabilities for good, and names them.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_capabilities_secure_bits, set_no_new_privs,
};

/// Drops all other capabilities. Nothing that the process runs or does later can add one.
pub(super) fn keep_only(set: CapabilitySet) -> io::Result<()> {
    // These need CAP_SETPCAP, which a service may lack. The last two calls forbid the same without it.
    let _ = set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    );
    let _ = clear_ambient_capability_set();
    for one in (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit)) {
        if !set.contains(one) && remove_capability_from_bounding_set(one).is_err() {
            // The kernel has no capability of this number or above, or CAP_SETPCAP is missing.
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

/// The files that cannot be read without a capability. A file that does not exist is not among them.
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
    // The capabilities are still permitted, so this does not fail.
    let _ = set_capabilities(None, had);
    closed
}

/// The names as in capabilities(7); a capability that this program does not know is named by its number.
pub(super) fn names(set: CapabilitySet) -> Vec<String> {
    let known = set.iter_names().map(|(name, _)| format!("CAP_{name}"));
    let unknown = set
        .iter_names()
        .fold(set.bits(), |left, (_, one)| left & !one.bits());
    let unknown = (0..u64::BITS).filter(|bit| unknown & (1 << bit) != 0);
    known
        .chain(unknown.map(|bit| format!("capability {bit}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_names_and_unknown_ones_numbers() {
        let some = CapabilitySet::NET_ADMIN
            | CapabilitySet::BPF
            | CapabilitySet::from_bits_retain(1 << 60);
        assert_eq!(names(some), ["CAP_NET_ADMIN", "CAP_BPF", "capability 60"]);
        assert!(names(CapabilitySet::empty()).is_empty());
    }
}
