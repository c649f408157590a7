//! The current time on the clock that images count in.

use crate::compile::Boot;
use crate::os::clock::boot_now;

/// The current time since boot. If the clock cannot be read, exceptions expire early rather than late.
#[must_use]
pub fn boot() -> Boot {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Boot {
        id: crc32fast::hash(&id),
        now: boot_now().unwrap_or(0),
    }
}
