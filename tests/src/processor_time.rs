//! The time that a thread has used of a processor: other programs on the machine do not lengthen it.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What the calling thread has used until now.
pub fn of_thread() -> nix::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
