//! The boot clock, which the data path counts in. It knows neither the kernel module nor the daemon.

use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Why the boot clock cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read CLOCK_BOOTTIME: clock_gettime: {cause}")]
pub struct ClockError {
    cause: io::Error,
}

/// Nanoseconds since boot, as the data path counts them.
pub fn boot_now() -> Result<u64, ClockError> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(|errno| ClockError {
        cause: errno.into(),
    })?;
    Ok(u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX))
}
