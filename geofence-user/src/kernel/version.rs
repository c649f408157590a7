//! The version of the running kernel, where a call depends on it.

use aya::util::KernelVersion;

use super::error::KernelError;
use crate::model::kernel_version::{KERNEL_MIN, TCX_MIN};

fn at_least(version: KernelVersion, (major, minor): (u8, u8)) -> bool {
    version >= KernelVersion::new(major, minor, 0)
}

/// Refuses a kernel that is too old for the program.
pub(super) fn check() -> Result<(), KernelError> {
    let too_old = |found| Err(KernelError::KernelTooOld { found });
    match KernelVersion::current() {
        Err(error) => too_old(error.to_string()),
        Ok(version) if !at_least(version, KERNEL_MIN) => too_old(format!("{version:?}")),
        Ok(_) => Ok(()),
    }
}

/// Whether TC programs attach by links (commit e420bed02507).
#[must_use]
pub fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| at_least(version, TCX_MIN))
}
