//! The time since boot: asked of the kernel each time, or once a tick.
//!
//! To ask costs more than to look a flow up: two calls, one by a pointer, and a serialised read of the processor's
//! counter. What depends on the time is a matter of seconds, so each CPU remembers the answer for as long as the
//! kernel's tick (CONFIG_HZ: one to ten milliseconds) is the same; to read the tick is a load. The time of an earlier
//! tick is never used, so a machine that slept is not told that it did not.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_boot_ns};

use crate::maps::{self, Clock};

/// What `now` says, or said at most a tick ago.
#[inline(always)]
pub(crate) fn now_coarse() -> u64 {
    // SAFETY: the helper takes nothing and returns a number.
    let tick = unsafe { bpf_jiffies64() };
    let Some(clock) = maps::CLOCK.get_ptr_mut(0) else {
        return now();
    };
    // SAFETY: the element is this CPU's own.
    let clock = unsafe { &mut *clock };
    if clock.tick != tick {
        *clock = Clock { tick, now: now() };
    }
    clock.now
}

/// Nanoseconds since boot (CLOCK_BOOTTIME).
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes nothing and returns a number.
    unsafe { bpf_ktime_get_boot_ns() }
}
