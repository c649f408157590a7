//! The time since boot: read from the kernel each time, or once a tick.
//!
//! A read costs more than a flow look-up: two calls, one by a pointer, and a serialised read of the processor's
//! counter. Flow deadlines are seconds away, so each CPU keeps the time for the rest of the kernel's tick (CONFIG_HZ:
//! one to ten milliseconds); to read the tick is a load. The time of an earlier tick is never used, so time asleep is
//! not missed.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_boot_ns};

use crate::maps::{self, Clock};

/// The time since boot, at most a tick old.
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
